"""A kind of hardware as it is bought and fed: a node of eight GPUs, or a rack that is one machine.

All figures are published facts of one such unit (``conf/system/``), each with its source. What perwatt measured of it
is a :class:`perwatt.results.size.load.Load`, never written here.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from perwatt.results.size import checks
from perwatt.results.size.parameter import Kind, Parameter


class Psu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Power supplies of one unit: ``count`` are built in, ``needed`` carry it (the rest is redundancy). ``efficiency``:
    (load as a fraction of the rating, efficiency) of one supply, loads growing."""

    count: int
    needed: int
    rating_w: Parameter
    efficiency: tuple[tuple[float, float], ...]
    source: str
    efficiency_offset: Parameter = Parameter(0.0, "1", "the curve as published", -0.01, 0.01)

    def __post_init__(self) -> None:
        checks.within("count", self.count, 1, checks.ANY)
        checks.within("needed", self.needed, 1, self.count)
        checks.curve("efficiency", self.efficiency)
        checks.possible(self, efficiency_offset=(-0.2, 0.2))


class SupplyVoltage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the label of the supplies allows, in V of the nominal system voltage. ``phases`` 1: across one supply, which
    stands between a line and neutral or between two lines; 3: between lines."""

    phases: Literal[1, 3]
    low_v: float
    high_v: float
    source: str
    kind: Kind = "published"

    def __post_init__(self) -> None:
        checks.within("low_v", self.low_v, checks.ABOVE_0, checks.ANY)
        checks.within("high_v", self.high_v, self.low_v, checks.ANY)
        if not self.source.strip():
            raise ValueError("source: found nothing; allowed where the figure was read")


class System(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One unit. ``form``: several ``node`` stand in a rack (``per_rack``), a ``rack`` is its own. ``nameplate_w`` is
    the rated input that electrical codes ask for, ``vendor_max_w`` the highest that the vendor states for it,
    ``peak_w`` the short electrical peak (EDPp), all AC in W. ``host_w``: everything but the GPUs at the DC side, in W.
    ``mean_fraction``: mean input in training over ``vendor_max_w``, ``peak_over_mean``: the highest second over that
    mean, of systems that were measured and published: used only where nothing was measured. ``liquid_fraction`` of the
    heat goes into the liquid. ``airflow_m3_s`` of the whole unit at its maximum; ``supply_max_c``: warmest coolant,
    ``supply_air_max_c``: warmest air.
    ``supply_v``: voltage that its supplies take. ``per_rack`` is the most that the vendor puts into one rack."""

    name: str
    title: str
    vendor: str
    target: str
    gpus: int
    form: Literal["node", "rack"]
    per_rack: int
    nameplate_w: Parameter
    vendor_max_w: Parameter
    gpu_max_w: Parameter
    host_w: Parameter
    liquid_fraction: Parameter
    mean_fraction: Parameter
    peak_over_mean: Parameter
    psu: Psu | None = None
    supply_v: SupplyVoltage | None = None
    peak_w: Parameter | None = None
    idle_w: Parameter | None = None
    airflow_m3_s: Parameter | None = None
    air_rise_k: Parameter | None = None
    supply_max_c: Parameter | None = None
    supply_air_max_c: Parameter = Parameter(
        35.0, "degC", "ASHRAE TC 9.9, class A2, for want of the vendor's figure: A1 allows 32, A3 40", 32.0, 40.0
    )
    height_u: int | None = None
    weight_kg: Parameter | None = None
    peak_flops: Parameter | None = None
    status: str = ""

    def __post_init__(self) -> None:
        for count in ("gpus", "per_rack"):
            checks.within(count, getattr(self, count), 1, checks.ANY)
        checks.within("per_rack", self.per_rack, 1, 1 if self.form == "rack" else checks.ANY)
        checks.within("height_u", self.height_u, 1, checks.ANY)
        checks.possible(self, peak_over_mean=(1.0, checks.ANY), mean_fraction=(checks.ABOVE_0, 1.0))
        self._check_powers()

    def _check_powers(self) -> None:
        """No part draws more than the whole, at the likeliest values, and the supplies that are needed carry it."""
        rated_w, most_w, gpus_w = self.nameplate_w.mode, self.vendor_max_w.mode, self.gpus * self.gpu_max_w.mode
        if most_w > rated_w:
            raise ValueError(f"vendor_max_w: found {most_w:g}; allowed up to nameplate_w, {rated_w:g}")
        if self.idle_w is not None and self.idle_w.high > self.vendor_max_w.high:
            most_w = self.vendor_max_w.high
            raise ValueError(f"idle_w: found {self.idle_w.high:g}; allowed up to vendor_max_w, {most_w:g}")
        if gpus_w > rated_w:
            each_w = rated_w / self.gpus
            raise ValueError(
                f"gpu_max_w: found {self.gpu_max_w.mode:g} of {self.gpus} GPUs; allowed up to {each_w:g}, "
                f"as nameplate_w is {rated_w:g}"
            )
        if self.psu is not None:
            output_w = most_w * self.psu.efficiency[-1][1]
            least_w = output_w / self.psu.needed
            if self.psu.rating_w.high < least_w:
                raise ValueError(
                    f"psu.rating_w: found {self.psu.rating_w.high:g} in each of the {self.psu.needed} needed; allowed "
                    f"{least_w:.4g} or more, to carry vendor_max_w, {most_w:g}"
                )
