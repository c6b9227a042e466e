"""Outputs held against their fixed reference again, between the windows of a case: silent data corruption is found so.

The reference is that of the preparation, in float64 on the host, never what the device itself made before.
"""

from __future__ import annotations

import msgspec

WRONG_OUTPUT = "wrong_output"  # the flag of a record with an output that was wrong


class Wrong(msgspec.Struct, frozen=True):
    """A comparison that failed: ``after_window`` (from 0) and ``after_launches`` since the case began, warm-up
    included; how many ``elements`` of those compared were wrong, the largest error and where it lies, None or empty
    where the comparison does not tell; ``what`` in words. Of a collective it is the verdict of all ranks, and ``ranks``
    are those that found it, the count being that of the first of them."""

    after_window: int
    after_launches: int
    what: str
    elements: int | None = None
    max_error: float | None = None
    at: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()


class Rechecks(msgspec.Struct, frozen=True):
    """``checks`` comparisons since the timing began, each of ``compared`` elements; ``max_error`` of those that were
    right, in the units of ``tolerance`` (None: none was right); ``longest_s``: what one took, outside of every
    window."""

    checks: int
    compared: int
    tolerance: float
    reference: str
    max_error: float | None
    longest_s: float
    wrong: tuple[Wrong, ...] = ()
