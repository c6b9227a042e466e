"""The whole command: a run as a user starts it, kills it, interrupts it, resumes it, and gets wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Perwatt
from processes import descendants, wait_for_ranks, wait_until_gone
from whole_runs import SHORT, the_run

from perwatt.results.record import Measured, Skipped
from perwatt.results.store import RECORDS, load

# Small and short: three sizes of a matmul, a tenth of a second each.
PAUSE_S = 1e-3
SMALL = ("run", "suite=matmul", "kernels.matmul.dtype=fp32", "kernels.matmul.m=[64,128,192]", "device=cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run, looked at by several tests; metered by a fake RAPL tree of a known 100 W."""
    where = tmp_path_factory.mktemp("finished")
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", *SMALL, *SHORT, "meter=none"]
    done = subprocess.run(argv, cwd=where, capture_output=True, text=True, check=True)
    (where / "stdout").write_text(done.stdout)
    (where / "stderr").write_text(done.stderr)
    return where


def test_it_leaves_everything_that_was_promised(finished: Path) -> None:
    run = the_run(finished)
    assert {p.name for p in finished.iterdir()} == {"results", "stdout", "stderr"}  # and nothing anywhere else
    assert {p.name for p in run.iterdir()} == {
        "config.yaml",
        "environment.json",
        "records.jsonl",
        "report.html",
        "telemetry.parquet",
    }
    records = load(run)
    assert [r.case.params["m"] for r in records] == [64, 128, 192]
    assert all(isinstance(r.outcome, Measured) for r in records)
    assert json.loads((run / "environment.json").read_text())["kind"] == "cpu"


def test_samples_are_all_there_in_time_order_with_warm_ups_marked(finished: Path) -> None:
    frame = pd.read_parquet(the_run(finished) / "telemetry.parquet")
    for record in load(the_run(finished)):
        m = record.measured
        assert m is not None
        rows = frame[(frame.case == record.case.key) & (frame.series == "seconds")]
        assert rows.t_ns.is_monotonic_increasing
        assert (rows.repetition >= 0).sum() == m.seconds.samples
        assert (rows.repetition == -1).sum() == m.seconds.warmup_samples > 0
        assert rows[rows.repetition >= 0].value.median() == pytest.approx(m.seconds.median)
        for index, window in enumerate(m.repetitions):
            mine = rows[rows.repetition == index]
            assert mine.n.sum() == window.iterations
            assert mine.t_ns.between(window.start_ns, window.start_ns + window.window_s * 1e9 + 1).all()
            # the window is full of samples: nothing else was in it but the loop's own looks, of microseconds, and a few
            # pauses of milliseconds, when the processor was another's: one in a hundred samples, and a few by chance
            ends_ns = mine.t_ns.to_numpy()
            between_s = np.diff(ends_ns, prepend=window.start_ns) * 1e-9 - mine.value * mine.n
            paused = between_s > PAUSE_S
            assert paused.sum() <= 3 + 0.01 * len(mine)
            assert between_s[~paused].sum() < 0.1 * window.window_s


def test_without_a_meter_no_watt_is_guessed(finished: Path) -> None:
    for record in load(the_run(finished)):
        assert record.power_w is None
        assert record.measured is not None
        assert record.measured.unmetered
        assert "indicative" not in record.flags
    out = (finished / "stdout").read_text()
    assert "not metered" in out
    assert " 0.0 W" not in out


def test_the_last_line_is_json_and_progress_is_on_stderr(finished: Path) -> None:
    last = json.loads((finished / "stdout").read_text().strip().splitlines()[-1])
    assert (last["measured"], last["failed"], last["exit"]) == (3, 0, 0)
    assert "[3/3]" in (finished / "stderr").read_text()
    assert "[3/3]" not in (finished / "stdout").read_text()


@pytest.mark.slow
def test_reports_can_be_had_again(finished: Path, perwatt: Perwatt) -> None:
    for form, mark in (("console", "matmul"), ("markdown", "|"), ("csv", "case"), ("json", '"schema"')):
        done = perwatt("report", "run=latest", f"format={form}", cwd=finished)
        assert done.code == 0
        assert mark in done.out
    run = the_run(finished)
    (run / "report.html").unlink()
    assert perwatt("report", f"run={run}", "format=html", cwd=finished).code == 0
    assert (run / "report.html").stat().st_size > 10_000


def rapl_tree(root: Path, watts: float) -> subprocess.Popen[bytes]:
    """A powercap tree whose counter advances, written by a process of its own."""
    zone = root / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "1")):
        (zone / name).write_text(text)
    code = (
        "import os, sys, time; path, watts = sys.argv[1], float(sys.argv[2]); zero = time.monotonic()\n"
        "while True:\n"
        "    open(path + '.new', 'w').write(str(int((time.monotonic() - zero) * watts * 1e6)))\n"
        "    os.replace(path + '.new', path); time.sleep(0.001)"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(zone / "energy_uj"), str(watts)])


@pytest.mark.slow
def test_throughput_per_watt_of_a_known_meter(tmp_path: Path, perwatt: Perwatt) -> None:
    writer = rapl_tree(tmp_path / "powercap", 100.0)
    try:
        where = f"meter.rapl.root={tmp_path / 'powercap'}"
        done = perwatt(*SMALL, "kernels.matmul.m=128", "profile.window_s=0.5", "meter=rapl", where)
    finally:
        writer.kill()
        writer.wait()
    assert done.code == 0, done.err
    (record,) = load(tmp_path / done.run)
    assert record.power_w == pytest.approx(100.0, rel=0.03)
    assert record.measured is not None
    per_window = [r.iterations * record.amount / (100.0 * r.window_s) for r in record.measured.repetitions]
    assert record.work_per_joule == pytest.approx(sum(per_window) / len(per_window), rel=0.03)
    assert "indicative" in record.flags
    energies = [e for r in record.measured.repetitions for e in r.energies]
    assert {(e.boundary, e.source, e.packages) for e in energies} == {("cpu_package", "counter", ("package-0",))}
    frame = pd.read_parquet(tmp_path / done.run / "telemetry.parquet")
    assert (frame.series == "energy_j:rapl").sum() >= 8


@pytest.mark.slow
def test_a_replayed_trace_is_marked_wherever_it_shows(tmp_path: Path, perwatt: Perwatt) -> None:
    (tmp_path / "trace.csv").write_text("t_s,power_w\n0,500\n1,500\n2,500\n")
    done = perwatt(*SMALL, *SHORT, "kernels.matmul.m=128", "meter=replay", "meter.replay.path=trace.csv")
    assert done.code == 0, done.err
    (record,) = load(tmp_path / done.run)
    assert record.power_w == pytest.approx(500.0)
    assert {e.source for _, e in record.energies} == {"replayed"}
    assert "replay" in done.out
    assert "replay" in (tmp_path / done.run / "report.html").read_text()


@pytest.mark.slow
def test_a_run_killed_at_any_moment_is_finished_by_resume(tmp_path: Path, perwatt: Perwatt) -> None:
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", *SMALL, "profile.window_s=0.3", "meter=none"]
    argv += ["kernels.matmul.m=[64,96,128,160,192]"]
    process = subprocess.Popen(argv, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[2/5]"):
            break
    family = descendants(process.pid)
    process.kill()
    process.wait()
    process.stderr.close()
    wait_until_gone(family)  # nothing goes on heating the machine
    run = the_run(tmp_path)
    before = (run / RECORDS).read_bytes()
    assert 2 <= len(load(run)) < 5

    done = perwatt("run", f"resume={run.name}")
    assert done.code == 0, done.err
    assert done.last["measured"] == 5
    records = load(run)
    assert [r.case.params["m"] for r in records] == [64, 96, 128, 160, 192]
    assert (run / RECORDS).read_bytes().startswith(before)  # what was measured was not touched
    frame = pd.read_parquet(run / "telemetry.parquet")
    assert set(frame.case) == {r.case.key for r in records}

    again = perwatt("run", f"resume={run}")
    assert again.code == 0
    assert len(load(run)) == 5


@pytest.mark.slow
@pytest.mark.alone
def test_ctrl_c_keeps_what_was_measured_and_reports_it(tmp_path: Path, perwatt: Perwatt) -> None:
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", *SMALL, "profile.window_s=1", "meter=none"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, cwd=tmp_path, stderr=pipe, stdout=pipe, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[1/3]"):
            break
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: the whole foreground group
    began = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 130, err
    assert json.loads(out.strip().splitlines()[-1])["exit"] == 130
    run = the_run(tmp_path)
    first, *rest = load(run)
    assert isinstance(first.outcome, Measured)
    assert "interrupted" not in first.flags
    assert all("interrupted" in r.flags for r in rest)
    assert (run / "report.html").is_file()

    done = perwatt("run", f"resume={run.name}")
    assert done.code == 0, done.err
    assert done.last["measured"] == 3
    assert all("interrupted" not in r.flags for r in load(run)[-2:])


@pytest.mark.slow
def test_a_dtype_that_the_device_lacks_is_skipped_with_the_reason(tmp_path: Path, perwatt: Perwatt) -> None:
    done = perwatt(*SMALL, *SHORT, "kernels.matmul.dtype=[tf32,fp32]", "kernels.matmul.m=64", "meter=none")
    assert done.code == 0
    skipped, measured = load(tmp_path / done.run)
    assert isinstance(skipped.outcome, Skipped)
    assert "fp32" in skipped.outcome.reason
    assert isinstance(measured.outcome, Measured)
    only = perwatt(*SMALL, *SHORT, "kernels.matmul.dtype=tf32", "kernels.matmul.m=64", "meter=none")
    assert only.code == 3  # nothing could be measured


@pytest.mark.slow
def test_a_damaged_record_is_refused_by_line_and_nothing_is_overwritten(tmp_path: Path, perwatt: Perwatt) -> None:
    run = tmp_path / "results" / "runs" / "damaged"
    run.mkdir(parents=True)
    (run / RECORDS).write_bytes(b"{}\n")
    (run / "config.yaml").write_text(perwatt("run", *SMALL[1:], "--cfg", "job").out)
    for arguments in (("run", "resume=damaged"), ("report", "run=damaged")):
        done = perwatt(*arguments)
        assert done.code == 2
        assert "records.jsonl line 1" in done.err
        assert len(done.err.strip().splitlines()) == 1
    assert (run / RECORDS).read_bytes() == b"{}\n"


@pytest.mark.slow
def test_two_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", *SMALL, *SHORT, "kernels.matmul.m=64", "meter=none"]
    both = [subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in "ab"]
    assert [p.wait(240) for p in both] == [0, 0]
    runs = list((tmp_path / "results" / "runs").iterdir())
    assert len(runs) == 2
    assert all(len(load(run)) == 1 for run in runs)


@pytest.mark.slow
def test_multirun_lands_in_one_folder_with_a_run_each(tmp_path: Path, perwatt: Perwatt) -> None:
    done = perwatt(*SMALL, *SHORT, "--multirun", "kernels.matmul.m=64,128", "meter=none")
    assert done.code == 0, done.err
    (sweep,) = (tmp_path / "results" / "runs").iterdir()
    assert sweep.name.split("-")[2] == "sweep"
    sizes = [load(sweep / job)[0].case.params["m"] for job in ("0", "1")]
    assert sizes == [64, 128]
    assert perwatt("report", "run=latest", "format=json").out.count('"schema"') == 1
    assert perwatt("report", f"run={sweep.name}/0").code == 0


@pytest.mark.slow
@pytest.mark.root
def test_a_full_disk_is_told_and_what_was_measured_is_kept(tmp_path: Path, perwatt: Perwatt) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "none", str(disk)], check=True)
    try:
        sizes = ",".join(str(16 * n) for n in range(4, 34))
        done = perwatt(
            *SMALL, *SHORT, f"kernels.matmul.m=[{sizes}]", "profile.window_s=0.05", "meter=none", f"runs_dir={disk}"
        )
        assert done.code == 1, done.err
        assert "No space left on device" in done.err
        assert "Traceback" not in done.err
        (run,) = disk.iterdir()
        kept = load(run)
        assert 1 <= len(kept) < 30
        assert done.last["measured"] == sum(r.measured is not None for r in kept)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.root
def test_a_results_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path, perwatt: Perwatt) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(disk)], check=True)
    try:
        done = perwatt(*SMALL, f"runs_dir={disk / 'runs'}")
        assert done.code == 2
        assert done.err.startswith("perwatt run: runs_dir=")
        assert "Read-only file system" in done.err
        assert len(done.err.strip().splitlines()) == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.alone
def test_a_second_ctrl_c_stops_everything_at_once(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", *SMALL, "kernels.matmul.m=7000", "profile.window_s=60"]
    for wait_s in (3.0, 10.0, 30.0):
        process = subprocess.Popen(
            [*argv, "meter=none"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_ranks(process.pid, 1)
        time.sleep(wait_s)  # in the midst of a check or a launch that takes seconds
        family = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        written = list(tmp_path.glob("results/runs/*/report.html"))
        if not written:
            break
        assert process.wait(10) == 130  # not so far yet: one was enough
        for path in written:
            path.unlink()
    else:
        pytest.fail("the case never began")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert time.monotonic() - began < 5
    wait_until_gone(family)
