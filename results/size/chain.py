"""The power chain of one site from the racks up, for any IT load: distribution, UPS, transformers, and what cools.

Sizes (how many UPS modules and transformers) are chosen once, for the recommended power; every other load (a typical
hour, the nameplates) then goes through the same chain. Cooling and everything else that is not IT hangs on the
transformers beside the UPS.

A year is worked out at part load (:meth:`Chain.through`). What is built is sized on the losses of units that are as
full as they may become (:meth:`Chain.at_design`), as they are after a fault: a module at the worst efficiency that it
has at its load or above it, a transformer at the load loss of its rated load. At part load instead, one machine more
could ask for one module more, which empties all of them, and would seem to need less from the grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from perwatt.results.size import redundancy
from perwatt.results.size.electrical import distribution_input_w, transformer_input_w, ups_input_w
from perwatt.results.size.parameter import Values
from perwatt.results.size.site import Curve, Electrical, Sizes, Topology


@dataclass(frozen=True)
class Built:
    """How many of what were built: whole numbers, one a draw; and their ratings in W and VA."""

    ups_modules: Values
    transformers: Values
    ups_module_w: Values
    transformer_va: Values


@dataclass(frozen=True)
class Through:
    """One load on its way from the racks to the grid, in W: what the racks take, what the UPS gives and takes, what
    cools, what else there is, what the transformers give, and what the grid delivers."""

    it_w: Values
    ups_out_w: Values
    ups_in_w: Values
    cooling_w: Values
    other_w: Values
    low_voltage_w: Values
    grid_w: Values

    @property
    def loss_fraction(self) -> Values:
        """Losses of distribution and UPS, and what else is fed, over the IT load: heat in or near the hall."""
        return (self.ups_in_w - self.it_w + self.other_w) / self.it_w


@dataclass(frozen=True)
class Chain:
    """The electrical parameters of a site in one evaluation. ``prefix``: where its values stand."""

    electrical: Electrical
    values: Mapping[str, Values]
    prefix: str = "site.electrical"

    def value(self, name: str) -> Values:
        """A parameter's value in this evaluation."""
        return self.values[f"{self.prefix}.{name}"]

    def ups_out_w(self, it_w: Values) -> Values:
        """What the UPS gives for ``it_w`` at the racks' inputs, in W."""
        return distribution_input_w(it_w, self.value("distribution_loss"))

    def ups_full(self) -> Values:
        """What a module of the UPS gives at the most, over its rating: less than 1 where the load's power factor is
        below the module's own, as its apparent power is then reached first."""
        full: Values = np.minimum(1.0, self.value("feed.power_factor") / self.value("ups_power_factor"))
        return full

    def ups_in_w(self, it_w: Values, built: Built, *, design: bool) -> Values:
        """What the UPS that was ``built`` takes for ``it_w`` at the racks' inputs, in W."""
        return self._ups_in_w(it_w, built.ups_modules, built.ups_module_w, design=design)

    def _ups_in_w(self, it_w: Values, modules: Values, module_w: Values, *, design: bool) -> Values:
        curve = never_better(self.electrical.ups_curve) if design else self.electrical.ups_curve
        return ups_input_w(self.ups_out_w(it_w), modules, module_w, self.value("ups_efficiency"), curve)

    def _rating(self, name: str, load: Values, sizes: Sizes, topology: Topology) -> Values:
        """The rating that the site states, else that which fits the load."""
        stated = f"{self.prefix}.{name}"
        if stated in self.values:
            return self.values[stated]
        return redundancy.rating(load, sizes.ratings, sizes.most, topology)

    def build(self, it_w: Values, cooling_w: Values, ups_it_w: Values | None = None) -> Built:
        """The units for an IT load and its cooling, with the redundancy of the site. ``ups_it_w``: the IT load at the
        statistic of the UPS, which the transformers' never exceeds; the same if None."""
        electrical = self.electrical
        load_w = self.ups_out_w(it_w if ups_it_w is None else ups_it_w) / self.ups_full()
        module_w = self._rating("ups_module_w", load_w, electrical.ups_sizes, electrical.ups_topology)
        modules = redundancy.count(load_w, module_w, electrical.ups_topology)
        in_w = self._ups_in_w(it_w, modules, module_w, design=True)
        low_voltage_va = (in_w + cooling_w + self.value("other") * it_w) / self.value("feed.power_factor")
        topology = electrical.transformer_topology
        rated_va = self._rating("transformer_va", low_voltage_va, electrical.transformer_sizes, topology)
        return Built(modules, redundancy.count(low_voltage_va, rated_va, topology), module_w, rated_va)

    def through(self, it_w: Values, cooling_w: Values, built: Built) -> Through:
        """``it_w`` at the racks' inputs and ``cooling_w`` through what was built, at part load."""
        in_w = self.ups_in_w(it_w, built, design=False)
        other_w = self.value("other") * it_w
        low_voltage_w = in_w + cooling_w + other_w
        grid_w = transformer_input_w(
            low_voltage_w,
            built.transformers,
            built.transformer_va,
            self.value("feed.power_factor"),
            self.value("transformer_efficiency"),
            self.value("transformer_no_load_share"),
        )
        return Through(it_w, self.ups_out_w(it_w), in_w, cooling_w, other_w, low_voltage_w, np.asarray(grid_w))

    def at_design(self, it_w: Values, cooling_w: Values, built: Built) -> Through:
        """The same with the losses that the chain is sized on: none of its powers falls as ``it_w`` grows."""
        in_w = self.ups_in_w(it_w, built, design=True)
        other_w = self.value("other") * it_w
        low_voltage_w = in_w + cooling_w + other_w
        rated_va, share = built.transformer_va, self.value("transformer_no_load_share")
        rated_loss_w = rated_va * (1 / self.value("transformer_efficiency") - 1)
        full = low_voltage_w / (self.value("feed.power_factor") * rated_va)  # transformers that it would fill
        grid_w = low_voltage_w + rated_loss_w * (share * built.transformers + (1 - share) * full)
        return Through(it_w, self.ups_out_w(it_w), in_w, cooling_w, other_w, low_voltage_w, np.asarray(grid_w))


def never_better(curve: Curve) -> Curve:
    """``curve`` with each efficiency lowered to the worst at its load or above."""
    loads, values = zip(*curve, strict=True)
    worst = np.minimum.accumulate(values[::-1])[::-1]
    return tuple((float(load), float(value)) for load, value in zip(loads, worst, strict=True))
