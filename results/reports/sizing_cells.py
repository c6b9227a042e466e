"""The cells of the workbook of a sizing: those to be edited, those that compute, and the names that formulas use."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Names of functions of spreadsheets: no name for a cell.
TAKEN = ("growth", "trend", "n", "t", "rate")


@dataclass(frozen=True)
class Given:
    """A cell to be edited: a name that formulas use, a label, a value with its unit, and where it is from."""

    name: str
    label: str
    value: float | str
    unit: str
    kind: str
    source: str


@dataclass(frozen=True)
class Computed:
    """A cell with a formula (without its ``=``) and its value; ``reported``: what the report says, None if nothing."""

    name: str
    label: str
    formula: str
    value: float | str
    unit: str
    reported: float | str | None = None
    title: bool = False


@dataclass
class Book:
    """What the workbook holds: cells to edit, and blocks of cells that compute."""

    given: list[Given] = field(default_factory=list)
    chain: list[Computed] = field(default_factory=list)
    circuits: list[Computed] = field(default_factory=list)
    figures: list[Computed] = field(default_factory=list)
    # names of inputs of the report that formulas use, by path
    names: dict[str, str] = field(default_factory=dict)


def name(text: str) -> str:
    """``text`` as a name that a spreadsheet takes, and that is no cell's address."""
    plain = re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_") or "cell"
    return f"x_{plain}" if plain in TAKEN or re.fullmatch(r"[a-z]{1,3}\d+|[rc]\d*|\d.*", plain) else plain


def named(book: Book, inputs: dict[str, float], end: str) -> float | None:
    """The value of the input whose path ends so, given a name for formulas; None if there is none."""
    path = next((path for path in inputs if path.endswith(f".{end}") or path == end), None)
    if path is None:
        return None
    book.names[path] = name(end.rpartition(".")[2])
    return inputs[path]
