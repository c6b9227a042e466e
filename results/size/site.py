"""Where the machines stand: climate, electrical chain, cooling plant, grid, use of heat, as a site's YAML says."""

from __future__ import annotations

from typing import Literal

import msgspec

from perwatt.results.size.parameter import Parameter

Curve = tuple[tuple[float, float], ...]
# N carries the load; N+1 has one unit more; 2N two whole sets; 4N3R four units of which any three carry all.
Topology = Literal["N", "N+1", "N+2", "2N", "4N3R"]


class Climate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A year of weather. ``bins``: (dry bulb's lower edge in degrees C, hours, mean coincident wet bulb in degrees C)
    of 1 K each. ``n_year_max_c``: highest dry bulb expected in so many years; empty if the station states none, then
    it is modelled from ``db_max_c`` of the typical year. ``wb_max_c``: highest wet bulb of the typical year."""

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


class Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The circuits to a rack. ``voltage_v`` between lines, three phases. Breakers of ``ratings_a``; each may carry
    ``continuous_factor`` of its rating for ever (IEC 1.0, NEC and many houses 0.8) times ``temperature_factor``.
    ``paths`` feeds (2: A and B), each of which carries the whole rack when the others are lost."""

    voltage_v: Parameter
    power_factor: Parameter
    ratings_a: tuple[float, ...]
    standard: Literal["IEC", "NEC"]
    continuous_factor: Parameter
    temperature_factor: Parameter
    paths: int


class Electrical(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From the grid to the rack. ``ups_curve``: (load of a module, efficiency relative to its best); ``ups_efficiency``
    that best. ``transformer_efficiency`` at rated load; ``other_w`` of everything else that is fed (light, offices,
    controls), a fraction of the IT load. ``available_w``: what the grid offers, None if nobody said."""

    feed: Feed
    racks_per_row: int
    row_ratings_a: tuple[float, ...]
    distribution_loss: Parameter
    ups_module_w: Parameter
    ups_topology: Topology
    ups_efficiency: Parameter
    ups_curve: Curve
    transformer_va: Parameter
    transformer_topology: Topology
    transformer_efficiency: Parameter
    other: Parameter
    coincidence: Parameter
    margin: Parameter
    growth: Parameter
    available_w: float | None = None


class Cooling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plant. ``plant``: what rejects the heat at last, with a chiller behind it for the hours in which it alone
    does not reach the supply. Temperatures in degrees C, differences in K, powers as fractions of the heat moved."""

    plant: Literal["dry", "adiabatic", "tower", "chiller"]
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
    trim_band_k: Parameter
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


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``carbon_g_kwh``: life-cycle CO2 equivalent of the grid; ``renewable``: part of the energy with guarantees of
    origin or under a contract for renewables (REF); ``ramp_w_s`` the highest change that the grid takes, or None."""

    carbon_g_kwh: Parameter
    renewable: Parameter
    ramp_w_s: float | None = None


class Reuse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Heat that is handed over: ``fraction`` of the liquid's heat; ``network_c`` what the district network wants."""

    fraction: Parameter
    network_c: Parameter
    heat_pump_fraction: Parameter


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. ``climate`` is the name of one in ``conf/climate/`` or an EPW file."""

    name: str
    title: str
    climate: str
    electrical: Electrical
    cooling: Cooling
    grid: Grid
    reuse: Reuse
    altitude_m: float | None = None
    note: str = ""
