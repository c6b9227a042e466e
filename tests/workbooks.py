"""A workbook in tests as a spreadsheet sees it: its formulas evaluated, with some of its cells changed."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


@functools.lru_cache(maxsize=8)
def loaded(data: bytes, values: bool) -> Any:
    """The workbook with its formulas, or with the values beside them."""
    import openpyxl

    return openpyxl.load_workbook(io.BytesIO(data), data_only=values)


@functools.lru_cache(maxsize=8192)
def compiled(text: str, sheet: str) -> Any:
    """A formula of ``sheet`` as Python: what stands for a name or an address is looked up."""
    from openpyxl.formula import Tokenizer

    python = []
    for token in Tokenizer(text).items:
        if token.type == "OPERAND" and token.subtype == "RANGE":
            python.append(f"known({token.value!r}, {sheet!r})")
        elif token.type == "OPERATOR-INFIX" and token.value in ("=", "^"):
            python.append({"=": "==", "^": "**"}[token.value])
        elif token.type == "FUNC" and token.subtype == "OPEN":
            python.append(f"{token.value[:-1]}_(")
        else:
            python.append(token.value)
    return compile("".join(python), text, "eval")


class Calculated:
    """A workbook, its formulas evaluated: the few operators and functions that it uses, names and cells resolved."""

    def __init__(self, data: bytes, changed: Mapping[str, float | str] | None = None) -> None:
        self.book, self.cached = loaded(data, False), loaded(data, True)
        self.found: dict[str, Any] = dict(changed or {})

    def named(self, name: str) -> Any:
        if name not in self.found:
            sheet, _, address = self.book.defined_names[name].attr_text.partition("!")
            self.found[name] = self.cell(sheet, address.replace("$", ""))
        return self.found[name]

    def cell(self, sheet: str, address: str) -> Any:
        """The value of a cell, or those of a column of cells."""
        at = f"{sheet}!{address}"
        if at not in self.found:
            if ":" in address:
                self.found[at] = np.array([self.cell(sheet, row[0].coordinate) for row in self.book[sheet][address]])
            else:
                value = self.book[sheet][address].value
                formula = isinstance(value, str) and value.startswith("=")
                self.found[at] = self.formula(value, sheet) if formula else value
        return self.found[at]

    def known(self, word: str, sheet: str) -> Any:
        """What a name stands for, or an address in ``sheet``."""
        own = word in self.found or word in self.book.defined_names
        return self.named(word) if own else self.cell(sheet, word.replace("$", ""))

    def formula(self, text: str, sheet: str) -> Any:
        functions = {
            "IF_": lambda test, yes, no: yes if test else no,
            "SQRT_": math.sqrt,
            "ABS_": abs,
            "MAX_": lambda *values: float(np.max(np.hstack(values))),
            "MIN_": lambda *values: float(np.min(np.hstack(values))),
            "ROUND_": round,
            "ROUNDDOWN_": lambda value, digits: math.floor(value * 10**digits) / 10**digits,
            "ROUNDUP_": lambda value, digits: math.ceil(round(value * 10**digits, 12)) / 10**digits,
            "SUMPRODUCT_": lambda *columns: float(np.sum(functools.reduce(np.multiply, columns))),
            "known": self.known,
        }
        return eval(compiled(text, sheet), {"__builtins__": {}}, functions)
