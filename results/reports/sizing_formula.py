"""A formula of a workbook and its value from one expression: ``Term`` adds, divides and compares as numbers do, and its
text says the same in the words of a spreadsheet.

Values are numbers, words, or one number a row of a table; ``{row}`` in a text stands for the row. Only operators and
functions that every spreadsheet has are used.
"""

from __future__ import annotations

import operator
import string
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

# How strongly the outermost operator of a text binds.
COMPARED, ADDED, TIMES, ATOM = range(4)
OPERATORS: dict[str, tuple[int, Callable[[Any, Any], Any]]] = {
    "+": (ADDED, operator.add),
    "-": (ADDED, operator.sub),
    "*": (TIMES, operator.mul),
    "/": (TIMES, operator.truediv),
    ">": (COMPARED, operator.gt),
    ">=": (COMPARED, operator.ge),
    "<": (COMPARED, operator.lt),
}
# The columns of a table, by place.
LETTERS = (*string.ascii_uppercase, *(f"A{letter}" for letter in string.ascii_uppercase))


@dataclass(frozen=True, eq=False)
class Term:
    """Part of a formula: its text, its value, and what its text must be bracketed against."""

    text: str
    value: Any
    binds: int = ATOM

    def __add__(self, other: Term | float) -> Term:
        return _joined(self, "+", other)

    def __sub__(self, other: Term | float) -> Term:
        return _joined(self, "-", other)

    def __mul__(self, other: Term | float) -> Term:
        return _joined(self, "*", other)

    def __truediv__(self, other: Term | float) -> Term:
        return _joined(self, "/", other)

    def __radd__(self, other: float) -> Term:
        return _joined(other, "+", self)

    def __rsub__(self, other: float) -> Term:
        return _joined(other, "-", self)

    def __rmul__(self, other: float) -> Term:
        return _joined(other, "*", self)

    def __rtruediv__(self, other: float) -> Term:
        return _joined(other, "/", self)

    def __gt__(self, other: Term | float) -> Term:
        return _joined(self, ">", other)

    def __ge__(self, other: Term | float) -> Term:
        return _joined(self, ">=", other)

    def __lt__(self, other: Term | float) -> Term:
        return _joined(self, "<", other)

    def says(self, word: str) -> Term:
        """Whether it is this word."""
        return Term(f'{self.text}="{word}"', self.value == word, COMPARED)

    @property
    def number(self) -> float:
        """Its value, one number."""
        return float(self.value)


def _term(value: Term | float) -> Term:
    if isinstance(value, Term):
        return value
    return Term(f"{value:.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.15G}", value)


def _joined(one: Term | float, sign: str, other: Term | float) -> Term:
    left, right, (binds, operation) = _term(one), _term(other), OPERATORS[sign]
    first = f"({left.text})" if left.binds < binds else left.text
    second = f"({right.text})" if right.binds < binds or (right.binds == binds and sign in "-/") else right.text
    return Term(f"{first}{sign}{second}", operation(left.value, right.value), binds)


def summed(terms: list[Term]) -> Term:
    """All of them together; at least one."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def least(one: Term | float, other: Term | float) -> Term:
    """The smaller."""
    one, other = _term(one), _term(other)
    return Term(f"MIN({one.text},{other.text})", _plain(np.minimum(one.value, other.value)))


def most(one: Term | float, other: Term | float) -> Term:
    """The larger."""
    one, other = _term(one), _term(other)
    return Term(f"MAX({one.text},{other.text})", _plain(np.maximum(one.value, other.value)))


def choose(test: Term, yes: Term | float, no: Term | float) -> Term:
    """``yes`` where ``test`` holds, else ``no``."""
    yes, no = _term(yes), _term(no)
    return Term(f"IF({test.text},{yes.text},{no.text})", _plain(np.where(test.value, yes.value, no.value)))


def root(term: Term) -> Term:
    """The square root."""
    return Term(f"SQRT({term.text})", _plain(np.sqrt(term.value)))


def up(term: Term) -> Term:
    """Rounded up to a whole number; what exceeds one by rounding only does not."""
    text = f"({term.text})" if term.binds < ADDED else term.text
    return Term(f"ROUNDUP({text}-1E-9,0)", _plain(np.ceil(np.asarray(term.value) - 1e-9)))


def down(term: Term) -> Term:
    """Rounded down to a whole number; what falls short of one by rounding only does not."""
    text = f"({term.text})" if term.binds < ADDED else term.text
    return Term(f"ROUNDDOWN({text}+1E-9,0)", _plain(np.floor(np.asarray(term.value) + 1e-9)))


def total(*terms: Term) -> Term:
    """The sum over the rows of the product of these; they name whole columns."""
    product: Any = 1.0
    for term in terms:
        product = product * np.asarray(term.value)
    return Term(f"SUMPRODUCT({','.join(term.text for term in terms)})", float(np.sum(product)))


def counted(load: Term, each: Term, topology: Term) -> Term:
    """Units of ``each`` that carry ``load`` with the redundancy of ``topology``; none for no load."""
    whole = up(load / each)
    spare = choose(topology.says("N+2"), 2, choose(topology.says("N+1"), 1, 0))
    blocks = 4 * up(load / (3 * each))
    return choose(topology.says("4N3R"), blocks, choose(topology.says("2N"), 2 * whole, whole + spare))


def smallest(load: Term, sizes: str, ratings: tuple[float, ...], units: Term, topology: Term) -> Term:
    """The smallest of ``ratings`` of which so many ``units`` carry ``load``; the largest where none does. The workbook
    names them as a curve: ``<sizes>_from``, ``_to``, and the smallest ``_first``."""
    carry = choose(topology.says("4N3R"), 3 * most(down(units / 3), 1), units)
    if len(ratings) == 1:
        return Term(f"{sizes}_first", ratings[0])
    start, end = f"{sizes}_from", f"{sizes}_to"
    below = sum(b - a for a, b in pairwise(ratings) if a * carry.number < load.number * (1 - 1e-9))
    at = load.text if load.binds == ATOM else f"({load.text})"
    return Term(f"{sizes}_first+SUMPRODUCT(({end}-{start})*({start}*{carry.text}<{at}*(1-1E-9)))",
                ratings[0] + below, ADDED)  # fmt: skip


def interpolated(x: Term, curve: str, points: list[tuple[float, float]]) -> Term:
    """A curve at ``x``, linear between its ``points`` and level beyond them. The workbook names the ends of its pieces
    ``<curve>_from``, ``_to``, their slopes ``_slope``, and its value at the first point ``_first``."""
    loads, values = zip(*points, strict=True)
    if len(points) == 1:
        return Term(f"{curve}_first", values[0])
    start, end, slope = f"{curve}_from", f"{curve}_to", f"{curve}_slope"
    at = x.text if x.binds == ATOM else f"({x.text})"
    pieces = f"{slope}*({at}>{start})*(({at}<{end})*({at}-{start})+({at}>={end})*({end}-{start}))"
    return Term(f"{curve}_first+SUMPRODUCT({pieces})", _plain(np.interp(x.value, loads, values)), ADDED)


def _plain(value: Any) -> Any:
    return value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value
