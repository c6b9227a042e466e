"""Records to rows: the numbers of every report, in SI, before any of them is turned into text.

A row holds what a record says of itself plus the one thing that needs its neighbours: where the target publishes no
peak for a dtype, the rate is laid against the *measured* peak, that is the best ``fma_spin`` record (a register-only
multiply-add loop) of the same run, device and dtype. The two percentages are never mixed up: ``peak_kind`` says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from perwatt.results.overlap import Overlap, overlaps
from perwatt.results.reconcile import Line, reconcile
from perwatt.results.record import Energy, Failed, Idle, Measured, Record, Skipped
from perwatt.results.reports.units import finite
from perwatt.results.uncertainty import Budget, budget

State = Literal["measured", "skipped", "failed"]
PeakKind = Literal["datasheet", "measured"]

SPIN = "fma_spin"


@dataclass(frozen=True)
class Row:
    """One record as numbers, None where one is absent; without energy figures ``words`` and ``why`` say so.

    ``index`` is the record's place in the run.
    ``rate`` is FLOP/s, byte/s or algbw in byte/s; ``busbw`` byte/s; ``peak`` in the unit of ``rate``; ``per_joule``
    headline work per joule, with its ``budget``; ``net_power_w`` is ``power_w`` less the power at ``idle``;
    ``throttled`` the fraction of all windows by reason; ``lines`` the energies at all boundaries, where there are
    several; ``spread`` and ``ci`` (half width of the 95 % interval) are relative to the median time; ``overlap`` what
    both at once of a computation and a communication hide, where each alone was measured too; ``tokens_per_s`` and
    ``joules_per_token`` where tokens are counted.
    """

    index: int
    record: Record
    state: State
    reason: str = ""
    rate: float | None = None
    busbw: float | None = None
    peak: float | None = None
    peak_kind: PeakKind | None = None
    of_peak: float | None = None
    is_peak: bool = False
    power_w: float | None = None
    per_joule: float | None = None
    words: str = ""
    why: str = ""
    energy: Energy | None = None
    indicative: bool = False
    spread: float | None = None
    ci: float | None = None
    flags: tuple[str, ...] = ()
    budget: Budget | None = None
    idle: Idle | None = None
    net_power_w: float | None = None
    throttled: dict[str, float] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    tokens_per_s: float | None = None
    joules_per_token: float | None = None
    overlap: Overlap | None = None

    @property
    def best(self) -> float | None:
        """The rate that the field compares: busbw of a collective over several ranks, else the rate."""
        return self.rate if self.busbw is None else self.busbw


@dataclass(frozen=True)
class Note:
    """A remark below the table; ``mark`` is the sign in the cells that it explains, empty if it explains a word."""

    mark: str
    text: str


def rows(records: Sequence[Record]) -> list[Row]:
    """One row a record, in the order given."""
    peaks, hiding = _spins(records), {id(found.both): found for found in overlaps(records)}
    made = [_row(index, record, peaks) for index, record in enumerate(records)]
    return [replace(row, overlap=hiding.get(id(row.record))) for row in made] if hiding else made


def one_line(text: str) -> str:
    """``text`` with every run of white space, line breaks included, as one blank."""
    return " ".join(text.split())


def several_devices(records: Sequence[Record]) -> bool:
    """Whether the records come from more than one device, so that a row has to say which."""
    return len({(r.host, r.device.type, r.case.device_index) for r in records if not r.case.collective}) > 1


def device_name(record: Record, records: Sequence[Record]) -> str:
    """The device of a row: its index, after its host if there are several hosts."""
    several_hosts = len({r.host for r in records}) > 1
    return f"{record.host}/{record.case.device_index}" if several_hosts else str(record.case.device_index)


def _place(record: Record) -> tuple[str, str, str, int, str]:
    dtype = str(record.case.params.get("dtype", ""))
    return (record.run, record.host, record.device.type, record.case.device_index, dtype)


def _spins(records: Sequence[Record]) -> dict[tuple[str, str, str, int, str], Record]:
    best: dict[tuple[str, str, str, int, str], Record] = {}
    for record in records:
        if record.case.kernel != SPIN or finite(record.rate) is None or not record.case.params.get("dtype"):
            continue
        place = _place(record)
        if place not in best or (record.rate or 0) > (best[place].rate or 0):
            best[place] = record
    return best


def _row(index: int, record: Record, peaks: dict[tuple[str, str, str, int, str], Record]) -> Row:
    outcome = record.outcome
    if isinstance(outcome, Skipped):
        return Row(index, record, "skipped", one_line(outcome.reason), flags=record.flags)
    if isinstance(outcome, Failed):
        named = outcome.rank is None or f"rank {outcome.rank}" in outcome.error
        where = "" if named else f"rank {outcome.rank}: "
        return Row(index, record, "failed", where + one_line(outcome.error), flags=record.flags)
    seconds, rate = outcome.seconds, finite(record.rate)
    peak, kind, ratio, is_peak = _peak(record, rate, peaks)
    several = seconds.samples > 1 and seconds.median > 0
    half = max(seconds.ci_high - seconds.median, seconds.median - seconds.ci_low)
    energies = record.energies
    power_w, per_joule, words, why = _energy(record)
    stalled = ("meter_stalled",) if any(e.energy_j <= 0 for _, e in energies) else ()
    lines = tuple(reconcile(record))
    apart = ("scopes_disagree",) if any("scopes_disagree" in line.flags for line in lines) else ()
    flags = dict.fromkeys((*record.flags, *(flag for _, e in energies for flag in e.flags), *stalled, *apart))
    idle = _at_rest(record, outcome) if power_w is not None else None
    return Row(
        index,
        record,
        "measured",
        rate=rate,
        busbw=finite(record.busbw),
        peak=peak,
        peak_kind=kind,
        of_peak=ratio,
        is_peak=is_peak,
        power_w=power_w,
        per_joule=per_joule,
        words=words,
        why=why,
        energy=energies[0][1] if energies else None,
        indicative="indicative" in flags or bool(stalled),
        spread=finite(record.spread) if several else None,
        ci=finite(half / seconds.median) if several else None,
        flags=tuple(flags),
        budget=budget(record) if per_joule is not None else None,
        idle=idle,
        net_power_w=power_w - idle.power_w if idle is not None and power_w is not None else None,
        throttled=_throttled(outcome),
        lines=lines if len({line.boundary for line in lines}) > 1 else (),
        tokens_per_s=finite(record.tokens_per_s),
        joules_per_token=finite(record.joules_per_token) if per_joule is not None else None,
    )


def _at_rest(record: Record, m: Measured) -> Idle | None:
    """Power at rest of what the row's power encloses: by the same meter, else by another of the same packages."""
    spoke = record.energies[0][1]
    same = [i for i in m.idle if (i.boundary, sorted(i.packages)) == (spoke.boundary, sorted(spoke.packages))]
    return next((i for i in same if i.meter == spoke.meter), same[0] if same else None)


def _throttled(m: Measured) -> dict[str, float]:
    """By reason, the fraction of the time of those windows that tell."""
    told = [(r.window_s, r.conditions.throttled) for r in m.repetitions if r.conditions and r.conditions.throttled]
    whole_s = sum(seconds for seconds, _ in told)
    reasons = dict.fromkeys(reason for _, shares in told for reason in shares)
    return {k: sum(seconds * shares.get(k, 0.0) for seconds, shares in told) / whole_s for k in reasons if whole_s}


def _peak(
    record: Record, rate: float | None, peaks: dict[tuple[str, str, str, int, str], Record]
) -> tuple[float | None, PeakKind | None, float | None, bool]:
    ratio = finite(record.of_peak)
    if ratio and rate:
        return rate / ratio, "datasheet", ratio, False
    m = record.measured
    spin = peaks.get(_place(record)) if m and m.work.headline == "flops" else None
    if spin is None or not rate or not spin.rate:
        return None, None, None, False
    return spin.rate, "measured", rate / spin.rate, spin is record


def _energy(record: Record) -> tuple[float | None, float | None, str, str]:
    """Power in W, work per joule, and where they are absent the words for the cell and the reason below the table."""
    m = record.measured
    assert m is not None
    if record.meter is None:
        read = any(r.energies for r in m.repetitions)
        default = "no meter that was read encloses this device" if read else "no meter was read"
        why = one_line(m.unmetered) or default
        return None, None, "not metered", why
    power_w, per_joule = finite(record.power_w), finite(record.work_per_joule)
    if not power_w or power_w < 0 or (record.amount and not per_joule):
        return None, None, "not resolved", f"{record.meter} did not advance within the measured windows"
    return power_w, per_joule, "", ""
