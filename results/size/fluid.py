"""What carries the heat: density and heat capacity of coolants at their temperature, and of air at its altitude.

Properties come from libraries, never from correlations of our own: coolants from CoolProp (``INCOMP::MPG[0.25]`` is the
25 % propylene glycol that vendors name PG25; Bell et al. 2014, doi 10.1021/ie4033999), air from psychrolib (ASHRAE
Fundamentals 2017, chapter 1: ideal gas, standard atmosphere by altitude). Those are asked once per fluid, in steps of
0.5 K, and interpolated between: the properties are smooth (the error is below 1e-5), and ten thousand draws cost what
one does.

Air is taken dry. Moisture makes it lighter and its heat capacity larger, and the two cancel: at 25 degrees C and 50 %
relative humidity the heat that a cubic metre carries changes by less than 0.5 %.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from perwatt.results.optional import library
from perwatt.results.size.checks import ALTITUDE_M
from perwatt.results.size.elementwise import plain, within
from perwatt.results.size.parameter import Floats, Values

Fluid = Literal["PG25", "water"]

STEP_K = 0.5
PRESSURE_PA = 3e5  # of a closed loop; a liquid's density and heat capacity hardly know it
AIR_CP_J_KG_K = 1006.0  # dry air between 0 and 60 degrees C, within 0.2 %
AIR_RANGE_C = (-40.0, 80.0)
M3_S_PER_CFM = 0.3048**3 / 60

# CoolProp's name, and the range in degrees C between freezing and boiling that a loop may have
COOLANTS: dict[str, tuple[str, float, float]] = {
    "PG25": ("INCOMP::MPG[0.25]", -5.0, 95.0),
    "water": ("INCOMP::Water", 1.0, 95.0),
}


class Properties(NamedTuple):
    """``rho_kg_m3`` and ``cp_j_kg_k``."""

    rho_kg_m3: Values
    cp_j_kg_k: Values


def coolant(fluid: Fluid, temperature_c: Values) -> Properties:
    """Of a coolant at ``temperature_c``. Raises ValueError for an unknown fluid and outside its range."""
    if fluid not in COOLANTS:
        raise ValueError(f"fluid: found {fluid!r}; allowed {', '.join(COOLANTS)}")
    _, low, high = COOLANTS[fluid]
    within(f"temperature of {fluid}", temperature_c, low, high)
    grid, rho, cp = _coolant_table(fluid)
    return Properties(_at(temperature_c, grid, rho), _at(temperature_c, grid, cp))


def air(temperature_c: Values, altitude_m: float) -> Properties:
    """Of dry air at ``temperature_c`` and the standard pressure of ``altitude_m``."""
    within("temperature of air", temperature_c, *AIR_RANGE_C)
    within("altitude_m", altitude_m, *ALTITUDE_M)
    grid, rho = _air_table(float(altitude_m))
    return Properties(_at(temperature_c, grid, rho), AIR_CP_J_KG_K)


def standard_pressure_pa(altitude_m: float) -> float:
    """Of the standard atmosphere (ASHRAE Fundamentals 2017, chapter 1, equation 3)."""
    return float(psychrometrics().GetStandardAtmPressure(altitude_m))


def psychrometrics() -> Any:
    """psychrolib, in SI units: it keeps its units in a global."""
    found = library("psychrolib", "sizing")
    found.SetUnitSystem(found.SI)
    return found


@lru_cache(maxsize=8)
def _coolant_table(fluid: str) -> tuple[Floats, Floats, Floats]:
    name, low, high = COOLANTS[fluid]
    props = _coolprop().PropsSI
    grid = np.arange(low, high + STEP_K / 2, STEP_K)
    kelvin = grid + 273.15
    rho = np.asarray(props("D", "T", kelvin, "P", PRESSURE_PA, name), dtype=np.float64)
    cp = np.asarray(props("C", "T", kelvin, "P", PRESSURE_PA, name), dtype=np.float64)
    return grid, rho, cp


def _coolprop() -> Any:
    """CoolProp's core alone: as it is imported, the package around it reads every fluid to list them, for which it
    takes seconds where the core takes milliseconds."""
    if "CoolProp" not in sys.modules and (spec := importlib.util.find_spec("CoolProp")) is not None:
        sys.modules["CoolProp"] = importlib.util.module_from_spec(spec)  # found, and not executed
        try:
            return importlib.import_module("CoolProp.CoolProp")
        except ImportError:  # a release whose core needs the package: said below, if that does not load either
            pass
        finally:
            del sys.modules["CoolProp"]
    return library("CoolProp.CoolProp", "sizing")


@lru_cache(maxsize=32)
def _air_table(altitude_m: float) -> tuple[Floats, Floats]:
    psychro = psychrometrics()
    pressure_pa = standard_pressure_pa(altitude_m)
    grid = np.arange(AIR_RANGE_C[0], AIR_RANGE_C[1] + STEP_K / 2, STEP_K)
    return grid, np.array([psychro.GetDryAirDensity(float(t), pressure_pa) for t in grid])


def _at(x: Values, grid: Floats, values: Floats) -> Values:
    return plain(np.interp(x, grid, values))
