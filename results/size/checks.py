"""Whether figures are possible: counts from 1, losses from 0, fractions and efficiencies up to 1, curves that grow.

The types of a sizing call these as they are made, so that a wrong file or request is refused before anything is worked
out. All raise ValueError of one line: the key, what was found, what is allowed. A range must be possible as a whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import msgspec

from perwatt.results.size.parameter import Parameter

ABOVE_0 = math.ulp(0.0)  # the least number above 0, as a lower limit
ANY = math.inf
ALTITUDE_M = (-500.0, 5000.0)  # where the standard pressure of psychrometrics is meant to hold

# By the unit that the end of a field's name states; the first that fits. What it may be if the field says nothing else.
_BY_SUFFIX: tuple[tuple[str, str, float, float], ...] = (
    ("_m3_s", "m3/s", ABOVE_0, ANY),
    ("_m_s", "m/s", ABOVE_0, ANY),
    ("_j_k", "J/K", ABOVE_0, ANY),
    ("_g_kwh", "g/kWh", 0.0, ANY),
    ("_flops", "FLOP/s", ABOVE_0, ANY),
    ("_va", "VA", ABOVE_0, ANY),
    ("_pa", "Pa", ABOVE_0, ANY),
    ("_kg", "kg", ABOVE_0, ANY),
    ("_w", "W", ABOVE_0, ANY),
    ("_v", "V", ABOVE_0, ANY),
    ("_c", "degC", -60.0, 100.0),
    ("_k", "K", 0.0, 60.0),
    ("_m", "m", 0.0, ANY),
    ("", "1", 0.0, 1.0),
)


def unit_of(name: str) -> str:
    """The unit of a field of that name: ``W`` for ``rating_w``, ``1`` for a name that states none."""
    return next(unit for suffix, unit, _, _ in _BY_SUFFIX if name.endswith(suffix))


def possible(owner: msgspec.Struct, **limits: tuple[float, float]) -> None:
    """Every parameter of ``owner`` lies within its limits, ends included: those given, else those of its unit."""
    for name in owner.__struct_fields__:
        value = getattr(owner, name)
        if isinstance(value, Parameter):
            low, high = limits.get(name) or next((a, b) for suffix, _, a, b in _BY_SUFFIX if name.endswith(suffix))
            for found in (value.low, value.high, value.mode):
                within(name, found, low, high)


def within(name: str, found: float | None, low: float, high: float) -> None:
    """``found`` lies between ``low`` and ``high``, both allowed; None was not stated and is let through."""
    if found is not None and not low <= found <= high:
        least = "above 0" if low == ABOVE_0 else f"{low:g}"
        allowed = f"{least} to {high:g}" if high < ANY else least if low == ABOVE_0 else f"{least} or more"
        raise ValueError(f"{name}: found {found:g}; allowed {allowed}")


def growing(name: str, values: Sequence[float]) -> None:
    """At least one value, all above 0, each above the one before: ratings to choose from."""
    if not values or values[0] <= 0 or any(b <= a for a, b in itertools.pairwise(values)):
        raise ValueError(f"{name}: found {list(values)}; allowed numbers above 0 that grow")


def curve(name: str, points: Sequence[tuple[float, float]]) -> None:
    """Pairs of load and efficiency: loads above 0 that grow, efficiencies above 0 and up to 1."""
    growing(f"{name}: loads", [load for load, _ in points])
    for _, efficiency in points:
        within(f"{name}: efficiency", efficiency, ABOVE_0, 1.0)
