"""Budgets worked out by hand, Student's quantiles against published ones, and what U promises against simulation."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from records import energy, record, windows

from perwatt.results.record import Device, Energy, Record
from perwatt.results.stats import student_cdf, student_quantile
from perwatt.results.uncertainty import (
    ONE_SIGMA,
    aliasing_term,
    budget,
    clock_term,
    gain_term,
    ratio,
    resolution_term,
    staleness_term,
    sum_of_boards,
    tick_aligned,
)

GPU = Device(type="gpu", name="test GPU")
# Five values with mean 1 and a standard deviation of 1.
FIVE = (-1.2649110640673518, -0.6324555320336759, 0.0, 0.6324555320336759, 1.2649110640673518)


def board(joules: float = 42_000.0, **changes: object) -> Energy:
    """The counter of a board in a window of 60 s: class D, renewed every 100 ms, read whenever it suited."""
    terms = {"gain": gain_term("D")[0], "staleness": staleness_term(0.1, 60.0)}
    base: dict[str, object] = {"boundary": "gpu", "packages": ("gpu0",), "terms": terms, "instrument": "board 0"}
    return energy("counter", joules, **{**base, **changes})


def wall(joules: float = 42_000.0, **changes: object) -> Energy:
    base: dict[str, object] = {
        "boundary": "node_ac",
        "packages": ("node",),
        "accuracy_class": "A",
        "source": "integrated",
        "terms": {"gain": gain_term("A")[0]},
        "instrument": "analyser, 5 A",
    }
    return energy("wall", joules, **{**base, **changes})


def five(make: Energy, spread: float = 0.004, **changes: object) -> Record:
    """Five windows whose work per joule has this relative standard deviation."""
    energies = [(msgspec.structs.replace(make, energy_j=make.energy_j / (1 + spread * x)),) for x in FIVE]
    return on_gpu(*energies, **changes)


def on_gpu(*repetitions: tuple[Energy, ...], **changes: object) -> Record:
    return msgspec.structs.replace(record(outcome=windows(*repetitions, **changes)), device=GPU)


@pytest.mark.parametrize(
    ("freedom", "one_sigma", "p95"),
    # GUM, table G.2
    [
        (1, 1.84, 12.71),
        (2, 1.32, 4.30),
        (3, 1.20, 3.18),
        (4, 1.14, 2.78),
        (5, 1.11, 2.57),
        (8, 1.07, 2.31),
        (10, 1.05, 2.23),
        (50, 1.01, 2.01),
    ],
)
def test_student_quantiles_are_the_published_ones(freedom: int, one_sigma: float, p95: float) -> None:
    assert student_quantile(ONE_SIGMA, freedom) == pytest.approx(one_sigma, abs=0.0051)
    assert student_quantile(0.975, freedom) == pytest.approx(p95, abs=0.0051)
    assert student_quantile(0.025, freedom) == pytest.approx(-p95, abs=0.0051)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30])
def test_student_is_the_integral_of_its_density(freedom: int) -> None:
    x = np.linspace(0, 2.5, 200_001)
    logs = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    density = math.exp(logs) * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    assert student_cdf(2.5, freedom) == pytest.approx(0.5 + np.trapezoid(density, x), abs=1e-9)
    assert student_cdf(-2.5, freedom) == pytest.approx(1 - student_cdf(2.5, freedom))


@pytest.mark.parametrize(("p", "freedom"), [(0.0, 4), (1.0, 4), (0.5, 0)])
def test_student_refuses_what_has_no_answer(p: float, freedom: int) -> None:
    with pytest.raises(ValueError, match=r"degree|probability"):
        student_quantile(p, freedom)


def test_a_board_of_unknown_gain_is_known_to_six_per_cent() -> None:
    # repetitions 1.14 * 0.4 % / sqrt(5) = 0.2 %, gain 5 % / sqrt(3) = 2.9 %, renewals 0.1 / (sqrt(6) 60) = 0.07 %
    found = budget(five(board()))
    assert found is not None
    assert found.terms["repeatability"] == pytest.approx(0.00204, rel=2e-3)
    assert found.terms["gain"] == pytest.approx(0.0289, rel=2e-3)
    assert found.terms["staleness"] == pytest.approx(0.00068, rel=2e-3)
    assert found.relative == pytest.approx(0.058, abs=5e-4)
    assert found.dominant == "gain"
    assert found.shares["gain"] > 0.99
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.coverage == pytest.approx(0.954, abs=1e-3)
    assert (found.reason, found.note, found.repetitions) == ("", "", 5)


def test_with_a_wall_meter_it_is_one_per_cent() -> None:
    found = budget(five(wall()))
    assert found is not None
    assert found.relative == pytest.approx(0.0122, abs=2e-4)
    assert "staleness" not in found.terms


def test_the_value_is_that_of_the_record() -> None:
    r = five(board())
    found = budget(r)
    assert found is not None
    assert found.value == r.work_per_joule
    assert found.expanded == pytest.approx(0.058 * found.value, rel=0.01)


def test_one_repetition_says_that_it_is_one() -> None:
    found = budget(on_gpu((board(),)))
    assert found is not None
    assert "repeatability" not in found.terms
    assert "one repetition" in found.note
    assert found.relative == pytest.approx(2 * math.hypot(0.05 / math.sqrt(3), 0.1 / (math.sqrt(6) * 60)))


def test_repetitions_that_are_all_alike_have_no_scatter() -> None:
    found = budget(on_gpu(*[(board(),)] * 3))
    assert found is not None
    assert found.terms["repeatability"] == 0


def test_a_window_without_energy_is_said() -> None:
    found = budget(on_gpu((board(),), (), (board(),)))
    assert found is not None
    assert found.repetitions == 2
    assert "1 of 3 windows have no energy" in found.note


def test_terms_of_several_windows_are_not_divided_by_their_number() -> None:
    a, b = board(terms={"gain": 0.01, "edges": 0.03}), board(terms={"gain": 0.01})
    found = budget(on_gpu((a,), (b,)))
    assert found is not None
    assert found.terms["gain"] == pytest.approx(0.01)
    assert found.terms["edges"] == pytest.approx(0.03 / math.sqrt(2))


def test_two_clocks_that_disagree_enter() -> None:
    found = budget(five(wall(), host_device_clock_error=-0.02))
    assert found is not None
    assert found.terms["clock"] == pytest.approx(0.02 / math.sqrt(3))
    assert found.dominant == "clock"


def test_not_metered_has_no_budget() -> None:
    assert budget(on_gpu((), ())) is None
    assert budget(on_gpu((board(0.0),))) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"source": "modelled"}, "modelled"),
        ({"flags": ("modelled",)}, "modelled"),
        ({"source": "replayed"}, "replayed"),
        ({"accuracy_class": "E"}, "estimate"),
        ({"terms": {"staleness": 0.001}}, "gain"),
        ({"terms": {}}, "gain"),
        ({"terms": {"gain": math.nan}}, "not a number"),
        ({"terms": {"gain": -0.1}}, "not a number"),
        ({"flags": ("aliasing_risk",)}, "beats with the sensor"),
    ],
)
def test_what_cannot_be_stated_is_not(changes: dict[str, object], why: str) -> None:
    found = budget(five(board(**changes)))
    assert found is not None
    assert found.expanded is None
    assert found.relative is None
    assert why in found.reason
    assert found.dominant == ""
    assert found.value > 0


def test_phases_that_were_spread_leave_a_term_in_place_of_the_refusal() -> None:
    found = budget(five(board(flags=("aliasing_risk",), terms={"gain": 0.01, "aliasing": 0.02})))
    assert found is not None
    assert found.dominant == "aliasing"


def test_a_risk_of_the_board_is_none_of_the_wall_meter() -> None:
    r = msgspec.structs.replace(five(wall()), flags=("aliasing_risk",))
    found = budget(r)
    assert found is not None
    assert found.expanded is not None


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_repetitions_cover_what_is_said(n: int) -> None:
    """U of nothing but scatter, in 4000 made-up measurements: it covers the truth as often as ``coverage`` says."""
    rng = np.random.default_rng(n)
    hits, said = 0, 0.0
    for scatter in 1 + 0.01 * rng.standard_normal((4000, n)):
        found = budget(on_gpu(*((wall(42_000 / x, terms={"gain": 0.0}),) for x in scatter)))
        assert found is not None
        assert found.coverage is not None
        assert "covers about" in found.note
        truth = 6000 * 2e6 / 42_000
        hits += abs(found.value - truth) <= found.expanded  # type: ignore[operator]
        said = found.coverage
    assert hits / 4000 == pytest.approx(said, abs=0.015)
    assert said < 0.93


@pytest.mark.parametrize(
    ("accuracy_class", "accuracy", "half"),
    [("A", None, 0.01), ("B", None, 0.01), ("C", None, 0.10), ("D", None, 0.05), ("D", 0.01, 0.01), ("A", 0.0, 0.0)],
)
def test_gain_is_what_is_stated_or_that_of_the_class(accuracy_class: str, accuracy: float | None, half: float) -> None:
    u, why = gain_term(accuracy_class, accuracy)
    assert u == pytest.approx(half / math.sqrt(3))
    assert ("stated" in why) == (accuracy is not None)
    assert ("assumed" in why) == (accuracy_class == "C")


@pytest.mark.parametrize(("accuracy_class", "accuracy"), [("E", None), ("E", 0.01), ("X", None)])
def test_an_estimate_has_no_gain(accuracy_class: str, accuracy: float | None) -> None:
    assert gain_term(accuracy_class, accuracy)[0] is None


@pytest.mark.parametrize("accuracy", [-0.01, math.nan, math.inf])
def test_an_accuracy_that_is_none_is_refused(accuracy: float) -> None:
    with pytest.raises(ValueError, match="accuracy"):
        gain_term("A", accuracy)


def test_terms_worked_out_by_hand() -> None:
    # 1 Wh at 1 kW over 294 s: 0.5 %
    assert resolution_term(3600, 294e3, "energy", 1000, 1) == pytest.approx(0.005, rel=2e-3)
    # steps of 10 W: 2.9 W a reading
    assert resolution_term(10, 1.0, "power", 1000, 1) == pytest.approx(2.9e-3, rel=5e-3)
    assert resolution_term(10, 1.0, "power", 1000, 100) == pytest.approx(2.9e-4, rel=5e-3)
    # 0.5 % at 8.2 s of a counter renewed every 100 ms, and at 408 s of one every 5 s
    assert staleness_term(0.1, 8.2) == pytest.approx(0.005, rel=5e-3)
    assert staleness_term(5, 408) == pytest.approx(0.005, rel=5e-3)
    assert tick_aligned(0.005, 8.2) == pytest.approx(0.00025, rel=5e-3)
    assert aliasing_term(0.009, 0.001, 0.1, False) == 0
    assert aliasing_term(0.5, 0.001, 0.1, False) == pytest.approx(0.25 / math.sqrt(3))
    assert aliasing_term(0.5, 0.001, 0.1, True) == pytest.approx(0.01)
    assert clock_term(0.006, 60) == pytest.approx(1e-4)
    assert clock_term(0.0, 60, offset_s=1, step_w=500, energy_j=42_000) == pytest.approx(500 / math.sqrt(3) / 42_000)
    assert sum_of_boards(0.03, 9) == pytest.approx(0.01)
    assert sum_of_boards(0.03, 9, 0.01) == pytest.approx(0.01 * math.sqrt(2))
    with pytest.raises(ValueError, match="one board"):
        sum_of_boards(0.03, 0)


def test_a_counter_read_whenever_it_suits_errs_by_the_staleness_term() -> None:
    rng = np.random.default_rng(0)
    start_s = rng.uniform(0, 0.1, 100_000)
    length_s = 2.0 + rng.uniform(0, 0.1, 100_000)
    counted_s = (np.floor((start_s + length_s) / 0.1) - np.floor(start_s / 0.1)) * 0.1
    assert np.std(counted_s / length_s - 1) == pytest.approx(staleness_term(0.1, 2.05), rel=0.01)


def test_the_gain_of_one_instrument_cancels() -> None:
    a, b = five(wall(40_000.0)), five(wall(42_000.0))
    found = ratio(a, b)
    assert found is not None
    assert found.value == pytest.approx(42 / 40, rel=1e-6)
    assert found.shared_gain
    assert "gain" not in found.terms
    assert found.expanded == pytest.approx(2 * found.value * math.sqrt(2) * 0.00204, rel=2e-3)
    assert found.differ


def test_two_boards_bring_both_gains() -> None:
    found = ratio(five(board(40_000.0)), five(board(42_000.0, instrument="board 1")))
    assert found is not None
    assert not found.shared_gain
    assert found.terms["gain"] == pytest.approx(0.05 / math.sqrt(3) * math.sqrt(2))
    # two boards that differ by 5 % cannot be ranked by their own sensors
    assert found.expanded == pytest.approx(0.082 * found.value, rel=0.01)
    assert not found.differ


@pytest.mark.parametrize(
    "other",
    [
        {"instrument": "board 1"},
        {"instrument": ""},
        {"calibration": "board.json"},
        {"packages": ("gpu0", "gpu1")},
    ],
)
def test_what_is_not_the_same_sensor_shares_no_gain(other: dict[str, object]) -> None:
    found = ratio(five(board()), five(board(**other)))
    assert found is not None
    assert not found.shared_gain


def test_sensors_without_a_name_share_no_gain() -> None:
    nameless = five(board(instrument=""))
    found = ratio(nameless, nameless)
    assert found is not None
    assert not found.shared_gain


def test_one_sensor_of_unknown_gain_can_be_compared_with_itself() -> None:
    unknown = five(board(terms={"staleness": 0.001}))
    found = ratio(unknown, unknown)
    assert found is not None
    assert found.expanded is not None
    apart = ratio(unknown, five(board(instrument="board 1")))
    assert apart is not None
    assert apart.expanded is None
    assert "gain" in apart.reason


@pytest.mark.parametrize("changes", [{"source": "modelled"}, {"source": "replayed"}, {"accuracy_class": "E"}])
def test_a_ratio_of_what_was_not_metered_has_no_uncertainty(changes: dict[str, object]) -> None:
    made = five(board(**changes))
    found = ratio(made, made)
    assert found is not None
    assert found.expanded is None
    assert found.differ is None


def test_two_boundaries_are_two_quantities() -> None:
    found = ratio(five(board()), five(wall()))
    assert found is not None
    assert found.expanded is None
    assert "gpu and node_ac" in found.reason


def test_two_models_by_their_own_sensors_are_warned_of() -> None:
    other = msgspec.structs.replace(five(board(instrument="board 1")), device=Device(type="gpu", name="another"))
    found = ratio(five(board()), other)
    assert found is not None
    assert "external meter" in found.note


def test_a_ratio_needs_two_energies_and_one_kind_of_work() -> None:
    from perwatt.results.record import Work

    metered = five(board())
    assert ratio(metered, on_gpu(())) is None
    memory = five(board(), work=Work(0, 1000, "bytes"))
    with pytest.raises(ValueError, match="FLOP per joule cannot be compared with byte per joule"):
        ratio(metered, memory)
