"""How power moves within seconds and minutes: lines and curves of what was read of one unit, for all units in step.

Units that work on one job ramp together, so that a site's ramp is a unit's times their number; units that serve
independently smooth each other, and are left out here. What the sampling cannot show is said, never guessed.
"""

from __future__ import annotations

import numpy as np

from perwatt.results.size.load import Load
from perwatt.results.size.parameter import Floats, Kind
from perwatt.results.size.request import Entry
from perwatt.results.size.site import Grid
from perwatt.results.size.sizing import Line, Series
from perwatt.results.size.spectrum import Spectrum, spectrum
from perwatt.results.size.storage import storage
from perwatt.results.size.transients import Ramp, Swing, floor, ramps, swing
from perwatt.results.size.windows import Cells, cells

FLOORS = (0.5, 0.7, 0.9)  # of the highest power, as firmware and filler work set them
LEAST_CYCLES, MOST_DUTY = 3, 0.95  # else what looks like a swing is a few dips
SHOWN = 2000  # points of a trace in a plot


def dynamics(
    entry: Entry, where: str, t_s: Floats, power_w: Floats, grid: Grid
) -> tuple[tuple[Line, ...], tuple[Series, ...]]:
    """Lines and curves from what was read of one unit: ``power_w`` in W at ``t_s`` in s (growing), at its AC input.
    ``where``: what stands in the keys; ``grid``: the site's, with the ramp that it takes. Raises ValueError for
    readings that are no trace."""
    units = int(np.ceil(entry.training * entry.units - 1e-9))
    if units < 1:
        return (), ()
    whole = cells(t_s, power_w)  # once: of a year of seconds they are half a gigabyte
    found_ramps, found_swing = ramps(t_s, power_w, made=whole), swing(t_s, power_w, whole)
    seen = spectrum(t_s, power_w, made=whole)
    basis = f"{entry.load.evidence}; {units} units in step"
    made = [*_ramps(found_ramps, units, where, basis, entry.load)]
    made += _swing(found_swing, units, where, basis, entry.load)
    made += _spectrum(seen, units, where, basis, entry.load)
    made += _floors(t_s, power_w, whole, units, where, basis)
    if grid.ramp_w_s is not None:
        made += _storage(entry, t_s, power_w, whole, units, where, basis, grid)
    return tuple(made), tuple(_curves(entry, units, t_s, power_w, found_ramps, seen))


def bound(entry: Entry, where: str, grid: Grid) -> tuple[Line, ...]:
    """What is known of units of which no trace was read: the step from rest to the vendor's maximum, all in step,
    at once. No ramp is steeper; how long it takes nobody measured. Where ``grid`` states the ramp that it takes, also
    the storage that holds one such step. Nothing where none works in step."""
    units = int(np.ceil(entry.training * entry.units - 1e-9))
    if units < 1:
        return ()
    system = entry.system
    idle_w = _idle_w(entry)
    highest_w = max(system.vendor_max_w.mode, entry.load.at(1.0, 1.0) or 0.0)
    at_rest = "the idle fraction of its maximum" if system.idle_w is None else f"idle by {system.idle_w.kind} figures"
    basis = (
        f"bound, not measured: {units} in step from {idle_w:.4g} W ({at_rest}) to {highest_w:.4g} W, the vendor's "
        "maximum or the highest second, at once; how fast, and how often, a trace would show"
    )
    step_w = max(highest_w - idle_w, 0.0)
    label = "bound, not measured: step from idle to the highest"
    made = [
        _line(where, "bound.step", label, step_w * units, "W", "modelled", basis),
        _line(where, "bound.share", f"{label}, of the highest power", step_w / highest_w, "1", "modelled", basis),
    ]
    if grid.ramp_w_s is not None:
        label = "bound, not measured: energy storage that holds the ramp limit at that step"
        why = (
            f"{basis}; to hold {grid.ramp_w_s / 1e6:.4g} MW/s, starting or stopping once: a job that swings may ask "
            "for more, which a trace would show; losses of the storage come on top"
        )
        made += [
            _line(where, "bound.storage", label, _step_j(step_w * units, grid.ramp_w_s), "J", "modelled", why),
            _line(where, "bound.storage_power", f"{label}, its power", step_w * units, "W", "modelled", why),
        ]
    return tuple(made)


def _step_j(step_w: float, ramp_w_s: float) -> float:
    """The energy in J between a step at once and the ramp that a grid takes."""
    return step_w**2 / (2 * ramp_w_s)


def _idle_w(entry: Entry) -> float:
    """What a unit at rest draws, in W, at its likeliest."""
    system = entry.system
    return entry.idle_fraction.mode * system.vendor_max_w.mode if system.idle_w is None else system.idle_w.mode


def _line(where: str, key: str, label: str, value: float | None, unit: str, kind: Kind, basis: str) -> Line:
    """A line of the site; what is not there was measured by nobody."""
    kind = kind if value is not None else "modelled"
    return Line(f"transients{where}.{key}", "transients", "site", label, value, unit, kind, basis)


def _kind(load: Load, units: int) -> Kind:
    """Of what is a unit's times the units in step: an extrapolation, unless it is one."""
    return load.kind if units == 1 else "modelled"


def _ramps(found: tuple[Ramp, ...], units: int, where: str, basis: str, load: Load) -> list[Line]:
    made = []
    for ramp in found:
        for way, rate, share in (("up", ramp.up_w_s, ramp.up_fraction), ("down", ramp.down_w_s, ramp.down_fraction)):
            label = f"steepest {'rise' if way == 'up' else 'fall'} over {ramp.window_s:g} s"
            key = f"ramp_{way}.{ramp.window_s:g}"
            why = ramp.reason or basis
            total = None if rate is None else rate * units
            made.append(_line(where, key, label, total, "W/s", _kind(load, units), why))
            made.append(_line(where, f"{key}.share", f"{label}, of the highest power", share, "1", load.kind, why))
    return made


def _swing(found: Swing, units: int, where: str, basis: str, load: Load) -> list[Line]:
    why = f"{basis}; {found.reason}" if found.reason else basis
    high, low = found.high_w, found.low_w
    dips = found.cycles < LEAST_CYCLES or (found.duty or 0.0) > MOST_DUTY
    label = "isolated dips: from the higher level to the lower" if dips else "swing between two power levels"
    range_w = None if high is None or low is None else (high - low) * units
    return [
        _line(where, "swing.range", label, range_w, "W", _kind(load, units), why),
        _line(where, "swing.period", "its period", found.period_s, "s", load.kind, why),
        _line(where, "swing.duty", "part of the time at the higher level", found.duty, "1", load.kind, why),
    ]


def _spectrum(found: Spectrum, units: int, where: str, basis: str, load: Load) -> list[Line]:
    why = f"{basis}; {found.reason}" if found.reason else basis
    band = found.observable_hz
    label = "swings in the observable band" if band is None else f"swings from {band[0]:.3g} to {band[1]:.3g} Hz, rms"
    rms_w = None if found.rms_w is None else found.rms_w * units
    return [
        _line(where, "spectrum.rms", label, rms_w, "W", _kind(load, units), why),
        _line(where, "spectrum.peak", "frequency of the strongest swing", found.peak_hz, "Hz", load.kind, why),
    ]


def _floors(t_s: Floats, power_w: Floats, whole: Cells, units: int, where: str, basis: str) -> list[Line]:
    made = []
    for share in FLOORS:
        found = floor(t_s, power_w, share, whole)
        label, key = f"a floor at {100 * share:.0f} % of the highest power", f"floor.{100 * share:.0f}"
        why = f"{basis}; firmware or filler work, which does no work that counts"
        made.append(
            _line(where, f"{key}.range", f"{label}: range left", found.range_after_w * units, "W", "modelled", why)
        )
        made.append(_line(where, f"{key}.extra", f"{label}: more energy", found.extra_fraction, "1", "modelled", why))
    return made


def _storage(
    entry: Entry, t_s: Floats, power_w: Floats, whole: Cells, units: int, where: str, basis: str, grid: Grid
) -> list[Line]:
    """What holds the grid's ramp: through the trace, and when the job starts or stops, which a trace may not hold."""
    ramp_w_s = grid.ramp_w_s or 0.0
    found = storage(t_s, power_w, ramp_w_s / units, grid.storage_recovery.mode * whole.high_w, whole)
    step_w = max(whole.high_w - _idle_w(entry), 0.0) * units
    step_j = _step_j(step_w, ramp_w_s)
    why = f"{basis}; to hold {ramp_w_s / 1e6:.4g} MW/s; losses of the storage come on top"
    power = max(found.given_w, found.taken_w) * units
    capacity = max(found.capacity_j * units, step_j)
    power = max(power, step_w)
    return [
        _line(where, "storage.capacity", "energy storage that holds the ramp limit", capacity, "J", "modelled",
              f"{why}; the larger of the next two"),
        _line(where, "storage.trace", "of it, through the trace", found.capacity_j * units, "J", "modelled", why),
        _line(where, "storage.step", "of it, when the job starts or stops", step_j, "J", "modelled",
              f"{why}; from idle to the highest power at once"),
        _line(where, "storage.power", "its power", power, "W", "modelled", why),
    ]  # fmt: skip


def _curves(
    entry: Entry, units: int, t_s: Floats, power_w: Floats, found: tuple[Ramp, ...], seen: Spectrum
) -> list[Series]:
    note = entry.load.evidence
    every = max(len(t_s) // SHOWN, 1)
    curves = [
        Series(
            "trace",
            "time in s",
            "power of all units in step in W",
            tuple(float(t) for t in t_s[::every] - t_s[0]),
            {entry.system.title: tuple(float(p) * units for p in power_w[::every])},
            note if every == 1 else f"{note}; every {every}th reading is drawn",
        )
    ]
    known = [r for r in found if r.up_w_s is not None and r.down_w_s is not None]
    if len(known) > 1:
        hidden = [f"{r.window_s:g} s" for r in found if r.up_w_s is None]
        curves.append(
            Series(
                "ramps",
                "window in s",
                "steepest change in W/s",
                tuple(r.window_s for r in known),
                {
                    "up": tuple((r.up_w_s or 0.0) * units for r in known),
                    "down": tuple((r.down_w_s or 0.0) * units for r in known),
                },
                f"not observable: {', '.join(hidden)}" if hidden else "",
            )
        )
    if seen.observable_hz is not None and len(seen.frequency_hz) > 1:
        curves.append(
            Series(
                "spectrum",
                "frequency in Hz",
                "power spectral density in W2/Hz",
                tuple(float(f) for f in seen.frequency_hz),
                {"all units in step": tuple(float(d) * units**2 for d in seen.density_w2_hz)},
                seen.reason,
            )
        )
    return curves
