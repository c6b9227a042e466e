"""Which published peak a number format is held to, where the datasheet has none under its own name."""

from __future__ import annotations

# Block-scaled formats have the peak of their elements: the scales are multiplied in on the way.
_ELEMENTS = {"mxfp8_e4m3": "fp8_e4m3", "mxfp4": "fp4", "nvfp4": "fp4"}


def peak_name(dtype: object) -> str:
    """The key of a target's ``peak_flops`` for a case's ``dtype``."""
    return _ELEMENTS.get(str(dtype), str(dtype))
