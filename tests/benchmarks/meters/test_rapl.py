"""RAPL on trees whose truth is known: zones, wraps, permissions, and what is not a tree at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.benchmarks.meters.rapl import Rapl


def zone(root: Path, place: str, name: str, energy_uj: int = 0, span: int = 262_143_328_850) -> Path:
    path = root / place
    path.mkdir(parents=True)
    (path / "name").write_text(name + "\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    (path / "max_energy_range_uj").write_text(f"{span}\n")
    return path


def test_packages_and_memory_are_summed_and_nothing_twice(tmp_path: Path) -> None:
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
    }
    paths = {place: zone(tmp_path, place, name, 1_000_000) for place, name in zones.items()}
    meter = Rapl(str(tmp_path))
    about = meter.open(Part("cpu"))
    assert about.packages == ("package-0", "dram@intel-rapl:0:1", "package-1")
    assert (about.kind, about.boundary) == ("energy", "cpu_package")
    assert meter.read().value == 0.0  # of an opened meter: nothing has passed yet
    for path in paths.values():
        (path / "energy_uj").write_text("3000000\n")
    assert meter.read().value == pytest.approx(6.0)  # 2 J each of two packages and one memory


def test_it_wraps_once_and_twice(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", 900, span=999)
    meter = Rapl(str(tmp_path))
    meter.open(Part("cpu"))
    for raw, total in ((999, 99), (0, 100), (500, 600), (100, 1200)):
        (path / "energy_uj").write_text(f"{raw}\n")
        assert meter.read().value == pytest.approx(total * 1e-6)


def test_no_permission_is_unavailable_with_the_rule_that_helps(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0")
    code = (
        "import os, sys\n"
        "from perwatt.benchmarks.meters.rapl import Rapl, Unavailable\n"
        "from perwatt.benchmarks.meters.meter import Part\n"
        "os.geteuid() or os.setuid(65534)\n"
        "try: Rapl(sys.argv[1]).open(Part('cpu'))\n"
        "except Unavailable as e: print(e.reason); print(e.remedy)"
    )
    (path / "energy_uj").chmod(0o000)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert f"no permission to read {path}/energy_uj" in done.stdout
    assert "udev" in done.stdout


def test_a_counter_that_goes_away_while_running_is_lost(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0")
    meter = Rapl(str(tmp_path))
    meter.open(Part("cpu"))
    os.rename(path, tmp_path / "gone")
    reading = meter.read()
    assert (reading.value, reading.status) == (None, "lost")


def test_garbage_is_out_of_range(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0")
    meter = Rapl(str(tmp_path))
    meter.open(Part("cpu"))
    (path / "energy_uj").write_text("banana\n")
    assert meter.read().status == "out_of_range"


@pytest.mark.parametrize("make", [lambda p: None, lambda p: zone(p, "dtpm", "dtpm")])
def test_nothing_there_says_so(tmp_path: Path, make: object) -> None:
    make(tmp_path)  # type: ignore[operator]
    with pytest.raises(Unavailable, match="no package zone"):
        Rapl(str(tmp_path)).open(Part("cpu"))
    with pytest.raises(Unavailable, match="does not exist"):
        Rapl(str(tmp_path / "absent")).open(Part("cpu"))


@pytest.mark.parametrize("poll_s", [0, 31, "x"])
def test_a_poll_that_would_miss_a_wrap_is_refused(poll_s: float) -> None:
    with pytest.raises(ValueError, match=r"meter\.rapl\.poll_s"):
        Rapl(poll_s=poll_s)


def test_what_the_packages_may_draw_bounds_what_is_believed(tmp_path: Path) -> None:
    for number in (0, 1):
        path = zone(tmp_path, f"intel-rapl:{number}", f"package-{number}")
        (path / "constraint_0_power_limit_uw").write_text("200000000\n")
        (path / "constraint_1_power_limit_uw").write_text("240000000\n")
    about = Rapl(str(tmp_path)).open(Part("cpu"))
    assert about.limit_w == pytest.approx(480)
    assert about.quantum == pytest.approx(61e-6, rel=0.01)
    assert about.instrument.endswith(":package-0+package-1")
    zone(tmp_path, "intel-rapl:0:0", "dram")
    assert Rapl(str(tmp_path)).open(Part("cpu")).limit_w is None


# In a mount namespace of its own a tree lies over the system's, and the meter is opened as a user opens it.
MOUNTED = """
import sys
from pathlib import Path
from perwatt.benchmarks.meters.meter import Part
from perwatt.benchmarks.meters.rapl import Rapl
zone = Path("/sys/class/powercap/intel-rapl:0")
zone.mkdir(parents=True)
(zone / "name").write_text("package-0")
(zone / "max_energy_range_uj").write_text("262143328850")
(zone / "energy_uj").write_text("0")
meter = Rapl()
meter.open(Part("cpu"))
(zone / "energy_uj").write_text("50000000")
print(meter.read().value)
"""


@pytest.mark.root
def test_a_tree_that_is_really_mounted_over_the_systems(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(MOUNTED)
    script = f"mount -t tmpfs none /sys/class && {sys.executable} {program}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(50.0)
