"""One reading through a vendor's own binding: for a process that loads the stand-in libraries (see test_vendor.py)."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from perwatt.benchmarks.meters.amd import AmdEnergy, AmdPower
from perwatt.benchmarks.meters.meter import Meter, Part
from perwatt.benchmarks.meters.nvml import NvmlAverage, NvmlEnergy, NvmlInstant

LIMIT_S = 200e-6  # at the fastest poll of 4 ms that is a twentieth of one core


@pytest.mark.parametrize("kind", [NvmlEnergy, NvmlInstant, NvmlAverage, AmdEnergy, AmdPower])
def test_cost_of_a_read(kind: type[Meter], benchmark: BenchmarkFixture) -> None:
    meter = kind()
    meter.open(Part("cuda"))
    assert meter.read().status == "ok"
    benchmark.pedantic(meter.read, rounds=200, iterations=10)
    if benchmark.stats is not None:  # None where benchmarks are disabled
        assert benchmark.stats.stats.median < LIMIT_S


@pytest.mark.parametrize("kind", [NvmlEnergy, AmdEnergy])
def test_cost_of_a_snapshot(kind: type[Meter], benchmark: BenchmarkFixture) -> None:
    """Twice a window, beside the power: throttling, temperatures, clocks, limits, processes."""
    meter = kind()
    meter.open(Part("cuda"))
    assert benchmark.pedantic(meter.snapshot, rounds=100, iterations=1) is not None
