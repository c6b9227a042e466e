"""The rates of links between hosts as a picture: one cell a pair, the paler the slower, slow ones framed.

A slow host is a pale row and a pale column, a slow leaf a pale band, a slow link one framed cell and its mirror image.
The shade is the rate over what is normal for such a link, in steps down to a half; a test that failed is crossed.
Hosts are in the order given, so that those of one leaf stand side by side. Of more than 64 hosts each cell is a block
of neighbours and shows the slowest link in it: nothing slow is averaged away. Pairs that were not tested are empty.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perwatt.results.reports import svg
from perwatt.results.reports.plots import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Pair = tuple[str, str]

WIDTH, FONT, KEY = 460, 11, 40
RIGHT, BELOW, CHARACTER = 8, 8, 6.6
MOST, LABELS, SINGLE = 64, 16, 32  # in a row: cells, host names, cells that stand apart
STEPS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # rate over normal where the shade changes
PALEST, DARKEST = 0.10, 0.95


def matrix(
    hosts: Sequence[str], shares: Mapping[Pair, float | None], slow: Collection[Pair], prefix: str
) -> Drawing | None:
    """The figure of ``shares``, each link's rate over what is normal for it (None: its test failed); None without any.

    ``slow``: the links to be framed. Raises ValueError for a link of a host that is not in ``hosts``.
    """
    if not shares:
        return None
    place = {host: index for index, host in enumerate(hosts)}
    if lost := [host for pair in [*shares, *slow] for host in pair if host not in place]:
        raise ValueError(f"links: found {lost[0]!r}; allowed the hosts of the matrix")
    each = -(-len(hosts) // MOST)
    cells: dict[tuple[int, int], float] = {}
    for (a, b), share in shares.items():
        at = (place[a] // each, place[b] // each)
        for cell in {at, at[::-1]}:
            cells[cell] = min(cells.get(cell, math.inf), -1.0 if share is None else share)
    framed = {cell for a, b in slow for at in [(place[a] // each, place[b] // each)] for cell in (at, at[::-1])}
    count = -(-len(hosts) // each)
    left = min(150.0, 12 + CHARACTER * max(len(host) for host in hosts))
    side = WIDTH - left - RIGHT
    height = KEY + side + BELOW
    with svg.style(FONT):
        drawing = svg.figure(WIDTH, height)
        axes = drawing.add_axes((left / WIDTH, BELOW / height, side / WIDTH, side / height))
        _cells(axes, cells, framed, count)
        axes.set_xlim(0, count)
        axes.set_ylim(count, 0)
        axes.grid(False)
        axes.set_xticks([])
        shown = range(0, count, -(-count // LABELS))
        most = int((left - 10) / CHARACTER)
        names = [hosts[index * each] for index in shown]
        names = [name if len(name) <= most else "\u2026" + name[1 - most :] for name in names]
        axes.set_yticks([index + 0.5 for index in shown], names)
        _key(drawing.add_axes((left / WIDTH, 1 - KEY / height, side / WIDTH, KEY / height)), side)
        label = f"Links between {len(hosts)} hosts: {len(shares)} tested, {len(set(map(frozenset, slow)))} slow"
        failed = sum(share is None for share in shares.values())
        label += f", {failed} failed" if failed else ""
        remark = f"each cell the slowest of {each} x {each} hosts" if each > 1 else ""
        return Drawing(svg.inline(drawing, prefix, label), label, remark)


def _cells(axes: Axes, cells: Mapping[tuple[int, int], float], framed: Collection[tuple[int, int]], count: int) -> None:
    """The cells of one shade are one path; of many hosts, neighbours of one shade are one band: a page stays small."""
    shades: dict[float, set[tuple[int, int]]] = {}
    for cell, share in cells.items():
        if share >= 0:
            shades.setdefault(_shade(share), set()).add(cell)
    merge = count > SINGLE
    for shade, of in sorted(shades.items()):
        _bands(axes, _runs(of, merge), 0.0 if merge else 0.04, facecolor=svg.INK["c0"], alpha=shade, linewidth=0)
    frame = max(0.8, min(1.4, 24 / count))
    if framed:
        ink = svg.INK["c1"]
        _bands(axes, _runs(framed, merge), 0.06, facecolor="none", edgecolor=ink, linewidth=frame, zorder=3)
    for row, column in (cell for cell, share in cells.items() if share < 0):
        for ends in ((0.2, 0.8), (0.8, 0.2)):
            axes.plot([column + 0.2, column + 0.8], [row + e for e in ends], color=svg.INK["c1"], linewidth=frame)


def _runs(cells: Collection[tuple[int, int]], merge: bool) -> list[tuple[int, int, int]]:
    """Row, first column and length of the cells that lie side by side; each by itself unless they are to be merged."""
    runs: list[tuple[int, int, int]] = []
    for row, column in sorted(cells):
        if merge and runs and runs[-1][0] == row and sum(runs[-1][1:]) == column:
            runs[-1] = (row, runs[-1][1], runs[-1][2] + 1)
        else:
            runs.append((row, column, 1))
    return runs


def _bands(axes: Axes, runs: Sequence[tuple[int, int, int]], margin: float, **style: Any) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points = []
    for row, column, length in runs:
        left, right, top, bottom = column + margin, column + length - margin, row + margin, row + 1 - margin
        points += [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(runs)
    axes.add_patch(PathPatch(Path(points, codes), **style))


def _shade(share: float) -> float:
    """The opacity of a cell: darker with each step that its rate reaches."""
    reached = sum(share >= step for step in STEPS)
    return PALEST + (DARKEST - PALEST) * reached / len(STEPS)


def _key(axes: Axes, side: float) -> None:
    """What the shades, the frame and the cross mean, above the matrix, in pixels."""
    from matplotlib.patches import Rectangle

    axes.set_xlim(0, side)
    axes.set_ylim(KEY, 0)
    axes.axis("off")

    def say(x: float, y: float, text: str) -> None:
        axes.text(x, y, text, color=svg.INK["muted"], va="center")

    say(0, 10, "rate over normal")
    for index, share in enumerate((0.0, *STEPS)):
        box = Rectangle((44 * index, 21), 10, 10, facecolor=svg.INK["c0"], alpha=_shade(share), linewidth=0)
        axes.add_patch(box)
        say(44 * index + 13, 26, f"{share:g}" if share else f"< {STEPS[0]}")
    marks = {120: [([0, 10, 10, 0, 0], [5, 5, 15, 15, 5])], 180: [([0, 10], [5, 15]), ([0, 10], [15, 5])]}
    for at, strokes in marks.items():
        for x, y in strokes:
            axes.plot([at + value for value in x], y, color=svg.INK["c1"], linewidth=1.4)
    say(136, 10, "slow")
    say(196, 10, "failed")
