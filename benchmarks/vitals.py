"""What a device's driver told of its health before a case and after it, made one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from perwatt.benchmarks.meters.meter import Vitals
from perwatt.results.health import Health

Told = Mapping[str, tuple[Vitals, float]]  # by package: what was told, and the seconds that it took


def between(before: Told, after: Told) -> tuple[Health, ...]:
    """The health of each package over the case. What was told at one end only is left out, but for XIDs: those of the
    first reading have come since the case before."""
    return tuple(_one(package, before[package], after[package]) for package in before if package in after)


def _one(package: str, first: tuple[Vitals, float], last: tuple[Vitals, float]) -> Health:
    (a, a_s), (b, b_s) = first, last
    heard = None if b.xid is None else Counter(map(str, (*(a.xid or ()), *b.xid)))
    return Health(
        package=package,
        source=b.source,
        counts={name: (a.counts[name], value) for name, value in b.counts.items() if name in a.counts},
        state={name: (a.state[name], value) for name, value in b.state.items() if name in a.state},
        xid=None if heard is None else dict(sorted(heard.items(), key=lambda item: int(item[0]))),
        heard_by=b.heard_by,
        read_s=max(a_s, b_s),
    )
