"""Whether a recording can be of one unit at work: what cannot be is refused, what is odd is told.

Watts written as kilowatts, a rack taken for a node and a node for one of its GPUs are off by factors, not by per cents.
So a recording is held against what its system is known to draw: at rest, by its label, and one of its GPUs at most.
"""

from __future__ import annotations

import msgspec
import numpy as np

from perwatt.results.size import checks
from perwatt.results.size.levels import RACK, SITE
from perwatt.results.size.load import NEAR, Load
from perwatt.results.size.loads_run import DEVICE
from perwatt.results.size.parameter import Parameter
from perwatt.results.size.system import System
from perwatt.results.traces.trace import Trace


class Plausible(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between what a recording must lie, as fractions. ``of_idle``: of a unit at rest, below which no mean of one at
    work lies; ``of_max``: the same, of the vendor's maximum, where nobody knows a unit at rest; ``of_gpu``: the same,
    of a GPU's maximum; ``beyond``: times the label, above which no unit draws; ``at_work``: of the label, below which
    a unit at its highest has hardly worked."""

    of_idle: Parameter
    of_max: Parameter
    of_gpu: Parameter
    beyond: Parameter
    at_work: Parameter

    def __post_init__(self) -> None:
        checks.possible(self, beyond=(1.0, 100.0))


def refuse(trace: Trace, system: System, limits: Plausible) -> None:
    """Raise ValueError, in one line, for a ``trace`` that is not of one unit of ``system``, or of one of its GPUs, by
    ``limits``."""
    of_gpu = trace.boundary in DEVICE
    mean_w, highest_w = float(np.mean(trace.power_w)), float(np.max(trace.power_w))
    if of_gpu:
        what, least_w, most_w = (
            "one GPU",
            limits.of_gpu.mode * system.gpu_max_w.high,
            limits.beyond.mode * system.gpu_max_w.high,
        )
        large = "power of a whole unit (then columns.boundary=node_ac), or mW read as W?"
    else:
        idle_w = (
            limits.of_max.mode * system.vendor_max_w.mode
            if system.idle_w is None
            else limits.of_idle.mode * system.idle_w.low
        )
        what, least_w, most_w = "one unit", idle_w, limits.beyond.mode * system.nameplate_w.high
        large = "power of several units, or mW read as W?"
    of = f"{what} of {system.title}"
    if mean_w < least_w:
        small = "kW written as W" + ("?" if of_gpu else ", or power of one GPU (then columns.boundary=gpu)?")
        raise ValueError(
            f"{trace.source}: found a mean of {mean_w:.4g} W; allowed {least_w:.4g} W or more, {of}: {small}"
        )
    if highest_w > most_w:
        raise ValueError(
            f"{trace.source}: found up to {highest_w:.4g} W; allowed {most_w:.4g} W at most, {of}: {large}"
        )


def odd(load: Load, system: System, limits: Plausible) -> tuple[str, ...]:
    """What has to be read with the figures of ``load``, recorded at a unit's input: one line each."""
    highest_w, nameplate_w = max(load.statistics.values()), system.nameplate_w.mode
    found = []
    if highest_w > nameplate_w:
        found.append(f"up to {highest_w / 1e3:.4g} kW, above the nameplate of {nameplate_w / 1e3:.4g} kW")
    if highest_w < limits.at_work.mode * nameplate_w:
        found.append(
            f"at most {highest_w:.4g} W, {highest_w / nameplate_w:.2g} of the nameplate: hardly worked while recorded"
        )
    longest_s = load.window(SITE.window_s, SITE.quantile) or 0.0
    if longest_s < SITE.window_s * (1 - NEAR):
        found.append(
            f"{load.seconds:.4g} s recorded: the longest window seen is of {longest_s:.4g} s, which stands for "
            f"{SITE.window_s:g} s at the site too"
        )
    if load.hides(RACK.window_s, RACK.quantile):
        known_s = load.window(RACK.window_s, RACK.quantile)
        found.append(
            f"means over less than {known_s:.4g} s are not observable: peaks raised by site.electrical.sampling"
        )
    return tuple(found)
