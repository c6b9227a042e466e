"""A matplotlib figure as SVG that lives inside an HTML page: small, accessible, and in the page's own colours.

Colours: figures are drawn in sentinel colours, one a role; here each becomes a CSS variable of the page, so that one
drawing is right on a light and on a dark ground. Ids: several drawings share one page, so ids that nothing refers to go
and the others get a prefix. Size: coordinates are rounded to 0.1 px, far below what can be seen, and the dots of a
sample cloud become relative moves. Text stays text, in the font of the page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The roles of a colour and the sentinel each is drawn in; report.css gives --plot-fg and so on their values.
ROLES = ("fg", "muted", "line", "band", "ground", *(f"c{i}" for i in range(8)))
INK = {role: f"#00f0{index:02x}" for index, role in enumerate(ROLES)}
SERIES = 8
MARKERS = "osD^vPX*h"

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "perwatt",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": INK["line"],
    "axes.labelcolor": INK["muted"],
    "axes.titlecolor": INK["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 1.0,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": INK["line"],
    "grid.linewidth": 0.6,
    "text.color": INK["fg"],
    "xtick.color": INK["line"],
    "ytick.color": INK["line"],
    "xtick.labelcolor": INK["muted"],
    "ytick.labelcolor": INK["muted"],
    "ytick.major.size": 0.0,
    "xtick.major.size": 3.0,
    "font.family": ["DejaVu Sans"],
    "legend.frameon": False,
    "legend.labelcolor": INK["fg"],
    "path.simplify": False,
}


@contextmanager
def style(font_px: float) -> Iterator[None]:
    """Draw in this module's style; a figure made under it has to be written under it too. 1 pt is 1 px here."""
    from matplotlib import rc_context

    sizes = dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "axes.labelsize", "axes.titlesize"), font_px)
    changes: dict[Any, Any] = {**STYLE, **sizes, "font.size": font_px, "legend.fontsize": font_px}
    with rc_context(changes):
        yield


def figure(width_px: float, height_px: float) -> Figure:
    """An empty figure whose size is in CSS pixels at its natural scale."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    made = Figure(figsize=(width_px / 72, height_px / 72), dpi=72)
    FigureCanvasSVG(made)
    return made


def inline(drawing: Figure, prefix: str, label: str) -> str:
    """``drawing`` as an ``<svg>`` element; ``label`` is its text alternative, ``prefix`` makes its ids the page's."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # matplotlib's global style rule would reach out of the drawing: report.css holds its equivalent
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert size is not None
    head = (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="{size[0][9:-1]}" '
        f'width="{float(size[1]):.0f}" height="{float(size[2]):.0f}">'
    )
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = body.replace("xlink:href=", "href=")
    body = _compact(_ids(_colours(body), prefix))
    return head + body.strip()


def _colours(text: str) -> str:
    def style(found: re.Match[str]) -> str:
        return re.sub(r"#00f0([0-9a-f]{2})", lambda m: f"var(--plot-{ROLES[int(m[1], 16)]})", found[0])

    # in styles only: a label may say what it likes
    return re.sub(r'style="[^"]*"', style, text)


def _ids(text: str, prefix: str) -> str:
    used = set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
    return re.sub(r"(href=\"#|url\(#)([^\")]+)", rf"\g<1>{prefix}-\g<2>", text)


def _compact(text: str) -> str:
    text = re.sub(r' d="([^"]*)"', lambda m: f' d="{_path(m[1])}"', text)
    text = re.sub(r' (x|y)="(-?[\d.]+)"', lambda m: f' {m[1]}="{_short(float(m[2]))}"', text)
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    text = re.sub(r">\s+<", "><", text)
    # groups that held nothing but an id
    return re.sub(r"\s+/>", "/>", text)


def _short(value: float, scale: int = 10) -> str:
    shown = f"{round(value * scale) / scale:.2f}".rstrip("0").rstrip(".")
    return "0" if shown in ("-0", "") else shown


_DOT = re.compile(r"M (\S+) (\S+)\s+L (\S+) (\S+)\s*")


def _path(data: str) -> str:
    """Path data with short numbers; a path of many dots (moves with strokes of no length) in relative moves."""
    segments = _DOT.findall(data)
    if len(segments) > 20 and _DOT.sub("", data) == "" and all(s[0] == s[2] for s in segments):
        return _strokes(segments)
    scale = 10 if len(data) > 400 else 100
    return re.sub(r"-?\d+\.?\d*(?:e-?\d+)?", lambda m: _short(float(m[0]), scale), data).replace("\n", "")


def _strokes(segments: list[tuple[str, str, str, str]]) -> str:
    """Vertical strokes, dots included, as ``m dx dy v length``, in tenths that cannot drift: each is a difference of
    rounded absolute positions."""
    out: list[str] = []
    x = y = 0
    join: Callable[[int], str] = lambda tenths: _short(tenths / 10)  # noqa: E731
    for x0, y0, _, y1 in segments:
        to_x, to_y, end_y = (round(float(v) * 10) for v in (x0, y0, y1))
        out.append(f"m{join(to_x - x)} {join(to_y - y)}v{join(end_y - to_y)}")
        x, y = to_x, end_y
    return "".join(out)
