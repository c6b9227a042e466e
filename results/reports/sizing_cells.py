"""The cells of the workbook of a sizing: those to be edited, those that compute, and the names that formulas use."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import get_args

import msgspec

from perwatt.results.reports.sizing_formula import Term
from perwatt.results.size.facts import Facts
from perwatt.results.size.site import Topology
from perwatt.results.size.sizing import Sizing

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


@dataclass(frozen=True)
class Column:
    """A column of the table of the year, its cells named together ``name``: figures to be edited (no formula), or a
    formula in which ``{row}`` stands for the row."""

    name: str
    head: str
    unit: str
    values: tuple[float, ...]
    formula: str = ""


@dataclass
class Book:
    """What the workbook holds: cells to edit, and blocks of cells that compute; ``bins``: the table of the year."""

    given: list[Given] = field(default_factory=list)
    chain: list[Computed] = field(default_factory=list)
    cooling: list[Computed] = field(default_factory=list)
    circuits: list[Computed] = field(default_factory=list)
    bins: list[Column] = field(default_factory=list)
    # curves by name: their title, the unit of x, and their points
    curves: dict[str, tuple[str, str, tuple[tuple[float, float], ...]]] = field(default_factory=dict)
    year: list[Computed] = field(default_factory=list)
    figures: list[Computed] = field(default_factory=list)
    # names of inputs of the report that formulas use, by path
    names: dict[str, str] = field(default_factory=dict)

    @property
    def computed(self) -> list[Computed]:
        """Every cell with a formula."""
        return [*self.chain, *self.cooling, *self.circuits, *self.year, *self.figures]

    @property
    def driving(self) -> frozenset[str]:
        """The names that a formula refers to: of the cells to edit only these move anything."""
        formulas = [*(cell.formula for cell in self.computed), *(column.formula for column in self.bins)]
        return frozenset(word for formula in formulas for word in re.findall(r"[A-Za-z_]\w*", formula))


def name(text: str) -> str:
    """``text`` as a name that a spreadsheet takes, and that is no cell's address."""
    plain = re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_") or "cell"
    return f"x_{plain}" if plain in TAKEN or re.fullmatch(r"[a-z]{1,3}\d+|[rc]\d*|\d.*", plain) else plain


@dataclass(frozen=True)
class Draft:
    """A workbook in the making: its cells, and where its figures come from."""

    book: Book
    sizing: Sizing
    inputs: dict[str, float]
    found: dict[str, float]

    def named(self, end: str, own: str = "") -> float | None:
        """The value of the input whose path ends so, given a name for formulas (the last word of its path, or ``own``);
        None if there is none."""
        path = next((path for path in self.inputs if path.endswith(f".{end}") or path == end), None)
        if path is None:
            return None
        self.book.names[path] = own or name(end.rpartition(".")[2])
        return self.inputs[path]

    def given(self, key: str, label: str, value: float | str, unit: str, source: str, kind: str = "modelled") -> None:
        """A cell to be edited."""
        self.book.given.append(Given(key, label, value, unit, kind, source))

    @property
    def facts(self) -> Facts | None:
        """What has no range, if the sizing tells it."""
        told = self.sizing.request.get("facts")
        return None if told is None else msgspec.convert(told, Facts)

    def term(self, end: str, own: str = "") -> Term:
        """The input whose path ends so, for a formula. Raises KeyError if there is none."""
        value = self.named(end, own)
        if value is None:
            raise KeyError(end)
        return Term(own or name(end.rpartition(".")[2]), value)

    def stated(self, key: str, label: str, value: float | str, unit: str, source: str, kind: str = "given") -> Term:
        """A cell to be edited, for a formula; the same again if it is there."""
        if all(cell.name != key for cell in self.book.given):
            self.given(key, label, value, unit, source, kind)
        return Term(key, value)

    def put(
        self, block: list[Computed], key: str, label: str, term: Term, unit: str, line: str = "", *,
        factor: float = 1.0, title: bool = False,
    ) -> Term:  # fmt: skip
        """A cell that computes ``term``; ``line``: the key of what the report says, times ``factor`` in this unit."""
        reported = self.found.get(line)
        told = None if reported is None else reported * factor
        block.append(Computed(key, label, term.text, term.value, unit, told, title))
        return Term(key, term.value)

    def rating(self, key: str) -> Term | None:
        """The rating of UPS modules or transformers: an input, else a cell that chooses it; None if neither is."""
        if f"site.electrical.{key}" in self.inputs:
            return self.term(f"electrical.{key}")
        return next((Term(key, cell.value) for cell in self.book.computed if cell.name == key), None)

    def cell(self, key: str) -> Term:
        """A cell that is there already and computes, for a formula."""
        return next(Term(key, cell.value) for cell in self.book.computed if cell.name == key)

    def topology(self, key: str, what: str, value: str) -> Term:
        """A cell to be edited that says how ``what`` is redundant."""
        return self.stated(key, f"{what}: {', '.join(get_args(Topology))}", value, "", "the site")

    def times(self, key: str, label: str, ratio: float, source: str) -> str:
        """``*key`` for a ratio that closes the gap to the report, in a cell to be edited; nothing where it is 1."""
        if near(ratio, 1.0):
            return ""
        self.given(key, label, ratio, "1", source)
        return f"*{key}"


def near(one: float, other: float, tolerance: float = 1e-6) -> bool:
    """Whether two figures are the same but for rounding."""
    return abs(one - other) <= tolerance * max(abs(one), abs(other))


def draft(sizing: Sizing) -> Draft:
    """An empty workbook for ``sizing``."""
    inputs = {path: mode for path, _, mode, *_ in sizing.inputs}
    found = {line.key: line.value for line in sizing.lines if line.value is not None}
    return Draft(Book(), sizing, inputs, found)
