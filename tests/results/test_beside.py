from __future__ import annotations

import pytest
from records import energy, measured, record

from perwatt.results.beside import beside
from perwatt.results.record import Record
from perwatt.results.reports.layout import groups, notes


def product(backend: str, median: float, joules: float | None = None, meter: str = "rapl", **params: object) -> Record:
    label = f"bf16 {'' if backend == 'torch' else backend}"
    energies = () if joules is None else (energy(meter, joules=joules),)
    base = {"m": 8, "dtype": "bf16", "backend": backend}
    return record(label, measured(*energies, median=median), label=label, params=base | params)


def test_ours_over_theirs_of_the_same_case() -> None:
    records = [product("torch", 0.010, 100.0), product("triton", 0.0125, 80.0), product("triton", 0.01, m=16)]
    (pair,) = beside(records)
    assert (pair.own, pair.vendor) == (records[1], records[0])
    assert pair.rate == pytest.approx(0.8)
    assert pair.per_joule == pytest.approx(1.25)
    (note,) = [n.text for n in notes(groups(records)) if " of the rate" in n.text]
    assert note == "matmul bf16 triton: 0.800 of the rate and 1.25 of the work per joule of torch."


def test_of_several_of_torchs_backends_the_fastest_is_beside_ours() -> None:
    records = [product("math", 0.02), product("flash", 0.01), product("triton", 0.01)]
    (pair,) = beside(records)
    assert pair.vendor is records[1]
    assert pair.rate == pytest.approx(1.0)
    assert pair.per_joule is None


def test_two_instruments_leave_no_ratio_of_energies() -> None:
    (pair,) = beside([product("torch", 0.01, 100.0), product("triton", 0.01, 100.0, meter="other")])
    assert pair.per_joule is None


def test_what_has_no_counterpart_is_beside_nothing() -> None:
    assert beside([product("triton", 0.01), product("torch", 0.01, m=16), record("spin")]) == []
