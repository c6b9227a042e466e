"""Where a remote meter's trace lies on the run's clock: found to a part of its period, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from perwatt.results.traces import spec
from perwatt.results.traces.align import ClockPair, RunClock, align, clock_term
from perwatt.results.traces.reference import reference
from perwatt.results.traces.trace import Trace

S = 1_000_000_000
T0 = 1_780_000_000 * S
LOAD = ((30.0, 42.3), (75.5, 81.0), (110.2, 150.9), (161.0, 163.0), (200.4, 230.0))


def truth(t_s: np.ndarray, loads: Sequence[tuple[float, float]] = LOAD) -> np.ndarray:
    """The node's power in W: 400 at rest, 1400 under load, a little ripple."""
    power_w = 400.0 + 5.0 * np.sin(t_s / 7.0)
    for start, end in loads:
        power_w[(t_s >= start) & (t_s < end)] += 1000.0
    return power_w


def metered(
    start_s: float, end_s: float, behind_s: float, loads: Sequence[tuple[float, float]] = LOAD, rate: float = 0.0
) -> Trace:
    """What a 1 s meter logs whose clock is ``behind_s`` behind: the mean round each stamp, with noise."""
    stamps = np.arange(start_s + 0.37, end_s, 1.0)
    fine = truth(np.arange(start_s - 1, end_s + 2, 0.01), loads)
    sums = np.concatenate([[0.0], np.cumsum(fine)])
    index = np.round((stamps - 0.5 - (start_s - 1)) / 0.01).astype(int)
    power_w = 1.07 * (sums[index + 100] - sums[index]) / 100 + 90.0
    power_w += np.random.default_rng(1).normal(0, 10, len(stamps))
    stamps = stamps - behind_s + rate * stamps
    return Trace("wall", T0 + np.round(stamps * 1e9).astype(np.int64), power_w, "node_ac", "A", 0.01, "wall.csv")


def own(end_s: float = 260.0, loads: Sequence[tuple[float, float]] = LOAD) -> tuple[np.ndarray, np.ndarray]:
    """What the run's own sensor said, every 50 ms; the half that a GPU sees."""
    t_s = np.arange(0.0, end_s, 0.05)
    return T0 + np.round(t_s * 1e9).astype(np.int64), 0.5 * truth(t_s, loads)


@pytest.mark.parametrize("behind_s", [18_000.0, -18_000.0, 0.0, 0.4, 3.21, 43_100.5])
def test_a_meter_whose_clock_is_off_is_found_to_a_part_of_its_period(behind_s: float) -> None:
    found = align(metered(-300.0, 700.0, behind_s), *own())
    assert found.offset_s == pytest.approx(behind_s, abs=0.05)
    assert found.correlation > 0.99
    assert found.residual_s < 0.2
    assert found.period_s == pytest.approx(1.0)
    assert found.overlap_s == pytest.approx(260.0, abs=2.0)
    assert found.bound_s == pytest.approx(0.5)


@pytest.mark.slow
def test_a_day_long_trace_of_other_work_too() -> None:
    rng = np.random.default_rng(7)
    others = [(float(s), float(s + rng.uniform(5, 400))) for s in np.sort(rng.uniform(300, 40_000, 60))]
    trace = metered(-40_000.0, 40_400.0, 5 * 3600.0, [*LOAD, *others, *[(-b, -a) for a, b in others]])
    assert align(trace, *own()).offset_s == pytest.approx(18_000.0, abs=0.05)


def test_five_hours_behind_in_a_published_log(data: Path) -> None:
    """The analyser's log of eight H200, its clock set back as a published switch log's is, laid over one channel."""
    path = data / "power_traces/mlperf_inference_v4_1/h200x8_resnet50_offline/run_1"
    trace = spec.read_spl(path / "spl.txt")
    window = spec.read_window(path / "mlperf_log_detail.power_lines.txt")
    channel = [float(line.split("Ch2,Watts,")[1].split(",")[0]) for line in (path / "spl.txt").open() if line.strip()]
    found = align(trace.shifted(-18_000.0), trace.t_ns, np.array(channel))
    assert found.offset_s == pytest.approx(18_000.0, abs=0.1)
    assert found.correlation > 0.95
    # uncorrected, nothing of the run is covered; corrected, the energy is the one of the log as it was
    behind = trace.shifted(-18_000.0)
    assert behind.integral(window.begin_ns, window.end_ns).flags == ("uncovered",)
    right = trace.integral(window.begin_ns, window.end_ns).energy_j
    assert right is not None
    corrected = behind.shifted(found.offset_s).integral(window.begin_ns, window.end_ns).energy_j
    assert corrected == pytest.approx(right, rel=1e-4)


def test_a_trace_that_has_nothing_to_do_with_the_run_is_refused() -> None:
    rng = np.random.default_rng(3)
    t_ns = T0 + np.arange(2000) * S
    noise = Trace("wall", t_ns, rng.uniform(400, 1400, 2000), "node_ac", "A", 0.01, "wall.csv")
    with pytest.raises(ValueError, match=r"wall\.csv: found a correlation of 0\.\d\d .*; allowed 0\.8 or more"):
        align(noise, *own())


def test_a_trace_from_another_day_is_refused() -> None:
    with pytest.raises(ValueError, match="no match within"):
        align(metered(-300.0, 700.0, 90_000.0), *own())


def test_a_run_without_any_step_cannot_place_a_trace() -> None:
    t_ns, _ = own()
    with pytest.raises(ValueError, match="found no change of power in the run"):
        align(metered(0.0, 260.0, 0.0), t_ns, np.full(len(t_ns), 300.0))


def test_a_load_that_repeats_itself_matches_more_than_once_and_is_refused_unless_the_search_is_narrow() -> None:
    loads = [(20.0 * i, 20.0 * i + 10.0) for i in range(-30, 60)]
    trace = metered(-500.0, 900.0, 2.0, loads)
    run = own(loads=loads)
    with pytest.raises(ValueError, match=r"two offsets that match alike, .*search_s="):
        align(trace, *run)
    assert align(trace, *run, search_s=8.0).offset_s == pytest.approx(2.0, abs=0.05)


def test_a_clock_that_was_stepped_during_the_run_is_refused() -> None:
    trace = metered(-300.0, 700.0, 0.0)
    late = trace.t_ns > T0 + 155 * S
    stepped = Trace("wall", trace.t_ns + np.where(late, 3 * S, 0), trace.power_w, "node_ac", "A", 0.01, "wall.csv")
    with pytest.raises(ValueError, match=r"changes by .* s along the run; allowed one period"):
        align(stepped, *own(), least=0.5)


def test_pairs_of_clocks_lead_there_and_back() -> None:
    clock = RunClock(ClockPair(5 * S, T0), ClockPair(105 * S, T0 + 100 * S + 10_000_000))
    assert clock.change_s == pytest.approx(0.01)
    assert not clock.stepped
    utc = np.array([T0 - S, T0, T0 + 50 * S + 5_000_000, T0 + 100 * S + 10_000_000, T0 + 200 * S])
    mono = clock.mono(utc)
    assert mono.tolist() == [4 * S, 5 * S, 55 * S, 105 * S, 205 * S - 10_000_000]
    assert np.abs(clock.utc(mono) - utc).max() <= 1
    assert RunClock(ClockPair(0, T0), ClockPair(100 * S, T0 + 3700 * S)).stepped
    killed = RunClock(ClockPair(5 * S, T0), ClockPair(5 * S, T0))
    assert killed.mono(np.array([T0 + S])).tolist() == [6 * S]


def test_what_the_doubt_about_a_clock_is_worth() -> None:
    """A shift by d swaps d seconds of load for d seconds of what is outside: 1000 W x 0.5 s of 60 kJ, rectangular."""
    assert clock_term(1000.0, 0.0, 0.5, 60_000.0) == pytest.approx(0.00481, abs=1e-5)
    assert clock_term(1000.0, 1000.0, 0.5, 60_000.0) == 0.0


# -- the run's own power, out of its telemetry ---------------------------------------------------------------------


def frame(*parts: tuple[str, int, np.ndarray, np.ndarray]) -> object:
    import pandas as pd

    return pd.concat(
        pd.DataFrame(
            {
                "case": "k",
                "series": series,
                "rank": rank,
                "repetition": 0,
                "t_ns": np.round(t_s * 1e9).astype(np.int64),
                "value": value,
                "n": 0,
            }
        )
        for series, rank, t_s, value in parts
    )


def test_the_power_of_all_ranks_is_added_up() -> None:
    t_s = np.arange(0.0, 100.0, 0.1)
    busy = np.where(t_s > 50, 300.0, 100.0)
    telemetry = frame(
        ("power_w:nvml", 0, t_s, busy), ("power_w:nvml", 1, t_s[:500], busy[:500]), ("seconds", 0, t_s, busy)
    )
    t_ns, power_w = reference(telemetry)  # type: ignore[arg-type]
    assert np.interp(20 * S, t_ns, power_w) == pytest.approx(200.0)
    assert np.interp(80 * S, t_ns, power_w) == pytest.approx(400.0)  # the silent rank at the least that it drew


def test_a_counter_gives_power_by_its_slope_and_a_reset_says_nothing() -> None:
    t_s = np.arange(0.0, 10.0, 1.0)
    counter = np.where(t_s < 5, 50.0 * t_s, 50.0 * (t_s - 5))
    t_ns, power_w = reference(frame(("energy_j:rapl", 0, t_s, counter)))  # type: ignore[arg-type]
    assert power_w.tolist() == [50.0] * 8
    assert t_ns.tolist() == [round((i + 0.5) * 1e9) for i in range(9) if i != 4]


def test_a_run_without_power_samples_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="allowed none: give offset_s= instead of align=auto"):
        reference(None)
    t_s = np.arange(0.0, 10.0, 1.0)
    with pytest.raises(ValueError, match="found no power samples of pdu in the run; allowed rapl"):
        reference(frame(("energy_j:rapl", 0, t_s, t_s)), "pdu")  # type: ignore[arg-type]
