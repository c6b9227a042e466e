"""Power at rest: what a device draws with its context created and nothing to do.

Gross power is what perwatt judges by; idle power stands beside it, since net figures flatter hardware that idles badly.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from perwatt.benchmarks.sampler import Channel, Sampler
from perwatt.benchmarks.window import Window
from perwatt.results.record import Idle


def idle(
    channels: Sequence[Channel], seconds: float, settle_s: float, interrupted: Callable[[float], bool]
) -> tuple[Idle, ...]:
    """Rest ``settle_s``, then measure the power of ``seconds`` at rest, by each meter that could say.

    ``interrupted`` waits so long and says whether to stop; then nothing is returned.
    """
    sampler = Sampler(channels)
    with sampler:
        sampler.hurry(True)
        window = Window(sampler)
        if interrupted(max(settle_s, sampler.settle_s)):
            return ()
        window.open()
        if interrupted(seconds):
            return ()
        window.close()
        if interrupted(sampler.settle_s):
            return ()
        sampler.hurry(False)
    found = []
    for energy in window.energies():
        channel = next(c for c in channels if c.capabilities.name == energy.meter)
        inside = channel.between(window.start_ns, window.end_ns)
        polled = [r.value for r in inside if r.value is not None] if channel.capabilities.kind == "power" else []
        spread = statistics.stdev(polled) if len(polled) > 1 else None
        power_w = energy.energy_j / window.seconds
        found.append(Idle(energy.meter, energy.boundary, energy.packages, power_w, spread, window.seconds))
    return tuple(found)
