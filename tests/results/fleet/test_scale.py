"""A fleet of the size of a gigafactory on two cores: 12,500 nodes of 8 devices and 40 cases merged and summarised in
90 s and 8 GiB; of 2,000 devices and 50,000 samples each, exact percentiles in 8 s and 1 GiB, sliding maxima in 15 s and
1.5 GiB.

PERWATT_WHOLE_FLEET=1 takes all of it. Otherwise a twentieth is taken, in a twentieth of the time and ``START_S`` for
what no fraction makes less; that much slack lets a fraction pass of which the whole would be too slow.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from fleet_files import CASES, DEVICES, write_fleet
from power_files import noisy, write_node
from spent import watched

from perwatt.results.fleet.merge import load

NODES, SECONDS, BYTES = 12_500, 90.0, 8 << 30
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


def allowed(seconds: float) -> float:
    return seconds / SHARE + (START_S if SHARE > 1 else 0)


@pytest.mark.slow
def test_a_fleet_is_merged_within_its_time_and_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    nodes = NODES // SHARE
    size = write_fleet(run, nodes)
    spent = watched([sys.executable, "-c", MERGE, str(run)])
    with capsys.disabled():
        print(f"\n{nodes} nodes, {size / 1e9:.2f} GB merged: {spent}")
    assert spent.peak_bytes < BYTES
    if SHARE > 1:
        found = load(run)
        assert len(found.index) == found.records == nodes * DEVICES * CASES
        assert len(found.cases) == CASES
        assert (found.missing, found.damaged) == ((), ())
    assert spent.within(allowed(SECONDS))


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
