"""Where the energy of a year goes: a Sankey diagram from the grid to the chips and on to the heat, as SVG.

A place stands as far to the left as what feeds it allows, and what ends ends at the right; in a column the large ones
stand above, and losses, fans and pumps below them, where their ribbons pass under all else. A place's height is the
energy through it, the larger of what comes in and what goes out. Ribbons keep their order, so that they cross as little
as the flows allow. A name with its energy and its share of
what comes in at the left stands beside each place, in two lines where one has no room; where its ribbons are thinner
than that, under them, and they bend only behind it. Flows in a circle are refused: energy has one way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from textwrap import wrap

from perwatt.results.reports.sizing_values import first_upper, shown
from perwatt.results.reports.units import percent
from perwatt.results.size.sizing import Flow

WIDTH, BAR, TOP = 900.0, 12.0, 16.0
# The width of a bold character of 13 px on the wide side, and what the names at the right take up at least.
CHARACTER, LEAST_RIGHT = 8.4, 150.0
# A place and its label of two lines take at least this much height, a line more of its name so much more; ribbons share
# the rest.
PITCH, LINE, ROOM, LEAST = 40.0, 15.0, 300.0, 1.0
# Of the way to the next column the part that names under ribbons may take, the height below which a place has one, and
# the longest figures of it.
SHARE, LEAST_TALL, FIGURES = 0.75, 46.0, "00.0 GWh, 0.00 %"
# The colour of a place by what it is; electricity on its way is the first.
ELECTRIC = "c0"
NAMED = {
    "loss": "c7",
    "heat": "c1",
    "ambient": "c1",
    "reuse": "c2",
    "district": "c2",
    "cool": "c5",
    "fan": "c5",
    "pump": "c5",
    "compressor": "c5",
    "chip": "c6",
    "gpu": "c6",
    "light": "c4",
    "other": "c4",
}


@dataclass
class _Place:
    name: str
    column: int = 0
    into: list[Flow] = field(default_factory=list)
    out: list[Flow] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    height: float = 0.0
    ink: str = "c0"
    told: list[str] = field(default_factory=list)
    # how far its ribbons run straight on, over its name, before they bend
    run: float = 0.0

    @property
    def small(self) -> bool:
        """Whether its ribbons may be too thin to carry its name."""
        return bool(self.out) and self.height < LEAST_TALL

    @property
    def under(self) -> bool:
        """Whether its name stands under its ribbons: they are too thin to carry it."""
        return self.small and self.height <= LINE * (len(self.told) + 1) + 4

    @property
    def energy_j(self) -> float:
        return max(sum(f.energy_j for f in self.into), sum(f.energy_j for f in self.out))


def render(flows: Sequence[Flow]) -> str:
    """The diagram as an ``<svg>`` element; empty without a flow. Raises ValueError for flows that lead in a circle."""
    known = [flow for flow in flows if flow.energy_j > 0]
    if not known:
        return ""
    places = _places(known)
    height = _arrange(places)
    total = max(sum(p.energy_j for p in places.values() if not p.into), 1e-30)
    told = "; ".join(f"{f.source} to {f.target} {shown(f.energy_j, 'J')}" for f in known)
    body = "".join(_ribbons(places)) + "".join(_label(p, total) for p in places.values())
    return (
        f'<svg role="img" aria-label="{escape(f"Energy of a year: {told}")}" class="sankey" '
        f'viewBox="0 0 {WIDTH:g} {height:.0f}" width="{WIDTH:g}" height="{height:.0f}">{body}</svg>'
    )


def _places(flows: Sequence[Flow]) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    for flow in flows:
        places.setdefault(flow.source, _Place(flow.source)).out.append(flow)
        places.setdefault(flow.target, _Place(flow.target)).into.append(flow)
    for _ in places:
        moved = False
        for flow in flows:
            source, target = places[flow.source], places[flow.target]
            if target.column <= source.column:
                target.column, moved = source.column + 1, True
        if not moved:
            break
    else:
        raise ValueError(f"flows: found a circle among {', '.join(places)}; allowed flows in one direction")
    last = max(place.column for place in places.values())
    for place in places.values():
        # what ends somewhere ends at the right, where there is room for its name
        place.column = place.column if place.out else last
        place.ink = next((ink for word, ink in NAMED.items() if word in place.name.lower()), ELECTRIC)
    return places


def _arrange(places: dict[str, _Place]) -> float:
    """Set where each place stands and how high it is; the height of the drawing."""
    last = max(place.column for place in places.values())
    columns = [[p for p in places.values() if p.column == at] for at in range(last + 1)]
    right = max(LEAST_RIGHT, *(CHARACTER * len(place.name) + BAR + 14 for place in columns[-1]))
    scale = min(ROOM / sum(p.energy_j for p in column) for column in columns if column)
    pitch = (WIDTH - right - BAR) / max(last, 1)
    bottom = 0.0
    for place in places.values():
        place.height = max(place.energy_j * scale, LEAST)
    for at, column in enumerate(columns):
        if at:
            column.sort(key=lambda p: (p.small, min((places[f.target].column for f in p.out), default=last),
                                       sum(f.energy_j * _centre(places[f.source]) for f in p.into) / p.energy_j,
                                       -p.energy_j))  # fmt: skip
        y = TOP
        for place in column:
            place.x = at * pitch
            place.y = y
            room = right if at == last else pitch
            share = SHARE if place.small else 1.0
            place.told = wrap(first_upper(place.name), max(int((share * room - BAR - 12) / CHARACTER), 8))
            if place.under:
                y += place.height + LINE * (len(place.told) + 1) + 10
            else:
                y += max(place.height + 14, PITCH + LINE * (len(place.told) - 1))
        names = [CHARACTER * max(map(len, [*place.told, FIGURES])) for place in column if place.under]
        for place in column:
            place.run = min(max(names) + 8, pitch * SHARE) if place.under else 0.0
        bottom = max(bottom, y)
    return bottom


def _centre(place: _Place) -> float:
    return place.y + place.height / 2


def _ribbons(places: dict[str, _Place]) -> list[str]:
    scale = max(p.height for p in places.values()) / max(p.energy_j for p in places.values())
    starts: dict[int, float] = {}
    ends: dict[int, float] = {}
    for place in places.values():
        y = place.y
        for flow in sorted(place.out, key=lambda f: places[f.target].y):
            starts[id(flow)] = y
            y += flow.energy_j * scale
    for place in places.values():
        y = place.y
        # in the order in which they set out: then those that end together do not cross
        for flow in sorted(place.into, key=lambda f: starts[id(f)]):
            ends[id(flow)] = y
            y += flow.energy_j * scale
    parts = []
    for place in places.values():
        for flow in place.out:
            target = places[flow.target]
            x0, x1, y0, y1 = place.x + BAR, target.x, starts[id(flow)], ends[id(flow)]
            turn = x0 + place.run
            thick, bend = max(flow.energy_j * scale, LEAST), (turn + x1) / 2
            parts.append(
                f'<path d="M{x0:.1f} {y0:.1f}H{turn:.1f}C{bend:.1f} {y0:.1f} {bend:.1f} {y1:.1f} {x1:.1f} {y1:.1f}'
                f"v{thick:.1f}C{bend:.1f} {y1 + thick:.1f} {bend:.1f} {y0 + thick:.1f} {turn:.1f} {y0 + thick:.1f}"
                f'H{x0:.1f}Z" '
                f'fill="var(--plot-{target.ink})" fill-opacity="0.3"/>'
            )
    return parts


def _label(place: _Place, total: float) -> str:
    x = place.x + BAR + 6
    # beside a tall place in its middle, beside a low one at the end from its upper edge, else under its ribbons
    tall = place.height > LINE * (len(place.told) + 1) + 4
    y = place.y + (place.height / 2 + 12 - LINE * len(place.told) if tall else 9)
    if place.under:
        x, y = place.x + BAR + 1, place.y + place.height + 13
    share = f"{percent(place.energy_j / total, 2 if place.energy_j < 0.1 * total else 3)} %"
    told = f"{shown(place.energy_j, 'J', digits=3)}, {share}"
    ground = ""
    if place.under:
        # ribbons of other places may pass behind a label
        wide = CHARACTER * max(*map(len, place.told), len(told) - 2)
        ground = (
            f'<rect class="ground" x="{x - 2:.1f}" y="{y - 12:.1f}" width="{wide:.1f}" '
            f'height="{LINE * (len(place.told) + 1) + 2:.1f}" fill="var(--plot-ground)" fill-opacity="0.75"/>'
        )
    name = "".join(
        f'<text x="{x:.1f}" y="{y + LINE * at:.1f}" font-size="13" font-weight="600" '
        f'fill="var(--plot-fg)">{escape(line)}</text>'
        for at, line in enumerate(place.told)
    )
    return (
        f'<rect x="{place.x:.1f}" y="{place.y:.1f}" width="{BAR:g}" height="{place.height:.1f}" '
        f'fill="var(--plot-{place.ink})"/>{ground}{name}'
        f'<text x="{x:.1f}" y="{y + LINE * len(place.told):.1f}" font-size="12" fill="var(--plot-fg)">{told}</text>'
    )
