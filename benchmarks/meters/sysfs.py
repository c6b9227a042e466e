"""Meters that are files of the kernel: one number each, read anew every time, summed over the packages of one boundary.

A file that has gone is a lost meter, one that may not be read has no permission, one that says nonsense is out of
range. None of them is 0, and a sum lacks nothing: if one package cannot be read there is no reading.
"""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from perwatt.benchmarks.meters.meter import Kind, Meter, Reading, Scope, Status, Unavailable


class OutOfRange(ValueError):
    """A file said something that no meter says."""


def contents(path: str | Path) -> bytes:
    """What a file of the kernel says now. The bare calls: beside a kernel that works on every core, each layer of
    buffering and decoding costs several times what it does in a loop of its own. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 4096)
    finally:
        os.close(file)


def first_word(path: Path, scale: float, impossible: tuple[float, ...] = ()) -> float:
    """The number that a file begins with, times ``scale``. Raises OSError or :class:`OutOfRange`."""
    words = contents(path).split()
    try:
        raw = float(words[0])
    except (IndexError, ValueError):
        raise OutOfRange(f"{path}: not a number") from None
    if raw < 0 or raw in impossible or not math.isfinite(raw):
        raise OutOfRange(f"{path}: {words[0].decode(errors='replace')}")
    return raw * scale


def number(name: str, key: str, value: object, low: float, high: float) -> None:
    """A setting has to be a number within limits. Raises ValueError naming it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"meter.{name}.{key}: found {value!r}, allowed {low:g} to {high:g}")


class FileMeter(Meter):
    """Base: ``sources`` are the packages by name, each a function that gives J or W or raises as above."""

    scope: ClassVar[Scope] = "host"
    kind: Kind

    def start(self, sources: dict[str, Callable[[], float]], remedy: str = "") -> None:
        """Take the first reading of every package. Raises :class:`Unavailable` saying which file would not be read."""
        self._sources = sources
        self._zero = self._last = 0.0
        try:
            self._last = self._sum()
        except PermissionError as error:
            raise Unavailable(f"no permission to read {error.filename}", remedy) from None
        except (OSError, OutOfRange) as error:
            raise Unavailable(str(error)) from None
        self._zero = self._last if self.kind == "energy" else 0.0

    def _sum(self) -> float:
        return sum(source() for source in self._sources.values())

    def read(self) -> Reading:
        """The sum of all packages: J since opened, or W now."""
        start = time.monotonic_ns()
        value: float | None = None
        status: Status = "ok"
        try:
            value = self._sum() - self._zero
        except PermissionError:
            status = "no_permission"
        except OSError as error:
            status = "lost" if error.errno in (errno.ENOENT, errno.ENODEV, errno.EIO) else "unsupported"
        except OutOfRange:
            status = "out_of_range"
        end = time.monotonic_ns()
        if value is not None and self.kind == "energy":
            if value + self._zero < self._last:  # the driver was loaded anew: what came between is not known
                value, status = None, "lost"
            else:
                self._last = value + self._zero
        return Reading((start + end) // 2, end - start, value, status)
