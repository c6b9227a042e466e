"""A fleet and its verdicts as pictures: who passed, node by node; and the values of a case over all devices.

The state of a cell is told by its form as well as by its colour: passed is pale, failed is full with a cross, not
decided is half full, missing is an empty frame.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from perwatt.results.accept.criteria import METRICS
from perwatt.results.accept.spread import Spread
from perwatt.results.accept.verdict import STATUSES, Judgement, Status
from perwatt.results.reports import svg
from perwatt.results.reports.layout import UNITS
from perwatt.results.reports.plots import Drawing
from perwatt.results.reports.units import FACTORS, common_prefix, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, FONT, CHARACTER = 460, 11, 6.6
MOST_HOSTS = 64  # with a row of their own; of more, a cell is a node
COLUMNS = 32
CELL = 14.0
DOTS, BINS, NAMED = 300, 48, 4
HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 190, 46, 10, 34, 40
OWN_UNITS = {"busbw": "B/s", "power": "W", "temperature": "degC"}  # of metrics that count no work of a kernel


def fleet(judgement: Judgement) -> Drawing | None:
    """The map of the fleet: a row a node and a cell a device, or of many nodes a cell a node; None of a single one."""
    devices: dict[str, dict[int, Status]] = {}
    nodes: dict[str, Status] = {}
    for verdict in judgement.verdicts:
        if verdict.scope == "device":
            host, _, index = verdict.subject.rpartition(":")
            devices.setdefault(host, {})[int(index) if index.isdecimal() else 0] = verdict.status
        elif verdict.scope == "node":
            nodes[verdict.subject] = verdict.status
    hosts = sorted({*devices, *nodes}, key=_natural)
    if len(hosts) < 2 and sum(map(len, devices.values())) < 2:
        return None
    if len(hosts) <= MOST_HOSTS:
        rows: list[Sequence[Status | None]] = []
        for host in hosts:
            own = devices.get(host) or {0: nodes.get(host, "MISSING")}
            rows.append([own.get(at) for at in range(max(own) + 1)])
        names = [_named(host, nodes.get(host, "PASS"), devices.get(host, {})) for host in hosts]
        title = "Fleet: a row a node, a cell a device"
        told = _counted([status for of in devices.values() for status in of.values()])
        if bare := _counted([nodes.get(host, "MISSING") for host in hosts if host not in devices]):
            told = f"{told}; nodes without a device: {bare}" if told else bare
    else:
        worst: list[Status | None] = [
            nodes.get(host) or max(devices[host].values(), key=STATUSES.index) for host in hosts
        ]
        rows = [worst[at : at + COLUMNS] for at in range(0, len(worst), COLUMNS)]
        names, title = hosts[::COLUMNS], "Fleet: a cell a node, named by the first of each row"
        told = _counted([status for status in worst if status])
    return _map(rows, names, title, told)


def _counted(found: Sequence[Status]) -> str:
    """How many have each verdict that any has."""
    return ", ".join(f"{found.count(status)} {status.lower()}" for status in STATUSES if status in found)


def _named(host: str, status: Status, devices: Mapping[int, Status]) -> str:
    """The node, and how it is judged where its devices do not show that: as when its links are bad."""
    worst = max(devices.values(), key=STATUSES.index, default=status)
    return host if STATUSES.index(status) <= STATUSES.index(worst) else f"{host} {status.lower()}"


def _natural(name: str) -> list[tuple[int, str]]:
    """n2 before n10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _map(rows: Sequence[Sequence[Status | None]], names: Sequence[str], title: str, told: str) -> Drawing:
    left = min(150.0, 12 + CHARACTER * max(map(len, names)))
    count = max(map(len, rows))
    side = min(CELL, (WIDTH - left - RIGHT) / count)
    height = side * len(rows) + 2
    cells: dict[Status, list[tuple[int, int]]] = {status: [] for status in STATUSES}
    for row, states in enumerate(rows):
        for column, status in enumerate(states):
            if status is not None:
                cells[status].append((row, column))
    with svg.style(FONT):
        drawing = svg.figure(WIDTH, height)
        axes = drawing.add_axes((left / WIDTH, 1 / height, side * count / WIDTH, side * len(rows) / height))
        for status, at in cells.items():
            _state(axes, status, at)
        axes.set_xlim(0, count)
        axes.set_ylim(len(rows), 0)
        axes.axis("off")
        each = max(1, math.ceil(13 / side))
        for row in range(0, len(rows), each):
            name = names[row]
            most = int((left - 10) / CHARACTER)
            name = name if len(name) <= most else "\u2026" + name[1 - most :]
            axes.text(-6 / side, row + 0.5, name, color=svg.INK["muted"], ha="right", va="center")
        return Drawing(svg.inline(drawing, "fleet", f"{title}: {told}"), title, told)


def _state(axes: Axes, status: Status, cells: Sequence[tuple[int, int]]) -> None:
    """The cells of one state, as one path for its ground and one for its sign."""
    if not cells:
        return
    ground: dict[Status, dict[str, Any]] = {
        "PASS": {"facecolor": svg.INK["c2"], "alpha": 0.35, "linewidth": 0},
        "FAIL": {"facecolor": svg.INK["c1"], "linewidth": 0},
        "INCONCLUSIVE": {"facecolor": svg.INK["c4"], "alpha": 0.6, "linewidth": 0},
        "MISSING": {"facecolor": "none", "edgecolor": svg.INK["muted"], "linewidth": 1.0},
    }
    corners: dict[Status, Sequence[tuple[float, float]]] = {
        "INCONCLUSIVE": ((0.1, 0.1), (0.1, 0.9), (0.9, 0.9)),  # half of it
    }
    square = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))
    _paths(axes, cells, [corners.get(status, square)], closed=True, **ground[status])
    if status == "FAIL":
        cross = [((0.3, 0.3), (0.7, 0.7)), ((0.3, 0.7), (0.7, 0.3))]
        _paths(axes, cells, cross, closed=False, edgecolor=svg.INK["ground"], facecolor="none", linewidth=1.4)


def _paths(axes: Axes, cells: Sequence[tuple[int, int]], forms: Sequence[Any], *, closed: bool, **style: Any) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points: list[tuple[float, float]] = []
    codes: list[Any] = []
    for row, column in cells:
        for form in forms:
            corners = [(column + x, row + y) for x, y in form]
            points += [*corners, corners[0]] if closed else corners
            codes += [Path.MOVETO, *[Path.LINETO] * (len(corners) - (not closed))]
    axes.add_patch(PathPatch(Path(points, codes), **style))


def values(spread: Spread, prefix: str) -> Drawing | None:
    """All devices on one axis: dots, or bars of many; limits as lines; those with a finding named. None of one."""
    if len(spread.values) < 2:
        return None
    work = UNITS.get(spread.kind, "")
    units = {**OWN_UNITS, "rate": work, "rate_per_watt": f"{work}/W" if work else ""}
    share = "%" in METRICS[spread.metric].units
    unit = "%" if share else units.get(spread.metric, "")
    numbers = list(spread.values.values())
    symbol = common_prefix([*numbers, *spread.limits.values()]) if unit not in ("", "%", "degC", "W") else ""
    factor = 0.01 if share else FACTORS[symbol]
    found = {subject: value / factor for subject, value in spread.values.items()}
    limits = {key: value / factor for key, value in spread.limits.items()}
    title = f"{spread.metric.replace('_', ' ')}: {spread.case}"
    with svg.style(FONT):
        drawing = svg.figure(WIDTH, HEIGHT)
        box = (LEFT / WIDTH, BOTTOM / HEIGHT, 1 - (LEFT + RIGHT) / WIDTH, 1 - (TOP + BOTTOM) / HEIGHT)
        axes = drawing.add_axes(box)
        _values(axes, found, spread.marked)
        shown = {key: limit for key, limit in limits.items() if _near(limit, list(found.values()))}
        for limit in shown.values():
            axes.axvline(limit, color=svg.INK["fg"], linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(symbol + unit if unit else "1")
        axes.margins(x=0.04)
        middle = f"median of {len(found)} {number(median(found.values()))} {symbol}{unit}".rstrip()
        beyond = [f"{key.replace('_', ' ')} {number(limit)} {symbol}{unit}".rstrip() for key, limit in limits.items()]
        label = f"{title}; {middle}; {len(spread.marked)} with a finding"
        return Drawing(svg.inline(drawing, prefix, label), title, "; ".join([middle, *beyond]))


def _near(limit: float, found: Sequence[float]) -> bool:
    """Whether a limit can be drawn without pressing all values into a corner."""
    low, high = min(found), max(found)
    room = 2 * max(high - low, 0.02 * abs(high))
    return low - room <= limit <= high + room


def _values(axes: Axes, found: Mapping[str, float], marked: Mapping[str, Status]) -> None:
    low, high = min(found.values()), max(found.values())
    width = (high - low) / BINS or abs(high) / BINS or 1.0
    heights: dict[int, int] = {}
    dots: dict[str, tuple[float, int]] = {}
    for subject, value in sorted(found.items(), key=lambda one: (one[0] in marked, one[1])):
        at = int((value - low) / width)
        heights[at] = heights.get(at, 0) + 1
        # those with a finding stand where they are; the others in columns
        dots[subject] = value if subject in marked else low + (at + 0.5) * width, heights[at]
    tallest = max(heights.values())
    if len(found) <= DOTS:
        good = [dots[subject] for subject in found if subject not in marked]
        axes.scatter([x for x, _ in good], [y for _, y in good], s=16, color=svg.INK["c0"], linewidths=0)
    else:
        edges = [low + at * width for at in heights]
        axes.bar(edges, list(heights.values()), width=width, align="edge", color=svg.INK["c0"], linewidth=0)
    bad = {subject: dots[subject] for subject in marked}
    if bad:
        y = [height if len(found) <= DOTS else 0.0 for _, height in bad.values()]
        x = [value for value, _ in bad.values()]
        axes.scatter(x, y, s=30, marker="x", color=svg.INK["c1"], linewidths=1.6, zorder=3, clip_on=False)
    axes.set_ylim(0, tallest * 1.25 + 0.5)
    middle = median(found.values())
    furthest = sorted(bad, key=lambda subject: -abs(bad[subject][0] - middle))[:NAMED]
    for step, subject in enumerate(sorted(furthest, key=lambda subject: bad[subject][0])):
        value, height = bad[subject]
        side = "left" if value <= (low + high) / 2 else "right"
        axes.annotate(
            subject,
            (value, height if len(found) <= DOTS else 0.0),
            xytext=(0, 9 + 12 * step),
            textcoords="offset points",
            ha=side,
            color=svg.INK["fg"],
            annotation_clip=False,
        )
    axes.set_yticks([0, tallest] if tallest > 1 else [1])
    axes.text(0, 1.02, "devices", transform=axes.transAxes, color=svg.INK["muted"], ha="right", va="bottom")
