"""Intel's cards as the kernel shows them below /sys/class/drm."""

from __future__ import annotations

from pathlib import Path


def card(root: Path, number: int, driver: str = "xe", **files: object) -> Path:
    """A card with sensors; returns their folder. Files as ``energy1_input=0``."""
    device = root.parent / "devices" / f"0000:{0x30 + number:02x}:00.0"
    hwmon = device / "hwmon" / f"hwmon{number + 3}"
    hwmon.mkdir(parents=True)
    (root / f"card{number}").mkdir(parents=True)
    (root / f"card{number}" / "device").symlink_to(device)
    (root / f"card{number}-DP-1").mkdir()
    for name, value in {"name": driver, **files}.items():
        (hwmon / name).write_text(f"{value}\n")
    return hwmon
