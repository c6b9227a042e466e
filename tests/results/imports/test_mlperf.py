"""MLPerf inference: the rate of the summary, the power of exactly the test's window, and the clock that is another."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from perwatt.benchmarks.cli import main
from perwatt.results.imports import formats
from perwatt.results.imports.figures import Figure
from perwatt.results.imports.mlperf_inference import read
from perwatt.results.record import Failed, Measured
from perwatt.results.store import load
from perwatt.results.traces import spec

BEGIN = datetime.datetime(2026, 5, 4, 10, 0, 0, 500_000)
STAMP = "%m-%d-%Y %H:%M:%S.%f"
LOGS = "power_traces/mlperf_inference_v4_1"


def submission(
    folder: Path, rate_lines: str = "Samples per second: 500", scenario: str = "Offline", valid: str = "VALID",
    ahead_h: float = 0.0, seconds: int = 60,
) -> Path:  # fmt: skip
    """SYSTEM/resnet50/SCENARIO/performance/run_1: 300 W, but for the test, where it is 1000 W."""
    run = folder / "lab_8xgpu" / "resnet50" / scenario / "performance" / "run_1"
    run.mkdir(parents=True)
    (run / "mlperf_log_summary.txt").write_text(
        "================\nMLPerf Results Summary\n================\nSUT name : server\n"
        f"Scenario : {scenario}\nMode     : PerformanceOnly\n{rate_lines}\nResult is : {valid}\n"
        "  Min duration satisfied : Yes\n\nTest Parameters Used\nsamples_per_query : 30000\n"
    )
    end = BEGIN + datetime.timedelta(seconds=60)
    (run / "mlperf_log_detail.txt").write_text(
        "".join(
            f':::MLLOG {{"key": "{key}", "value": "{at.strftime(STAMP)[:-3]}", "time_ms": 1.0}}\n'
            for key, at in (("power_begin", BEGIN), ("power_end", end))
        )
    )
    first = BEGIN.replace(microsecond=0) - datetime.timedelta(seconds=20)
    lines = []
    for i in range(40 + seconds):
        at = first + datetime.timedelta(seconds=i)
        watts = 1000.0 if BEGIN - datetime.timedelta(seconds=3) <= at <= end + datetime.timedelta(seconds=3) else 300.0
        stamp = (at + datetime.timedelta(hours=ahead_h)).strftime(STAMP)[:-3]
        lines.append(f"Time,{stamp},Watts,{watts},Volts,230,Amps,4,PF,0.99,Mark,s_testing\n")
    (run / "spl.txt").write_text("".join(lines))
    return run / "mlperf_log_summary.txt"


def figure(path: Path, **options: str) -> Figure:
    (found,) = read(path.read_text(), path, **options).figures
    return found


def measured(path: Path, **options: str) -> Measured:
    outcome = figure(path, **options).outcome
    assert isinstance(outcome, Measured)
    return outcome


def test_the_energy_of_exactly_the_test(tmp_path: Path) -> None:
    path = submission(tmp_path)
    assert formats.told(path.read_text()) == "mlperf"
    found = figure(path)
    assert (found.label, found.hosts, found.collective) == ("resnet50 Offline", ("lab_8xgpu",), True)
    outcome = measured(path)
    assert outcome.work.samples / outcome.seconds.median == pytest.approx(500)
    (window,) = outcome.repetitions
    (energy,) = window.energies
    assert (window.window_s, energy.energy_j) == (pytest.approx(60), pytest.approx(60_000))
    assert (energy.boundary, energy.accuracy_class, energy.source) == ("node_ac", "A", "integrated")
    assert energy.terms["clock"] == pytest.approx(0, abs=1e-9)  # power is the same on both sides of the edges
    assert measured(path, boundary="rack").repetitions[0].energies[0].boundary == "rack"


def test_server_and_its_tokens(tmp_path: Path) -> None:
    lines = "Completed samples per second    : 12.5\nCompleted tokens per second: 1000"
    outcome = measured(submission(tmp_path, lines, "Server"))
    assert (outcome.work.samples, outcome.work.tokens) == (750, 60_000)
    assert outcome.work.samples / outcome.seconds.median == pytest.approx(12.5)


@pytest.mark.parametrize(("ahead_h", "zone"), [(2.0, "+02:00"), (-7.0, "-07:00"), (5.75, "+05:45")])
def test_a_log_by_local_time_is_refused_and_the_zone_named(tmp_path: Path, ahead_h: float, zone: str) -> None:
    path = submission(tmp_path, ahead_h=ahead_h)
    with pytest.raises(
        ValueError, match=r"spl\.txt: timezone=UTC: found a log that leaves out .* s of power_begin"
    ) as e:
        read(path.read_text(), path)
    assert f"it would fit timezone={zone}" in str(e.value)
    assert measured(path, timezone=zone).repetitions[0].energies[0].energy_j == pytest.approx(60_000)


def test_a_log_that_ends_too_early_fits_no_zone(tmp_path: Path) -> None:
    path = submission(tmp_path, seconds=0)
    with pytest.raises(ValueError, match=r"leaves out 42 s of .*; allowed the log of that test"):
        read(path.read_text(), path)


def test_clocks_that_are_apart_are_part_of_the_uncertainty(tmp_path: Path) -> None:
    path = submission(tmp_path)
    power = path.parent.parent / "power"
    power.mkdir()
    asked = [
        {"cmd": "time", "cmd_time": 100.0, "reply": "104.1", "reply_time": 100.2},
        {"cmd": "stop", "cmd_time": 1.0, "reply": "OK", "reply_time": 1.1},
    ]
    (power / "client.json").write_text(json.dumps({"messages": asked}))
    # apart by up to 4.1 s: the power before the window was then partly that of idling
    assert measured(path).repetitions[0].energies[0].terms["clock"] > 1e-4
    (power / "client.json").write_text("{}")
    with pytest.raises(ValueError, match=r"client\.json: found KeyError"):
        read(path.read_text(), path)


def test_without_a_log_there_is_no_power(tmp_path: Path) -> None:
    path = submission(tmp_path)
    (path.parent / "spl.txt").unlink()
    outcome = measured(path)
    assert (outcome.repetitions, outcome.unmetered) == ((), "there is no spl.txt beside the summary")
    (path.parent / "spl.txt").touch()
    (path.parent / "mlperf_log_detail.txt").unlink()
    assert "which says when the test was" in measured(path).unmetered


def test_a_result_that_is_not_valid_fails(tmp_path: Path) -> None:
    outcome = figure(submission(tmp_path, valid="INVALID")).outcome
    assert outcome == Failed("the load generator calls its result INVALID")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Scenario : Offline", "Scenario : SingleStream", "found SingleStream, PerformanceOnly; allowed Offline"),
        ("PerformanceOnly", "AccuracyOnly", "found Offline, AccuracyOnly; allowed Offline or Server, PerformanceOnly"),
        ("Samples per second: 500", "", "found no line 'Samples per second: N'; allowed a summary that is whole"),
        ("second: 500", "second: fast", "line 7: found Samples per second 'fast'; allowed a number above 0"),
        ("Result is", "Result as", "found no line 'Result is : ...'"),
    ],
)  # fmt: skip
def test_a_summary_that_is_another(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = submission(tmp_path)
    with pytest.raises(ValueError, match=r".") as raised:
        read(path.read_text().replace(old, new), path)
    assert said in str(raised.value)


def test_a_benchmark_that_nothing_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = submission(tmp_path).parent.rename(tmp_path / "run_1") / "mlperf_log_summary.txt"
    assert main(["import", f"file={path.parent}", f"runs_dir={tmp_path}"]) == 2
    assert (
        "found no BENCHMARK/SCENARIO/performance above it; allowed that, or label=resnet50" in capsys.readouterr().err
    )
    assert main(["import", f"file={tmp_path / 'none'}"]) == 2
    assert main(["import", f"file={submission(tmp_path).parent.parent.parent.parent}", "format=mlperf", "label=x"]) == 0


def test_published_logs_by_mlperfs_rule_and_by_ours(data: Path, tmp_path: Path) -> None:
    for name, published in (("h200x8_resnet50_offline", 4954.032), ("untether_u3_resnet50_offline", 398.330)):
        run = data / LOGS / name / "run_1"
        path = run / "mlperf_log_summary.txt"
        outcome = measured(path, label="resnet50")
        window = spec.read_window(run / "mlperf_log_detail.power_lines.txt")
        (done,) = outcome.repetitions
        (energy,) = done.energies
        assert outcome.work.samples / outcome.seconds.median == window.samples_per_s
        assert energy.energy_j / done.window_s == pytest.approx(published, rel=2e-3)
        assert 0 < energy.terms["clock"] < 2e-3
        with pytest.raises(ValueError, match=r"spl\.txt: timezone=\+02:00: found a log that leaves out"):
            measured(path, label="resnet50", timezone="+02:00")
    ranging = data / LOGS / "h200x8_resnet50_offline" / "ranging" / "mlperf_log_summary.txt"
    assert measured(ranging, label="x").repetitions[0].energies[0].flags == ()


@pytest.mark.slow
def test_published_logs_as_a_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = data / LOGS / "h200x8_resnet50_offline" / "run_1"
    assert main(["import", f"file={run}", "label=resnet50", "host=h200", f"runs_dir={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "556.2" in out
    assert "112.3 ± 1.3" in out
    (record,) = load(Path(json.loads(out.splitlines()[-1])["run"]))
    assert record.work_per_joule == pytest.approx(112.279, rel=2e-3)
    assert record.source == "imported"
