"""A run at several power limits: which ones, set one after the other, and put back however the run ends.

What was set before is kept in the run's folder until it is put back. A guard beside the run puts it back if the run
cannot; only what kills both (a node that loses power, a batch system that kills the whole job) leaves the file.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from perwatt.benchmarks.caps import guard
from perwatt.benchmarks.caps.limit import PowerLimit, Refusal, limits
from perwatt.benchmarks.config import BadRequest
from perwatt.results.store import write_atomically

KEPT = "power_limits.json"


@dataclass(frozen=True)
class Sweep:
    """``sweep=power_cap`` as it was asked for."""

    name: str
    caps_w: tuple[float, ...] | None = None
    levels: int = 6
    tolerance_w: float = 2.0
    powercap_root: str = "/sys/class/powercap"
    drm_root: str = "/sys/class/drm"

    def root(self, kind: str) -> str:
        """Where the kernel has the power limits of devices of torch's type ``kind``."""
        return self.drm_root if kind == "xpu" else self.powercap_root


def from_config(config: Mapping[str, Any]) -> Sweep | None:
    """The sweep that a configuration asks for; None for none. Raises BadRequest for what cannot be."""
    asked = config.get("sweep") or {}
    if asked.get("name", "none") == "none":
        return None
    unknown = sorted(set(asked) - set(Sweep.__dataclass_fields__))
    if unknown:
        raise BadRequest(f"sweep.{unknown[0]}: no such key; choices: {', '.join(Sweep.__dataclass_fields__)}")
    sweep = Sweep(**asked)
    caps = sweep.caps_w
    if caps is not None:
        wrong = not isinstance(caps, list | tuple) or not caps or not all(_positive(cap) for cap in caps)
        if wrong or len(set(caps)) < len(caps):
            raise BadRequest(f"sweep.caps_w: found {caps!r}; allowed a list of watts, each above 0 and once")
    if isinstance(sweep.levels, bool) or not isinstance(sweep.levels, int) or not 2 <= sweep.levels <= 100:
        raise BadRequest(f"sweep.levels: found {sweep.levels!r}; allowed 2 to 100")
    if not _positive(sweep.tolerance_w):
        raise BadRequest(f"sweep.tolerance_w: found {sweep.tolerance_w!r}; allowed watts above 0")
    return sweep


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def found(sweep: Sweep, kind: str, devices: Sequence[Mapping[str, Any]]) -> tuple[list[PowerLimit], list[float]]:
    """The devices' limits, and the caps to measure at, from the highest. Raises BadRequest for caps that a device does
    not allow, and where a limit cannot be read."""
    try:
        all_limits = limits(kind, devices, sweep.root(kind))
        now = [limit.read() for limit in all_limits]
    except Refusal as refusal:
        raise BadRequest(f"sweep=power_cap: {refusal}") from None
    least = max((limit.least_w for limit in all_limits if limit.least_w is not None), default=None)
    most = min((limit.most_w if limit.most_w is not None else w for limit, w in zip(all_limits, now, strict=True)))
    if sweep.caps_w is None:
        if least is None:
            name = all_limits[0].name
            raise BadRequest(f"sweep.caps_w: found none; {name} does not say the least it allows: name them, in W")
        step = (most - least) / (sweep.levels - 1)
        return all_limits, [round(most - n * step, 1) for n in range(sweep.levels)]
    for cap in sweep.caps_w:
        if cap > most or cap < (least or 0):
            raise BadRequest(f"sweep.caps_w: found {cap:g} W; allowed {least or 0:g} to {most:g} W")
    return all_limits, sorted(map(float, sweep.caps_w), reverse=True)


class Unchanged:
    """The power limits of a run that leaves them as they are."""

    caps_w: Sequence[float | None] = (None,)

    def set(self, watts: float | None) -> None:
        """Nothing is set."""


@contextlib.contextmanager
def power_limits(
    run: Path, sweep: Sweep | None, kind: str, devices: Sequence[Mapping[str, Any]]
) -> Iterator[Unchanged]:
    """What sets the power limits of ``devices`` for the cases of ``run``, and puts them back when it is left."""
    if sweep is None:
        yield Unchanged()
        return
    with Setter(run, sweep, kind, devices) as setter:
        yield setter


class Setter(Unchanged):
    """Sets the caps of a run. Entered before the first, left after the last case."""

    def __init__(self, run: Path, sweep: Sweep, kind: str, devices: Sequence[Mapping[str, Any]]) -> None:
        self._run, self._sweep, self._kind, self._devices = run, sweep, kind, devices
        self._limits, self.caps_w = found(sweep, kind, devices)
        self._before_w: list[float] = []
        self._set_w: float | None = None
        self._guard: subprocess.Popen[str] | None = None

    def __enter__(self) -> Setter:
        kept = self._run / KEPT
        try:
            if kept.is_file():  # of a run that was killed with its guard
                self._before_w = [float(w) for w in json.loads(kept.read_text())["before_w"]]
            else:
                self._before_w = [limit.read() for limit in self._limits]
            names = [limit.name for limit in self._limits]
            write_atomically(kept, json.dumps({"devices": names, "before_w": self._before_w}) + "\n")
            self._guard = guard.start(self._kind, self._devices, self._sweep.root(self._kind), self._before_w, kept)
        except Refusal as refusal:
            raise BadRequest(f"sweep=power_cap: {refusal}") from None
        return self

    def set(self, watts: float | None) -> None:
        """Set all devices to ``watts``, unless they are. Raises BadRequest if one does not take it."""
        if watts is None or watts == self._set_w:
            return
        try:
            for limit in self._limits:
                limit.write(watts)
                if abs((now := limit.read()) - watts) > self._sweep.tolerance_w:
                    raise Refusal(f"{limit.name} was to be held at {watts:g} W and says {now:g} W")
        except Refusal as refusal:
            raise BadRequest(f"sweep=power_cap: {refusal}") from None
        self._set_w = watts

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._guard is not None
        try:
            for limit, watts in zip(self._limits, self._before_w, strict=True):
                limit.write(watts)
            (self._run / KEPT).unlink(missing_ok=True)
            self._guard.communicate(guard.RESTORED + "\n")
        except Refusal:  # the guard tries it once more, and says what it could not
            self._guard.communicate()
