"""What the machines draw at each level of the power chain, by the statistic that belongs to it.

A breaker in the rack trips within seconds, a busway warms up in minutes, a UPS carries what lasts, and the contract
with the grid counts quarter hours: hence a window and a quantile a level. Machines that work on one job draw their
peaks together: they add up, times the coincidence. Machines that serve independently of each other do not: their sum is
that of a normal distribution about the mean, never above all of them at once. What is added for work that was not
tested and for growth stands apart (``margin``, ``growth``), not hidden in the coincidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from perwatt.results.size.aggregate import independent, synchronous, z_of
from perwatt.results.size.electrical import psu_input_w
from perwatt.results.size.load import MOST_UNCERTAINTY, QUANTILES
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
    statistic from the mean is stretched (1 for what was measured); ``correlation`` of two that are not in step."""

    entry: Entry
    mean_w: Values
    swing: Values
    correlation: Values

    def statistic(self, window_s: float, quantile: float) -> Values:
        """The quantile of window means in W: of the shortest known window that is long enough, else of the longest
        there is, which can only be higher."""
        load = self.entry.load
        window = load.window(window_s, quantile)
        known = load.mean_w if window is None else load.statistics[window, quantile]
        return self.mean_w * (1 + (known / load.mean_w - 1) * self.swing)

    def together(self, units: int, level: Level, coincidence: Values) -> Values:
        """The demand of ``units`` of them at a level, in W."""
        return self.of(units, level.window_s, level.quantile, coincidence)

    def of(self, units: int, window_s: float, quantile: float, coincidence: Values) -> Values:
        """The same for any window and quantile."""
        peak_w = self.statistic(window_s, quantile)
        in_step = math.ceil(self.entry.training * units - 1e-9)
        alone = units - in_step
        total: Values = synchronous(peak_w, in_step, coincidence) if in_step else 0.0
        if alone:
            sigma_w = np.maximum(self.statistic(window_s, 0.999) - self.mean_w, 0.0) / Z[0.999]
            many = independent(self.mean_w, sigma_w, alone, self.correlation, Z[quantile])
            total = total + np.minimum(many, alone * np.maximum(peak_w, self.mean_w))
        return total


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
        return Drawn(entry, unscaled_w * values[f"{name}.load"], swing, together)
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
