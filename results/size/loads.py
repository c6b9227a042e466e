"""What one unit draws, from what is there: a recorded trace, a run of perwatt, or what its vendor and others published.

Three ways lead to a :class:`perwatt.results.size.load.Load`, and each says which it was. Readings at the unit's AC
input are *measured*. Readings of its GPUs alone are lifted to the input by a model,

    P_ac = (sum of P_gpu + P_host) / eta_psu(load of a supply),

with all GPUs of the unit in step, and are *modelled*; so are readings behind its supplies (``node_dc``), which hold all
of the sum. Where nothing was measured, the mean and the highest second of machines that were measured and published
stand in: *published*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from perwatt.results.size.electrical import psu_input_w
from perwatt.results.size.load import QUANTILES, WINDOWS_S, Load
from perwatt.results.size.loads_run import DEVICE, from_run
from perwatt.results.size.parameter import Floats, Kind, Parameter
from perwatt.results.size.pool import Part, pool
from perwatt.results.size.system import Psu, System
from perwatt.results.traces.trace import Trace
from perwatt.results.uncertainty import gain_term

__all__ = ["from_run", "from_traces", "lift", "lift_dc", "published"]

WEAKEST: tuple[Kind, ...] = ("assumed", "modelled", "given", "published")
LISTED = 3  # sources that are named; of the others the number


def from_traces(
    traces: Sequence[Trace],
    name: str,
    *,
    windows_s: Sequence[float] = WINDOWS_S,
    quantiles: Sequence[float] = QUANTILES,
    uncertainty: float | None = None,
    work_per_s: float | None = None,
    work_unit: str = "",
    cap_w: float | None = None,
    cap_proof: str = "",
    seed: int = 0,
) -> Load:
    """One load from one trace, or from several of one kind (runs, or units read at the same time), pooled by time.

    ``uncertainty``: relative standard uncertainty of all power, by the traces' class and accuracy if None;
    ``work_per_s`` of one unit; ``cap_w`` with ``cap_proof``, what shows that it held; ``seed`` of the bootstrap. All
    readings count: cut off before what is not the load. Raises ValueError without a trace, for traces of different
    boundaries, for a class whose error nobody knows without ``uncertainty``, and for a cap that is not proven.
    """
    if not traces:
        raise ValueError(f"{name}: found no trace; allowed one or more")
    boundaries = list(dict.fromkeys(t.boundary for t in traces))
    if len(boundaries) > 1:
        raise ValueError(f"{name}: boundary: found {' and '.join(boundaries)}; allowed traces of one boundary")
    if cap_w is not None and not cap_proof.strip():
        raise ValueError(f"{name}: cap_w: found {cap_w:g} W without proof; allowed with cap_proof, what shows it held")
    gains = [gain_term(t.accuracy_class, t.accuracy)[0] for t in traces]
    if uncertainty is None:
        if (unknown := next((t for t, g in zip(traces, gains, strict=True) if g is None), None)) is not None:
            raise ValueError(
                f"{unknown.source}: class: found {unknown.accuracy_class}, whose error nobody knows; "
                "allowed A to D, or uncertainty= its relative standard uncertainty"
            )
        uncertainty = max(g for g in gains if g is not None)
    parts = [Part(t.t_ns, t.power_w, f"{i} {t.source}", f"{i} {t.name}") for i, t in enumerate(traces)]
    try:
        found = pool(parts, windows_s, quantiles, seed)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    dropped = sum(t.dropped for t in traces)
    again = sum(int(np.count_nonzero(np.diff(t.t_ns) == 0)) for t in traces)
    left_out = [f"{dropped} samples without a reading left out"] if dropped else []
    twice = [f"readings at the time of the one before, which share what it stands for: {again}"] if again else []
    notes = (*found.notes, *left_out, *twice)
    sources = list(dict.fromkeys(t.source for t in traces))
    more = f" and {len(sources) - LISTED} more" if len(sources) > LISTED else ""
    return Load(
        name=name,
        kind="modelled" if any(t.accuracy_class == "E" for t in traces) else "measured",
        evidence=", ".join(sources[:LISTED]) + more,
        boundary=boundaries[0],
        period_s=found.period_s,
        seconds=found.seconds,
        mean_w=found.mean_w,
        statistics=found.statistics,
        cdf=found.cdf,
        uncertainty=uncertainty,
        bands=found.bands,
        correlation=found.correlation,
        work_per_s=work_per_s,
        work_unit=work_unit,
        cap_w=cap_w,
        cap_proof=cap_proof,
        notes=notes,
    )


def published(system: System, values: Mapping[str, float] | None = None) -> Load:
    """The load of a unit that nobody measured here: its vendor's maximum times ``mean_fraction`` as the mean, and
    ``peak_over_mean`` times that as the highest second.

    ``values`` replace the likeliest ``vendor_max_w``, ``mean_fraction`` or ``peak_over_mean``. Only these two powers
    are known. Between them the distribution is taken as even (with a peak above twice the mean: as a power law), which
    puts p95 and p99 above those of published node logs; means over more than a second are bounded by those of a second.
    Raises ValueError for a key in ``values`` that is none of these, a mean of 0 or less, and a peak below the mean.
    """
    parameters = {key: getattr(system, key) for key in ("vendor_max_w", "mean_fraction", "peak_over_mean")}
    given = dict(values or {})
    if unknown := [key for key in given if key not in parameters]:
        raise ValueError(f"{system.name}: found {unknown[0]}; allowed {', '.join(parameters)}")
    most_w, fraction, over = (float(given.get(key, parameter.mode)) for key, parameter in parameters.items())
    mean_w = most_w * fraction
    if not (math.isfinite(mean_w) and mean_w > 0):
        raise ValueError(f"{system.name}: mean_fraction: found a mean of {mean_w:g} W; allowed above 0 W")
    if not (math.isfinite(over) and over >= 1):
        raise ValueError(f"{system.name}: peak_over_mean: found {over:g}; allowed 1 or more")
    share = np.linspace(0.0, 1.0, 101)
    levels_w = _spread(share, mean_w, over)
    at = {q: float(_spread(np.array([q]), mean_w, over)[0]) for q in QUANTILES}
    kinds: list[Kind] = ["given" if key in given else parameter.kind for key, parameter in parameters.items()]
    kind: Kind = next((k for k in WEAKEST if k in kinds), "published")
    texts = [f"{key} {given.get(key, p.mode):g} ({_of(key, p.source, given)})" for key, p in parameters.items()]
    return Load(
        name=system.name,
        kind="published" if kind == "given" else kind,
        evidence="not measured: " + "; ".join(texts),
        boundary="node_ac" if system.form == "node" else "rack",
        period_s=1.0,
        seconds=0.0,
        mean_w=mean_w,
        statistics={(window_s, q): at[q] for window_s in WINDOWS_S if window_s >= 1.0 for q in QUANTILES},
        cdf=tuple(float(w) for w in levels_w),
        notes=(
            "published, not measured: mean and highest second only; quantiles between them assumed evenly spread, "
            "longer windows bounded by one second",
        ),
    )


def _of(key: str, source: str, given: Mapping[str, float]) -> str:
    return "the request" if key in given else source


def _spread(share: Floats, mean_w: float, over: float) -> Floats:
    """Power not exceeded for ``share`` of the time: mean ``mean_w``, highest ``over`` times that, never below 0."""
    peak_w = mean_w * over
    if over <= 2:
        return np.asarray(2 * mean_w - peak_w + 2 * (peak_w - mean_w) * share)
    return np.asarray(peak_w * share ** (over - 1))


def lift(load_gpu: Load, gpus: int, host_w: float, psu: Psu) -> Load:
    """The load at the AC input of a unit of ``gpus`` like ``load_gpu``, with ``host_w`` at the DC side for the rest.

    The GPUs are taken in step, as they are inside one job; the rest as steady. The supplies share the load, all that
    are built in; their efficiency is that of the published curve. A cap on GPUs is no cap on the unit, whose fans and
    processors it does not hold. ``load_gpu`` stays with it. Raises ValueError for no GPU, a negative ``host_w``, and a
    load of another boundary than a GPU's.
    """
    if gpus < 1:
        raise ValueError(f"{load_gpu.name}: gpus: found {gpus}; allowed 1 or more")
    if not (math.isfinite(host_w) and host_w >= 0):
        raise ValueError(f"{load_gpu.name}: host_w: found {host_w:g} W; allowed 0 W or more")
    if load_gpu.boundary not in DEVICE:
        raise ValueError(f"{load_gpu.name}: boundary: found {load_gpu.boundary}; allowed gpu or module to be lifted")

    def ac(gpu_w: float) -> float:
        return float(psu_input_w(gpus * gpu_w + host_w, psu, psu.efficiency_offset.mode))

    gpus_w = gpus * load_gpu.mean_w
    share = gpus_w / (gpus_w + host_w)
    cap = "" if load_gpu.cap_w is None else f"; the cap of {load_gpu.cap_w:g} W on each GPU is none on the unit"
    return msgspec.structs.replace(
        load_gpu,
        kind="modelled",
        evidence=f"{load_gpu.evidence}; lifted to the AC input by a model: supplies by {psu.source}",
        boundary="node_ac",
        mean_w=ac(load_gpu.mean_w),
        statistics={key: ac(w) for key, w in load_gpu.statistics.items()},
        cdf=tuple(ac(w) for w in load_gpu.cdf),
        uncertainty=load_gpu.uncertainty * share,
        bands={key: (ac(low), ac(high)) for key, (low, high) in load_gpu.bands.items()},
        correlation=None,
        work_per_s=None if load_gpu.work_per_s is None else load_gpu.work_per_s * gpus,
        cap_w=None,
        cap_proof="",
        device_cap_w=load_gpu.cap_w,
        device_cap_proof=load_gpu.cap_proof,
        gpu=load_gpu,
        notes=(
            *load_gpu.notes,
            f"modelled: {gpus} GPUs in step and {host_w:g} W for the rest, over the supplies' efficiency; the ranges "
            f"of both are drawn beside its uncertainty{cap}",
        ),
    )


def lift_dc(load_dc: Load, psu: Psu) -> Load:
    """The load at the AC input of a unit that was metered behind its supplies, all that are built in sharing the load.

    What is not known of their efficiency is part of the load's uncertainty. What holds the power there is no cap at the
    input. Raises ValueError for a load of another boundary.
    """
    if load_dc.boundary != "node_dc":
        raise ValueError(f"{load_dc.name}: boundary: found {load_dc.boundary}; allowed node_dc to be lifted")

    def ac(dc_w: float) -> float:
        return float(psu_input_w(dc_w, psu, psu.efficiency_offset.mode)) if dc_w > 0 else 0.0

    mean_w = ac(load_dc.mean_w)
    return msgspec.structs.replace(
        load_dc,
        kind="modelled",
        evidence=f"{load_dc.evidence}; metered behind its supplies, whose losses are a model: supplies by {psu.source}",
        boundary="node_ac",
        mean_w=mean_w,
        statistics={key: ac(w) for key, w in load_dc.statistics.items()},
        cdf=tuple(ac(w) for w in load_dc.cdf),
        uncertainty=math.hypot(load_dc.uncertainty, _standard(psu.efficiency_offset) * mean_w / load_dc.mean_w),
        bands={key: (ac(low), ac(high)) for key, (low, high) in load_dc.bands.items()},
        cap_w=None,
        cap_proof="",
        notes=(*load_dc.notes, "modelled: metered behind the supplies, whose losses are added by their efficiency"),
    )


def _standard(of: Parameter) -> float:
    """The standard deviation of a triangle."""
    a, b, c = of.low, of.mode, of.high
    return math.sqrt(max(a * a + b * b + c * c - a * b - a * c - b * c, 0.0) / 18)
