"""A package of a CPU as Linux powercap shows it, whose limit may be set, and which draws what it may."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BEFORE_W = 165.0
DRAWS = """
import os, sys, time
zone = sys.argv[1]
joules, last = 0.0, time.monotonic()
while True:
    now = time.monotonic()
    joules += (now - last) * int(open(zone + '/constraint_0_power_limit_uw').read() or 0) * 1e-6
    last = now
    open(zone + '/energy_uj.new', 'w').write(str(int(joules * 1e6)))
    os.replace(zone + '/energy_uj.new', zone + '/energy_uj')
    time.sleep(0.001)
"""


def package(root: Path) -> Path:
    """One that may be set to 165 W, below ``root``."""
    zone = root / "intel-rapl:0"
    zone.mkdir(parents=True)
    told = {"name": "package-0", "max_energy_range_uj": 262143328850, "energy_uj": 1, "constraint_0_name": "long_term"}
    told |= {"constraint_0_power_limit_uw": int(BEFORE_W * 1e6), "constraint_0_max_power_uw": 165000000}
    for name, value in told.items():
        (zone / name).write_text(f"{value}\n")
    return root


@contextmanager
def draws(root: Path) -> Iterator[None]:
    """Its energy grows by its limit."""
    writer = subprocess.Popen([sys.executable, "-c", DRAWS, str(root / "intel-rapl:0")])
    try:
        yield
    finally:
        writer.kill()
        writer.wait()


def limit_w(powercap: Path) -> float:
    """What the kernel would say. Unlike the kernel's, this file is empty for a moment while it is written."""
    while not (told := (powercap / "intel-rapl:0" / "constraint_0_power_limit_uw").read_text()):
        time.sleep(0.001)
    return int(told) * 1e-6
