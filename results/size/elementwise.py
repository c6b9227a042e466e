"""Values of the model refused in one line when they are none: every element of a number or of an array of draws."""

from __future__ import annotations

import numpy as np

from perwatt.results.size.parameter import Values


def within(name: str, value: Values, low: float, high: float = np.inf) -> Values:
    """The value itself, if every element is finite and from ``low`` to ``high``. Raises ValueError that names it, the
    first wrong element and what is allowed."""
    checked = np.asarray(value, np.float64)
    wrong = np.extract(~((checked >= low) & (checked <= high) & np.isfinite(checked)), checked)
    if wrong.size:
        allowed = f"a finite number of {low:g} or more" if np.isinf(high) else f"{low:g} to {high:g}"
        raise ValueError(f"{name}: found {wrong[0]:g}; allowed {allowed}")
    return value


def positive(name: str, value: Values) -> Values:
    """The value itself, if every element is finite and above 0. Raises ValueError as :func:`within` does."""
    checked = np.asarray(value, np.float64)
    wrong = np.extract(~(np.isfinite(checked) & (checked > 0)), checked)
    if wrong.size:
        raise ValueError(f"{name}: found {wrong[0]:g}; allowed a finite number above 0")
    return value


def plain(value: object) -> Values:
    """A float for a single number, the array otherwise."""
    array = np.asarray(value, np.float64)
    return float(array) if array.ndim == 0 else array
