"""Intel GPUs through the kernel's own sensors: the drivers ``xe`` and ``i915``, and no library.

hwmon tells the energy of the card as ``energy1_input`` (Linux 6.5 and newer) and that of its package as
``energy2_input`` (6.8), in microjoules. The package lies inside the card: one of them is metered, never both.
``power1_max`` is the sustained limit in microwatts, ``temp2_input`` and ``temp3_input`` are package and memory.
Source: Linux kernel, Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon and sysfs-driver-intel-i915-hwmon.
"""

from __future__ import annotations

import errno
import re
import time
from pathlib import Path

from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Snapshot, Status, Unavailable
from perwatt.benchmarks.meters.sysfs import contents

DRIVERS = ("xe", "i915")
BOUNDARIES = {"energy1_input": "gpu", "energy2_input": "gpu_package"}  # the widest first
REMEDY = "load the driver xe (Linux 6.8 or newer), or i915 for a discrete card; in a container, mount the host's /sys"
ACCESS = "as root: chmod a+r the energy*_input files of the card's hwmon folder"


def told(path: Path) -> str | None:
    """A file's text, None where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return None


def scaled(path: Path, unit: float) -> float | None:
    """A file's number in the base unit, None where it cannot be read or is no number."""
    try:
        return int(told(path) or "") * unit
    except ValueError:
        return None


def cards(root: Path) -> list[tuple[Path, Path]]:
    """The cards below ``root`` that have such sensors, each with the folder of these, by number: card10 follows card9,
    and card0-DP-1 is a socket."""
    found = []
    numbered = [path for path in root.glob("card*") if re.fullmatch(r"card\d+", path.name)]
    for card in sorted(numbered, key=lambda path: int(path.name[4:])):
        for hwmon in sorted((card / "device" / "hwmon").glob("hwmon*")):
            if told(hwmon / "name") in DRIVERS and any((hwmon / name).exists() for name in BOUNDARIES):
                found.append((card, hwmon))
                break
    return found


class Xe(Meter):
    """The card's energy in J since it was opened; that of its package where the card's is not told.

    ``root``: where the kernel lists graphics cards; ``board``: a card by its index, whatever runs the load.
    """

    scope = "device"

    def __init__(self, root: str = "/sys/class/drm", poll_s: float = 0.05, board: int | None = None) -> None:
        if not isinstance(root, str) or not root:
            raise ValueError(f"meter.xe.root: {root!r} is not a folder")
        if isinstance(poll_s, bool) or not isinstance(poll_s, int | float) or not 0.001 <= poll_s <= 10:
            raise ValueError(f"meter.xe.poll_s: {poll_s!r} is not between 0.001 and 10 s")
        if board is not None and (isinstance(board, bool) or not isinstance(board, int) or board < 0):
            raise ValueError(f"meter.xe.board: {board!r} is neither null nor the index of a card")
        self.root, self.poll_s, self.board = Path(root), poll_s, board

    def open(self, part: Part) -> Capabilities:
        """Find the card and read it once. Raises :class:`Unavailable`."""
        if part.type != "xpu" and self.board is None:
            raise Unavailable("the device under test is not an Intel GPU", "meter.xe.board=0 meters one all the same")
        found = cards(self.root)
        if not found:
            raise Unavailable(f"no card under {self.root} has sensors of xe or i915", REMEDY)
        index = part.index if self.board is None else self.board
        if index >= len(found):
            raise Unavailable(f"{len(found)} cards have sensors of xe or i915; there is no card {index}")
        card, self._hwmon = found[index]
        self._zero_uj, self._last_uj, self._lost = 0, -1, False
        name = self._find()
        self._zero_uj = self._last_uj
        package = (card / "device").resolve().name.partition(".")[0] if (card / "device").is_symlink() else card.name
        boundary = BOUNDARIES[name]
        facts = {"driver": told(self._hwmon / "name"), "card": card.name, "file": name}
        return Capabilities(
            name="xe",
            kind="energy",
            boundary=boundary,
            packages=(package,),
            period_s=0.1,  # not documented; the renewal of this board is found by `perwatt meter characterise`
            poll_s=self.poll_s,
            quantum=1e-6,
            accuracy_class="D",
            detail="" if self.root == Path("/sys/class/drm") else f"root {self.root}",
            limit_w=scaled(self._hwmon / "power1_max", 1e-6) if boundary == "gpu" else None,
            instrument=f"hwmon:{package}:{boundary}",
            facts={key: value for key, value in facts.items() if value},
        )

    def _find(self) -> str:
        """The widest counter that answers. Raises :class:`Unavailable` with what the first of them said."""
        statuses = []
        for name in BOUNDARIES:
            self._file = self._hwmon / name
            if not self._file.exists():
                continue
            reading = self.read()
            if reading.value is not None:
                return name
            statuses.append(reading.status)
        remedy = ACCESS if "no_permission" in statuses else REMEDY
        raise Unavailable(f"{self._hwmon} does not tell its energy ({statuses[0]})", remedy)

    def read(self) -> Reading:
        """One file; its error becomes the reading's status."""
        start = time.monotonic_ns()
        status: Status = "ok"
        raw: int | None = None
        try:
            raw = int(contents(self._file))
        except PermissionError:
            status = "no_permission"
        except OSError as error:
            status = "lost" if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO) else "unsupported"
        except ValueError:
            status = "out_of_range"
        end = time.monotonic_ns()
        if raw is not None and raw < self._last_uj:  # the driver was reloaded: what came between is not known
            self._lost = True
        if self._lost:
            raw, status = None, "lost"
        if raw is None:
            return Reading((start + end) // 2, end - start, None, status)
        self._last_uj = raw
        return Reading((start + end) // 2, end - start, (raw - self._zero_uj) * 1e-6, status)

    def snapshot(self) -> Snapshot | None:
        """Temperatures and limits, as far as the driver tells them."""
        degrees = {
            "gpu": scaled(self._hwmon / "temp2_input", 1e-3),
            "memory": scaled(self._hwmon / "temp3_input", 1e-3),
        }
        limits = {
            "enforced": scaled(self._hwmon / "power1_max", 1e-6),
            "default": scaled(self._hwmon / "power1_rated_max", 1e-6),
        }
        return Snapshot(
            temperature_c={name: value for name, value in degrees.items() if value is not None},
            limit_w={name: value for name, value in limits.items() if value is not None},
        )
