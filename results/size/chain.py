"""The power chain of one site from the racks up, for any IT load: distribution, UPS, transformers, and what cools.

Sizes (how many UPS modules and transformers) are chosen once, for the recommended power; every other load (a typical
hour, the nameplates) then goes through the same chain, part-load losses included. Cooling and everything else that is
not IT hangs on the transformers beside the UPS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from perwatt.results.size import redundancy
from perwatt.results.size.electrical import distribution_input_w, transformer_input_w, ups_input_w
from perwatt.results.size.parameter import Values
from perwatt.results.size.site import Electrical


@dataclass(frozen=True)
class Built:
    """How many of what were built: whole numbers, one a draw."""

    ups_modules: Values
    transformers: Values


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

    def build(self, it_w: Values, cooling_w: Values) -> Built:
        """The units for an IT load and its cooling, with the redundancy of the site."""
        out_w = distribution_input_w(it_w, self.value("distribution_loss"))
        modules = redundancy.count(out_w, self.value("ups_module_w"), self.electrical.ups_topology)
        in_w = ups_input_w(
            out_w, modules, self.value("ups_module_w"), self.value("ups_efficiency"), self.electrical.ups_curve
        )
        low_voltage_va = (in_w + cooling_w + self.value("other") * it_w) / self.value("feed.power_factor")
        transformers = redundancy.count(
            low_voltage_va, self.value("transformer_va"), self.electrical.transformer_topology
        )
        return Built(modules, transformers)

    def through(self, it_w: Values, cooling_w: Values, built: Built) -> Through:
        """``it_w`` at the racks' inputs and ``cooling_w`` through what was built."""
        out_w = distribution_input_w(it_w, self.value("distribution_loss"))
        in_w = ups_input_w(
            out_w,
            built.ups_modules,
            self.value("ups_module_w"),
            self.value("ups_efficiency"),
            self.electrical.ups_curve,
        )
        other_w = self.value("other") * it_w
        low_voltage_w = in_w + cooling_w + other_w
        grid_w = transformer_input_w(
            low_voltage_w,
            built.transformers,
            self.value("transformer_va"),
            self.value("feed.power_factor"),
            self.value("transformer_efficiency"),
            self.value("transformer_no_load_share"),
        )
        return Through(it_w, out_w, in_w, cooling_w, other_w, low_voltage_w, np.asarray(grid_w))
