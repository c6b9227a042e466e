"""What the machines draw at each level of the power chain, by the statistic that belongs to it.

A breaker in the rack trips within seconds, a busway warms up in minutes, a UPS carries what lasts, and the contract
with the grid counts quarter hours: hence a window and a quantile a level. Machines that work on one job draw their
peaks together: they add up, times the coincidence. Machines that serve independently of each other do not. Where power
was recorded, the sum of uncorrelated ones is the convolution of its distribution, which for many of them becomes the
normal limit. Of correlated ones a correlation alone does not tell how their peaks meet: the larger of that convolution
and of a normal limit on the safe side, whose standard deviation is the largest of that recorded and those which the
quantile and the 99.9 % point imply, and whose deviate is raised by the whole skewness of one unit (Cornish and Fisher);
at most what all have in step.
A recording's distribution is of its own readings; over longer windows it is drawn in about its mean, as its 99.9 %
point is. Means over less than a meter's period are not observable: those over the shortest window that is known stand
in, raised by what sampling may hide (``sampling``) where something is designed on them. No sum is below one unit's peak
beside the least of all others, none above all of them at their highest. What is added for work that was not tested and
for growth stands apart (``margin``, ``growth``), not hidden in the coincidence.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from perwatt.results.size.aggregate import convolved, independent, moments, synchronous, z_of
from perwatt.results.size.electrical import psu_input_w
from perwatt.results.size.load import MOST_UNCERTAINTY, QUANTILES, Load
from perwatt.results.size.parameter import Parameter, Values
from perwatt.results.size.request import Entry


class Level(NamedTuple):
    """The statistic of a level: the quantile of the means over windows of ``window_s``."""

    name: str
    title: str
    window_s: float
    quantile: float


GPU = Level("gpu", "GPU", 0.1, 1.0)
RACK = Level("rack", "rack", 1.0, 0.999)
ROW = Level("row", "row, busway", 60.0, 1.0)
UPS = Level("ups", "UPS", 10.0, 1.0)
SITE = Level("site", "transformers and site", 900.0, 1.0)
HIGHEST = 0.99999  # of many windows the highest is taken as one in a hundred thousand: a normal sum has no maximum
Z = {q: z_of(min(q, HIGHEST)) for q in QUANTILES}


@dataclass(frozen=True)
class Drawn:
    """The power of one unit of an entry in one evaluation: ``mean_w``, and ``swing``, by which the distance of each
    statistic from the mean is stretched (1 for what was measured); ``correlation`` of two that are not in step;
    ``sampling``: by which what is designed on is raised where every known window is longer."""

    entry: Entry
    mean_w: Values
    swing: Values
    correlation: Values
    sampling: Values = 0.0

    def statistic(self, window_s: float, quantile: float) -> Values:
        """The quantile of window means in W: of the shortest known window that is long enough, else of the longest
        there is, which can only be higher."""
        return self._at(self._known(window_s, quantile))

    def raised(self, window_s: float, quantile: float) -> Values:
        """What a statistic is multiplied by where it is designed on: more than 1 if every known window is longer."""
        return 1 + self.sampling if self.entry.load.hides(window_s, quantile) else 1.0

    def together(self, units: int, level: Level, coincidence: Values) -> Values:
        """The demand of ``units`` of them that a level is designed on, in W."""
        return self.of(units, level.window_s, level.quantile, coincidence) * self.raised(level.window_s, level.quantile)

    def of(self, units: int, window_s: float, quantile: float, coincidence: Values) -> Values:
        """What is known of it, for any window and quantile."""
        peak_w = self.statistic(window_s, quantile)
        in_step = math.ceil(self.entry.training * units - 1e-9)
        alone = units - in_step
        total: Values = synchronous(peak_w, in_step, coincidence) if in_step else 0.0
        if alone:
            total = total + self._alone(alone, window_s, quantile, peak_w)
        return total

    def _alone(self, units: int, window_s: float, quantile: float, peak_w: Values) -> Values:
        """The quantile of the sum of ``units`` that serve independently, of which one alone has ``peak_w``; see the
        module's head."""
        load = self.entry.load
        sigma_w = np.maximum(self.statistic(window_s, 0.999) - self.mean_w, 0.0) / Z[0.999]
        most_w = np.maximum(peak_w, self.mean_w)
        known = _distribution(load) if load.observed else ()
        if not known:
            many = independent(self.mean_w, sigma_w, units, self.correlation, Z[quantile])
            bounded: Values = np.minimum(many, units * most_w)
            return bounded
        drawn_in = self._drawn_in(window_s)
        own_w, skewness = _spread(known)
        z = Z[quantile]
        sigma_w = np.maximum(sigma_w, self._at(load.mean_w + own_w * drawn_in) - self.mean_w)
        if z > 0:
            sigma_w = np.maximum(sigma_w, (most_w - self.mean_w) / z)
            z += max(z * z - 1, 0.0) / 6 * max(skewness, 0.0)
        each_w = _summed(known, units, min(quantile, HIGHEST)) / units
        apart = units * self._at(load.mean_w + (each_w - load.mean_w) * drawn_in)
        tied = np.minimum(independent(self.mean_w, sigma_w, units, self.correlation, z), units * most_w)
        sum_w = np.where(np.asarray(self.correlation) > 0, np.maximum(apart, tied), apart)
        least_w = peak_w + (units - 1) * self._at(load.mean_w + (known[0] - load.mean_w) * drawn_in)
        highest_w = np.maximum(self.statistic(window_s, 1.0), self.mean_w)
        found: Values = np.minimum(np.maximum(sum_w, least_w), units * highest_w)
        return found if np.ndim(found) else float(found)

    def _at(self, power_w: float) -> Values:
        """What ``power_w`` of the load is in this evaluation."""
        return self.mean_w * (1 + (power_w / self.entry.load.mean_w - 1) * self.swing)

    def _drawn_in(self, window_s: float) -> float:
        """By how much the distance from the mean shrinks from single readings to means over ``window_s``."""
        load = self.entry.load
        own, over = (self._known(w, 0.999) - load.mean_w for w in (load.period_s, window_s))
        return over / own if own > 0 else 1.0

    def _known(self, window_s: float, quantile: float) -> float:
        load = self.entry.load
        window = load.window(window_s, quantile)
        return load.mean_w if window is None else load.statistics[window, quantile]

    def how(self, units: int) -> str:
        """In words, how ``units`` of them are added up."""
        in_step = math.ceil(self.entry.training * units - 1e-9)
        if in_step == units:
            return "in step"
        r = float(np.mean(np.asarray(self.correlation)))
        normal = f"normal limit, correlation {r:.2g}"
        if not (self.entry.load.observed and self.entry.load.cdf):
            told = normal
        elif np.any(np.asarray(self.correlation) > 0):
            told = f"the larger of the convolution of the recording and of the {normal}"
        else:
            told = "convolution of the recording, uncorrelated"
        return f"{f'{in_step} in step, the others' if in_step else 'each'} for itself: {told}"


_summed = functools.lru_cache(maxsize=4096)(convolved)  # every evaluation asks for the same


@functools.lru_cache(maxsize=64)
def _spread(known: tuple[float, ...]) -> tuple[float, float]:
    """Standard deviation in W, and skewness."""
    return moments(known)[1:]


@functools.lru_cache(maxsize=64)
def _finer(cdf: tuple[float, ...], p999_w: float) -> tuple[float, ...]:
    share = np.linspace(0.0, 1.0, len(cdf))
    fine = np.linspace(0.0, 1.0, 1001)
    levels_w = np.interp(fine, share, cdf)
    top = fine >= 0.99
    levels_w[top] = np.interp(fine[top], (0.99, 0.999, 1.0), (levels_w[990], p999_w, cdf[-1]))
    return tuple(levels_w.tolist())


def _distribution(load: Load) -> tuple[float, ...]:
    """Power in W at 0, 0.1, ..., 100 % of the time of the recording; empty if it is not known."""
    window = load.window(load.period_s, 0.999)
    if not load.cdf or window is None:
        return ()
    return _finer(load.cdf, min(max(load.statistics[window, 0.999], load.cdf[-2]), load.cdf[-1]))


def inputs(entries: tuple[Entry, ...]) -> dict[str, Parameter]:
    """The parameters that belong to the fleet rather than to the site, by path. Of a measured load one: the factor on
    all its figures that its meter's gain leaves open."""
    found: dict[str, Parameter] = {}
    for entry in entries:
        name, system, load = f"fleet.{entry.name}", entry.system, entry.load
        if not load.observed:
            found |= {
                f"{name}.mean_fraction": system.mean_fraction,
                f"{name}.peak_over_mean": system.peak_over_mean,
            }
        else:
            half = load.uncertainty / MOST_UNCERTAINTY  # of a triangle with that standard deviation
            found[f"{name}.load"] = Parameter(1.0, "1", load.evidence, 1 - half, 1 + half, kind=load.kind)
            if load.gpu is not None and system.psu is not None:
                found[f"{name}.host_w"] = system.host_w
                found[f"{name}.efficiency_offset"] = system.psu.efficiency_offset
        found |= {
            f"{name}.nameplate_w": system.nameplate_w,
            f"{name}.vendor_max_w": system.vendor_max_w,
            f"{name}.utilisation": entry.utilisation,
            f"{name}.liquid_fraction": system.liquid_fraction,
        }
        # a rise of the air follows from its flow
        air = ("airflow_m3_s",) if system.airflow_m3_s is not None else ("air_rise_k",)
        for key in (*air, "supply_max_c", "supply_air_max_c"):
            if (stated := getattr(system, key)) is not None:
                found[f"{name}.{key}"] = stated
        if entry.support_fraction is not None:
            found[f"{name}.support_fraction"] = entry.support_fraction
        if system.idle_w is None:
            found[f"{name}.idle_fraction"] = entry.idle_fraction
        else:
            found[f"{name}.idle_w"] = system.idle_w
    return found


def draw(entry: Entry, values: Mapping[str, Values]) -> Drawn:
    """One unit's power with the inputs as ``values`` say."""
    name, load = f"fleet.{entry.name}", entry.load
    together = values["site.electrical.correlation"] if load.correlation is None else load.correlation
    if load.observed:
        # more host power lifts mean and peaks by as many watts; the meter's gain moves all of them alike
        unscaled_w = _lifted(entry, values)
        swing = load.mean_w / unscaled_w if load.gpu is not None else 1.0
        return Drawn(entry, unscaled_w * values[f"{name}.load"], swing, together, values["site.electrical.sampling"])
    mean_w = values[f"{name}.vendor_max_w"] * values[f"{name}.mean_fraction"]
    likeliest = entry.system.peak_over_mean.mode - 1
    swing = (values[f"{name}.peak_over_mean"] - 1) / likeliest if likeliest else 1.0
    return Drawn(entry, mean_w, swing, together)


def _lifted(entry: Entry, values: Mapping[str, Values]) -> Values:
    """The mean of a unit in W: as metered, or round its GPUs' with host and supplies as ``values`` say."""
    load, psu, name = entry.load, entry.system.psu, f"fleet.{entry.name}"
    if load.gpu is None or psu is None:
        return load.mean_w
    gpus_w = entry.system.gpus * load.gpu.mean_w
    likeliest_w = psu_input_w(gpus_w + entry.system.host_w.mode, psu, psu.efficiency_offset.mode)
    dc_w = gpus_w + values[f"{name}.host_w"]
    # its statistics were lifted one by one: the ratio keeps their mean where the likeliest inputs put it
    return load.mean_w * psu_input_w(dc_w, psu, values[f"{name}.efficiency_offset"]) / likeliest_w


def one_gpu(
    entry: Entry, values: Mapping[str, Values], window_s: float, quantile: float
) -> tuple[Values, float] | None:
    """The quantile of window means of one GPU in W as it was metered, and the window in s that stands for
    ``window_s``; None where no GPU was, or not that quantile. Its meter's gain moves it by more than the unit, of whose
    power it tells a part."""
    load = entry.load
    window = None if load.gpu is None else load.gpu.window(window_s, quantile)
    if load.gpu is None or window is None:
        return None
    gain = values[f"fleet.{entry.name}.load"] - 1
    part = load.uncertainty / load.gpu.uncertainty if load.gpu.uncertainty else 1.0
    return load.gpu.statistics[window, quantile] * (1 + gain / part), window


def idle_w(entry: Entry, values: Mapping[str, Values]) -> Values:
    """One unit at rest, in W: as its system states it, else a fraction of the vendor's maximum."""
    name = f"fleet.{entry.name}"
    if entry.system.idle_w is not None:
        return values[f"{name}.idle_w"]
    return values[f"{name}.idle_fraction"] * values[f"{name}.vendor_max_w"]
