"""A fleet's power as it is kept in ``RUN/merged`` and told in lines of text.

device_power.parquet  each device: percentiles, sliding maxima
power.parquet         the sum over time
power.json            figures of the sum, and who has no part in it
start.json            when the nodes' loads began
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from perwatt.results.fleet.layout import MERGED, START
from perwatt.results.fleet.nodesets import some
from perwatt.results.fleet.power import devices
from perwatt.results.fleet.starts import starts
from perwatt.results.fleet.summed import Summed, summed
from perwatt.results.store import write_atomically

DEVICE_POWER, SUM, FIGURES = "device_power.parquet", "power.parquet", "power.json"


def state(run: Path, hosts: Sequence[str], meter: str = "", step_s: float | None = None) -> list[str]:
    """Write the three files of a merged fleet, and say in lines what is in them. ``hosts``: who should have a part.

    Raises ValueError as :func:`perwatt.results.fleet.summed.summed` does.
    """
    out = run / MERGED
    for name in (DEVICE_POWER, SUM, FIGURES):  # of an earlier merge: what cannot be said again is not true any more
        (out / name).unlink(missing_ok=True)
    whole = summed(run, hosts, meter, step_s)
    each = devices(run, whole.series.partition(":")[2])
    for name, frame in ((DEVICE_POWER, each.frame), (SUM, whole.frame)):
        write_atomically(out / name, lambda file, frame=frame: frame.to_parquet(file, index=False))  # type: ignore[misc]
    write_atomically(out / FIGURES, json.dumps(_figures(whole), indent=1) + "\n")
    return _lines(whole)


def _figures(of: Summed) -> dict[str, object]:
    return {
        "series": of.series,
        "step_s": of.step_s,
        "devices": of.devices,
        "nodes": of.nodes,
        "complete_s": len(of.complete) * of.step_s,
        "known_s": len(of.frame) * of.step_s,
        "peak_w": of.peak_w,
        "mean_w": of.mean_w,
        "sum_of_peaks_w": of.sum_of_peaks_w,
        "coincidence": of.coincidence,
        "ramps": [ramp._asdict() for ramp in of.ramps],
        "reason": of.reason,
        "known_peak": None if of.known_peak is None else of.known_peak._asdict(),
        "clock_s": of.clock_s,
        "unsynchronised": list(of.unsynchronised),
        "cut_short_ns": of.cut_short,
        "missing": of.missing,
    }


def _lines(of: Summed) -> list[str]:
    meter = of.series.partition(":")[2]
    lines = [f"POWER of {of.devices} devices on {of.nodes} nodes by {meter}, means over {of.step_s:g} s"]
    if of.peak_w is None or of.mean_w is None or of.sum_of_peaks_w is None:
        lines.append(f"  no sum: {of.reason}")
    else:
        lines.append(f"  highest {of.peak_w / 1e3:.4g} kW, mean {of.mean_w / 1e3:.4g} kW")
        share = "" if of.coincidence is None else f", coincidence {of.coincidence:.3f}"
        lines.append(f"  each device's highest, added up {of.sum_of_peaks_w / 1e3:.4g} kW{share}")
    if (peak := of.known_peak) is not None and len(of.complete) < len(of.frame):
        known, whole = len(of.frame) * of.step_s, len(of.complete) * of.step_s
        lines.append(
            f"  all devices known for {whole:.4g} of {known:.4g} s; highest of what is known "
            f"{peak.power_w / 1e3:.4g} kW, of {peak.devices} devices on {peak.nodes} nodes"
        )
    for ramp in of.ramps:
        told = ramp.reason
        if ramp.up_w_s is not None and ramp.down_w_s is not None:
            told = f"up {ramp.up_w_s / 1e3:.4g} kW/s, down {ramp.down_w_s / 1e3:.4g} kW/s"
        lines.append(f"  over {ramp.window_s:g} s: {told}")
    if of.unsynchronised:
        lines.append(f"  clocks as they are, nobody compared them: {some(of.unsynchronised)}")
    if of.cut_short:
        first_ns = int(of.frame["t_ns"].iloc[0]) - of.step_s * 5e8
        each = [f"{host} (to {(end_ns - first_ns) * 1e-9:.4g} s)" for host, end_ns in of.cut_short.items()]
        lines.append(f"  killed or still at work, counted until their last readings: {some(each)}")
    lines += [f"NO POWER {name}: {why}" for name, why in of.missing.items()]
    return lines


def began(run: Path, hosts: Sequence[str]) -> list[str]:
    """Write when the nodes' loads began beside what they agreed on, and say it in lines; none if they agreed on
    nothing."""
    out = run / MERGED / START
    if (of := starts(run, hosts)) is None:
        out.unlink(missing_ok=True)
        return []
    write_atomically(out, json.dumps({**asdict(of), "skew_s": of.skew_s}, indent=1) + "\n")
    lines = []
    if of.skew_s is not None:
        first, last = min(of.late_s, key=of.late_s.__getitem__), max(of.late_s, key=of.late_s.__getitem__)
        lines.append(
            f"START first windows of {len(of.late_s)} nodes within {of.skew_s:.3g} s (± {2 * of.uncertainty_s:.2g} s), "
            f"{of.late_s[first]:.3g} s ({first}) to {of.late_s[last]:.3g} s ({last}) after the agreed moment"
        )
    by_why: dict[str, list[str]] = {}
    for host, why in of.unknown.items():
        by_why.setdefault(why, []).append(host)
    return lines + [f"START unknown, {why}: {some(hosts)}" for why, hosts in by_why.items()]
