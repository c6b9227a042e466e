"""``sweep=power_cap``: what may be set and by whom, what the records say, and that it is put back however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Perwatt
from powercap import BEFORE_W, draws, limit_w, package

from perwatt.benchmarks.caps.limit import PowerLimit, Refusal
from perwatt.benchmarks.caps.rapl import Packages
from perwatt.benchmarks.caps.sweep import KEPT, Setter, Sweep, found, from_config
from perwatt.benchmarks.config import BadRequest, composed
from perwatt.benchmarks.plan import check
from perwatt.results.store import load


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    return package(tmp_path / "powercap")


@pytest.fixture
def drawing(powercap: Path) -> Iterator[Path]:
    with draws(powercap):
        yield powercap


def request(powercap: Path, *more: str) -> list[str]:
    asked = ["run", "suite=matmul", "kernels.matmul.dtype=fp32", "kernels.matmul.m=64", "device=cpu", "meter=rapl"]
    asked += [f"meter.rapl.root={powercap}", "sweep=power_cap", "sweep.caps_w=[150,90]", "profile.window_s=0.3"]
    return [*asked, f"sweep.powercap_root={powercap}", "profile.warmup_s=0.05", *more]


@pytest.mark.slow
def test_each_case_is_measured_at_each_cap_and_the_limit_is_put_back(
    drawing: Path, tmp_path: Path, perwatt: Perwatt
) -> None:
    done = perwatt(*request(drawing, "allow_settings=true"))
    assert done.code == 0, done.err
    records = load(tmp_path / done.run)
    assert [r.case.cap_w for r in records] == [150.0, 90.0]
    assert [r.case.label for r in records] == ["fp32 64x64x64 150 W", "fp32 64x64x64 90 W"]
    for record in records:
        assert record.power_w == pytest.approx(record.case.cap_w, rel=0.05)
        assert record.measured is not None
        assert [r.conditions.limit_w for r in record.measured.repetitions if r.conditions] == [
            {"enforced": record.case.cap_w}
        ] * len(record.measured.repetitions)
    assert limit_w(drawing) == BEFORE_W
    assert not (tmp_path / done.run / KEPT).exists()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_it_is_put_back_when_the_run_is_ended_or_killed(drawing: Path, tmp_path: Path, sent: signal.Signals) -> None:
    asked = request(drawing, "allow_settings=true", "profile.window_s=20")
    run = subprocess.Popen(
        [sys.executable, "-m", "perwatt.benchmarks.cli", *asked], cwd=tmp_path, start_new_session=True
    )
    deadline = time.monotonic() + 180
    while limit_w(drawing) == BEFORE_W and time.monotonic() < deadline:
        time.sleep(0.05)
    assert limit_w(drawing) == 150.0
    os.killpg(run.pid, sent)  # its guard is in no group of its
    run.wait(120)
    deadline = time.monotonic() + 60
    while limit_w(drawing) != BEFORE_W and time.monotonic() < deadline:
        time.sleep(0.05)
    assert limit_w(drawing) == BEFORE_W


def test_without_leave_it_is_a_dry_run(powercap: Path, tmp_path: Path, perwatt: Perwatt) -> None:
    done = perwatt(*request(powercap))
    assert done.code == 0
    assert "nothing is set or measured without allow_settings=true" in done.err
    assert "power limits 150, 90 W" in done.out
    assert "now 165 W" in done.out
    assert done.out.count("fp32 64x64x64") == 2
    assert limit_w(powercap) == BEFORE_W
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("caps", "told", "cases"),
    [("[90,150]", "power limits 150, 90 W", 2), ("null", "power limits 6 from the most to the least allowed", 6)],
)
def test_of_several_machines_each_node_sets_its_own(
    tmp_path: Path, perwatt: Perwatt, caps: str, told: str, cases: int
) -> None:
    asked = ("suite=matmul", "kernels.matmul.dtype=fp32", "kernels.matmul.m=64", "device=cpu", "sweep=power_cap")
    done = perwatt("run", *asked, f"sweep.caps_w={caps}", "launcher=ssh", "launcher.hosts=[a,b]")
    assert done.code == 0, done.err
    assert f"{told}, one after the other, on each node; groups at those that are set now" in done.out
    assert done.last["cases"] == cases
    assert not (tmp_path / "results").exists()


def test_levels_come_from_what_the_devices_allow() -> None:
    class Allowed(PowerLimit):
        name, least_w, most_w = "GPU", 200.0, 700.0

        def read(self) -> float:
            return 650.0

        def write(self, watts: float) -> None:
            raise AssertionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("perwatt.benchmarks.caps.sweep.limits", lambda *_: [Allowed()])
        assert found(Sweep("power_cap"), "cuda", [])[1] == [700, 600, 500, 400, 300, 200]
        assert found(Sweep("power_cap", caps_w=(300, 700)), "cuda", [])[1] == [700, 300]
        with pytest.raises(BadRequest, match="found 150 W; allowed 200 to 700 W"):
            found(Sweep("power_cap", caps_w=(150,)), "cuda", [])


def test_what_a_device_does_not_take_is_said_and_what_was_set_put_back(powercap: Path, tmp_path: Path) -> None:
    sweep = Sweep("power_cap", caps_w=(150, 90), powercap_root=str(powercap))
    with pytest.MonkeyPatch.context() as patch, Setter(tmp_path, sweep, "cpu", [{"index": 0}]) as setter:
        patch.setattr(Packages, "write", lambda self, watts: None)
        with pytest.raises(BadRequest, match="was to be held at 90 W and says 165 W"):
            setter.set(90)
    with contextlib.suppress(ZeroDivisionError), Setter(tmp_path, sweep, "cpu", [{"index": 0}]) as setter:
        setter.set(90)
        assert limit_w(powercap) == 90
        assert json.loads((tmp_path / KEPT).read_text())["before_w"] == [BEFORE_W]
        raise ZeroDivisionError
    assert limit_w(powercap) == BEFORE_W
    assert not (tmp_path / KEPT).exists()


def test_a_run_that_was_killed_with_its_guard_puts_back_what_was_set_before_it(powercap: Path, tmp_path: Path) -> None:
    Packages(str(powercap)).write(90)
    (tmp_path / KEPT).write_text(json.dumps({"before_w": [BEFORE_W]}))
    sweep = Sweep("power_cap", caps_w=(150,), powercap_root=str(powercap))
    with Setter(tmp_path, sweep, "cpu", [{"index": 0}]) as setter:
        setter.set(150)
    assert limit_w(powercap) == BEFORE_W


def test_two_packages_share_a_cap_and_a_tree_without_limits_is_refused(powercap: Path, tmp_path: Path) -> None:
    second = powercap / "intel-rapl:1"
    second.mkdir()
    for name, text in (("name", "package-1"), ("constraint_0_name", "long_term"), ("constraint_0_power_limit_uw", "1")):
        (second / name).write_text(text)
    both = Packages(str(powercap))
    assert both.most_w is None
    both.write(200)
    assert (limit_w(powercap), both.read()) == (100.0, 200.0)
    with pytest.raises(Refusal, match="found no power limit"):
        Packages(str(tmp_path))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("sweep.caps_w=[]", "allowed a list of watts"),
        ("sweep.caps_w=[300,300]", "each above 0 and once"),
        ("sweep.caps_w=[-3]", "each above 0"),
        ("sweep.caps_w=300", "allowed a list of watts"),
        ("sweep.levels=1", "allowed 2 to 100"),
        ("sweep.tolerance_w=0", "allowed watts above 0"),
    ],
)
def test_what_is_wrong_is_one_line(asked: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        check(composed(["suite=matmul", "sweep=power_cap", asked]))


def test_no_sweep_changes_no_case() -> None:
    plain = composed(["suite=matmul"])
    assert from_config(plain) is None
    plan = check(plain)
    keys = {p.case.key for p in plan.cases("cpu", 1)}
    at_two = plan.cases("cpu", 1, caps_w=(300.0, 200.0))
    assert len(at_two) == 2 * len(keys)
    assert not keys & {p.case.key for p in at_two}
    assert [p.case.cap_w for p in at_two] == [300.0] * len(keys) + [200.0] * len(keys)
