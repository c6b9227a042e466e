"""The power limit of a machine's CPU packages, through Linux powercap: the long-term constraint of each, alike.

Source: Linux kernel, Documentation/power/powercap/powercap.rst.
"""

from __future__ import annotations

from pathlib import Path

from perwatt.benchmarks.caps.limit import PowerLimit, Refusal, written

LONG_TERM = "long_term"


class Packages(PowerLimit):
    """All packages together: each gets its part. What a package allows at most may be unknown; the least always is."""

    def __init__(self, root: str) -> None:
        zones = [z for z in sorted(Path(root).glob("intel-rapl:*")) if _text(z / "name").startswith("package-")]
        found = [file for zone in zones if (file := _constraint(zone)) is not None]
        if not found:
            raise Refusal(f"{root}: found no power limit of a CPU package (a virtual machine or a container hides it)")
        self._files = found
        self.name = f"{len(found)} CPU package{'s' if len(found) > 1 else ''}"
        most = [_text(file.with_name(file.name.replace("power_limit_uw", "max_power_uw"))) for file in found]
        self.most_w = sum(map(int, most)) * 1e-6 if all(text.isdecimal() and int(text) for text in most) else None

    def read(self) -> float:
        """The limit that is set, in W, of all packages."""
        try:
            return sum(int(file.read_text()) for file in self._files) * 1e-6
        except (OSError, ValueError) as error:
            raise Refusal(f"{self.name}: {error}") from None

    def write(self, watts: float) -> None:
        """Set it: the same for each package."""
        for file in self._files:
            written(file, watts / len(self._files))


def _constraint(zone: Path) -> Path | None:
    """The file of the limit that holds over seconds."""
    for name in sorted(zone.glob("constraint_*_name")):
        if _text(name) == LONG_TERM:
            return name.with_name(name.name.replace("_name", "_power_limit_uw"))
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
