"""suite=power on a CPU, from the command to the report: rest without a rate, the virus, and its period."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Perwatt

from perwatt.results.record import Measured, Record, Skipped
from perwatt.results.store import load

TRACE = "t_s,power_w\n0,500\n1,500\n2,500\n"
METERED = ("device=cpu", "meter=replay", "meter.replay.path=trace.csv", "profile.min_readings=1")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where cores are shared, threads that wait for each other take longer than a slice of work should."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def run(tmp_path: Path, perwatt: Perwatt, *changes: str) -> tuple[dict[str, Record], str, Path]:
    """The records of a run of the suite, by kernel and label, what it printed, and its folder."""
    (tmp_path / "trace.csv").write_text(TRACE)
    done = perwatt("run", "suite=power", *METERED, *changes)
    assert done.code == 0, done.err
    records = {f"{r.case.kernel} {r.case.label}": r for r in load(tmp_path / done.run)}
    assert all(isinstance(r.outcome, Measured) for r in records.values()), done.err
    return records, done.out + done.err, tmp_path / done.run


@pytest.mark.slow
def test_rest_is_a_case_with_power_and_no_rate(tmp_path: Path, perwatt: Perwatt) -> None:
    records, said, folder = run(tmp_path, perwatt, "only=idle", "profile.warmup_s=0.02", "profile.window_s=0.2")
    (idle,) = records.values()
    assert idle.measured is not None
    assert idle.measured.work.headline == "time"
    assert idle.rate is None
    assert idle.work_per_joule is None
    assert idle.power_w == pytest.approx(500.0)
    assert idle.measured.seconds.median == pytest.approx(0.05, rel=0.3)
    assert "FLOP" not in said
    assert "500 W" in said
    assert "idle" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_a_period_is_timed_and_its_work_is_that_of_its_slices(tmp_path: Path, perwatt: Perwatt) -> None:
    changes = ("only=pulse_cpu", "kernels.pulse_cpu.period_s=0.1", "kernels.pulse_cpu.buffer_bytes=64KiB")
    records, _, _ = run(tmp_path, perwatt, *changes, "profile.warmup_s=0.02", "profile.window_s=0.4")
    (pulse,) = records.values()
    m = pulse.measured
    assert m is not None
    assert "in every 0.1 s: duty 0." in m.note
    slices = int(m.note.split(" slice")[0])
    assert m.work.flops == slices * 2 * 256**3
    assert 0.095 < m.seconds.median < 0.3  # longer where others take the processor away in mid-work
    assert pulse.rate == pytest.approx(m.work.flops / m.seconds.median)


@pytest.mark.slow
def test_rest_has_no_cache_to_be_flushed(tmp_path: Path, perwatt: Perwatt) -> None:
    (tmp_path / "trace.csv").write_text(TRACE)
    done = perwatt("run", "suite=power", *METERED, "only=idle", "+kernels.idle.cache=cold", "profile.window_s=0.1")
    (record,) = load(tmp_path / done.run)
    assert isinstance(record.outcome, Skipped)
    assert "cache=cold" in record.outcome.reason


@pytest.mark.slow
def test_the_whole_suite(tmp_path: Path, perwatt: Perwatt) -> None:
    records, said, folder = run(tmp_path, perwatt)
    assert {name.split()[0] for name in records} == {"idle", "fma_spin", "memory", "virus"}
    assert len(records) == 8
    assert all(r.power_w == pytest.approx(500.0) for r in records.values())
    assert records["virus fp32 2 MiB torch duty 0.5 of 1 s"].measured is not None
    html = (folder / "report.html").read_text()
    assert "duty 0.5 of 0.1 s" in html
    assert "context" in said
