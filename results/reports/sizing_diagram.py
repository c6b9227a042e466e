"""The one-line diagram of the power chain: from the grid down to the machines, as electrical engineers draw it.

One row a stage: its symbol on the line, its name, how many and how redundant, what goes in, what is lost. What hangs on
a stage beside the chain (cooling, other consumers) branches off to the right of the line. Drawn as SVG text, without
a library; colours are variables of the page, type sizes are attributes, so that it is right on paper too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from perwatt.results.reports.sizing_values import first_upper, grouped, shown
from perwatt.results.size.sizing import Stage

WIDTH, ROW, SPINE, BRANCH, NAME = 560, 62, 34, 74, 84
TOP = 8
# Stages beside the chain: they hang on the stage above them.
BESIDE = ("cooling", "other", "support")
# The width of a character of 12 px, on the wide side.
CHARACTER = 6.3
_LINE = 'fill="none" stroke="var(--plot-fg)" stroke-width="1.6"'
_THIN = 'fill="none" stroke="var(--plot-muted)" stroke-width="1.2"'


def render(stages: Sequence[Stage]) -> str:
    """The diagram as an ``<svg>`` element; empty without stages."""
    if not stages:
        return ""
    height = TOP + ROW * len(stages)
    aside = _parts(stages)
    parts = [*_wires(stages, aside)]
    parts += [_row(at, stage, at in aside) for at, stage in enumerate(stages)]
    told = "; ".join(f"{s.title} {shown(s.in_w, 'W')}" for s in stages)
    return (
        f'<svg role="img" aria-label="{escape(f"One-line diagram from the grid down: {told}")}" class="oneline" '
        f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">{"".join(parts)}</svg>'
    )


def _middle(at: int) -> float:
    return TOP + ROW * at + ROW / 2 - 4


def _parts(stages: Sequence[Stage]) -> frozenset[int]:
    """Which stages stand beside the trunk: where a level comes again, the fleet has parts, and from the first stage of
    that level on each part hangs on the trunk."""
    spine = [at for at, stage in enumerate(stages) if stage.level not in BESIDE]
    levels = [stages[at].level for at in spine]
    first = next((at for at, level in zip(spine, levels, strict=True) if levels.count(level) > 1), len(stages))
    return frozenset(at for at, stage in enumerate(stages) if at >= first or stage.level in BESIDE)


def _wires(stages: Sequence[Stage], aside: frozenset[int]) -> Iterator[str]:
    """The trunk, what hangs on it, and the lines within each part of the fleet."""
    trunk = [at for at in range(len(stages)) if at not in aside]
    for above, below in pairwise(trunk):
        yield _wire(SPINE, above, below, stages[below])
    first = next((stages[at].level for at in sorted(aside) if stages[at].level not in BESIDE), "")
    taps = [at for at in sorted(aside) if stages[at].level in (*BESIDE, first)]
    if trunk and taps and taps[-1] > trunk[-1]:
        yield f'<path d="M{SPINE} {_middle(trunk[-1])}V{_middle(taps[-1])}" {_LINE}/>'
    for at in taps:
        y = _middle(at)
        dot = f'<circle cx="{SPINE}" cy="{y}" r="2.6" fill="var(--plot-fg)"/>'
        yield f'<path d="M{SPINE} {y}H{BRANCH}" {_THIN if stages[at].level in BESIDE else _LINE}/>{dot}'
    for at in sorted(aside):
        if at not in taps:
            yield _wire(BRANCH, at - 1, at, stages[at])


def _wire(x: float, above: int, below: int, stage: Stage) -> str:
    """The line from a stage to the next below; two of them, A and B, to a rack that has two feeds."""
    two = stage.level == "rack" and stage.topology.startswith("2")
    path = "".join(f"M{x + d} {_middle(above)}V{_middle(below)}" for d in ((-7, 7) if two else (0,)))
    return f'<path d="{path}" {_LINE}/>'


def _row(at: int, stage: Stage, beside: bool) -> str:
    y = _middle(at)
    x = BRANCH if beside else SPINE
    parts = []
    parts.append(_symbol(stage.level, x, y))
    left = NAME + 22 if beside else NAME
    count = f"\u00d7 {grouped(str(stage.count))}" if stage.count > 1 else ""
    tags = ", ".join(part for part in (count, stage.topology) if part)
    said = f'<tspan dx="10" font-size="13" font-weight="400" fill="var(--plot-muted)">{escape(tags)}</tspan>'
    parts.append(_text(left, y - 3, first_upper(stage.title), 14, weight=600, after=said if tags else ""))
    parts.append(_text(left, y + 15, _fit(stage.detail, WIDTH - left - 118), 12, "muted"))
    parts.append(_text(WIDTH, y - 3, shown(stage.in_w, "W"), 14, weight=600, anchor="end"))
    loss = stage.in_w - stage.out_w
    if stage.in_w > 0 and loss > 1e-9 * stage.in_w:
        parts.append(_text(WIDTH, y + 15, f"loss {shown(loss, 'W', digits=3)}", 12, "muted", anchor="end"))
    return "".join(parts)


def _fit(text: str, room: float) -> str:
    most = int(room / CHARACTER)
    return text if len(text) <= most else text[: most - 1].rstrip(" ,") + "\u2026"


def _text(
    x: float, y: float, text: str, size: int, ink: str = "fg", weight: int = 400, anchor: str = "start", after: str = ""
) -> str:
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    end = f' text-anchor="{anchor}"' if anchor != "start" else ""
    style = f'font-size="{size}"{bold}{end} fill="var(--plot-{ink})"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(text)}{after}</text>'


def _symbol(level: str, x: float, y: float) -> str:
    """What stands on the line, after IEC 60617: a source, a transformer, a converter, a busbar, two feeds, a load."""
    ground = 'fill="var(--plot-ground)" stroke="var(--plot-fg)" stroke-width="1.6"'
    if level == "site":
        return f'<circle cx="{x}" cy="{y}" r="13" {ground}/><path d="M{x - 7} {y}q3.5 -8 7 0t7 0" {_LINE}/>'
    if level == "transformer":
        circles = "".join(f'<circle cx="{x}" cy="{y + d}" r="9.5" {ground}/>' for d in (-6, 6))
        return circles + f'<circle cx="{x}" cy="{y - 6}" r="9.5" {_LINE}/>'
    box = f'<rect x="{x - 13}" y="{y - 13}" width="26" height="26" rx="1.5" {ground}/>'
    if level == "ups":
        waves = f'<path d="M{x - 10} {y - 6}q2 -4.5 4 0t4 0M{x + 2} {y + 7}q2 -4.5 4 0t4 0" {_THIN}/>'
        return box + f'<path d="M{x - 13} {y + 13}L{x + 13} {y - 13}" {_THIN}/>' + waves
    if level == "row":
        taps = "".join(f"M{x + d} {y}v7" for d in (-20, 20))
        return f'<path d="M{x - 24} {y}H{x + 24}" stroke="var(--plot-fg)" stroke-width="4"/><path d="{taps}" {_LINE}/>'
    if level in ("rack", "support"):
        slots = "".join(f"M{x - 8} {y + d}h16" for d in (-6, 0, 6))
        return box + f'<path d="{slots}" {_THIN}/>'
    if level == "cooling":
        blades = f"M{x} {y}q-9 -2 -7 -8M{x} {y}q9 2 7 8M{x} {y}q2 -9 8 -7M{x} {y}q-2 9 -8 7"
        return f'<circle cx="{x}" cy="{y}" r="13" {ground}/><path d="{blades}" {_THIN}/>'
    if level == "other":
        cross = f"M{x - 6.4} {y - 6.4}l12.8 12.8m0 -12.8l-12.8 12.8"
        return f'<circle cx="{x}" cy="{y}" r="9" {ground}/><path d="{cross}" {_THIN}/>'
    pins = "".join(f"M{x + d} {y - 13}v-4M{x + d} {y + 13}v4M{x - 13} {y + d}h-4M{x + 13} {y + d}h4" for d in (-6, 6))
    return box + f'<path d="{pins}" {_THIN}/>'
