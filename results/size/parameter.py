"""A figure that a sizing rests on: its most likely value, the range it may have, its unit, and where it was read.

Defaults lie in ``conf/``, each with a source. A parameter without a range is taken as exact. Drawn, it is triangular
between ``min`` and ``max`` with its peak at ``mode``: what is known of most of them is no more than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Values = float | Floats  # one number, or one a draw

# What a figure is: measured by perwatt or by a meter's log; published by a vendor, an authority or a paper; the outcome
# of a model; assumed by practice; or given in the request.
Kind = Literal["measured", "published", "modelled", "assumed", "given"]


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``mode`` in ``unit``, between ``min`` and ``max`` where these are stated. Raises ValueError, naming the key, for
    a value that is not finite, for a range that does not hold it, and without a source."""

    mode: float
    unit: str
    source: str
    min: float | None = None
    max: float | None = None
    kind: Kind = "assumed"

    def __post_init__(self) -> None:
        for name in ("mode", "min", "max"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name}: found {value}; allowed a finite number")
        if not self.low <= self.mode <= self.high:
            raise ValueError(f"mode: found {self.mode}; allowed {self.low} to {self.high}, its own min and max")
        if not self.source.strip():
            raise ValueError("source: found nothing; allowed where the figure was read")

    @property
    def low(self) -> float:
        """The least that it may be, in ``unit``."""
        return self.mode if self.min is None else self.min

    @property
    def high(self) -> float:
        """The most that it may be, in ``unit``."""
        return self.mode if self.max is None else self.max

    def draw(self, rng: np.random.Generator, draws: int) -> Floats:
        """``draws`` values from the triangular distribution, shape (draws,)."""
        if self.low == self.high:
            return np.full(draws, self.mode)
        return rng.triangular(self.low, self.mode, self.high, draws)


def given(value: float, unit: str) -> Parameter:
    """What the request says, exact."""
    return Parameter(value, unit, "the request", kind="given")


def leaves(node: object, path: str = "") -> Iterator[tuple[str, Parameter]]:
    """Every parameter below ``node`` (structs, mappings, sequences of them) with its dotted path, in order."""
    if isinstance(node, Parameter):
        yield path, node
        return
    inner: Iterator[tuple[str, object]]
    if isinstance(node, msgspec.Struct):
        inner = ((name, getattr(node, name)) for name in node.__struct_fields__)
    elif isinstance(node, dict):
        inner = ((str(key), value) for key, value in node.items())
    elif isinstance(node, list | tuple):
        inner = ((str(index), value) for index, value in enumerate(node))
    else:
        return
    for name, value in inner:
        yield from leaves(value, f"{path}.{name}" if path else name)
