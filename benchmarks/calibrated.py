"""What was found out about a board's sensor, put to use whenever that board is metered."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from perwatt.benchmarks.sampler import Channel
from perwatt.results.calibration import Characteristic, load, path


def calibrate(channels: Iterable[Channel]) -> None:
    """Apply to each channel the file of its package and meter, where there is one. Raises ValueError for a bad one."""
    for channel in channels:
        about = channel.capabilities
        if len(about.packages) == 1 and (found := load(about.packages[0], about.name)) is not None:
            apply(channel, found)


def apply(channel: Channel, found: Characteristic) -> None:
    """Put a characteristic in place of what the meter assumed of its sensor."""
    about = channel.capabilities
    told = {
        "period_s": found.period_s,
        "delay_s": found.delay_s,
        "averaging_s": found.averaging_s,
        "attention": found.attention,
    }
    changes: dict[str, object] = {key: value for key, value in told.items() if value is not None}
    if (fitted := found.calibration) is not None:
        channel.correction = (fitted.gain, fitted.offset_w)
        channel.calibration = path(found.package, found.meter).name
        # stated as the half-width of a rectangular distribution, as every accuracy is
        changes |= {"accuracy": math.sqrt(3) * fitted.u_gain, "accuracy_source": f"calibrated by {fitted.reference}"}
    channel.capabilities = replace(about, **changes)  # type: ignore[arg-type]
