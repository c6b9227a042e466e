"""Loads with a period, and sensors with one: when the two beat, and how to start a segment at a chosen phase.

A sensor that looks 25 ms in every 100 ms errs by tens of per cent on a load of that period, by the phase between the
two alone, and a longer window does not help. Segments that start at evenly spaced phases of the sensor do: each error
meets its opposite. Phases drawn at random, or jittered in their strata, bring most of the error back.
"""

from __future__ import annotations

import time

from perwatt.benchmarks.meters.meter import Capabilities
from perwatt.benchmarks.sampler import Channel

NEAR = 0.02  # a load period this close to the sensor's, or to a half, a third, a quarter of it, beats with it
FRACTIONS = (1, 2, 3, 4)
SHORTEST_S = 0.004  # a shorter load is averaged over several of its periods even by a part-time sensor
SPIN_S = 0.002


def resonant(load_s: float, about: Capabilities) -> bool:
    """Whether a load that repeats every ``load_s`` can beat with this meter.

    A meter of known full attention integrates everything and cannot; of one behind a network the sensor is unknown.
    """
    if about.remote or about.attention == 1 or load_s < SHORTEST_S or about.averaging_s > about.period_s:
        return False
    return any(abs(load_s * k / about.period_s - 1) <= NEAR for k in FRACTIONS)


def wait_for_phase(channel: Channel, phase: float) -> None:
    """Return ``phase`` of a period after a renewal of the meter that is seen now: the renewals are found again each
    time, since their period is known to a part in ten thousand only. Gives up looking after three periods."""
    period_s = channel.capabilities.period_s
    before = channel.poll(0.0)
    seen_ns = time.monotonic_ns()
    until_ns = seen_ns + round(3 * period_s * 1e9)
    while time.monotonic_ns() < until_ns:
        reading = channel.poll(0.0)
        if reading is not None and before is not None and reading.value != before.value:
            seen_ns = reading.mono_ns
            break
        time.sleep(min(5e-4, period_s / 50))
    due_ns = seen_ns + round(phase * period_s * 1e9)
    while (left_s := (due_ns - time.monotonic_ns()) * 1e-9) > 0:
        if left_s > SPIN_S:
            time.sleep(left_s - SPIN_S)
