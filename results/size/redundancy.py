"""How many units carry a load when some of them may fail, and how full they then run.

``N`` units carry the load, rounded up to whole ones. ``N+1`` and ``N+2`` have one or two more, in one group that shares
the load. ``2N`` is two whole sets. ``4N3R`` (four to make three, distributed redundancy) builds in blocks of four, each
loaded so that any three carry it: a unit runs at 75 % at the most, and takes a third of a failed neighbour's load.

The spare is for one group. Where each room or row has its own, as CDUs do, ask for the load of one of them and
multiply: one spare for a hundred units is N+1 in name only. :func:`grouped` does both.

``load`` and ``unit`` are in one and the same unit (W, VA, heat in W). Every function works elementwise on numbers and
arrays that broadcast.
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from perwatt.results.size import elementwise
from perwatt.results.size.electrical import within
from perwatt.results.size.parameter import Values
from perwatt.results.size.site import Topology

ROUNDING = 1e-9  # a load that exceeds whole units by this part of itself does so by the rounding of floating point
BLOCK, CARRY = 4, 3  # of 4N3R
SPARES: dict[Topology, float] = {"N+1": 1.0, "N+2": 2.0}  # of a group

DESCRIPTIONS: dict[Topology, str] = {
    "N": "no spare unit: the loss of one is not carried",
    "N+1": "one unit more than the load needs: the loss of any one is carried",
    "N+2": "two units more than the load needs: the loss of any two is carried",
    "2N": "two sets, each of which carries the whole load: the loss of a set is carried, no unit runs above 50 %",
    "4N3R": "blocks of four of which any three carry all: the loss of one in each is carried, no unit runs above 75 %",
}


def describe(topology: Topology) -> str:
    """What the topology means, in a line. Raises ValueError for one that is not known."""
    if topology not in DESCRIPTIONS:
        raise ValueError(f"topology: found {topology!r}; allowed {', '.join(get_args(Topology))}")
    return DESCRIPTIONS[topology]


def needed(load: Values, unit: Values) -> Values:
    """Units that just carry ``load``: ``load / unit`` rounded up. Raises ValueError unless both are above 0."""
    within("load", load)
    within("unit", unit)
    return np.ceil(load / unit * (1.0 - ROUNDING))


def count(load: Values, unit: Values, topology: Topology) -> Values:
    """Units to be built, the redundant ones included; a whole number. It never falls as the load grows.

    Raises ValueError for a load or unit that is not above 0, and for a topology that is not known.
    """
    describe(topology)
    if topology == "4N3R":
        return BLOCK * needed(load, CARRY * unit)
    n = needed(load, unit)
    if topology == "2N":
        return 2.0 * n
    return n + SPARES.get(topology, 0.0)


def rating(load: Values, ratings: tuple[float, ...], most: int, topology: Topology) -> Values:
    """The smallest of ``ratings``, which grow, of which ``most`` units carry ``load`` beside their spares (``4N3R``: in
    whole blocks, one at least); the largest where none does. What is built of it, in W or VA, never falls as the load
    grows, though units do where the next rating begins.

    Raises ValueError for a load that is not above 0, and for a topology that is not known.
    """
    describe(topology)
    within("load", load)
    carry = CARRY * max(most // CARRY, 1) if topology == "4N3R" else most
    at = np.searchsorted(carry * np.asarray(ratings), np.asarray(load) * (1.0 - ROUNDING))
    return elementwise.plain(np.asarray(ratings)[np.minimum(at, len(ratings) - 1)])


def normal_load(load: Values, unit: Values, topology: Topology, units: Values | None = None) -> Values:
    """Load of each unit, a fraction of its rating, while all of them run. ``units``: how many there are, as many as
    :func:`count` says if None. Raises ValueError as that does, and for no unit."""
    describe(topology)
    units = count(load, unit, topology) if units is None else units
    within("load", load)
    within("unit", unit)
    within("units", units)
    return load / (unit * units)


def after_fault_load(load: Values, unit: Values, topology: Topology, units: Values | None = None) -> Values:
    """Load of each unit that is left, a fraction of its rating, after the largest fault that the topology is there for:
    one unit lost (``N+1``), two (``N+2``), a whole set (``2N``), one of each block (``4N3R``).

    ``N`` has no such fault: it shows what the loss of one unit would do. Above 1 the rest is overloaded; infinite where
    nothing is left. ``units`` and errors as in :func:`normal_load`.
    """
    describe(topology)
    units = count(load, unit, topology) if units is None else units
    within("load", load)
    within("unit", unit)
    within("units", units)
    left = {
        "N": units - 1.0,
        "N+1": units - 1.0,
        "N+2": units - 2.0,
        "2N": units / 2.0,
        "4N3R": units * CARRY / BLOCK,
    }[topology]
    with np.errstate(divide="ignore"):
        return np.divide(load, unit * np.maximum(left, 0.0))


def grouped(load: Values, unit: Values, topology: Topology, group: Values) -> tuple[Values, Values, Values]:
    """Of a load shared equally by groups, each with the spare of ``topology``: units in all groups, load of each in
    normal service and after the fault, as :func:`count`, :func:`normal_load` and :func:`after_fault_load` say of a
    group. A group carries ``group`` at most, in whole units, one at least; where no spare serves a group (``N``,
    ``2N``, ``4N3R``) there is one of all. 0 units with a load of 0 where there is no load; the units never fall as the
    load grows.

    Raises ValueError for a negative load and as those do.
    """
    elementwise.within("load", load, 0)
    some = np.asarray(load) > 0
    # a load that is none stands as a unit's, so that all else is defined
    real = np.where(some, load, unit)
    whole = unit * np.maximum(fits(group, unit), 1.0)
    groups = needed(real, whole) if topology in SPARES else 1.0
    each = real / groups
    built = count(each, unit, topology)
    found = groups * built, normal_load(each, unit, topology, built), after_fault_load(each, unit, topology, built)
    units, normal, fault = (elementwise.plain(np.where(some, value, 0.0)) for value in found)
    return units, normal, fault


def fits(power: Values, unit: Values) -> Values:
    """Whole units that ``power`` carries; one that is a multiple of ``unit`` to within rounding carries the multiple.
    Raises ValueError for a unit that is not above 0."""
    within("unit", unit)
    return np.floor(power / unit * (1.0 + 1e-12))
