"""What a person watches while a run goes on: a bar on a terminal, plain lines elsewhere, both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from perwatt.benchmarks.plan import Planned, estimate_s
from perwatt.results.record import Record
from perwatt.results.reports.units import quantity


class Watcher(Protocol):
    """Told of every case that begins and ends, and of what happens in between."""

    def begin(self, planned: Planned) -> None:
        """A case starts."""

    def tell(self, message: dict[str, Any]) -> None:
        """A rank says how far it is."""

    def end(self, record: Record) -> None:
        """A case has its record."""

    def say(self, text: str) -> None:
        """Something that the user should read."""

    def close(self) -> None:
        """The run is over."""


def watcher(cases: Sequence[Planned], left_s: Callable[[], float] | None = None, title: str = "") -> Watcher:
    """A bar if stderr is a terminal, else lines. ``left_s``: the seconds left, where not the cases decide; ``title``:
    what they are part of."""
    return (Bar if sys.stderr.isatty() else Lines)(cases, left_s, title)


class Clock:
    """How long the rest will take: the estimates of the cases to come, corrected by how the others turned out."""

    def __init__(self, cases: Sequence[Planned], told: Callable[[], float] | None = None) -> None:
        self.total, self.done, self._told = len(cases), 0, told
        self._rest = list(cases)
        self._estimated = 0.0
        self._began = time.monotonic()

    def finished(self, planned: Planned) -> None:
        """One case less."""
        self.done += 1
        self._estimated += planned.estimate_s
        self._rest = [p for p in self._rest if p.case.key != planned.case.key]

    def left_s(self) -> float:
        """Seconds left."""
        if self._told is not None:
            return self._told()
        spent = time.monotonic() - self._began
        # early on one slow start says little: the correction grows with what has been measured
        correction = max(0.5, (spent + 10) / (self._estimated + 10))
        return estimate_s(self._rest) * correction if self._rest else 0.0


def duration(seconds: float) -> str:
    """1:02:03, 2:03 or 0:03."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


def rate(amount: float, seconds: float, headline: str) -> str:
    """A rate in the unit of its headline, for a line that changes several times a second."""
    unit = "FLOP/s" if headline == "flops" else "B/s"
    return quantity(amount / seconds, unit, 3)


def summary(record: Record) -> str:
    """A finished case in a few words."""
    outcome = record.outcome
    if (m := record.measured) is None:
        reason = getattr(outcome, "reason", None) or getattr(outcome, "error", "")
        return f"{type(outcome).__name__.lower()}: {reason}"
    words = [rate(record.amount, m.seconds.median, m.work.headline)] if record.amount else []
    if record.power_w is not None:
        words.append(f"{record.power_w:.0f} W")
    return ", ".join(words) or "measured"


class Lines:
    """One line a case: for logs, batch jobs and pipes."""

    def __init__(self, cases: Sequence[Planned], left_s: Callable[[], float] | None = None, title: str = "") -> None:
        self._clock = Clock(cases, left_s)
        self._planned: Planned | None = None
        left = " left" if left_s is not None else ""
        self.say(f"{title}{len(cases)} cases, about {duration(self._clock.left_s())}{left}")

    def begin(self, planned: Planned) -> None:
        """Remember it for the line at its end."""
        self._planned = planned

    def tell(self, message: dict[str, Any]) -> None:
        """Nothing: a log wants results."""

    def end(self, record: Record) -> None:
        """The line."""
        if self._planned is not None and self._planned.case.key == record.case.key:
            self._clock.finished(self._planned)
        done, left = f"[{self._clock.done}/{self._clock.total}]", duration(self._clock.left_s())
        self.say(f"{done} {record.case.kernel} {record.case.label}: {summary(record)} ({left} left)")

    def say(self, text: str) -> None:
        """To stderr, at once."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to tidy."""


class Bar:
    """A bar with the case, its phase, the rate and the watts now, and the time left."""

    def __init__(self, cases: Sequence[Planned], left_s: Callable[[], float] | None = None, title: str = "") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._clock, self._title = Clock(cases, left_s), title
        self._planned: Planned | None = None
        self._bar = Progress(
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]} left"),
            TextColumn("[bold]{task.description}[/]"),
            TextColumn("{task.fields[now]}"),
            console=Console(stderr=True),
            transient=True,
            refresh_per_second=2,
        )
        self._task = self._bar.add_task("starting", total=len(cases), left=duration(self._clock.left_s()), now="")
        self._bar.start()

    def begin(self, planned: Planned) -> None:
        """Name the case."""
        self._planned = planned
        self._bar.update(self._task, description=f"{self._title}{planned.case.kernel} {planned.case.label}", now="")

    def tell(self, message: dict[str, Any]) -> None:
        """Phase, rate and watts."""
        words = [str(message.get("phase", ""))]
        if (seconds := message.get("seconds")) and message.get("amount"):  # 0: none, or not known beforehand
            words.append(rate(message["amount"], seconds, message["headline"]))
        if (watts := message.get("watts")) is not None:
            words.append(f"{watts:.0f} W")
        self._bar.update(self._task, now="  ".join(words), left=duration(self._clock.left_s()))

    def end(self, record: Record) -> None:
        """One step further."""
        if self._planned is not None and self._planned.case.key == record.case.key:
            self._clock.finished(self._planned)
        self._bar.update(self._task, completed=self._clock.done, left=duration(self._clock.left_s()))
        if record.measured is None:
            self.say(f"{record.case.kernel} {record.case.label}: {summary(record)}")

    def say(self, text: str) -> None:
        """Above the bar."""
        self._bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()
