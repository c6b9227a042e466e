"""Loads from a run of perwatt: one for each case that was metered, with the rate of its work, and its cap if proven.

The samples of the measured windows count, warm-up and rest do not: power and work are then of the same time. Meters of
the whole node come first, the GPU's own after them. Each window is one run to the bootstrap. Devices that were read at
the same time (ranks of a collective case) are units: pooled, and correlated. A reading that is itself a mean, over
longer than the meter was polled, tells nothing of shorter windows.

A cap counts as proven if its limit was enforced in every window, if power came up to it (or the driver says that it
held the clocks down), and if power never went beyond. A limit that was never reached proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perwatt.results.energy import slopes
from perwatt.results.record import Energy, Measured, Record
from perwatt.results.run import read
from perwatt.results.size.load import NEAR, QUANTILES, WINDOWS_S, Load
from perwatt.results.size.parameter import Floats
from perwatt.results.size.pool import Part, pool
from perwatt.results.size.windows import SHORTEST
from perwatt.results.store import latest
from perwatt.results.uncertainty import gain_term

if TYPE_CHECKING:
    from pandas import DataFrame

PREFERRED = ("node_ac", "node_dc", "gpu", "module", "cpu_package")
DEVICE = ("gpu", "module")
REACHED = 0.95  # of a cap, from which on power has come up to it
HELD = 1.02  # of a cap, beyond which it did not hold: what a sensor and a short overshoot may add
DIFFER = 0.05  # between samples and energies of the same windows, from which on it is said
HELD_DOWN = 0.05  # of the time that a power cap throttles, from which on it was reached


class Readings(NamedTuple):
    """What was read of one unit in the measured windows, with gaps between these: ``t_ns`` on the host's clock, never
    going back, and ``power_w`` in W, both of shape (n,)."""

    t_ns: npt.NDArray[np.int64]
    power_w: Floats


def from_run(run_folder: Path, boundary: str | None = None, *, seed: int = 0) -> list[tuple[Load, Readings | None]]:
    """One load for each metered case of the run in ``run_folder``, in the order of its records, with the readings of
    its first unit; None where no two were kept.

    ``boundary``: which to take (``node_ac``, ``gpu``, ...), the outermost of a node that was metered if None; ``seed``
    of the bootstrap. Raises ValueError for a folder that is no run, and where no case has such a measurement; modelled
    and replayed energies, and estimates of class E, are none.
    """
    run = read(run_folder)
    loads, seen = [], set()
    for record in latest(run.records):
        measured = record.measured
        if measured is None:
            continue
        energies = _metered(measured)
        seen |= {e.boundary for e in energies}
        wanted = [boundary] if boundary else PREFERRED
        energy = next((e for b in wanted for e in energies if e.boundary == b), None)
        if energy is not None:
            loads.append(_load(record, measured, energy, run.telemetry, seed))
    if not loads:
        found = f"power of {', '.join(sorted(seen))} only" if seen else "no case with a measured power"
        raise ValueError(f"{run_folder}: found {found}; allowed a run with power at {boundary or ', '.join(PREFERRED)}")
    return loads


def _metered(measured: Measured) -> list[Energy]:
    """A true measurement of each meter that has one in every window; gauges, whose samples say most, first."""
    whole = [e for e in measured.repetitions[0].energies if e.source in ("counter", "integrated")]
    for repetition in measured.repetitions[1:]:
        names = {e.meter for e in repetition.energies}
        whole = [e for e in whole if e.meter in names]
    whole = [e for e in whole if e.accuracy_class != "E" and "modelled" not in e.flags and e.energy_j > 0]
    return sorted(whole, key=lambda e: e.source != "integrated")


def _load(
    record: Record, measured: Measured, energy: Energy, telemetry: DataFrame | None, seed: int, banded: bool = True
) -> tuple[Load, Readings | None]:
    parts = [] if telemetry is None else _parts(telemetry, record, energy)
    readings: Readings | None = None
    name, evidence = record.case.label, f"run {record.run}, case {record.case.label}, meter {energy.meter}"
    units = len({p.unit for p in parts}) or len(energy.packages) or 1
    notes = []
    if energy.boundary not in DEVICE:
        notes.append(
            f"{record.case.ranks} rank{'s' if record.case.ranks > 1 else ''} worked while {energy.boundary} was "
            "metered: a unit whose other devices rest draws less than one at work"
        )
    work_per_s, unit = _work(measured)
    if parts and units == 1 and len(energy.packages) > 1 and record.case.ranks > 1:
        work_per_s, unit = None, ""
        notes.append("the work of one unit is not known: ranks and metered parts cannot be paired")
    if parts:
        try:
            found = pool(parts, WINDOWS_S, QUANTILES, seed, banded)
        except ValueError as error:
            raise ValueError(f"{evidence}: {error}") from None
        figures = found._asdict()
        notes += figures.pop("notes")
        averaging_s = _averaging_s(measured, energy.meter)
        figures |= {key: _averaged(figures[key], averaging_s) for key in ("statistics", "bands")}
        ratio = _mean_w(measured, energy.meter, units) / found.mean_w if found.mean_w > 0 else 1.0
        if energy.calibration:  # samples are kept as the sensor said them, energies are corrected
            figures = _scaled(figures, ratio)
            notes.append(f"samples times {ratio:.4f}, as the calibration {energy.calibration} has it of their energy")
        elif abs(ratio - 1) > DIFFER:
            notes.append(f"the windows' energy says {100 * (ratio - 1):+.1f} % of the samples' mean power")
        readings = _readings(parts, averaging_s, ratio if energy.calibration else 1.0)
    else:
        figures = _means(measured, energy.meter, units)
        notes.append("no samples were kept: only the means of whole windows are known")
    cap_w, proof, why = _cap(measured, energy, figures["statistics"], evidence)
    device = next((e for e in _metered(measured) if e.boundary in DEVICE), None)
    if why and device is not None and energy.boundary not in DEVICE:
        # of its cap alone: no bands, which would draw a thousand times for nothing
        of_device, _ = _load(record, measured, device, telemetry, seed, banded=False)
        figures |= {"device_cap_w": of_device.cap_w, "device_cap_proof": of_device.cap_proof}
    load = Load(
        name=name,
        kind="measured",
        evidence=evidence,
        boundary=energy.boundary,
        uncertainty=_gain(measured, energy),
        work_per_s=None if work_per_s is None else work_per_s / units,
        work_unit=unit,
        cap_w=cap_w,
        cap_proof=proof,
        notes=(*notes, *([why] if why else [])),
        **figures,
    )
    return load, readings


def _parts(telemetry: DataFrame, record: Record, energy: Energy) -> list[Part]:
    """The samples of the measured windows, by rank and window."""
    rows = telemetry[(telemetry["case"] == record.case.key) & (telemetry["repetition"] >= 0)]
    for series in (f"power_w:{energy.meter}", f"energy_j:{energy.meter}"):
        mine = rows[rows["series"] == series]
        if len(mine):
            break
    else:
        return []
    ranks = sorted(mine["rank"].unique())
    # ranks that share a metered part all read the same: one of them speaks for it
    if len(ranks) > len(energy.packages):
        ranks = ranks[:1]
    parts = []
    for rank in ranks:
        for repetition, window in mine[mine["rank"] == rank].groupby("repetition"):
            t_ns = window["t_ns"].to_numpy(dtype=np.int64)
            value = window["value"].to_numpy(dtype=np.float64)
            order = np.argsort(t_ns, kind="stable")
            t_ns, value = t_ns[order], value[order]
            if series.startswith("energy_j:"):
                left, right, value = slopes(t_ns, value)
                t_ns = left + (right - left) // 2
            fine = np.isfinite(value)
            t_ns, value = t_ns[fine], value[fine]
            if len(t_ns) > 1 and t_ns[-1] > t_ns[0]:
                parts.append(Part(t_ns, value, str(repetition), str(rank)))
    return parts


def _averaging_s(measured: Measured, meter: str) -> float:
    """Over how long each reading of a gauge is a mean, in s; 0 where nobody knows."""
    powers = [e.power for r in measured.repetitions for e in r.energies if e.meter == meter]
    return max((p.averaging_s for p in powers if p is not None), default=0.0)


def _averaged(by: dict[tuple[float, float], Any], averaging_s: float) -> dict[tuple[float, float], Any]:
    """Figures by window and quantile of readings that are means over ``averaging_s``: what the shortest window shows is
    theirs, of that length, and shorter ones are not known."""
    windows = sorted({w for w, _ in by})
    shorter = [w for w in windows if w < SHORTEST * averaging_s]
    if not shorter:
        return by
    own = next((w for w in windows if SHORTEST * averaging_s <= w <= averaging_s * (1 + NEAR)), averaging_s)
    longer = {key: value for key, value in by.items() if key[0] not in shorter}
    return longer | {(own, q): value for (w, q), value in by.items() if w == shorter[0]}


def _readings(parts: Sequence[Part], averaging_s: float, by: float) -> Readings | None:
    """All windows of the first unit as one, in W times ``by``, with a reading each ``averaging_s``, over which it is a
    mean: those between two of them show no change that is faster. None where only one is left."""
    mine = [part for part in parts if part.unit == parts[0].unit]
    t_ns = np.concatenate([part.t_ns for part in mine])
    order = np.argsort(t_ns, kind="stable")
    if averaging_s > 0:
        turn = np.floor((t_ns[order] - t_ns[order[0]]) / (averaging_s * 1e9) + 0.5)
        order = order[np.diff(turn, prepend=-1.0) > 0]
    power_w = np.concatenate([part.power_w for part in mine]) * by
    return Readings(t_ns[order], power_w[order]) if len(order) > 1 else None


def _mean_w(measured: Measured, meter: str, units: int) -> float:
    """Mean power of one unit over the windows by their energies, in W."""
    pairs = [(r.window_s, e.energy_j) for r in measured.repetitions for e in r.energies if e.meter == meter]
    return sum(j for _, j in pairs) / sum(s for s, _ in pairs) / units


def _scaled(figures: dict[str, Any], by: float) -> dict[str, Any]:
    """The same load with every power times ``by``."""
    return {
        **figures,
        "mean_w": figures["mean_w"] * by,
        "statistics": {key: w * by for key, w in figures["statistics"].items()},
        "bands": {key: (low * by, high * by) for key, (low, high) in figures["bands"].items()},
        "cdf": tuple(w * by for w in figures["cdf"]),
    }


def _work(measured: Measured) -> tuple[float | None, str]:
    """Work of all ranks per second of the measured windows, and what it is counted in."""
    work = measured.work
    seconds = sum(r.window_s for r in measured.repetitions)
    launches = sum(r.iterations for r in measured.repetitions)
    for amount, unit in ((work.tokens, "token"), (work.flops, "FLOP"), (work.bytes, "byte")):
        if amount and seconds > 0:
            return launches * amount / seconds, unit
    return None, ""


def _gain(measured: Measured, energy: Energy) -> float:
    """What is common to all readings: the meter's gain as the windows carry it, else that of its class."""
    terms = [e.terms.get("gain") for r in measured.repetitions for e in r.energies if e.meter == energy.meter]
    known = [t for t in terms if t is not None and math.isfinite(t)]
    if known:
        return max(known)
    gain = gain_term(energy.accuracy_class)[0]
    assert gain is not None  # class E was left out
    return gain


def _means(measured: Measured, meter: str, units: int) -> dict[str, Any]:
    """Figures of a load from its windows alone, one unit: their means, and what the meter said of each, if it did."""
    pairs = [(r, e) for r in measured.repetitions for e in r.energies if e.meter == meter]
    length_s = np.array([r.window_s for r, _ in pairs])
    mean_w = np.array([e.energy_j for _, e in pairs]) / length_s / units
    window_s = float(np.median(length_s))
    statistics = {(window_s, q): float(np.quantile(mean_w, q)) for q in QUANTILES}
    powers = [e.power for _, e in pairs if e.power is not None]
    if units == 1 and len(powers) == len(pairs):
        # the highest of the windows': a quantile of all of them cannot be had from theirs
        window_s = max(p.averaging_s for p in powers) or window_s
        for q, key in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (1.0, "max")):
            statistics[window_s, q] = max(getattr(p, key) for p in powers)
    return {
        "period_s": window_s,
        "seconds": float(length_s.sum()),
        "mean_w": float(np.average(mean_w, weights=length_s)),
        "statistics": statistics,
        "cdf": tuple(float(w) for w in np.quantile(mean_w, np.linspace(0, 1, 101))),
    }


def _cap(
    measured: Measured, energy: Energy, statistics: dict[tuple[float, float], float], evidence: str
) -> tuple[float | None, str, str]:
    """The cap of a device with what proves it, or None, nothing, and why not; no word where no limit is known."""
    limits = [None if r.conditions is None else r.conditions.limit_w.get("enforced") for r in measured.repetitions]
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None, "", ""
    limit_w = max(known)
    if energy.boundary not in DEVICE:
        return None, "", f"a limit of {limit_w:g} W on each device was enforced; it is no cap on {energy.boundary}"
    if len(known) < len(limits) or limit_w - min(known) > 0.5:
        return None, "", "the enforced limit changed, or was not known in every window: no cap is proven"
    peaks = {w: power for (w, q), power in statistics.items() if q == 1.0}
    window_s = min((w for w in peaks if w >= 1.0), default=max(peaks))
    highest_w = peaks[window_s]
    held = [
        share
        for r in measured.repetitions
        if r.conditions is not None
        for reason, share in r.conditions.throttled.items()
        if "power" in reason and "brake" not in reason
    ]
    if highest_w > HELD * limit_w:
        return None, "", f"the limit of {limit_w:g} W did not hold: {highest_w:.4g} W over {window_s:g} s"
    if highest_w < REACHED * limit_w and max(held, default=0.0) < HELD_DOWN:
        return None, "", f"the limit of {limit_w:g} W was never reached ({highest_w:.4g} W at most): no cap is proven"
    proof = f"{evidence}: a limit of {limit_w:g} W enforced in all {len(known)} windows, at most {highest_w:.4g} W"
    throttled = (
        f", clocks held down for up to {100 * max(held):.0f} % of a window" if max(held, default=0.0) > 0 else ""
    )
    return limit_w, f"{proof} over {window_s:g} s{throttled}", ""
