"""What a stage of the power chain draws, from what it gives: supplies in the node, distribution, UPS, transformers.

A stage that gives ``P`` at efficiency ``eta`` draws ``P / eta``; the difference is heat where it stands. Efficiency
depends on load. Supplies and UPS modules have a curve over the load of one of them, read off piecewise linearly between
the published points (Regulation (EU) 2019/424, Annex II, states supplies at 10, 20, 50 and 100 %); like units in
parallel share the load equally. A transformer has a no-load loss that never stops, and a load loss that grows with the
square of the current (IEC 60076-1): both follow from its efficiency at rated load and how the loss divides there.

Below the first and above the last point a curve is held level. Under the first point that is kind: real losses do not
vanish with the load. A curve should reach down to the loads it is used at.

Every function works elementwise on numbers and arrays that broadcast. A stage draws more than it gives; only one that
is not there (efficiency 1, loss 0) draws the same.
"""

from __future__ import annotations

import math

import numpy as np

from perwatt.results.size.elementwise import refuse_unless
from perwatt.results.size.parameter import Values
from perwatt.results.size.site import Curve
from perwatt.results.size.system import Psu


def within(key: str, value: Values, most: float = math.inf, *, zero: bool = False) -> None:
    """Raise ValueError, naming ``key``, unless every element of ``value`` is finite, above 0 (or 0, where ``zero``),
    and not above ``most``."""
    x = np.asarray(value, dtype=np.float64)
    least = "0" if zero else "above 0"
    allowed = f"{least} to {most:g}" if math.isfinite(most) else f"{least} or more" if zero else least
    refuse_unless(np.isfinite(x) & ((x >= 0) if zero else (x > 0)) & (x <= most), key, value, allowed)


def efficiency(curve: Curve, load: Values, key: str = "efficiency") -> Values:
    """The efficiency at ``load`` (a fraction of the rating), piecewise linear, level beyond the ends of ``curve``.

    ``key`` names the curve in errors. Raises ValueError for a curve without points, with loads that do not grow, or an
    efficiency outside (0, 1]; and for a load that is negative or not finite.
    """
    if not curve:
        raise ValueError(f"{key}: found no points; allowed one (load, efficiency) or more")
    loads, values = (np.array(column, dtype=np.float64) for column in zip(*curve, strict=True))
    if not (np.all(np.isfinite(loads)) and np.all(np.diff(loads) > 0)):
        raise ValueError(f"{key}: found the loads {', '.join(f'{x:g}' for x in loads)}; allowed loads that grow")
    within(key, values, 1.0)
    within(f"load of {key}", load, zero=True)
    return np.interp(np.asarray(load, dtype=np.float64), loads, values)


def psu_input_w(
    dc_w: Values, psu: Psu, offset: Values, rating_w: Values | None = None, supplies: Values | None = None
) -> Values:
    """AC input in W of a unit whose supplies give ``dc_w`` in all.

    ``offset`` is added to the efficiency of the curve. ``rating_w``: of one supply, its likeliest if None.
    ``supplies`` share the load, all that are built in if None: after the loss of a feed they are fewer, and better or
    worse loaded. Raises ValueError for no power, no supply, and an efficiency that ``offset`` puts outside (0, 1].
    """
    rating_w = psu.rating_w.mode if rating_w is None else rating_w
    supplies = float(psu.count) if supplies is None else supplies
    within("dc_w", dc_w)
    within("psu.rating_w", rating_w)
    within("psu.count", supplies)
    eta = efficiency(psu.efficiency, dc_w / (supplies * rating_w), "psu.efficiency") + offset
    within("psu.efficiency with psu.efficiency_offset", eta, 1.0)
    return dc_w / eta


def ups_input_w(out_w: Values, modules: Values, module_w: Values, best: Values, curve: Curve) -> Values:
    """Input in W of ``modules`` UPS modules of ``module_w`` each that give ``out_w`` in all, shared equally.

    ``curve``: (load of a module, efficiency relative to its best); ``best``: that best. Modules that stand by in
    parallel count: they share the load, and their standing losses are in the curve's low end. Raises ValueError for no
    power, no module, and an efficiency outside (0, 1].
    """
    within("out_w", out_w)
    within("modules", modules)
    within("ups_module_w", module_w)
    within("ups_efficiency", best, 1.0)
    return out_w / (best * efficiency(curve, out_w / (modules * module_w), "ups_curve"))


def transformer_input_w(
    out_w: Values,
    count: Values,
    rating_va: Values,
    power_factor: Values,
    efficiency_at_rated: Values,
    no_load_share: Values,
) -> Values:
    """Input in W of ``count`` transformers of ``rating_va`` each that give ``out_w`` in all, shared equally.

    ``efficiency_at_rated`` is at rated load and unity power factor, as data sheets state it: the loss there is
    ``rating_va * (1 / efficiency_at_rated - 1)``, of which ``no_load_share`` is in the core and does not depend on the
    load; the rest goes with the square of the current, hence of ``out_w / power_factor``. All that are energised count,
    spare ones too. Raises ValueError for no power, no transformer, and figures outside (0, 1] ([0, 1] for the share).
    """
    within("out_w", out_w)
    within("count", count)
    within("transformer_va", rating_va)
    within("power_factor", power_factor, 1.0)
    within("transformer_efficiency", efficiency_at_rated, 1.0)
    within("no_load_share", no_load_share, 1.0, zero=True)
    rated_loss_w = rating_va * (1.0 / efficiency_at_rated - 1.0)
    load = out_w / (power_factor * rating_va * count)
    return out_w + count * rated_loss_w * (no_load_share + (1.0 - no_load_share) * load**2)


def distribution_input_w(out_w: Values, loss: Values) -> Values:
    """Input in W of cables, busbars and switchgear that give ``out_w`` and lose ``loss`` of what they take in.

    Raises ValueError for no power, and a loss below 0 or of 1 and more.
    """
    within("out_w", out_w)
    within("distribution_loss", loss, zero=True)
    if np.any(np.asarray(loss) >= 1):
        raise ValueError(f"distribution_loss: found {np.max(loss):g}; allowed 0 to below 1")
    return out_w / (1.0 - loss)
