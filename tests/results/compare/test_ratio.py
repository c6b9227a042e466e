"""Ratios and their verdicts: what is known of the truth must hold, whichever way round they are read."""

from __future__ import annotations

import math

import msgspec
import pytest
from compared_runs import H100, MI300, cases, made, members
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.compare.compare import compare
from perwatt.results.compare.comparison import Comparison
from perwatt.results.compare.pairing import Cases
from perwatt.results.compare.ratio import Ratio, verdict_of
from perwatt.results.record import Device

MIRROR = {"BETTER": "WORSE", "WORSE": "BETTER", "SAME": "SAME", "AMBIGUOUS": "AMBIGUOUS", "": ""}


def laid(*runs: Cases, effect: float = 0.01, **options: str) -> Comparison:
    return compare(members(*runs), runs, effect=effect, **options)


def ratios(a: Cases, b: Cases) -> dict[str, Ratio]:
    return laid(a, b).pairs[0].ratios


figures = st.floats(0.5, 2.0)


@settings(max_examples=25, deadline=None)
@given(rate=figures, power=figures, n=st.integers(1, 12), seed=st.integers(0, 99), other=st.booleans())
def test_a_ratio_and_its_reciprocal_mirror_each_other(
    rate: float, power: float, n: int, seed: int, other: bool
) -> None:
    a = cases("a", made("a", seed=seed, repetitions=n))
    b = cases(
        "b",
        made("b", rate=5e14 * rate, power_w=600 * power, seed=seed + 1, repetitions=n, device=MI300 if other else H100),
    )
    there, back = ratios(a, b), ratios(b, a)
    assert set(there) == set(back) == {"rate", "power", "rate_per_watt", "energy_per_work"}
    for name, one in there.items():
        mirrored = back[name]
        assert one.value * mirrored.value == pytest.approx(1, rel=1e-12)
        assert mirrored.verdict == MIRROR[one.verdict]
        if n == 1:
            assert one.low is None
            assert "one repetition" in one.reason
        else:
            assert one.low is not None
            assert one.high is not None
            assert mirrored.high is not None
            assert one.low * mirrored.high == pytest.approx(1, rel=1e-9)
            assert one.low <= one.value <= one.high
    assert there["rate_per_watt"].value * there["energy_per_work"].value == pytest.approx(1, rel=1e-12)
    assert there["rate_per_watt"].verdict == there["energy_per_work"].verdict


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(["b", "c", "d"]))
def test_the_order_of_runs_does_not_matter_but_for_the_reference(order: list[str]) -> None:
    runs = {name: cases(name, made(name, rate=5e14 * (1 + at / 10), seed=at)) for at, name in enumerate("abcd")}
    found = {p.run: p.ratios for p in laid(runs["a"], *(runs[name] for name in order)).pairs}
    expected = {p.run: p.ratios for p in laid(*runs.values()).pairs}
    assert found == expected


@settings(max_examples=200, deadline=None)
@given(low=st.floats(0.5, 2), width=st.floats(1, 2), effect=st.floats(0, 0.2))
def test_a_verdict_is_its_own_mirror(low: float, width: float, effect: float) -> None:
    high = low * width
    if any(math.isclose(x, y) for x in (low, high) for y in (1 + effect, 1 / (1 + effect))):
        return  # on the edge rounding decides
    assert verdict_of(1 / high, 1 / low, 1, effect) == MIRROR[verdict_of(low, high, 1, effect)]
    assert verdict_of(low, high, -1, effect) == MIRROR[verdict_of(low, high, 1, effect)]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(1.02, 1.1, "BETTER"), (0.9, 0.98, "WORSE"), (0.995, 1.005, "SAME"), (0.95, 1.05, "AMBIGUOUS"),
     (1.005, 1.05, "AMBIGUOUS"), (None, None, "AMBIGUOUS")],
)  # fmt: skip
def test_verdicts(low: float | None, high: float | None, said: str) -> None:
    assert verdict_of(low, high, 1, 0.01) == said


def test_the_gain_of_one_instrument_cancels_and_of_two_does_not() -> None:
    a, b = cases("a", made("a")), cases("b", made("b", seed=1))
    same = ratios(a, b)["rate_per_watt"]
    other = ratios(a, cases("c", made("c", seed=1, device=MI300)))["rate_per_watt"]
    assert same.half is not None
    assert other.half is not None
    assert same.half < 0.02
    # two rectangles of 5 % make a triangle of 10 %, of which 95 % lie within 7.8 %
    assert other.half == pytest.approx(0.078, abs=0.005)
    assert same.verdict in ("SAME", "AMBIGUOUS")


def test_ten_repetitions_or_more_are_resampled_and_no_narrower_than_students_t() -> None:
    for n in (9, 10, 40):
        found = ratios(cases("a", made("a", repetitions=n)), cases("b", made("b", repetitions=n, seed=1)))["rate"]
        assert found.half == pytest.approx(2 * 0.004 * math.sqrt(2 / n), rel=0.6)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"source": "replayed"}, "replayed from a recorded trace"), ({"accuracy_class": "E"}, "class E is an estimate")],
)
def test_energies_that_nobody_metered_have_a_ratio_without_a_verdict(changes: dict[str, str], why: str) -> None:
    found = ratios(cases("a", made("a", **changes)), cases("b", made("b", **changes, rate=9e14)))  # type: ignore[arg-type]
    assert found["rate"].verdict == "BETTER"
    assert found["rate_per_watt"].verdict == "AMBIGUOUS"
    assert found["rate_per_watt"].low is None
    assert why in found["rate_per_watt"].reason


def test_a_window_that_is_not_what_it_is_said_to_be_decides_nothing() -> None:
    found = ratios(cases("a", made("a")), cases("b", made("b", rate=9e14, flags=("other_process",))))
    assert found["rate"].verdict == "AMBIGUOUS"
    assert found["rate"].reason == "other process in b"


def test_several_devices_scatter_unless_they_are_the_same_ones() -> None:
    def fleet(name: str, shift: int) -> Cases:
        speeds = (5.0, 5.2, 4.8, 5.1)
        boards = [
            made(name, rate=s * 1e14, index=i, seed=i + shift, device=_board(i + shift)) for i, s in enumerate(speeds)
        ]
        return cases(name, *boards)

    same, others = ratios(fleet("a", 0), fleet("b", 0))["rate"], ratios(fleet("a", 0), fleet("c", 10))["rate"]
    assert same.half is not None
    assert others.half is not None
    assert same.half < 0.01
    assert others.half > 0.04


def _board(i: int) -> Device:
    return msgspec.structs.replace(H100, uuid=f"GPU-00000000-0000-0000-0000-{i:012d}")


@pytest.mark.slow
@pytest.mark.parametrize(("n", "shared", "seeds"), [(3, True, 400), (5, False, 500), (12, True, 250)])
def test_intervals_cover_the_truth(n: int, shared: bool, seeds: int) -> None:
    """Of 95 % intervals at least 93 % hold the known ratio, over pairs of simulated runs; and hardly any verdict claims
    an effect that is not there."""
    truth = {"rate": 1.3, "power": 1.1, "rate_per_watt": 1.3 / 1.1}
    held = dict.fromkeys(truth, 0)
    false = 0
    for seed in range(seeds):
        gain, device = (0.0, H100) if shared else (None, MI300)
        a = cases(f"a{seed}", made(f"a{seed}", seed=3 * seed, repetitions=n, gain=gain))
        b = made(f"b{seed}", seed=3 * seed + 1, repetitions=n, rate=6.5e14, power_w=660, device=device, gain=gain)
        c = made(f"c{seed}", seed=3 * seed + 2, repetitions=n, device=device, gain=gain)
        found = laid(a, cases(f"b{seed}", b), cases(f"c{seed}", c))
        for name, true in truth.items():
            one = found.pairs[0].ratios[name]
            assert one.low is not None
            assert one.high is not None
            held[name] += one.low <= true <= one.high
        false += any(r.verdict in ("BETTER", "WORSE") for r in found.pairs[1].ratios.values())
    print(n, shared, held, false)
    assert min(held.values()) >= 0.93 * seeds
    assert false <= 0.05 * seeds
