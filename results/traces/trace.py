"""A recorded power trace, whatever wrote it: stamps in UTC, power in W, and what the meter was.

A meter of a powered machine that writes 0 or less has had no reading; the readers of such logs leave those samples out
and count them, so that absent is never 0. Stamps never go back: where they do, somebody's clock was stepped, and no
energy can be taken across that.
"""

from __future__ import annotations

import datetime
import gzip
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from perwatt.results.energy import Integral, integrate

CLASSES = ("A", "B", "C", "D", "E")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
SECOND_NS = 1_000_000_000

Stamps = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Mark(NamedTuple):
    """A labelled part of a trace: from its first to its last sample, in ns of UTC."""

    start_ns: int
    end_ns: int
    label: str


@dataclass(frozen=True, eq=False)
class Trace:
    """Power over time. ``t_ns``: UTC, ns since 1970, never going back; ``power_w``: W, as long as ``t_ns``.

    ``boundary``, ``accuracy_class`` and ``accuracy`` (half-width of the relative gain error, None where nobody states
    it) mean what they mean of a meter. ``source``: the file; ``dropped``: samples of it in which the meter had no
    reading. Raises ValueError, beginning with ``source``, for a trace that breaks these rules.
    """

    name: str
    t_ns: Stamps
    power_w: Floats
    boundary: str
    accuracy_class: str
    accuracy: float | None
    source: str
    marks: tuple[Mark, ...] = ()
    dropped: int = 0

    def __post_init__(self) -> None:
        if self.t_ns.ndim != 1 or self.t_ns.shape != self.power_w.shape:
            raise ValueError(
                f"{self.source}: found {self.t_ns.shape} stamps and {self.power_w.shape} readings; as many"
            )
        if len(self.t_ns) < 2:
            raise ValueError(f"{self.source}: found {len(self.t_ns)} readings; allowed 2 or more")
        if not np.all(np.isfinite(self.power_w)):
            raise ValueError(f"{self.source}: found a power that is not finite; allowed watts")
        if np.any(np.diff(self.t_ns) < 0):
            raise ValueError(f"{self.source}: found stamps that go back; allowed stamps that only grow")
        if not self.boundary:
            raise ValueError("boundary: found nothing; allowed node_ac, node_dc, rack, facility, gpu, ...")
        if self.accuracy_class not in CLASSES:
            raise ValueError(f"class: found {self.accuracy_class!r}; allowed {', '.join(CLASSES)}")
        if self.accuracy is not None and not 0 <= self.accuracy < 1:
            raise ValueError(f"accuracy: found {self.accuracy!r}; allowed a fraction from 0 to 1 (0.01 for 1 %)")

    @property
    def period_s(self) -> float:
        """The median time between stamps, equal ones aside, in s."""
        steps = np.diff(np.unique(self.t_ns))
        return float(np.median(steps)) * 1e-9 if len(steps) else 0.0

    def shifted(self, seconds: float) -> Trace:
        """The same trace with ``seconds`` added to every stamp and mark."""
        by = round(seconds * 1e9)
        marks = tuple(Mark(m.start_ns + by, m.end_ns + by, m.label) for m in self.marks)
        return replace(self, t_ns=self.t_ns + by, marks=marks)

    def integral(self, start_ns: int, end_ns: int) -> Integral:
        """The energy of a window in ns of UTC, by the trapezoid rule with interpolated edges."""
        return integrate(self.t_ns, self.power_w, start_ns, end_ns, self.period_s or None)


def refuse(path: Path, line: int, found: str, allowed: str) -> NoReturn:
    """Raise the ValueError of a bad line: file, line, what was found, what is allowed."""
    raise ValueError(f"{path} line {line}: found {found[:80]}; allowed {allowed}")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, or of a gzipped one, that are not blank, numbered from 1.

    Raises ValueError for a file that cannot be read as text.
    """
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rt", encoding="utf-8") if packed else open(path, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                if text.strip():
                    yield number, text.rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(
            f"{path}: found bytes that are not UTF-8; allowed a text file, or one packed by gzip"
        ) from None
    except (OSError, EOFError) as error:
        raise ValueError(
            f"{path}: found {getattr(error, 'strerror', None) or error}; allowed a readable file"
        ) from None


class Clock:
    """Reads wall clock times of one time zone: ``UTC``, an IANA name, or a fixed difference such as ``+02:00``."""

    def __init__(self, timezone: str = "UTC") -> None:
        self.name = timezone
        self._zone: datetime.tzinfo
        try:
            if timezone[:1] in ("+", "-"):
                found = datetime.datetime.fromisoformat(f"2000-01-01T00:00{timezone}").tzinfo
                assert found is not None
                self._zone = found
            else:
                self._zone = datetime.UTC if timezone == "UTC" else zoneinfo.ZoneInfo(timezone)
        except (ValueError, zoneinfo.ZoneInfoNotFoundError, OSError):
            raise ValueError(
                f"timezone: found {timezone!r}; allowed UTC, a name such as Europe/Copenhagen, or +02:00"
            ) from None

    def ns(self, moment: datetime.datetime) -> int:
        """A moment in ns since 1970; this zone is meant where it names none.

        Raises ValueError for an hour that this zone has twice, or not at all, when summer time begins or ends, and for
        a time before 1970 or after 2261, which no stamp holds.
        """
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
            if moment.utcoffset() != moment.replace(fold=1).utcoffset():
                raise ValueError(f"{moment:%Y-%m-%d %H:%M:%S}, an hour that {self.name} has twice or not at all")
        t_ns = (moment - EPOCH) // datetime.timedelta(microseconds=1) * 1000
        if not 0 <= t_ns < 2**63 - SECOND_NS:
            raise ValueError(f"{moment:%Y-%m-%d %H:%M:%S}, not in the years 1970 to 2261")
        return t_ns


def exact_ns(text: str, scale_ns: int) -> int:
    """A decimal number of units of ``scale_ns`` in whole ns, without the rounding of a float. Raises ValueError."""
    try:
        return int((Decimal(text.strip()) * scale_ns).to_integral_value())
    except (InvalidOperation, OverflowError, ValueError):
        raise ValueError(text) from None


def growing(path: Path, numbers: Sequence[int], t_ns: Stamps) -> None:
    """Raise ValueError at the first line whose stamp lies before the one above it."""
    back = np.flatnonzero(np.diff(t_ns) < 0)
    if len(back):
        at = int(back[0]) + 1
        gone_s = (t_ns[at - 1] - t_ns[at]) * 1e-9
        refuse(path, numbers[at], f"a stamp {gone_s:.3f} s before the one above it", "stamps that only grow")
