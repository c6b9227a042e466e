"""MAF and TAF over those of the reference, and what the input data do."""

from __future__ import annotations

import pytest
from compared_runs import MI300, WORK, cases, made, members

from perwatt.results.compare.compare import compare
from perwatt.results.record import Record
from perwatt.results.scores import TAF_SHAPES


def shapes(run: str, times: float, **about: object) -> list[Record]:
    """The ten shapes, each slower than the one before; all do like work here."""
    return [
        made(run, rate=times * 5e14 / (1 + i), seed=i, m=m, n=n, k=k, batch=1, **about)  # type: ignore[arg-type]
        for i, (m, n, k) in enumerate(TAF_SHAPES)
    ]


def test_taf_is_work_over_time_of_all_ten() -> None:
    a, b = cases("a", *shapes("a", 1.0)), cases("b", *shapes("b", 1.5, device=MI300, power_w=750.0))
    (taf,) = compare(members(a, b), (a, b), effect=0.01).scores
    assert (taf.name, taf.what, taf.shapes) == ("TAF", "bf16 torch", (10, 10))
    rate, per_watt = taf.ratios["rate"], taf.ratios["rate_per_watt"]
    assert rate.reference_value == pytest.approx(
        10 * WORK.flops / sum(WORK.flops * (1 + i) / 5e14 for i in range(10)), rel=0.01
    )
    assert rate.value == pytest.approx(1.5, rel=0.01)
    assert rate.verdict == "BETTER"
    assert rate.half is not None
    assert rate.half < 0.01
    # a gain is shared by all ten shapes
    assert per_watt.value == pytest.approx(1.2, rel=0.01)
    assert per_watt.half == pytest.approx(0.078, abs=0.005)


def test_a_taf_without_all_shapes_is_none() -> None:
    a, b = cases("a", *shapes("a", 1.0)), cases("b", *shapes("b", 1.5)[:7])
    assert compare(members(a, b), (a, b), effect=0.01).scores == ()


def test_zeros_against_normal_of_one_run() -> None:
    a = cases("a", made("a"), made("a", init="zeros", rate=6e14, power_w=420.0, seed=1))
    b = cases("b", made("b", seed=2))
    (row,) = compare(members(a, b), (a, b), effect=0.01).inputs
    assert (row.run, row.init, row.against) == ("a", "zeros", "normal")
    assert row.ratios["rate"].value == pytest.approx(1.2, rel=0.01)
    assert row.ratios["power"].value == pytest.approx(0.7, rel=0.01)
    assert {r.verdict for r in row.ratios.values()} == {""}
    assert row.ratios["power"].half is not None
    assert row.ratios["power"].half < 0.01
