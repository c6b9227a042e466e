"""What a sizing rests on that has no range: the weather it was worked out with, topologies, curves, the coolant.

They go with the outcome, so that who reads it can work it out anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from perwatt.results.size.fluid import COOLANTS, coolant, standard_pressure_pa
from perwatt.results.size.parameter import Kind, Values
from perwatt.results.size.request import Request
from perwatt.results.size.site import Sizes
from perwatt.results.size.weather import Weather, coincident_wb_c, design_db_c, design_wb_c

COOLANT_STEP_K = 5.0  # between the points of the coolant's heat capacity: linear between them it errs by 3e-5


class Facts(msgspec.Struct, frozen=True):
    """``weather``: dry bulb in degrees C, hours, wet bulb in degrees C, as recorded. ``design_db_c``,
    ``design_wb_c``: of the design hour before warming and recirculation. ``ups_curve``: (load of a module,
    efficiency relative to its best). ``coolant``: (degrees C, heat capacity in J/m3/K). ``pressure_pa``: the
    standard atmosphere's at the site. ``ups_sizes``, ``transformer_sizes``: ratings in W and VA to choose from, None
    where the site states one."""

    weather: tuple[tuple[float, float, float], ...]
    design_db_c: float
    design_db_basis: str
    design_db_kind: Kind
    design_wb_c: float
    design_wb_basis: str
    design_wb_kind: Kind
    hottest_wb_c: float
    ups_curve: tuple[tuple[float, float], ...]
    racks_per_row: int
    fluid: str
    coolant: tuple[tuple[float, float], ...]
    cdu_topology: str
    plant_topology: str
    crah_topology: str
    altitude_m: float
    pressure_pa: float
    ups_sizes: Sizes | None = None
    transformer_sizes: Sizes | None = None


def facts(request: Request, weather: Weather, values: Mapping[str, Values]) -> Facts:
    """Those of ``request`` in ``weather``, with the inputs as ``values`` say."""
    electrical = request.site.electrical
    cooling, margin_k = request.site.cooling, values["site.cooling.extreme_margin_k"]
    db_c, db_basis = design_db_c(request.climate, cooling.return_years, margin_k, 0.0, 0.0)
    wb_c, wb_basis = design_wb_c(request.climate, np.inf, margin_k, 0.0)
    altitude_m = request.site.above_sea_m(request.climate.altitude_m)
    _, low, high = COOLANTS[cooling.fluid]
    points = np.arange(low, high + 1e-9, COOLANT_STEP_K)
    rho, cp = coolant(cooling.fluid, points)
    return Facts(
        weather=tuple(zip(*(column.tolist() for column in (weather.db_c, weather.hours, weather.wb_c)), strict=True)),
        design_db_c=float(db_c),
        design_db_basis=_recorded(db_basis),
        design_db_kind="published" if cooling.return_years in request.climate.n_year_max_c else "modelled",
        design_wb_c=float(wb_c),
        design_wb_basis=_recorded(wb_basis),
        hottest_wb_c=float(coincident_wb_c(request.climate, np.inf, 0.0)),
        design_wb_kind="modelled" if request.climate.extreme_wb_c is None else "published",
        ups_curve=request.site.electrical.ups_curve,
        racks_per_row=request.site.electrical.racks_per_row,
        fluid=cooling.fluid,
        coolant=tuple(zip(points.tolist(), np.asarray(rho * cp).tolist(), strict=True)),
        cdu_topology=cooling.cdu_topology,
        plant_topology=cooling.plant_topology,
        crah_topology=cooling.crah_topology,
        altitude_m=float(altitude_m),
        pressure_pa=standard_pressure_pa(altitude_m),
        ups_sizes=electrical.ups_sizes if electrical.ups_module_w is None else None,
        transformer_sizes=electrical.transformer_sizes if electrical.transformer_va is None else None,
    )


def _recorded(basis: str) -> str:
    """A basis without what is said of the warming on top."""
    return basis.partition(", warming")[0]
