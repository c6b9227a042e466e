"""Tokens beside FLOP: what a step of a language model does a second and what a token costs, as columns of its table."""

from __future__ import annotations

from collections.abc import Sequence

from perwatt.results.reports.table import Row
from perwatt.results.reports.units import FACTORS, common_prefix, number, stated

_MOST_DECIMALS = 3


def prefixes(rows: Sequence[Row]) -> tuple[str, str] | None:
    """The SI prefixes of tokens per second and of joules per token; None where no row counts tokens."""
    if all(row.tokens_per_s is None for row in rows):
        return None
    return common_prefix(row.tokens_per_s for row in rows), common_prefix(row.joules_per_token for row in rows)


def per_second(row: Row, symbol: str) -> str:
    """Tokens per second in the unit of the column; empty where none are counted."""
    return number(row.tokens_per_s / FACTORS[symbol], 4) if row.tokens_per_s is not None else ""


def per_token(row: Row, symbol: str) -> tuple[str, str]:
    """Joules per token and what follows them after ±: they are known as well as the work per joule is."""
    value = row.joules_per_token
    if value is None:
        return "", ""
    if row.budget is None or not row.budget.relative:
        return number(value / FACTORS[symbol], 3), ""
    known = value * row.budget.relative
    return stated(value / FACTORS[symbol], known / FACTORS[symbol], _MOST_DECIMALS)
