"""Power meters of the kernel's hwmon tree: NVIDIA Grace's sockets through ACPI, and any other chip by name and label.

Grace: each ``power1_oem_info`` says which socket and part it meters. ``Module`` is the superchip, GPU, HBM and
regulator losses included; ``Grace`` is the CPU with its memory and SysIO, ``CPU`` the cores alone. ``power1_average``
is the mean in uW over ``power1_average_interval`` ms. The driver says 4294967295000 when it does not know. There is no
counter.
Source: Linux kernel, Documentation/hwmon/acpi_power_meter.rst and sysfs-interface.rst; NVIDIA Grace tuning guide.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Literal

from perwatt.benchmarks.meters.meter import Capabilities, Part, Unavailable
from perwatt.benchmarks.meters.sysfs import FileMeter, first_word, number

UNKNOWN_UW = 4294967295000.0
PARTS = {"Module": "module", "Grace": "cpu_package", "CPU": "cpu_cores", "SysIO": "sysio"}
REMEDY = "a kernel with CONFIG_SENSORS_ACPI_POWER, booted with acpi_power_meter.force_cap_on=y"


class Hwmon(FileMeter):
    """Grace's sockets by ``part``; or, with ``chip``, the power inputs of that chip whose label matches ``label``,
    at ``boundary``."""

    kind: Literal["power"] = "power"

    def __init__(
        self,
        part: str = "Grace",
        chip: str | None = None,
        label: str = ".*",
        boundary: str | None = None,
        root: str = "/sys/class/hwmon",
        poll_s: float = 0.05,
    ) -> None:
        if part not in PARTS:
            raise ValueError(f"meter.hwmon.part: found {part!r}, allowed {', '.join(PARTS)}")
        if chip is not None and boundary is None:
            raise ValueError("meter.hwmon.boundary: found null, allowed what the chip encloses: node_dc, gpu, ...")
        number("hwmon", "poll_s", poll_s, 0.001, 60)
        try:
            self.label = re.compile(label)
        except re.error as error:
            raise ValueError(f"meter.hwmon.label: found {label!r}, not a pattern ({error})") from None
        self.part, self.chip, self.boundary, self.poll_s = part, chip, boundary, poll_s
        self.root = Path(root)

    def open(self, part: Part) -> Capabilities:
        """Find the sockets or the chip and read each once. Raises :class:`Unavailable`."""
        found = self._sockets() if self.chip is None else self._inputs(self.chip)
        if not found:
            what = f"no {self.part} power socket" if self.chip is None else f"no power of a chip {self.chip}"
            raise Unavailable(f"{what} under {self.root}", REMEDY if self.chip is None else "sensors lists the chips")
        self.start({name: partial(first_word, file, 1e-6, (UNKNOWN_UW,)) for name, file in found.items()})
        interval_s = self._interval_s(next(iter(found.values())))
        return Capabilities(
            name="hwmon",
            kind="power",
            boundary=self.boundary or PARTS[self.part],
            packages=tuple(found),
            period_s=interval_s or 0.05,
            poll_s=self.poll_s,
            quantum=1e-6,
            accuracy_class="D",
            averaging_s=interval_s or 0.0,
            instrument=f"hwmon:{'+'.join(found)}",
            detail="" if self.root == Path("/sys/class/hwmon") else f"root {self.root}",
        )

    def _sockets(self) -> dict[str, Path]:
        out = {}
        for info in sorted(self.root.glob("hwmon*/device/power1_oem_info")):
            said = info.read_text().strip()
            if match := re.fullmatch(rf"{self.part} Power Socket (\d+)", said):
                out[f"{self.part}-{match[1]}"] = info.with_name("power1_average")
        return out

    def _inputs(self, chip: str) -> dict[str, Path]:
        out: dict[str, Path] = {}
        for name in sorted(self.root.glob("hwmon*/name")):
            if name.read_text().strip() != chip:
                continue
            for file in sorted([*name.parent.glob("power*_input"), *name.parent.glob("power*_average")]):
                channel = file.name.split("_")[0]
                label = file.with_name(f"{channel}_label")
                said = label.read_text().strip() if label.is_file() else channel
                # of a channel that has both, the reading of the moment is taken
                if self.label.fullmatch(said):
                    out.setdefault(f"{name.parent.name}:{said}", file)
        return out

    @staticmethod
    def _interval_s(file: Path) -> float | None:
        try:
            return first_word(file.with_name("power1_average_interval"), 1e-3) or None
        except (OSError, ValueError):
            return None
