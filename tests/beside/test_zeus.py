"""perwatt beside zeus on one stand-in board of known truth, over the same windows: whose joules are nearer."""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fake_nvml
import pytest
from conftest import require

PROGRAM = Path(__file__).with_name("zeus_program.py")
SHORT = [0.05, 0.13, 0.27, 0.56, 1.04, 2.3, 4.85]  # few are whole periods of the counter
# name, curve, windows in s; the sensor looks 25 ms in every 100 ms, the counter is renewed every 100 ms
SET: list[tuple[str, str, list[float]]] = [
    ("constant 100 W", "steps:0:100", [10.0]),
    ("constant 400 W", "steps:0:400", [10.0]),
    ("constant 700 W", "steps:0:700", [12.0]),
    *((f"step up at {at} s", f"steps:0:150:{at}:600", [5.0]) for at in (2.5, 3.15)),
    *((f"step down at {at} s", f"steps:0:600:{at}:150", [5.0]) for at in (2.85, 3.5)),
    *(
        (f"wave of {ms} ms", f"square:150:450:{ms / 1000}:0.5", [5.0])
        for ms in (20, 35, 50, 65, 80, 104, 130, 160, 200)
    ),
    *((f"short windows at {w} W", f"steps:0:{w}", SHORT) for w in (150, 300, 500, 650)),
]


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("gain", [1.0, 0.95])
def test_perwatt_is_at_least_twice_as_near_as_zeus(gain: float, compiler: str, tmp_path: Path) -> None:
    require("zeus", importlib.util.find_spec("zeus") is not None)
    library = fake_nvml.build(compiler, tmp_path)

    def measure(numbered: tuple[int, tuple[str, str, list[float]]]) -> list[dict[str, Any]]:
        seed, (name, curve, windows) = numbered
        asked = json.dumps({"windows": windows, "seed": seed, "gain": gain})
        env = fake_nvml.environment(library, curve=curve, window_s=0.025, phase_s=0.007 * seed, gain=gain)
        done = subprocess.run(
            [sys.executable, str(PROGRAM), asked], env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return [{"name": name, **json.loads(line)} for line in done.stdout.splitlines() if line.startswith("{")]

    with ThreadPoolExecutor(8) as pool:
        rows = [row for found in pool.map(measure, enumerate(SET)) for row in found]
    print(f"\ngain {gain}\n{'load':26}{'window s':>9}{'perwatt %':>11}{'zeus %':>9}  flags")
    for row in rows:
        ours = "absent" if row["perwatt"] is None else f"{100 * row['perwatt']:.3f}"
        print(f"{row['name']:26}{row['seconds']:9}{ours:>11}{100 * row['zeus']:9.2f}  {', '.join(row['flags'])}")
    known = [row for row in rows if row["perwatt"] is not None]
    ours, theirs = (statistics.median(abs(row[who]) for row in known) for who in ("perwatt", "zeus"))
    flagged = [row for row in rows if row["flags"]]
    print(f"median |error|: perwatt {ours:.3%}, zeus {theirs:.3%}; {len(flagged)} of {len(rows)} flagged")
    assert ours <= theirs / 2
    assert [r for r in known if not r["flags"] and abs(r["perwatt"]) > 0.01] == []
    assert [r for r in rows if r["flags"] and r["seconds"] >= 10] == []
    assert len(flagged) <= len(rows) / 5
