"""What is like and what is not: a pair that differs is refused, and what differs is named."""

from __future__ import annotations

import msgspec
import pytest
from compared_runs import H100, MI300, cases, made, members

from perwatt.results import uncertainty
from perwatt.results.compare.compare import compare
from perwatt.results.compare.comparison import Comparison
from perwatt.results.compare.gate import gate
from perwatt.results.compare.pairing import Cases
from perwatt.results.recheck import WRONG_OUTPUT
from perwatt.results.record import Failed, Record, Skipped
from perwatt.results.reports import comparison_parts
from perwatt.results.reports.comparison import sections


def laid(a: Cases, b: Cases, **options: str) -> Comparison:
    return compare(members(a, b), (a, b), effect=0.01, **options)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"init": "zeros"}, "init is zeros here, normal there"),
        ({"m": 8192}, "m is 8192 here, 4096 there"),
        ({"dtype": "fp32"}, "dtype is fp32 here, bf16 there"),
        ({"seed_": 1}, "seed  is 1 here, absent there"),
        ({"kernel": "memory"}, "no memory in a"),
    ],
)
def test_a_case_without_its_like_is_named_with_what_differs(changes: dict[str, object], why: str) -> None:
    b = cases("b", made("b"), made("b", **changes))  # type: ignore[arg-type]
    found = laid(cases("a", made("a")), b)
    assert len(found.pairs) == 1
    (refused,) = found.refused
    assert (refused.run, refused.what) == ("b", "case")
    assert why in refused.why


def test_what_was_skipped_says_why() -> None:
    lost: Record = msgspec.structs.replace(made("b"), outcome=Skipped("no bf16 here"))
    found = laid(cases("a", made("a"), made("a", m=1)), cases("b", lost, made("b", m=1)))
    (refused,) = found.refused
    assert (refused.run, refused.why) == ("a", "skipped (no bf16 here) in b")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"boundary": "node_ac"}, "boundary and meter class are node_ac class D in b, gpu class D in a"),
        ({"accuracy_class": "B"}, "boundary and meter class are gpu class B in b, gpu class D in a"),
        ({"metered": False}, "not metered in b (no meter)"),
    ],
)
def test_energies_are_refused_and_the_rate_is_not(changes: dict[str, object], why: str) -> None:
    found = laid(cases("a", made("a")), cases("b", made("b", rate=9e14, **changes)))  # type: ignore[arg-type]
    assert set(found.pairs[0].ratios) == {"rate"}
    assert found.pairs[0].ratios["rate"].verdict == "BETTER"
    (refused,) = found.refused
    assert (refused.what, refused.why) == ("power and per watt", why)
    assert not found.beside


def test_across_boundary_shows_both_and_no_ratio() -> None:
    a, b = cases("a", made("a")), cases("b", made("b", boundary="node_ac", power_w=900, accuracy_class="A"))
    found = laid(a, b, across="boundary")
    assert [(row.run, row.boundary, row.accuracy_class) for row in found.beside] == [
        ("a", "gpu", "D"), ("b", "node_ac", "A")
    ]  # fmt: skip
    assert found.beside[1].power_w == pytest.approx(900, rel=0.02)
    assert set(found.pairs[0].ratios) == {"rate"}


def both(run: str, watts: float) -> Record:
    """Metered at the GPU and at the wall."""
    gpu, wall = made(run), made(run, boundary="node_ac", accuracy_class="A", power_w=watts, instrument="wall")
    assert gpu.measured is not None
    assert wall.measured is not None
    windows = tuple(
        msgspec.structs.replace(one, energies=one.energies + other.energies)
        for one, other in zip(gpu.measured.repetitions, wall.measured.repetitions, strict=True)
    )
    return msgspec.structs.replace(gpu, outcome=msgspec.structs.replace(gpu.measured, repetitions=windows))


def test_of_several_boundaries_in_common_the_nearest_or_the_one_that_was_asked_for() -> None:
    a, b = cases("a", both("a", 900)), cases("b", both("b", 990))
    assert laid(a, b).pairs[0].boundary == "gpu"
    asked = laid(a, b, boundary="node_ac").pairs[0]
    assert (asked.boundary, asked.accuracy_class) == ("node_ac", "A")
    assert asked.ratios["power"].value == pytest.approx(1.1, rel=1e-6)
    assert laid(a, b, boundary="rack").refused[0].why.endswith("boundary=rack was asked for")


def test_a_geometric_mean_only_where_every_case_is_in_all() -> None:
    a = cases("a", *(made("a", m=m, rate=5e14) for m in (1, 2, 3)))
    whole = cases("b", *(made("b", m=m, rate=5e14 * times, seed=m) for m, times in ((1, 2), (2, 4), (3, 8))))
    (mean,) = laid(a, whole).means
    assert (mean.kernel, mean.cases) == ("matmul", 3)
    assert mean.ratios["rate"].value == pytest.approx(4, rel=0.01)
    part = cases("b", *(made("b", m=m) for m in (1, 2)))
    (mean,) = laid(a, part).means
    assert mean.ratios == {}
    assert mean.reason.startswith("1 of the cases are not in all runs")


def test_the_gain_of_two_instruments_does_not_average_out_over_cases() -> None:
    a = cases("a", *(made("a", m=m) for m in range(1, 10)))
    b = cases("b", *(made("b", m=m, seed=m, device=MI300) for m in range(1, 10)))
    (mean,) = laid(a, b).means
    assert mean.ratios["rate_per_watt"].half == pytest.approx(0.078, abs=0.005)
    assert "class D" in " ".join(laid(a, b).notes)


def test_the_highest_cap_speaks_where_a_case_was_measured_at_several() -> None:
    a = cases("a", *(made("a", limit_w=w, rate=5e14 * w / 700, power_w=w) for w in (300.0, 500.0, 700.0)))
    found = laid(a, cases("b", made("b", limit_w=700.0)))
    assert found.pairs[0].cap_w == (700.0, 700.0)
    assert found.pairs[0].ratios["rate"].value == pytest.approx(1, rel=0.02)
    assert sorted(next(iter(a.capped.values()))) == [300.0, 500.0, 700.0]


def test_every_kind_of_work_has_a_unit_in_a_comparison() -> None:
    assert set(uncertainty.UNITS.values()) <= set(comparison_parts.UNITS)


def test_reasons_name_runs_by_their_letters_whatever_they_are_called() -> None:
    for names in (("B", "A"), ("gpu", "gpu2")):
        first = cases(names[0], made(names[0], boundary="node_ac", accuracy_class="A"))
        section = next(s for s in sections(laid(first, cases(names[1], made(names[1])))) if s.title == "Not compared")
        assert section.rows[0][-1] == "boundary and meter class are gpu class D in B, node_ac class A in A"


def test_a_case_with_a_wrong_output_is_no_better_than_another() -> None:
    found = laid(cases("a", made("a")), cases("b", made("b", rate=900e12, flags=(WRONG_OUTPUT,))))
    assert {r.verdict for r in found.pairs[0].ratios.values()} <= {"AMBIGUOUS", ""}
    assert any("wrong output in b" in r.reason for r in found.pairs[0].ratios.values())


def test_a_mean_over_the_other_devices_hides_none_that_failed() -> None:
    def run(name: str, *failing: int) -> Cases:
        of = [msgspec.structs.replace(H100, uuid=f"{H100.uuid[:-1]}{i}") for i in range(4)]
        records = [made(name, index=i, device=of[i], seed=i, scatter=0.0005, metered=False) for i in range(4)]
        crash = Failed("it crashed")
        for i in failing:
            records[i] = msgspec.structs.replace(records[i], outcome=crash)
        return cases(name, *records)

    def told(reference: Cases, other: Cases) -> tuple[str, str, int]:
        found = compare(members(reference, other), [reference, other], effect=0.01)
        one = found.pairs[0].ratios["rate"]
        return one.verdict, one.reason, gate(found)[0]

    assert told(run("a"), run("b")) == ("SAME", "", 0)
    assert told(run("a"), run("b", 1, 2, 3)) == ("AMBIGUOUS", "3 of 4 devices failed (it crashed) in b", 4)
    assert told(run("a", 2), run("b", 2)) == ("SAME", "", 0)  # the same three on both sides
    again = cases("b", *run("b", 1).records, *run("b").records)
    assert told(run("a"), again) == ("SAME", "", 0)  # measured after all
