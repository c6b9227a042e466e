"""A fleet of the size of a gigafactory on two cores: 12,500 nodes of 8 devices and 40 cases merged and summarised in
90 s and 8 GiB, and its 100,000 devices judged in 60 s; of 2,000 devices and 50,000 samples each, exact percentiles in
8 s and 1 GiB, sliding maxima in 15 s and 1.5 GiB.

PERWATT_WHOLE_FLEET=1 takes all of it. Otherwise a twentieth is taken, in a twentieth of the time and ``START_S`` for
what no fraction makes less; that much slack lets a fraction pass of which the whole would be too slow.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from fleet_files import CASES, DEVICES, bad, write_fleet
from power_files import noisy, write_node
from spent import Spent, watched

from perwatt.results.fleet.merge import load

NODES, SECONDS, JUDGED_S, BYTES = 12_500, 90.0, 60.0, 8 << 30
POWER_NODES, SAMPLES = 250, 50_000
SHARE = 1 if os.environ.get("PERWATT_WHOLE_FLEET") else 20
START_S = 5.0  # interpreters and libraries, which no fraction makes less
MERGE = """
import sys
from pathlib import Path
from perwatt.results.fleet.merge import merge
if __name__ == "__main__":
    merge(Path(sys.argv[1]), jobs=2)
"""
POWER = """
import sys
from pathlib import Path
from perwatt.results.fleet.power import devices
if __name__ == "__main__":
    found = devices(Path(sys.argv[1]), windows_s=tuple(map(float, sys.argv[2:])), jobs=2)
    assert found.missing == {}
    found.frame.to_parquet(Path(sys.argv[1]) / "found.parquet")
"""
LIMITS = """
name: limits
criteria:
  - {name: rate, cases: "*", metric: rate, at_least: {value: 152.8, unit: MFLOP/s, source: made up, date: 2026-01-31}}
  - {name: heat, cases: "*", metric: throttled, at_most: {value: 1, unit: "%", source: made up, date: 2026-01-31}}
  - {name: ecc, cases: "*", metric: ecc, at_most: {value: 0, unit: "1", source: made up, date: 2026-01-31}}
"""


def allowed(seconds: float) -> float:
    return seconds / SHARE + (START_S if SHARE > 1 else 0)


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Spent]:
    """A fleet, merged, and what that took."""
    run = tmp_path_factory.mktemp("fleet") / "run"
    size = write_fleet(run, NODES // SHARE)
    spent = watched([sys.executable, "-c", MERGE, str(run)])
    print(f"\n{NODES // SHARE} nodes, {size / 1e9:.2f} GB merged: {spent}")
    return run, spent


@pytest.mark.slow
def test_a_fleet_is_merged_within_its_time_and_memory(merged: tuple[Path, Spent]) -> None:
    run, spent = merged
    assert spent.peak_bytes < BYTES
    if SHARE > 1:
        found = load(run)
        assert len(found.index) == found.records == NODES // SHARE * DEVICES * CASES
        assert len(found.cases) == CASES
        assert (found.missing, found.damaged) == ((), ())
    assert spent.within(allowed(SECONDS))


@pytest.mark.slow
@pytest.mark.parametrize("criteria", ["fleet", "limits"])
def test_a_fleet_is_judged_within_its_time_and_memory(
    merged: tuple[Path, Spent], criteria: str, tmp_path: Path
) -> None:
    """By the command, from what was merged to the reports: within the fleet in two metrics of 40 cases; and by absolute
    limits on the rate, heat and memory errors of each."""
    run, _ = merged
    by = tmp_path / "limits.yaml"
    by.write_text(LIMITS)
    asked = criteria if criteria == "fleet" else str(by)
    command = [sys.executable, "-m", "perwatt.benchmarks.cli", "accept", f"run={run}", f"criteria={asked}"]
    spent = watched([*command, f"out={tmp_path}"], code=1)
    print(f"\n{NODES // SHARE * DEVICES} devices judged by {criteria}: {spent}")
    told = json.loads((tmp_path / "verdict.json").read_text())
    devices = {v["subject"]: v["status"] for v in told["verdicts"] if v["scope"] == "device"}
    assert len(devices) == NODES // SHARE * DEVICES
    failed = {name for name, status in devices.items() if status == "FAIL"}
    assert len(failed & bad(NODES // SHARE)) >= 0.98 * len(bad(NODES // SHARE))
    assert len(failed - bad(NODES // SHARE)) <= 3  # one of a fleet is allowed, on average
    assert spent.peak_bytes < BYTES
    assert spent.within(allowed(JUDGED_S))


@pytest.mark.slow
def test_power_of_a_fleet_is_exact_within_its_time_and_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pandas as pd

    powers = [noisy(SAMPLES, seed) for seed in range(DEVICES)]
    nodes = max(POWER_NODES // SHARE, 1)
    for n in range(nodes):
        write_node(tmp_path, f"n{n:03}", [np.roll(power_w, 17 * n) for power_w in powers])
    for windows, seconds, most_bytes in (((), 8.0, 1 << 30), (("1.0",), 15.0, 3 << 29)):
        spent = watched([sys.executable, "-c", POWER, str(tmp_path), *windows])
        with capsys.disabled():
            print(f"\n{nodes * DEVICES * SAMPLES / 1e6:.1f} million samples, windows {windows}: {spent}")
        found = pd.read_parquet(tmp_path / "found.parquet")
        assert len(found) == nodes * DEVICES
        assert list(found["p99"][:DEVICES]) == [np.percentile(power_w, 99) for power_w in powers]
        assert spent.peak_bytes < most_bytes
        assert spent.within(allowed(seconds))
