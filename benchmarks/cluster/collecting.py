"""Meters behind a network that the leader of a fleet reads for all nodes, while these measure: PDUs, controllers.

Each node reads its own meters; what hangs on an outlet or answers in a controller is read once, by one machine, and
stamped on the leader's clock when it came. :mod:`perwatt.results.fleet.remote` lays it beside the nodes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perwatt.benchmarks.build import build
from perwatt.benchmarks.cluster.keys import refuse_unknown
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.meters.meter import Meter, Part
from perwatt.benchmarks.sampler import Channel, Sampler, open_meters
from perwatt.results import calibration
from perwatt.results.fleet import remote
from perwatt.results.fleet.layout import REMOTE
from perwatt.results.fleet.nodesets import expand
from perwatt.results.telemetry import fold, write_part

KEEP_S = 30.0  # between two writings of what was read: a kill loses no more
METERS = "perwatt.benchmarks.meters"
Clock = Callable[[int], int]  # from this machine's monotonic clock to the leader's UTC, in ns


def asked(config: Mapping[str, Any]) -> dict[str, tuple[Meter, tuple[str, ...]]]:
    """The meters of ``conf/remote`` by name, with the nodes behind each. Raises BadRequest for what is wrong."""
    refuse_unknown(config, ("name", "meters"), "remote")
    found = {}
    for name, node in (config.get("meters") or {}).items():
        where = f"remote.meters.{name}"
        if not isinstance(node, Mapping) or not (nodes := node.get("nodes")):
            raise BadRequest(f"{where}.nodes: found nothing; allowed the hosts behind this meter")
        hosts = expand(nodes) if isinstance(nodes, str) else tuple(map(str, nodes))
        meter = build({key: value for key, value in node.items() if key != "nodes"}, METERS, where)
        found[str(name)] = meter, hosts
    return found


def checked(config: Mapping[str, Any], hosts: Sequence[str]) -> dict[str, tuple[Meter, tuple[str, ...]]]:
    """As :func:`asked`, of a run over ``hosts``: a meter of a host that is none of them is refused."""
    found = asked(config)
    for name, (_, nodes) in found.items():
        if lost := [node for node in nodes if node not in hosts]:
            raise BadRequest(f"remote.meters.{name}.nodes: found {lost[0]!r}; allowed hosts of the run")
    return found


@contextlib.contextmanager
def collecting(
    run: Path, meters: Mapping[str, tuple[Meter, tuple[str, ...]]], utc_ns: Clock, tell: Callable[[str], None]
) -> Iterator[None]:
    """Read the meters until the block is left. What cannot be opened is told and kept as missing."""
    if not meters:
        yield
        return
    channels, missing = open_meters({name: meter for name, (meter, _) in meters.items()}, Part("cpu"), host=True)
    for name, why in missing.items():
        tell(f"WARNING remote meter {name}: {why.reason}" + (f" -> {why.remedy}" if why.remedy else ""))
    absent = [remote.Meter(name, meters[name][1], reason=why.reason) for name, why in missing.items()]
    known = [_about(channel, rank, meters) for rank, channel in enumerate(channels)]
    remote.keep(run, [*known, *absent])
    keeper = _Keeper(run / REMOTE, channels, utc_ns)
    try:
        with Sampler(channels):
            keeper.start()
            yield
    finally:
        keeper.end()
        for channel in channels:
            channel.meter.close()


def _about(channel: Channel, rank: int, meters: Mapping[str, tuple[Meter, tuple[str, ...]]]) -> remote.Meter:
    about = channel.capabilities
    known = calibration.of_package(about.packages[0]) if len(about.packages) == 1 else ()
    found = max((one for one in known if one.delay_s is not None), key=lambda one: one.date, default=None)
    told = found.delay_s if found else None
    # the middle of what a reading speaks of lies half its averaging further back
    delay_s = None if told is None else told + about.averaging_s / 2
    u_s = found.u.get("delay_s", 0.0) if found else 0.0
    period_s = max(about.period_s, about.poll_s)
    nodes = meters[about.name][1]
    return remote.Meter(about.name, nodes, channel.series, rank, about.boundary, period_s, delay_s, u_s)


class _Keeper(threading.Thread):
    """Writes what was read every so often, each time as a part of its own."""

    def __init__(self, where: Path, channels: Sequence[Channel], utc_ns: Clock) -> None:
        super().__init__(name="remote meters", daemon=True)
        self._where, self._channels, self._utc_ns = where, channels, utc_ns
        self._over = threading.Event()
        self._kept = [0] * len(channels)

    def run(self) -> None:
        """Keep until it is over."""
        while not self._over.wait(KEEP_S):
            with contextlib.suppress(OSError):  # a full file system: the next time, if there is room by then
                self._keep()

    def end(self) -> None:
        """Nothing is read any more: write the rest, and fold."""
        self._over.set()
        if self.is_alive():
            self.join()
        with contextlib.suppress(OSError):
            self._keep()
            fold(self._where)

    def _keep(self) -> None:
        for rank, channel in enumerate(self._channels):
            upto = len(channel.readings)
            new = [(r.mono_ns, r.value) for r in channel.readings[self._kept[rank] : upto] if r.value is not None]
            if not new:
                continue
            t_ns = np.array([self._utc_ns(mono_ns) for mono_ns, _ in new], dtype=np.int64)
            none = np.full(len(new), -1)
            columns: dict[str, npt.ArrayLike] = {
                "t_ns": t_ns,
                "value": [value for _, value in new],
                "repetition": none,
                "n": none,
            }
            write_part(self._where, f"remote-{t_ns[0]}", rank, {channel.series: columns})
            self._kept[rank] = upto
