"""RAPL through Linux powercap: the energy of the CPU packages, and of their memory where the zone exists.

``energy_uj`` counts microjoules up to ``max_energy_range_uj`` and starts again at 0; a 32-bit register behind it wraps
within minutes (65.7 kJ at 400 W: 164 s), so that it must be read more often than that. ``core`` and ``uncore`` are
parts of a package and ``psys`` contains it, so packages (with ``dram``, which lies outside) are summed and nothing
else. Since Linux 5.10 only root may read the counter (CVE-2020-8694). AMD Zen appears under the same names.
Source: Linux kernel, Documentation/power/powercap/powercap.rst.
"""

from __future__ import annotations

import errno
import socket
import time
from functools import cached_property
from pathlib import Path

from perwatt.benchmarks.caps.limit import Refusal
from perwatt.benchmarks.caps.rapl import Packages
from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Snapshot, Status, Unavailable
from perwatt.benchmarks.meters.sysfs import contents

RULE = (
    'SUBSYSTEM=="powercap", ACTION=="add", RUN+="/bin/sh -c \'chgrp perwatt /sys/%p/energy_uj; '
    "chmod g+r /sys/%p/energy_uj'\""
)
REMEDY = (
    "as root: groupadd -f perwatt; usermod -aG perwatt $USER; put this line into /etc/udev/rules.d/60-perwatt.rules "
    f"and reboot: {RULE}"
)


class _Zone:
    """One powercap zone, read as joules since it was opened; wraps are added up as they are seen."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._file = str(path / "energy_uj")
        self.range_uj = int((path / "max_energy_range_uj").read_text())
        self._last = self._raw()
        self._total_uj = 0

    def _raw(self) -> int:
        return int(contents(self._file))

    def joules(self) -> float:
        raw = self._raw()
        step = raw - self._last
        # the counter runs from 0 to max_energy_range_uj inclusive, hence the one
        self._total_uj += step if step >= 0 else step + self.range_uj + 1
        self._last = raw
        return self._total_uj * 1e-6


class Rapl(Meter):
    """CPU package (and memory) energy. ``root`` is where powercap is mounted, ``poll_s`` how often it is read."""

    scope = "host"

    def __init__(self, root: str = "/sys/class/powercap", poll_s: float = 0.2) -> None:
        if not isinstance(poll_s, int | float) or not 0.001 <= poll_s <= 30:
            raise ValueError(f"meter.rapl.poll_s: {poll_s!r} is not between 0.001 and 30 s (the counter wraps)")
        self.root, self.poll_s = Path(root), poll_s
        self._zones: list[_Zone] = []

    def open(self, part: Part) -> Capabilities:
        """Find the package zones and read them once."""
        if not self.root.is_dir():
            raise Unavailable(f"{self.root} does not exist", "load the intel_rapl_common and intel_rapl_msr modules")
        found = sorted(self.root.glob("intel-rapl:*"))
        named = [(zone, (zone / "name").read_text().strip()) for zone in found if (zone / "name").is_file()]
        wanted = [(zone, name) for zone, name in named if name.startswith("package-") or name == "dram"]
        if not wanted:
            raise Unavailable(
                f"no package zone under {self.root} (a virtual machine or a container hides it)",
                "run on the host itself, or mount its /sys/class/powercap",
            )
        try:
            self._zones = [_Zone(zone, f"{name}@{zone.name}" if name == "dram" else name) for zone, name in wanted]
        except PermissionError as error:
            raise Unavailable(f"no permission to read {error.filename}", REMEDY) from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"{self.root}: {error}") from None
        return Capabilities(
            name="rapl",
            kind="energy",
            boundary="cpu_package",
            packages=tuple(zone.name for zone in self._zones),
            period_s=0.001,
            poll_s=self.poll_s,
            # the register behind a zone has 32 bits: its unit is the range over 2^32 - 1
            quantum=max(zone.range_uj for zone in self._zones) * 1e-6 / (2**32 - 1),
            accuracy_class="D",
            limit_w=self._limit_w(),
            instrument=f"rapl:{socket.gethostname()}:{'+'.join(zone.name for zone in self._zones)}",
            detail="" if self.root == Path("/sys/class/powercap") else f"root {self.root}",
        )

    def _limit_w(self) -> float | None:
        """What the packages may draw for a moment, all together; None if one of them does not tell, or has memory
        beside it, whose power no constraint bounds."""
        if any(not zone.name.startswith("package-") for zone in self._zones):
            return None
        try:
            found = [
                max(int(f.read_text()) for f in zone.path.glob("constraint_*_power_limit_uw")) for zone in self._zones
            ]
        except (OSError, ValueError):  # also where there is no such file
            return None
        return sum(found) * 1e-6 or None

    def snapshot(self) -> Snapshot:
        """The limit that holds over seconds, of all packages together, where they tell it."""
        try:
            return Snapshot(limit_w={"enforced": self._limits.read()} if self._limits else {})
        except Refusal:
            return Snapshot()

    @cached_property
    def _limits(self) -> Packages | None:
        try:
            return Packages(str(self.root))
        except Refusal:
            return None

    def read(self) -> Reading:
        """Joules of all zones since they were opened."""
        start = time.monotonic_ns()
        status: Status = "ok"
        joules: float | None = None
        try:
            joules = sum(zone.joules() for zone in self._zones)
        except PermissionError:
            status = "no_permission"
        except OSError as error:
            status = "lost" if error.errno in (errno.ENOENT, errno.ENODEV) else "unsupported"
        except ValueError:
            status = "out_of_range"
        end = time.monotonic_ns()
        return Reading((start + end) // 2, end - start, joules, status)
