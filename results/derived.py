"""Rates and energies of a case from what was measured, once: for whole records, and for the few fields of one that an
index of millions of them reads.

Nothing here is stored. Whatever has the fields that are named here, has the figures.
"""

# ruff: noqa: D102 - record.py says what each field is
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

# Which boundary speaks for a device, nearest first: a rate per watt is taken at the first that was metered.
BOUNDARIES: dict[str, tuple[str, ...]] = {
    "cpu": ("cpu_package", "node_dc", "node_ac"),
    "gpu": ("gpu", "module", "node_dc", "node_ac"),
}
# a counter is preferred to the polled power of the same boundary
SOURCES = ("counter", "integrated", "replayed", "modelled")


class AnyWork(Protocol):
    """Of :class:`perwatt.results.record.Work`, what is read here."""

    @property
    def flops(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def headline(self) -> str: ...
    @property
    def message_bytes(self) -> int: ...
    @property
    def bus_factor(self) -> float: ...
    @property
    def samples(self) -> int: ...


class AnyEnergy(Protocol):
    """Of :class:`perwatt.results.record.Energy`, what is read here."""

    @property
    def meter(self) -> str: ...
    @property
    def boundary(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def energy_j(self) -> float: ...


class AnyRepetition(Protocol):
    """Of :class:`perwatt.results.record.Repetition`, what is read here."""

    @property
    def window_s(self) -> float: ...
    @property
    def iterations(self) -> int: ...
    @property
    def energies(self) -> Sequence[AnyEnergy]: ...


Pairs = Sequence[tuple[AnyRepetition, AnyEnergy]]


def _order(boundaries: Sequence[str]) -> dict[tuple[str, str], int]:
    both = ((boundary, source) for boundary in boundaries for source in SOURCES)
    return {pair: place for place, pair in enumerate(both)}


_ORDERS = {kind: _order(boundaries) for kind, boundaries in BOUNDARIES.items()}


def meter(device_type: str, repetitions: Iterable[AnyRepetition]) -> str | None:
    """The meter whose boundary speaks for such a device; None when nothing that encloses it was metered."""
    order = _ORDERS.get(device_type) or _ORDERS["gpu"]
    best, name = len(order), None
    for repetition in repetitions:
        for energy in repetition.energies:
            place = order.get((energy.boundary, energy.source), best)
            if place < best:
                best, name = place, energy.meter
    return name


def metered(repetitions: Iterable[Any], name: str | None) -> tuple[tuple[Any, Any], ...]:
    """Each of ``repetitions`` (:class:`AnyRepetition`) with its energy of the meter ``name``; empty for None."""
    return tuple((r, e) for r in repetitions for e in r.energies if e.meter == name)


def amount(work: AnyWork) -> int:
    """Headline work of one launch: FLOP, bytes, message bytes or samples; 0 where none is done."""
    if work.headline == "flops":
        return work.flops
    if work.headline == "bytes":
        return work.bytes
    if work.headline == "samples":
        return work.samples
    return work.message_bytes if work.headline == "message" else 0


def bus_amount(work: AnyWork) -> float:
    """:func:`amount`, for messages times their bus factor (the factor of a single rank is 0: then times 1)."""
    return amount(work) * ((work.bus_factor if work.headline == "message" else 0.0) or 1.0)


def rate(work: AnyWork, median_s: float) -> float | None:
    """Headline work per second; None without work or time."""
    done = amount(work)
    return done / median_s if median_s > 0 and done else None


class Figures(NamedTuple):
    """What the energies of one meter amount to: J over all windows, W (total energy over total time), and work
    (:func:`bus_amount`) per joule, the mean over the windows of work / energy of the same window. None where not
    metered; no work per joule where no work is done."""

    energy_j: float | None
    power_w: float | None
    work_per_joule: float | None


def figures(work: AnyWork, pairs: Pairs) -> Figures:
    """The figures of each window with its energy, as :func:`metered` gives them."""
    if not pairs:
        return Figures(None, None, None)
    done = bus_amount(work)
    energy_j = time_s = per_joule = 0.0
    ratios = 0
    for repetition, energy in pairs:
        joules = energy.energy_j
        energy_j += joules
        time_s += repetition.window_s
        if joules > 0:
            per_joule += repetition.iterations * done / joules
            ratios += 1
    return Figures(energy_j, energy_j / time_s if time_s > 0 else None, per_joule / ratios if done and ratios else None)
