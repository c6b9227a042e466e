"""What the parts of the harness cost, one call each: `make overhead` prints the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from records import energy, measured, record

from perwatt.benchmarks.meters.meter import Part
from perwatt.benchmarks.meters.rapl import Rapl
from perwatt.benchmarks.meters.replay import Replay
from perwatt.benchmarks.stopping import Duration, Stdrel, StoppingRule
from perwatt.benchmarks.timers import HostTimer
from perwatt.results.store import Store


def test_read_a_rapl_meter_of_two_packages(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    for n in range(2):
        zone = tmp_path / f"intel-rapl:{n}"
        zone.mkdir()
        for name, text in (("name", f"package-{n}"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "1")):
            (zone / name).write_text(text)
    meter = Rapl(str(tmp_path))
    meter.open(Part("cpu"))
    assert benchmark(meter.read).status == "ok"


def test_read_a_replayed_meter(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    rows = "\n".join(f"{t},{100 + t % 7}" for t in range(10_000))
    (tmp_path / "t.csv").write_text(f"t_s,power_w\n{rows}\n")
    meter = Replay(str(tmp_path / "t.csv"))
    meter.open(Part("cpu"))
    assert benchmark(meter.read).status == "ok"


def test_append_a_record_and_sync_it(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        benchmark(store.append, record(outcome=measured(energy())))


@pytest.mark.parametrize("rule", [Duration(1e9), Stdrel(timeout_s=1e9)], ids=["duration", "stdrel"])
def test_add_a_sample_to_a_stopping_rule(benchmark: BenchmarkFixture, rule: StoppingRule) -> None:
    benchmark(rule.add, 0.01)


def test_time_an_empty_launch(benchmark: BenchmarkFixture) -> None:
    """A thousand samples of nothing: per sample, a thousandth of what is printed."""
    timer = HostTimer()
    assert len(benchmark(timer.chunk, lambda: None, 1000, 1)) == 1000
