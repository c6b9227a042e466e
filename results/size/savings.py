"""What sizing on measurement saves: nameplate, vendor's maximum, measured and recommended power side by side.

Each column is one figure of a unit, the same for the whole fleet, and what follows from it: how many units a rack's
feed carries and so how many racks are needed, and how many units the same power could host. A saving is against the
first column, the nameplate, unless another is named. The recommended figure of the fleet is the sizing's own, with
coincidence and margin; all other columns are units times figure, all units at it at once.

Nothing here lowers a branch circuit below the nameplate: that takes an enforced cap and its proof. Figures work element
by element on numbers or on one value a draw; a column without a figure is None throughout, and so is what it would add
to a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perwatt.results.size.elementwise import plain, positive
from perwatt.results.size.load import Load
from perwatt.results.size.parameter import Kind, Values

COLUMNS = ("nameplate", "vendor_max", "measured_p50", "measured_p99", "measured_max", "recommended")
MEASURED = (("measured_p50", 0.5), ("measured_p99", 0.99), ("measured_max", 1.0))


@dataclass(frozen=True)
class Column:
    """``unit_w`` of one unit and ``fleet_w`` of all, AC in W; ``saved_w``: less than the reference column's fleet by so
    much (negative: more). ``per_rack`` units fit on a rack's feed, ``racks`` are needed, ``racks_saved`` fewer than by
    the reference; ``hosted`` units could draw the reference's power, rounded down. None where there is no figure, nan
    in the draws in which not even one unit fits. ``basis``: where the figure is from."""

    name: str
    kind: Kind
    basis: str
    unit_w: Values | None
    fleet_w: Values | None = None
    saved_w: Values | None = None
    per_rack: Values | None = None
    racks: Values | None = None
    racks_saved: Values | None = None
    hosted: Values | None = None


def measured(load: Load, window_s: float) -> dict[str, Column]:
    """The median, the 99 % quantile and the maximum of the means over ``window_s`` of one unit; a column without a
    figure where the load has no such window."""
    found = {}
    for name, quantile in MEASURED:
        value = load.at(window_s, quantile)
        basis = load.evidence if value is not None else f"no mean over {window_s:g} s or more in {load.evidence}"
        found[name] = Column(name, load.kind, basis, value)
    return found


def compared(
    columns: Sequence[Column],
    units: int,
    recommended_fleet_w: Values | None,
    rack_w: Values,
    most_per_rack: int,
    against: str = "nameplate",
) -> tuple[Column, ...]:
    """The columns with what follows from them. ``recommended_fleet_w``: the sizing's power of all units, which the
    column ``recommended`` has instead of units times its figure. ``rack_w``: what a rack's feed carries when one path
    is lost; ``most_per_rack``: what fits by space or cooling.

    Raises ValueError for fewer than one unit, a rack for none, powers that are not above 0, a name that comes twice,
    and a reference that is not among the columns.
    """
    if units < 1 or most_per_rack < 1:
        raise ValueError(f"units, most_per_rack: found {units}, {most_per_rack}; allowed 1 or more of each")
    positive("rack_w", rack_w)
    names = [column.name for column in columns]
    if len(set(names)) < len(names) or against not in names:
        raise ValueError(f"against: found {against!r} with columns {', '.join(names)}; allowed one of them, each once")
    filled = []
    for column in columns:
        if column.unit_w is None:
            filled.append(column)
            continue
        unit_w = positive(column.name, column.unit_w)
        fleet_w: Values = units * unit_w
        if column.name == "recommended" and recommended_fleet_w is not None:
            fleet_w = positive("recommended_fleet_w", recommended_fleet_w)
        per_rack = fits(rack_w, unit_w, most_per_rack)
        racks = np.ceil(units / np.where(np.asarray(per_rack) > 0, per_rack, np.nan))
        filled.append(
            Column(column.name, column.kind, column.basis, unit_w, fleet_w, per_rack=per_rack, racks=plain(racks))
        )
    first = filled[names.index(against)]
    return tuple(_beside(column, first, units) for column in filled)


def fits(power_w: Values, unit_w: Values, most: float = np.inf) -> Values:
    """Units of ``unit_w`` that ``power_w`` carries, whole ones, ``most`` at most. A power that is a multiple to within
    rounding carries the multiple. Raises ValueError for a unit that draws nothing."""
    ratio = np.asarray(power_w, np.float64) / positive("unit_w", unit_w)
    return plain(np.minimum(np.floor(ratio * (1 + 1e-12)), most))


def summed(fleets: Sequence[Sequence[Column]]) -> tuple[Column, ...]:
    """The columns of several kinds of units in one site: powers and racks add up, column by column; a sum is None if
    one of its parts is. Figures of one unit, and ``hosted``, have no sum. Raises ValueError for unlike columns."""
    if len({tuple(column.name for column in fleet) for fleet in fleets}) != 1:
        raise ValueError("fleets: found unlike columns, or none; allowed the same columns of each")
    total = []
    for parts in zip(*fleets, strict=True):
        kinds = {part.kind for part in parts}
        basis = "; ".join(dict.fromkeys(part.basis for part in parts))
        # of unlike kinds the sum is no better than a model of them
        kind: Kind = parts[0].kind if len(kinds) == 1 else "modelled"
        sums = {name: _sum([getattr(part, name) for part in parts]) for name in ("fleet_w", "saved_w", "racks")}
        saved = _sum([part.racks_saved for part in parts])
        total.append(Column(parts[0].name, kind, basis, None, **sums, racks_saved=saved))
    return tuple(total)


def cautions(columns: Sequence[Column]) -> tuple[str, ...]:
    """What a reader must know before using a saving: a recommendation below what was measured, a measurement above the
    vendor's maximum or the nameplate. Judged by the medians over the draws."""
    by_name = {column.name: column for column in columns}
    found = []
    pairs = (
        ("recommended", "measured_max", "lies below"),
        ("vendor_max", "measured_max", "lies below"),
        ("nameplate", "measured_max", "lies below"),
        ("nameplate", "vendor_max", "lies below"),
    )
    for low, high, verb in pairs:
        a, b = by_name.get(low), by_name.get(high)
        if a is None or b is None or a.unit_w is None or b.unit_w is None:
            continue
        mine, other = float(np.median(a.unit_w)), float(np.median(b.unit_w))
        if mine < other:
            words = low.replace("_", " "), high.replace("_", " ")
            found.append(f"{words[0]} ({mine:.0f} W a unit) {verb} {words[1]} ({other:.0f} W)")
    return tuple(found)


def _beside(column: Column, first: Column, units: int) -> Column:
    """The column with its differences from the reference."""
    if column.fleet_w is None or first.fleet_w is None or column.racks is None or first.racks is None:
        return column
    hosted = np.floor(np.asarray(first.fleet_w) / column.fleet_w * units * (1 + 1e-12))
    return Column(
        column.name,
        column.kind,
        column.basis,
        column.unit_w,
        column.fleet_w,
        saved_w=first.fleet_w - column.fleet_w,
        per_rack=column.per_rack,
        racks=column.racks,
        racks_saved=first.racks - column.racks,
        hosted=plain(hosted),
    )


def _sum(parts: Sequence[Values | None]) -> Values | None:
    total: Values = 0.0
    for part in parts:
        if part is None:
            return None
        total = total + part
    return total
