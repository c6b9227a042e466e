"""``perwatt meter import``: the energies that a finished run gains from a meter's own log, and what is refused."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import records

from perwatt.benchmarks.importing import import_trace
from perwatt.results import telemetry
from perwatt.results.record import Record, Repetition
from perwatt.results.store import RECORDS, Store, latest, load
from perwatt.results.traces.attach import attach
from perwatt.results.traces.trace import Trace

S = 1_000_000_000
T0 = 1_780_000_000 * S  # UTC at the run's start
MONO = 77 * S  # the host's monotonic clock then
# Windows in s since the start, of two cases. The loads begin before and end after them, as with guard bands.
WINDOWS = {"a": ((20.0, 30.0), (50.0, 72.0)), "b": ((110.0, 135.0), (150.0, 160.0))}
LOADS = ((17.0, 33.0), (47.0, 75.0), (104.0, 138.0), (147.0, 163.0))


def power_w(t_s: np.ndarray) -> np.ndarray:
    power = np.full(len(t_s), 500.0)
    for start, end in LOADS:
        power[(t_s >= start) & (t_s < end)] = 2500.0
    return power


def record(key: str, **changes: Any) -> Record:
    repetitions = tuple(Repetition(MONO + round(a * S), b - a, 1000, 100, (records.energy(),)) for a, b in WINDOWS[key])
    outcome = msgspec.structs.replace(records.measured(), repetitions=repetitions)
    return msgspec.structs.replace(records.record(key, outcome), **changes)


def spl(path: Path, first_s: float, last_s: float, behind_s: float = 0.0) -> Path:
    """An analyser's log of the node's power, every second, by a clock that is so far behind."""
    lines = []
    for t_s in np.arange(first_s + 0.25, last_s, 1.0):
        stamp = datetime.datetime.fromtimestamp(T0 / S + t_s - behind_s, datetime.UTC)
        watts = float(power_w(np.array([t_s]))[0])
        lines.append(
            f"Time,{stamp:%m-%d-%Y %H:%M:%S}.{stamp.microsecond // 1000:03d},Watts,{watts:f},Volts,230,Mark,m\n"
        )
    path.write_text("".join(lines) + "\n")
    return path


Import = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of two cases, whose own sensor was polled every 0.1 s."""
    folder = tmp_path / "run"
    folder.mkdir()
    with Store(folder) as store:
        store.append(record("a"))
        store.append(record("b"))
    clock = {"start": {"mono_ns": MONO, "utc_ns": T0}, "end": {"mono_ns": MONO + 200 * S, "utc_ns": T0 + 200 * S}}
    (folder / "environment.json").write_text(json.dumps({"host": "host", "clock": clock}))
    for key, start, end in (("a", 0.0, 80.0), ("b", 100.0, 170.0)):
        t_s = np.arange(start, end, 0.1)
        column = {
            "t_ns": MONO + np.round(t_s * 1e9).astype(np.int64),
            "value": 0.3 * power_w(t_s),
            "repetition": np.zeros(len(t_s), dtype=np.int32),
            "n": np.zeros(len(t_s), dtype=np.int64),
        }
        telemetry.write_part(folder, key, 0, {"power_w:rapl": column})  # type: ignore[arg-type]
    telemetry.fold(folder)
    return folder


@pytest.fixture
def imported(run: Path, capsys: pytest.CaptureFixture[str]) -> Import:
    def command(*arguments: str) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        code = import_trace([f"run={run}", *arguments])
        out = capsys.readouterr().out
        found = json.loads(out.strip().splitlines()[-1])
        assert found["exit"] == code
        return code, found, out

    return command


def energies(run: Path, meter: str = "spl") -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for r in latest(load(run)):
        assert r.measured
        found[r.case.key] = [e.energy_j for p in r.measured.repetitions for e in p.energies if e.meter == meter]
    return found


def test_a_log_becomes_energies_of_the_windows(run: Path, imported: Import, tmp_path: Path) -> None:
    log = spl(tmp_path / "spl.txt", -30.0, 220.0)
    code, found, out = imported(f"file={log}", "format=spec", "boundary=node_ac")
    assert code == 0
    assert (found["windows"], found["covered"], found["offset_s"], found["correlation"]) == (4, 4, 0.0, None)
    assert "4 of 4" not in out
    assert out.count("2 of 2") == 2
    assert "not verified" in out
    # guard bands: the power at the edges is the load's, so the energy is exact
    for key, spans in WINDOWS.items():
        assert energies(run)[key] == pytest.approx([2500.0 * (b - a) for a, b in spans], rel=1e-9)
    lines = (run / RECORDS).read_text().splitlines()
    assert len(lines) == 4  # appended, nothing changed
    assert [json.loads(line)["case"]["key"] for line in lines] == ["a", "b", "a", "b"]
    energy = latest(load(run))[0].measured.repetitions[0].energies[-1]  # type: ignore[union-attr]
    assert (energy.source, energy.boundary, energy.accuracy_class, energy.readings) == (
        "integrated",
        "node_ac",
        "A",
        10,
    )
    assert energy.terms["gain"] == pytest.approx(0.01 / np.sqrt(3))
    assert energy.terms["clock"] < 1e-12
    assert energy.power is not None
    assert (energy.power.p50, energy.power.averaging_s) == (2500.0, pytest.approx(1.0))
    # what the run had measured itself stays
    assert energies(run, "rapl") == {"a": [100.0, 100.0], "b": [100.0, 100.0]}
    kept = json.loads((run / "traces" / "spl.json").read_text())
    assert kept["covered"] == 4
    assert kept["file"] == str(log)
    assert len(kept["sha256"]) == 64


def test_a_clock_five_hours_behind_is_found(run: Path, imported: Import, tmp_path: Path) -> None:
    log = spl(tmp_path / "spl.txt", -400.0, 900.0, behind_s=18_000.0)
    code, found, _ = imported(f"file={log}", "format=spec")
    assert (code, found["covered"]) == (3, 0)  # as it stands it covers nothing
    assert len(load(run)) == 2
    assert not (run / "traces").exists()
    code, found, out = imported(f"file={log}", "format=spec", "align=auto")
    assert code == 0
    assert found["offset_s"] == pytest.approx(18_000.0, abs=0.3)
    assert found["correlation"] > 0.98
    assert abs(found["offset_s"] - 18_000.0) <= found["clock_s"]
    assert found["residual_s"] < 1.0
    assert "offset +1" in out
    assert energies(run)["b"] == pytest.approx([2500.0 * 25, 2500.0 * 10], rel=1e-9)


def test_a_known_offset_is_taken(run: Path, imported: Import, tmp_path: Path) -> None:
    log = spl(tmp_path / "spl.txt", -30.0, 220.0, behind_s=90.0)
    code, found, _ = imported(f"file={log}", "format=spec", "offset_s=90", "clock_s=5", "accuracy=0.002", "name=wt333")
    assert (code, found["offset_s"], found["clock_s"], found["meter"]) == (0, 90.0, 5.0, "wt333")
    energy = latest(load(run))[0].measured.repetitions[0].energies[-1]  # type: ignore[union-attr]
    assert energy.meter == "wt333"
    assert energy.terms["gain"] == pytest.approx(0.002 / np.sqrt(3))
    # 5 s reach beyond the guard bands of 3 s: a shift would swap load for rest
    assert energy.terms["clock"] > 0.01


def test_a_log_that_ends_before_the_run_does(run: Path, imported: Import, tmp_path: Path) -> None:
    code, found, out = imported(f"file={spl(tmp_path / 'spl.txt', -30.0, 120.0)}", "format=spec")
    assert (code, found["windows"], found["covered"]) == (0, 4, 2)
    assert "0 of 2" in out
    assert "uncovered" in out
    assert energies(run)["b"] == []
    a, b = latest(load(run))
    assert b.flags == ("uncovered:spl",)
    assert a.flags == ()


def test_importing_again_replaces(run: Path, imported: Import, tmp_path: Path) -> None:
    for last_s in (120.0, 220.0, 220.0):
        imported(f"file={spl(tmp_path / 'spl.txt', -30.0, last_s)}", "format=spec")
    assert {k: len(v) for k, v in energies(run).items()} == {"a": 2, "b": 2}
    assert len(load(run)) == 2 + 2 + 1  # the first brought both cases, the second one; the third nothing new
    assert latest(load(run))[1].flags == ()


def test_a_csv_and_a_nodes_log(run: Path, imported: Import, tmp_path: Path) -> None:
    t_s = np.arange(0.0, 200.0, 0.5)
    rows = "".join(f"{T0 / S + t},{p}\n" for t, p in zip(t_s, power_w(t_s), strict=True))
    (tmp_path / "pdu.csv").write_text("when,watts\n" + rows)
    named = ("time=when", "unit=t_s", "power=watts")
    code, *_ = imported(f"file={tmp_path}/pdu.csv", "format=csv", "boundary=rack", "class=B", *named)
    assert code == 0
    assert energies(run, "pdu")["a"] == pytest.approx([25_000.0, 55_000.0], rel=1e-9)
    start = {"key": "power_measurement_start", "value": None, "time_ms": T0 // 10**6}
    events = [start, {**start, "key": "conversion_eff", "value": 0.9}]
    events += [
        {"key": "power_reading", "value": float(p), "time_ms": T0 // 10**6 + round(1000 * t)}
        for t, p in zip(t_s, power_w(t_s), strict=True)
    ]
    (tmp_path / "node_0.txt").write_text("".join(f":::MLLOG {json.dumps(e)}\n" for e in events))
    code, *_ = imported(f"file={tmp_path}/node_0.txt", "format=mlperf", "boundary=node_dc")
    assert code == 0
    assert energies(run, "node_0")["a"] == pytest.approx([22_500.0, 49_500.0], rel=1e-9)
    assert energies(run, "pdu")["a"] == pytest.approx([25_000.0, 55_000.0], rel=1e-9)


WRONG = [
    (("format=spec",), "file: found nothing; allowed file=LOG"),
    (("file=x",), "format=: choices: spec, mlperf, csv"),
    (("file=x", "format=xml"), "format=xml: choices: spec, mlperf, csv"),
    (("file=x", "format=spec", "colour=red"), "colour=red: choices: run=RUN, file=LOG"),
    (("file=x", "format=spec", "align=yes"), "align=yes: choices: auto, none"),
    (("file=x", "format=spec", "align=auto", "offset_s=1"), "offset_s: found together with align=auto"),
    (("file=x", "format=spec", "power=watts"), "power: only a CSV has columns to be named"),
    (("file=x", "format=csv", "class=A"), "boundary: a CSV does not say"),
    (("file=x", "format=csv", "boundary=rack"), "class: a CSV does not say; allowed class=A|B|C|D|E"),
    (("file=/none/spl.txt", "format=spec"), "/none/spl.txt: found No such file"),
    (("file=LOG", "format=spec", "name=rapl"), "name=rapl: a meter of the run itself"),
    (("file=LOG", "format=spec", "name=../x"), "name=../x: allowed letters, digits"),
    (("file=LOG", "format=spec", "class=Z"), "class: found 'Z'; allowed A, B"),
    (("file=LOG", "format=spec", "accuracy=good"), "accuracy=good: allowed a number, 0 or more"),
    (("file=LOG", "format=spec", "offset_s=inf"), "offset_s=inf: allowed a number"),
    (("file=LOG", "format=spec", "clock_s=-1"), "clock_s=-1: allowed a number, 0 or more"),
    (("file=LOG", "format=spec", "timezone=Mars"), "timezone: found 'Mars'"),
    (("file=LOG", "format=spec", "align=auto", "reference=nvml"), "reference: found no power samples of nvml"),
]


@pytest.mark.parametrize(("arguments", "says"), WRONG)
def test_a_wrong_request_is_told_in_one_line(
    run: Path, imported: Import, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    log = spl(tmp_path / "spl.txt", -30.0, 220.0)
    with pytest.raises(ValueError, match=r".") as caught:
        imported(*(a.replace("LOG", str(log)) for a in arguments))
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
    assert len(load(run)) == 2


def test_a_run_without_pairs_of_clocks_is_refused(run: Path, imported: Import, tmp_path: Path) -> None:
    log = spl(tmp_path / "spl.txt", -30.0, 220.0)
    for environment in ({}, {"clock": None}, {"clock": {"start": {"mono_ns": 1}}}):
        (run / "environment.json").write_text(json.dumps(environment))
        with pytest.raises(ValueError, match="found no clock pairs") as caught:
            imported(f"file={log}", "format=spec")
        assert "\n" not in str(caught.value)


def test_a_host_whose_utc_was_stepped(run: Path, imported: Import, tmp_path: Path) -> None:
    log = spl(tmp_path / "spl.txt", -400.0, 900.0)
    found = json.loads((run / "environment.json").read_text())
    found["clock"]["end"]["utc_ns"] += 3600 * S
    (run / "environment.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"UTC was stepped by 3600\.000 s during the run; allowed align=auto"):
        imported(f"file={log}", "format=spec")
    _, summary, _ = imported(f"file={log}", "format=spec", "align=auto")
    assert summary["covered"] == 4
    assert energies(run)["a"] == pytest.approx([25_000.0, 55_000.0], rel=1e-9)


def test_a_run_that_is_being_written_is_left_alone(run: Path, imported: Import, tmp_path: Path) -> None:
    log = spl(tmp_path / "spl.txt", -30.0, 220.0)
    with Store(run), pytest.raises(ValueError, match="is being written by another perwatt run"):
        imported(f"file={log}", "format=spec")


def test_windows_of_another_host_cannot_be_placed(run: Path, imported: Import, tmp_path: Path) -> None:
    with Store(run) as store:
        store.append(record("b", host="node7"))
    _, found, _ = imported(f"file={spl(tmp_path / 'spl.txt', -30.0, 220.0)}", "format=spec")
    assert (found["windows"], found["covered"]) == (2, 2)


# -- what one record gains -----------------------------------------------------------------------------------------


def trace(t_s: np.ndarray) -> tuple[Trace, np.ndarray]:
    t_ns = MONO + np.round(t_s * 1e9).astype(np.int64)
    return Trace("wall", t_ns, power_w(t_s), "node_ac", "A", None, "wall.csv"), t_ns


def test_energy_of_two_devices_that_worked_at_once_says_so() -> None:
    whole, t_ns = trace(np.arange(-10.0, 200.0, 1.0))
    other = msgspec.structs.replace(record("a"), case=records.case("a1", device_index=1))
    for others, flags in (((other,), ("shared",)), ((record("b"), record("a")), ())):
        found = attach(record("a"), whole, t_ns, clock_s=0.1, others=others)
        assert found.record.measured
        assert found.record.measured.repetitions[1].energies[-1].flags == flags


def test_a_window_of_few_readings_and_one_in_segments() -> None:
    sparse, t_ns = trace(np.arange(-10.0, 200.0, 4.0))
    found = attach(record("a"), sparse, t_ns, clock_s=0.1)
    assert found.record.measured
    assert "few_readings" in found.record.measured.repetitions[0].energies[-1].flags
    repetitions = tuple(msgspec.structs.replace(r, segments=8) for r in found.record.measured.repetitions)
    outcome = msgspec.structs.replace(found.record.measured, repetitions=repetitions)
    phased = attach(msgspec.structs.replace(found.record, outcome=outcome), sparse, t_ns, clock_s=0.1)
    assert (phased.covered, phased.missing) == (0, ("segmented",))


def test_a_gap_in_the_log_leaves_a_window_without_energy() -> None:
    t_s = np.arange(-10.0, 200.0, 1.0)
    gappy, t_ns = trace(t_s[(t_s < 52) | (t_s > 60)])
    found = attach(record("a"), gappy, t_ns, clock_s=0.1)
    assert (found.covered, found.missing) == (1, ("gappy",))
    assert found.record.flags == ("gappy:wall",)


def test_a_case_that_was_not_measured_gains_nothing() -> None:
    from perwatt.results.record import Skipped

    whole, t_ns = trace(np.arange(0.0, 10.0, 1.0))
    skipped = records.record("s", Skipped("no"))
    assert attach(skipped, whole, t_ns, clock_s=0.1).record is skipped
