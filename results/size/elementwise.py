"""Values of the model refused in one line when they are none: every element of a number or of an array of draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perwatt.results.size.parameter import Values


def refuse_unless(fine: npt.NDArray[np.bool_], name: str, value: Values, allowed: str) -> Values:
    """The value itself, if all of it is ``fine``. Raises ValueError with the name, the first wrong element and what is
    allowed."""
    if not np.all(fine):
        wrong = np.extract(~fine, np.asarray(value, np.float64))
        raise ValueError(f"{name}: found {wrong[0]:g}; allowed {allowed}")
    return value


def within(name: str, value: Values, low: float, high: float = np.inf) -> Values:
    """The value itself, if every element is finite and from ``low`` to ``high``. Raises ValueError if not."""
    x = np.asarray(value, np.float64)
    allowed = f"a finite number of {low:g} or more" if np.isinf(high) else f"{low:g} to {high:g}"
    return refuse_unless((x >= low) & (x <= high) & np.isfinite(x), name, value, allowed)


def positive(name: str, value: Values) -> Values:
    """The value itself, if every element is finite and above 0. Raises ValueError if not."""
    x = np.asarray(value, np.float64)
    return refuse_unless(np.isfinite(x) & (x > 0), name, value, "a finite number above 0")


def plain(value: object) -> Values:
    """A float for a single number, the array otherwise."""
    array = np.asarray(value, np.float64)
    return float(array) if array.ndim == 0 else array
