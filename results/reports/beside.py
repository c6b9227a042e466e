"""Our own kernels beside the vendor's, in words, for the notes below the tables."""

from __future__ import annotations

from collections.abc import Sequence

from perwatt.results.beside import Beside, beside
from perwatt.results.record import Record
from perwatt.results.reports.table import Note, one_line
from perwatt.results.reports.units import number


def beside_notes(records: Sequence[Record]) -> list[Note]:
    """``bf16 8192x8192x8192 triton: 0.93 of the rate and 0.97 of the work per joule of torch.``"""
    return [Note("", _words(pair)) for pair in beside(records)]


def _words(pair: Beside) -> str:
    vendor = str(pair.vendor.case.params["backend"])
    theirs = vendor if vendor == "torch" else f"torch, {vendor}"
    per_joule = f" and {number(pair.per_joule, 3)} of the work per joule" if pair.per_joule else ""
    name = f"{pair.own.case.kernel} {one_line(pair.own.case.label)}"
    return f"{name}: {number(pair.rate, 3)} of the rate{per_joule} of {theirs}."
