"""The most work under a limit: against a search by hand, with optima that are known."""

from __future__ import annotations

import math

import pytest
from compared_runs import H100, MI300, cases, made, members

from perwatt.results.compare.caps import Limit, optimum, under
from perwatt.results.compare.compare import compare
from perwatt.results.compare.pairing import Cases
from perwatt.results.record import Device
from perwatt.results.reports.comparison_caps import answer, limited
from perwatt.results.reports.comparison_plots import caps

CAPS = (300.0, 400.0, 500.0, 600.0, 700.0)


def speed(watts: float) -> float:
    """A chip whose clock rises with the third root of what it draws beyond 150 W."""
    return 1e14 * (watts - 150) ** (1 / 3)


def swept(run: str, device: Device = H100, times: float = 1.0, **about: object) -> Cases:
    return cases(
        run,
        *(
            made(run, rate=times * speed(w), power_w=w, limit_w=w, device=device, seed=int(w), scatter=0.001, **about)  # type: ignore[arg-type]
            for w in CAPS
        ),
    )


def best(limit: Limit) -> tuple[str, float | None]:
    found, _ = optimum(limit.cases[0].settings)
    return found.run, found.cap_w


@pytest.mark.parametrize(("rest_w", "pue"), [(0.0, 1.0), (0.0, 1.3), (150.0, 1.2), (600.0, 1.2)])
def test_the_optimum_is_that_of_a_search_by_hand(rest_w: float, pue: float) -> None:
    limit_w = 1e6
    expected = max(CAPS, key=lambda w: math.floor(limit_w / (w * pue + rest_w)) * speed(w))
    found = under(limit_w, [swept("a")], pue=pue, rest_w=rest_w)
    assert best(found) == ("a", expected)
    (case,) = found.cases
    assert [s.cap_w for s in case.settings] == list(CAPS)
    for s in case.settings:
        assert s.units == math.floor(limit_w / (s.power_w * pue + rest_w))
        assert s.work == pytest.approx(s.units * s.rate)
        assert s.low is not None
        assert s.high is not None
        assert s.low <= s.work * 1.001
        assert s.high >= s.work * 0.999
    assert sum(s.best_of_run or 0 for s in case.settings) == pytest.approx(1)
    assert sum(s.best_of_all or 0 for s in case.settings) == pytest.approx(1)


def test_more_beside_each_unit_makes_a_higher_cap_worth_while() -> None:
    caps = [best(under(1e6, [swept("a")], pue=1.2, rest_w=rest_w))[1] for rest_w in (0.0, 300.0, 1500.0)]
    assert caps == sorted(caps, key=lambda w: w or 0.0)
    assert caps[0] != caps[-1]


def test_the_gain_of_one_sensor_does_not_blur_the_optimum_and_that_of_two_does() -> None:
    """5 % of gain on every reading: the best cap of a run is sure, which hardware is better by 1 % is not."""
    runs = [swept("a"), swept("b", MI300, 1.01)]
    (case,) = under(1e6, runs, pue=1.2, rest_w=0.0).cases
    _, near = optimum(case.settings)
    assert {s.run for s in near} == {"a", "b"}
    of_run = {s.run: max(t.best_of_run or 0 for t in case.settings if t.run == s.run) for s in near}
    assert min(of_run.values()) > 0.95
    letters = {"a": "A", "b": "B"}
    assert "not told apart from it" in answer(case, letters)


def test_an_optimum_at_the_edge_says_so_and_nothing_that_fits_is_said() -> None:
    (case,) = under(1e6, [swept("a")], pue=1.0, rest_w=5000.0).cases
    assert answer(case, {"a": "A"}).endswith("it is the highest cap recorded: more may lie beyond")
    a = swept("a")
    found = compare(members(a), [a], effect=0.01, limit=under(350.0, [a], pue=1.0, rest_w=0.0))
    (section,) = limited(found)
    assert [row[4] for row in section.rows][1:] == ["not one fits"] * 4


def test_what_has_no_answer_is_left_out_with_the_reason() -> None:
    a, b = swept("a"), cases("b", made("b", metered=False), made("b", m=1))
    found = under(1e6, [a, b], pue=1.0, rest_w=0.0)
    assert found.cases == ()
    assert found.left_out == (
        "matmul bf16 4096x4096x4096: no boundary and meter class that all were metered at",
        "matmul bf16 1x4096x4096: not measured in a",
    )


@pytest.mark.parametrize(
    ("limit_w", "pue", "rest_w", "said"),
    [(0.0, 1.0, 0.0, "limit_kw: found 0"), (1e6, 0.9, 0.0, "pue: found 0.9; allowed 1 up to 10"),
     (1e6, 1.0, -1.0, "rest_w: found -1"), (math.nan, 1.0, 0.0, "limit_kw: found nan")],
)  # fmt: skip
def test_figures_that_cannot_be(limit_w: float, pue: float, rest_w: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        under(limit_w, [swept("a")], pue=pue, rest_w=rest_w)


def test_where_nothing_fits_nothing_is_named() -> None:
    runs = [swept("a"), swept("b", MI300)]
    limit = under(100.0, runs, pue=1.2, rest_w=400.0)
    found = compare(members(*runs), runs, effect=0.01, limit=limit)
    (section,) = limited(found)
    assert section.remarks[0] == "not one unit of any run fits the limit"
    assert {row[-1] for row in section.rows} == {""}
    more = under(1e6, runs, pue=1.2, rest_w=400.0)
    for of, remark in ((limit, ""), (more, "; dashed: the cap with the most work")):
        drawn = caps(of.cases[0], {"a": "A", "b": "B"}, "work", "p")
        assert drawn is not None
        assert drawn.remark == f"95 % intervals{remark}"
        assert ("stroke-dasharray" in drawn.markup) == bool(remark)
