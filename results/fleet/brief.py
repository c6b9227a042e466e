"""What the index reads of a record, and nothing else: a fleet has millions of them, of a thousand bytes and more each.

Each class here has some of the fields of its namesake in :mod:`perwatt.results.record`, of the same type; what is made
of them is :mod:`perwatt.results.derived`'s to say, as it is of whole records.
"""

from __future__ import annotations

import msgspec

from perwatt.results import record, store


class Case(msgspec.Struct, frozen=True, gc=False):
    """``params`` as they were written: what they are is for whoever reads the whole record."""

    key: str
    kernel: str
    label: str
    params: msgspec.Raw
    ranks: int = 1
    device_index: int = 0
    cache: str = "rotate"
    over: record.Over | None = None
    cap_w: float | None = None

    @property
    def held(self) -> tuple[str, float | None]:
        """What it was held at besides its parameters: the state of the cache, the power limit in W."""
        return self.cache, self.cap_w


class Device(msgspec.Struct, frozen=True, gc=False):
    """Of a device its type and its identity."""

    type: str
    uuid: str = ""


class Seconds(msgspec.Struct, frozen=True, gc=False):
    """Of the seconds a launch their median, how well it is known, and how they spread."""

    samples: int
    median: float
    p5: float
    p95: float
    ci_low: float
    ci_high: float


class Energy(msgspec.Struct, frozen=True, gc=False):
    """An energy and whose it is."""

    meter: str
    boundary: str
    source: record.Source
    energy_j: float
    flags: tuple[str, ...] = ()


class Conditions(msgspec.Struct, frozen=True, gc=False):
    """Heat, what it took, and errors of the memory."""

    throttled: dict[str, float] = {}
    temperature_c: dict[str, tuple[float, float]] = {}
    ecc: dict[str, int] = {}


class Repetition(msgspec.Struct, frozen=True, gc=False):
    """A window, its work, its energies, and the state of the device."""

    window_s: float
    iterations: int
    energies: tuple[Energy, ...] = ()
    conditions: Conditions | None = None


class Measured(msgspec.Struct, frozen=True, tag="measured", gc=False):
    """A measurement's work, time and energies."""

    work: record.Work
    seconds: Seconds
    repetitions: tuple[Repetition, ...]


class Round(msgspec.Struct, frozen=True, gc=False):
    """Which round of a burn-in."""

    number: int


class Brief(msgspec.Struct, frozen=True, gc=False):
    """A record in brief."""

    schema: int
    time_utc: str
    host: str
    case: Case
    device: Device
    outcome: Measured | record.Skipped | record.Failed
    flags: tuple[str, ...] = ()
    round: Round | None = None


_decoder = msgspec.json.Decoder(Brief)


def decode(line: bytes, where: str) -> Brief:
    """One record in brief, or ValueError saying where and why it cannot be read.

    That the rest of it makes sense is not looked at; that it is JSON is.
    """
    try:
        found = _decoder.decode(line)
        if found.schema in record.READABLE:
            return found
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        store.decode(line, where)  # says it in the words of a whole record
        raise ValueError(f"{where}: not a perwatt record ({error})") from None
    store.decode(line, where)
    raise AssertionError(found.schema)
