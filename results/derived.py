"""Rates and energies of a case from what was measured, once: for whole records, and for the few fields of one that an
index of millions of them reads.

Nothing here is stored. Whatever has the fields that are named here, has the figures.
"""

# ruff: noqa: D102 - record.py says what each field is
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


class AnySeconds(Protocol):
    """Of :class:`perwatt.results.record.Seconds`, what is read here."""

    @property
    def samples(self) -> int: ...
    @property
    def median(self) -> float: ...
    @property
    def p5(self) -> float: ...
    @property
    def p95(self) -> float: ...
    @property
    def ci_low(self) -> float: ...
    @property
    def ci_high(self) -> float: ...


class AnyConditions(Protocol):
    """Of :class:`perwatt.results.record.Conditions`, what is read here."""

    @property
    def throttled(self) -> Mapping[str, float]: ...
    @property
    def temperature_c(self) -> Mapping[str, tuple[float, float]]: ...
    @property
    def ecc(self) -> Mapping[str, int]: ...


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


def busbw(work: AnyWork, done_per_s: float | None) -> float | None:
    """Bus bandwidth in byte/s of a collective whose :func:`rate` is given; None of other work and of a single rank."""
    if done_per_s is None or work.headline != "message" or not work.bus_factor:
        return None
    return done_per_s * work.bus_factor


def spread(seconds: AnySeconds) -> float | None:
    """(p95 - p5) / median of the seconds per launch; None without several samples."""
    if seconds.samples > 1 and seconds.median > 0:
        return (seconds.p95 - seconds.p5) / seconds.median
    return None


def half_interval(seconds: AnySeconds) -> float | None:
    """Half of the 95 % interval of the median, as a share of it; a single sample has none."""
    if seconds.samples > 1 and seconds.median > 0:
        return (seconds.ci_high - seconds.ci_low) / 2 / seconds.median
    return None


def kind(work: AnyWork) -> str:
    """What the work counts: ``flops``, ``bytes`` (of messages as well), ``samples`` or ``time``."""
    return "bytes" if work.headline == "message" else work.headline


def cautions(pairs: Iterable[tuple[Any, Any]]) -> set[str]:
    """The flags of energies, and ``modelled`` of those that no meter measured."""
    found: set[str] = set()
    for _, energy in pairs:
        found.update(energy.flags)
        if energy.source in ("modelled", "replayed"):
            found.add("modelled")
    return found


class State(NamedTuple):
    """Of a device over all windows: its highest temperature in degrees Celsius, the largest share of a window that heat
    or a power brake took, the ECC errors counted; None where nobody told."""

    temperature_c: float | None
    throttled: float | None
    ecc: int | None


def state(repetitions: Iterable[Any]) -> State:
    """The state of :class:`AnyRepetition` with ``conditions`` (:class:`AnyConditions`, or None).

    The limit of its power is what a sound chip works at: heat and a power brake are what it must not meet.
    """
    hottest = slowed = counted = None
    for repetition in repetitions:
        if (found := repetition.conditions) is None:
            continue
        for pair in found.temperature_c.values():
            hottest = max(pair) if hottest is None else max(hottest, *pair)
        if found.throttled:
            share = max((v for k, v in found.throttled.items() if "thermal" in k or "brake" in k), default=0.0)
            slowed = share if slowed is None else max(slowed, share)
        if found.ecc:
            counted = (counted or 0) + sum(found.ecc.values())
    return State(hottest, slowed, counted)


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
