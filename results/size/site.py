"""Where the machines stand: climate, electrical chain, cooling plant, grid, use of heat, as a site's YAML says."""

from __future__ import annotations

import datetime
import itertools
import re
from typing import Literal

import msgspec

from perwatt.results.size import checks
from perwatt.results.size.parameter import Parameter

Curve = tuple[tuple[float, float], ...]
# N carries the load; N+1 has one unit more; 2N two whole sets; 4N3R four units of which any three carry all.
Topology = Literal["N", "N+1", "N+2", "2N", "4N3R"]


class Climate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A year of weather. ``bins``: (dry bulb's lower edge in degrees C, hours, mean coincident wet bulb in degrees C)
    of 1 K each. ``n_year_max_c``: highest dry bulb expected in so many years; empty if the station states none, then
    it is modelled from ``db_max_c`` of the typical year. ``wb_max_c``: highest wet bulb of the typical year.
    ``extreme_wb_hours``: hours of that year above ``extreme_wb_c``; None if nobody counted them."""

    name: str
    title: str
    station: str
    source: str
    bins: tuple[tuple[float, float, float], ...]
    db_max_c: float
    wb_max_c: float
    cdd21: float
    n_year_max_c: dict[int, float] = {}
    altitude_m: float = 0.0
    extreme_wb_c: float | None = None
    extreme_wb_hours: float | None = None

    def __post_init__(self) -> None:
        if not self.bins or any(b[0] < a[0] + 1 for a, b in itertools.pairwise(self.bins)):
            raise ValueError(f"bins: found {len(self.bins)} bins; allowed lower edges that grow by 1 K or more")
        for edge, hours, wet in self.bins:
            checks.within(f"bins: hours at {edge:g}", hours, checks.ABOVE_0, 8784)
            checks.within(f"bins: wet bulb at {edge:g}", wet, -90, edge + 1)
        checks.within("bins: hours together", sum(hours for _, hours, _ in self.bins), 8759, 8785)
        checks.within("cdd21", self.cdd21, 0, checks.ANY)
        for years in self.n_year_max_c:
            checks.within("n_year_max_c: years", years, 1, checks.ANY)


class Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The circuits to a rack. ``voltage_v`` between lines, three phases. Breakers of ``ratings_a``; each may carry
    ``continuous_factor`` of its rating for ever (IEC 1.0, NEC and many houses 0.8) times ``temperature_factor``.
    ``paths`` feeds (2: A and B); when one is lost, the others carry the whole rack together. ``circuits``: how many of
    a path may share a rack's load, each behind its own breaker, where one is too small."""

    voltage_v: Parameter
    power_factor: Parameter
    ratings_a: tuple[float, ...]
    standard: Literal["IEC", "NEC"]
    continuous_factor: Parameter
    temperature_factor: Parameter
    paths: int
    circuits: int = 1

    def __post_init__(self) -> None:
        checks.within("paths", self.paths, 1, checks.ANY)
        checks.within("circuits", self.circuits, 1, checks.ANY)
        checks.growing("ratings_a", self.ratings_a)
        above = dict.fromkeys(("power_factor", "continuous_factor", "temperature_factor"), (checks.ABOVE_0, 1.0))
        checks.possible(self, **above)


class Sizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ratings that are built, growing, and ``most``, the units that may carry a load together beside their spares: of
    the smallest rating that carries it so it is built, of the largest where none does."""

    ratings: tuple[float, ...]
    most: int
    source: str

    def __post_init__(self) -> None:
        checks.growing("ratings", self.ratings)
        checks.within("most", self.most, 1, checks.ANY)
        if not self.source.strip():
            raise ValueError("source: found nothing; allowed where the ratings were read")


class Electrical(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From the grid to the rack. ``ups_module_w``, ``transformer_va``: one rating, or None: then of ``ups_sizes`` in
    W and ``transformer_sizes`` in VA that which fits the load. ``ups_curve``: (load of a module, efficiency relative
    to its best); ``ups_efficiency`` that best. ``transformer_efficiency`` at rated load; ``other_w`` of everything
    else that is fed (light, offices, controls), a fraction of the IT load. ``support_fraction``: steady power of the
    switches outside the units, storage and management over the units' nameplates; an entry of the fleet may state
    its own. ``available_w``: what the grid offers, None if nobody said. ``correlation`` of the power of two units
    that serve independently of each other, where it was not measured. ``sampling``: by how much means over less than
    a meter's period may lie above its readings. ``ups_power_factor`` of a module's own rating: below it the load's
    apparent power fills the module before its real power does."""

    feed: Feed
    racks_per_row: int
    row_ratings_a: tuple[float, ...]
    distribution_loss: Parameter
    ups_module_w: Parameter | None
    ups_sizes: Sizes
    ups_topology: Topology
    ups_efficiency: Parameter
    ups_curve: Curve
    transformer_va: Parameter | None
    transformer_sizes: Sizes
    transformer_topology: Topology
    transformer_efficiency: Parameter
    other: Parameter
    coincidence: Parameter
    margin: Parameter
    growth: Parameter
    support_fraction: Parameter
    available_w: float | None = None
    transformer_no_load_share: Parameter = Parameter(
        0.1, "1", "practice: no-load loss over the loss at rated load, large oil-filled units", 0.05, 0.25
    )
    correlation: Parameter = Parameter(
        0.3, "1", "0: requests without a common rhythm; top: 0.63 to 0.69 between nodes of one job, computed from"
        " public traces; the mode is assumed", 0.0, 0.69
    )  # fmt: skip
    sampling: Parameter = Parameter(
        0.07, "1", "Green500 rules: power read each 60 s errs by 5 to 9 % at worst on runs of about 5 min; taken for"
        " what any reading hides of shorter means", 0.05, 0.09
    )  # fmt: skip
    ups_power_factor: Parameter = Parameter(1.0, "1", "kW over kVA of a module, chosen; 0.9 in older ones")

    def __post_init__(self) -> None:
        checks.within("racks_per_row", self.racks_per_row, 1, checks.ANY)
        checks.growing("row_ratings_a", self.row_ratings_a)
        checks.curve("ups_curve", self.ups_curve)
        checks.within("available_w", self.available_w, checks.ABOVE_0, checks.ANY)
        names = ("ups_efficiency", "transformer_efficiency", "coincidence", "ups_power_factor")
        above = dict.fromkeys(names, (checks.ABOVE_0, 1.0))
        # a loss of everything would ask for an endless input
        checks.possible(self, **above, distribution_loss=(0, 0.5), margin=(0, checks.ANY), growth=(0, checks.ANY))


_WATER = ("W17", "W27", "W32", "W40", "W45", "W+")
_FOOTPRINT = "SiteFootprint params, a constant there"


class Cooling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plant. ``plant``: what rejects the heat at last, with a chiller behind it for the hours in which it alone
    does not reach the supply. Temperatures in degrees C, differences in K, powers as fractions of the heat moved.
    ``heat_limit_w``: the most heat that the plant may reject, in W, ``water_limit_m3`` the most water that it may take
    in a year, None if nobody said. ``liquid_loop``: there are pipes for cold plates. ``derating_from_m``: altitude
    above which the warmest air that machines stand falls, by 1 K each ``derating_m``. Coolers (dry coolers, towers'
    cells) and chillers of ``cooler_w`` and ``chiller_w`` stand in groups of ``plant_group_w``, each group with the
    spare of ``plant_topology``; air handlers likewise. ``thermal_mass_j_k`` of the coolant and ``air_thermal_mass_j_k``
    of the air, with what each touches: of a rack. ``air_water_rise_k``: of the water in the air handlers.
    ``air_rise_k``: of the hall's air through machines that state neither their airflow nor a rise; ``air_bypass``: air
    that goes past those that do, over what they move. Plants by air: ``exchanger_effectiveness`` between hall air and
    outside air, ``dew_point_min_c`` and ``dew_point_max_c`` of air that is let in, ``adiabatic_effectiveness`` of their
    pads or sprays (0: they have none). ``carnot_fraction`` and ``cop_max``: COP of a chiller behind a tower over
    Carnot's, and the highest; with ``_dry`` of one whose condenser outside air cools. That air warms by
    ``condenser_effectiveness`` of what it is colder by than the condenser. ``dry_fan``, ``tower_fan`` and ``pump`` are
    means of a year, ``fan_at_design`` and ``pump_at_design`` what is taken at the design hour over that."""

    plant: Literal["dry", "adiabatic", "tower", "chiller", "outside_air", "indirect_air"]
    fluid: Literal["PG25", "water"]
    water_class: str
    supply_liquid_c: Parameter
    supply_air_c: Parameter
    liquid_rise_k: Parameter
    air_rise_k: Parameter
    cdu_approach_k: Parameter
    air_approach_k: Parameter
    hx_approach_k: Parameter
    dry_approach_k: Parameter
    tower_approach_k: Parameter
    adiabatic_effectiveness: Parameter
    trim_share: Parameter
    carnot_fraction: Parameter
    dry_fan: Parameter
    tower_fan: Parameter
    pump: Parameter
    air_fan: Parameter
    cycles: Parameter
    cdu_w: Parameter
    cdu_topology: Topology
    pump_head_pa: Parameter
    pump_efficiency: Parameter
    pipe_velocity_m_s: Parameter
    thermal_mass_j_k: Parameter
    ride_through_rise_k: Parameter
    return_years: int
    extreme_margin_k: Parameter
    warming_k: Parameter
    recirculation_k: Parameter
    water_limit_m3: float | None = None
    heat_limit_w: float | None = None
    dry_condenser_k: Parameter = Parameter(12.0, "K", f"{_FOOTPRINT}, over dry bulb; the range is assumed", 10.0, 16.0)
    tower_condenser_k: Parameter = Parameter(
        6.0, "K", f"{_FOOTPRINT}, over tower water; the range is assumed", 4.0, 8.0
    )
    cop_max: Parameter = Parameter(12.0, "1", f"{_FOOTPRINT}; the range is assumed", 9.0, 15.0)
    carnot_fraction_dry: Parameter = Parameter(0.55, "1", f"{_FOOTPRINT}, as carnot_fraction", 0.45, 0.65)
    cop_max_dry: Parameter = Parameter(12.0, "1", f"{_FOOTPRINT}; the range is assumed", 9.0, 15.0)
    condenser_effectiveness: Parameter = Parameter(
        0.65, "1", "practice: what the air through a condenser warms by, of what lies between both", 0.5, 0.8
    )
    fan_at_design: Parameter = Parameter(
        1.35, "1", "tower: 0.013 for its pump and 0.014 for its fans at full speed (ASHRAE 90.1), over 0.02", 1.0, 2.0
    )
    pump_at_design: Parameter = Parameter(
        1.43, "1", "full flow over the 0.7 of it that pumps with drives take over a year", 1.0, 1.43
    )
    latent_share: Parameter = Parameter(0.9, "1", f"{_FOOTPRINT}; the range is assumed", 0.75, 1.0)
    liquid_loop: bool = True
    derating_from_m: Parameter = Parameter(
        900.0, "m", "ASHRAE TC 9.9, classes A1 and A2; 950 in the edition of 2011 (secondary)", 900.0, 950.0
    )
    derating_m: Parameter = Parameter(
        300.0, "m", "ASHRAE TC 9.9, classes A1 and A2; 175 for A3, 125 for A4 (secondary)", 125.0, 300.0
    )
    cooler_w: Parameter = Parameter(1e6, "W", "a common size, chosen")
    chiller_w: Parameter = Parameter(1e6, "W", "a common size, chosen")
    plant_group_w: Parameter = Parameter(5e6, "W", "chosen: N+1 builds a fifth more")
    plant_topology: Topology = "N+1"
    crah_w: Parameter = Parameter(1e5, "W", "a common size, chosen")
    crah_group_w: Parameter = Parameter(5e5, "W", "chosen: N+1 builds a fifth more")
    crah_topology: Topology = "N+1"
    air_water_rise_k: Parameter = Parameter(8.0, "K", "practice: water in the coils of air handlers", 5.0, 12.0)
    air_bypass: Parameter = Parameter(
        0.05, "1", "Schneider Electric, The Green Grid, 2019: what is asked of containment, 3 to 5 % of the"
        " machines' air; top: assumed, no containment", 0.0, 0.25
    )  # fmt: skip
    exchanger_effectiveness: Parameter = Parameter(
        0.7, "1", "practice: plates between hall air and outside air, of as much flow", 0.6, 0.8
    )
    dew_point_min_c: Parameter = Parameter(
        -12.0, "degC", "ASHRAE TC 9.9, 2021: classes A1 to A4 allow -12, -9 is recommended (secondary)", -12.0, -9.0
    )
    dew_point_max_c: Parameter = Parameter(
        21.0, "degC", "ASHRAE TC 9.9, 2021: class A2 allows 21, class A1 17 (secondary)", 17.0, 21.0
    )
    air_thermal_mass_j_k: Parameter = Parameter(
        60e3, "J/K", "per rack: bottom 10 m3 of air, mode five times that with what stands in it", 12e3, 200e3
    )
    air_ride_through_rise_k: Parameter = Parameter(
        10.0, "K", "practice: from a supply of 25 to the 35 degrees C that class A2 allows", 5.0, 15.0
    )

    def __post_init__(self) -> None:
        checks.within("return_years", self.return_years, 2, checks.ANY)
        checks.within("water_limit_m3", self.water_limit_m3, 0, checks.ANY)
        checks.within("heat_limit_w", self.heat_limit_w, checks.ABOVE_0, checks.ANY)
        if self.water_class not in _WATER:
            raise ValueError(f"water_class: found {self.water_class!r}; allowed {', '.join(_WATER)}")
        if self.dew_point_min_c.high >= self.dew_point_max_c.low:
            found = f"{self.dew_point_min_c.high:g}, and dew_point_max_c from {self.dew_point_max_c.low:g}"
            raise ValueError(
                f"dew_point_min_c: found up to {found}; allowed below it: air is not wetted and dried at once"
            )
        # a tower that never bleeds, or bleeds all that it takes in, is none; flows need a rise to carry heat
        names = ("liquid_rise_k", "air_rise_k", "air_water_rise_k", "ride_through_rise_k", "air_ride_through_rise_k")
        rises = dict.fromkeys(names, (0.1, 60.0))
        above = dict.fromkeys(
            ("carnot_fraction", "carnot_fraction_dry", "pump_efficiency", "trim_share"), (checks.ABOVE_0, 1.0)
        )
        approaches = [name for name in self.__struct_fields__ if name.endswith("_approach_k")]
        dew_points = dict.fromkeys(("dew_point_min_c", "dew_point_max_c"), (-60.0, 60.0))
        checks.possible(self, **rises, **above, **dew_points, exchanger_effectiveness=(0.05, 1.0),
                        cycles=(1.01, 1000.0), cop_max=(1.0, 100.0), cop_max_dry=(1.0, 100.0),
                        condenser_effectiveness=(0.05, 1.0), fan_at_design=(1.0, 10.0), pump_at_design=(1.0, 10.0),
                        warming_k=(-10.0, 20.0),
                        derating_m=(1.0, checks.ANY), supply_liquid_c=(2.0, 80.0), supply_air_c=(2.0, 60.0),
                        **dict.fromkeys(approaches, (0.0, 40.0)))  # fmt: skip


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``carbon_g_kwh``: life-cycle CO2 equivalent of the grid; ``renewable``: part of the energy with guarantees of
    origin or under a contract for renewables (REF); ``ramp_w_s`` the highest change that the grid takes, or None.
    ``storage_recovery``: power at which a storage that holds it goes back to its set point, a fraction of the load's
    highest power: so little that it counts as no ramp. 0: it never does."""

    carbon_g_kwh: Parameter
    renewable: Parameter
    ramp_w_s: float | None = None
    storage_recovery: Parameter = Parameter(
        0.01, "1", "practice: a storage is refilled slowly, within minutes; 0.01 of the load is lost in its own ripple",
        0.002, 0.05
    )  # fmt: skip

    def __post_init__(self) -> None:
        checks.within("ramp_w_s", self.ramp_w_s, checks.ABOVE_0, checks.ANY)
        checks.possible(self)


class Reuse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Heat that is handed over: ``fraction`` of all that leaves the hall, the liquid's first, which is warmer, then the
    air's; ``network_c`` what the district network wants. ``source_approach_k``: of the exchanger, or the heat pump's
    evaporator, below the water that it cools; ``condenser_approach_k``: of its condenser over the network.
    ``heat_pump_fraction``: of Carnot's coefficient between the two."""

    fraction: Parameter
    network_c: Parameter
    heat_pump_fraction: Parameter
    source_approach_k: Parameter
    condenser_approach_k: Parameter

    def __post_init__(self) -> None:
        approaches = dict.fromkeys(("source_approach_k", "condenser_approach_k"), (0.0, 40.0))
        checks.possible(self, heat_pump_fraction=(checks.ABOVE_0, 1.0), **approaches)


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. ``climate`` is the name of one in ``conf/climate/`` or an EPW file. ``country``: two letters of ISO
    3166, empty if not stated; ``opening``: entry into operation. Both say which rules bind. ``size_class``: of whose
    halls the defaults are that it starts from, a name in ``conf/size_class``; empty: the site states all itself.
    ``hyperscale_from_w``: installed IT power below which the first of them fits few halls, None if nobody said."""

    name: str
    title: str
    climate: str
    electrical: Electrical
    cooling: Cooling
    grid: Grid
    reuse: Reuse
    altitude_m: float | None = None
    note: str = ""
    country: str = ""
    size_class: str = ""
    hyperscale_from_w: Parameter | None = None
    opening: datetime.date | None = None

    def above_sea_m(self, station_m: float) -> float:
        """Its altitude in m: that of its climate's station, ``station_m``, unless it states its own."""
        return station_m if self.altitude_m is None else self.altitude_m

    def __post_init__(self) -> None:
        checks.possible(self)
        checks.within("altitude_m", self.altitude_m, *checks.ALTITUDE_M)
        if self.country and not re.fullmatch("[A-Z]{2}", self.country):
            raise ValueError(f"country: found {self.country!r}; allowed a two-letter code such as DK, or nothing")
