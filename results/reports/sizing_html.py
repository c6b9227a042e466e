"""A sizing as one HTML file that needs nothing else: no script, no network, no second file.

The first screen is the decision: one sentence, the figures that a person asks first, the one-line diagram. Then power
level by level, the way of the energy, the curves, what dominates, every line with its band, its kind and its basis, the
inputs with their sources. Measured, published, modelled, assumed and given are told apart by colour and by a word.
Text from outside is escaped wherever it is put.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from perwatt.results.reports import sizing_diagram, sizing_sankey
from perwatt.results.reports.document import captioned, document
from perwatt.results.reports.sizing_html_tables import beside, inputs, kind_mark, levels, section, under_limit
from perwatt.results.reports.sizing_tables import KINDS, decision, headlines, kinds, sections, tabled
from perwatt.results.reports.sizing_values import text
from perwatt.results.size.sizing import Line, Sizing

if TYPE_CHECKING:
    from perwatt.results.reports.plots import Drawing

MOST_FACTS, LONGEST_FACT = 8, 60
DOMINANT = (
    "A bar is the figure with one input at its 5 or its 95 % end and all others as likeliest; a share is that of the "
    "figure\u2019s variance over the draws."
)


def render(sizing: Sizing, others: Sequence[Sizing] = ()) -> str:
    """The report as a complete HTML document; ``others`` (another site, another system) stand beside it."""
    body = "\n".join(part for part in _parts(sizing, others) if part)
    return document(f"perwatt size: {sizing.title}", ["report.css", "sizing.css"], body, "sizing")


def _parts(sizing: Sizing, others: Sequence[Sizing]) -> Iterator[str]:
    yield _header(sizing)
    yield _answer(sizing)
    yield beside([sizing, *others]) if others else ""
    yield under_limit(sizing)
    yield levels(sizing)
    seen = tabled(sizing)
    yield _sankey(sizing)
    yield _curves(sizing)
    yield _dominant(sizing)
    for name, title, lines in sections(sizing):
        yield section(name, title, lines, seen)
    yield inputs(sizing)
    yield _method(sizing)


def _header(sizing: Sizing) -> str:
    told = [(key, str(value)) for key, value in sizing.request.items() if isinstance(value, str | int | float)]
    short = [(key, value) for key, value in told if 0 < len(value) <= LONGEST_FACT]
    facts = [*_fleet(sizing.request.get("fleet")), *short][:MOST_FACTS]
    cells = "".join(
        f"<div><dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(value)}</dd></div>" for key, value in facts
    )
    listed = f'\n<dl class="facts">{cells}</dl>' if cells else ""
    return f'<header>\n<p class="brand">perwatt size</p>\n<h1>{escape(sizing.title)}</h1>{listed}\n</header>'


def _fleet(parts: object) -> list[tuple[str, str]]:
    """What stands there, as the request says it: one fact a part."""
    known = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    named = [(str(part.get("name", "")), part.get("units"), part.get("system")) for part in known]
    return [(name if len(named) > 1 else "fleet", f"{units} \u00d7 {system}") for name, units, system in named]


def _answer(sizing: Sizing) -> str:
    """The first screen: on the left the figures and what to provide, on the right the chain."""
    said = decision(sizing)
    tiles = "".join(_tile(caption, line) for caption, line in headlines(sizing))
    kept = re.sub(r"(\d) (\S?VA|\S?W)\b", "\\1\u00a0\\2", said)
    left = f'<dl class="tiles">{tiles}</dl>\n' * bool(tiles)
    left += f'<p class="decision">{escape(kept)}</p>\n' * bool(said)
    left += "".join(f'<p class="warning">{escape(warning)}</p>\n' for warning in sizing.warnings)
    left += _legend(sizing)
    diagram = sizing_diagram.render(sizing.stages)
    figure = ""
    if diagram:
        remark = "<small>what goes into each stage at the peak</small>"
        figure = f"<figure><figcaption>Power chain {remark}</figcaption>{diagram}</figure>"
    return f'<section class="answer">\n<div>\n{left}</div>\n{figure}\n</section>'


def _tile(caption: str, line: Line) -> str:
    told = text(line)
    band = f'<small class="band">{told.band}</small>' if told.band else ""
    return (
        f'<div><dt>{escape(caption)}</dt><dd><span class="value">{told.number}</span> {escape(told.unit)}{band}'
        f"<small>{kind_mark(line.kind)}</small></dd></div>"
    )


def _legend(sizing: Sizing) -> str:
    counted = kinds(sizing.lines)
    signs = "".join(f'<span title="{KINDS[kind]}">{kind_mark(kind)} {n}</span>' for kind, n in counted.items())
    band = f"<span>bands: 5\u201395 % of {sizing.draws} draws</span>" if sizing.draws else ""
    return f'<p class="legend">{signs}{band}</p>\n' if signs else ""


def _sankey(sizing: Sizing) -> str:
    drawn = sizing_sankey.render(sizing.flows)
    if not drawn:
        return ""
    caption = "<figcaption>from the grid to the chips and on to the heat; shares of what comes in</figcaption>"
    title = "<h2>Where the energy of a year goes</h2>"
    return f'<section class="way">\n{title}\n<figure>{caption}{drawn}</figure>\n</section>'


def _curves(sizing: Sizing) -> str:
    from perwatt.results.reports.sizing_plots import figure

    drawn = [drawing for at, series in enumerate(sizing.series) if (drawing := figure(series, f"z{at}"))]
    return _figures("Curves", drawn)


def _dominant(sizing: Sizing) -> str:
    from perwatt.results.reports.sizing_plots import tornado

    found = {line.key: line for line in sizing.lines}
    drawn = [
        drawing
        for at, (key, drivers) in enumerate(sizing.drivers.items())
        if key in found and (drawing := tornado(found[key], drivers, f"t{at}"))
    ]
    return _figures("What dominates", drawn, DOMINANT)


def _figures(title: str, drawings: Sequence[Drawing], intro: str = "") -> str:
    if not drawings:
        return ""
    figures = "".join(captioned(drawing) for drawing in drawings)
    said = f'<p class="intro muted">{intro}</p>\n' if intro else ""
    return f'<section>\n<h2>{title}</h2>\n{said}<div class="figures">\n{figures}</div>\n</section>'


def _method(sizing: Sizing) -> str:
    meaning = {kind: f"{told[0].upper()}{told[1:]}." for kind, told in KINDS.items() if kind in kinds(sizing.lines)}
    listed = "".join(f"<dt>{kind_mark(kind)}</dt><dd>{escape(told)}</dd>" for kind, told in meaning.items())
    if sizing.draws:
        told = (
            f"5 and 95 % quantile over {sizing.draws} draws of all inputs from their ranges, triangular around the "
            f"most likely value, seed {sizing.seed}. What no range was stated for is taken as exact."
        )
        listed += f"<dt>band</dt><dd>{told}</dd>"
    listed += (
        "<dt>recommended</dt><dd>The figure to build for. A branch circuit is never below the nameplate unless a power "
        "cap was enforced and the run proves it.</dd>"
        "<dt>\u2013</dt><dd>Not observable or not stated; the basis says why. It stands for no number.</dd>"
    )
    return f'<section>\n<h2>What the words mean</h2>\n<dl class="method">{listed}</dl>\n</section>'
