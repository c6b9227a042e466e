"""What tests of the whole command share: short windows, and the one run that they left."""

from __future__ import annotations

from pathlib import Path

SHORT = ("profile.warmup_s=0.02", "profile.window_s=0.1", "profile.min_readings=1")


def the_run(where: Path) -> Path:
    """The only run in the folder where the command was started."""
    (run,) = (where / "results" / "runs").iterdir()
    return run
