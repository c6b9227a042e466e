"""How collectives were done, in words: an algorithm in a cell, backends and variables below the tables; and what a
computation hid of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from perwatt.results.record import Communication, Record
from perwatt.results.reports.table import Note, Row, one_line
from perwatt.results.reports.units import number, quantity, stated


def way(record: Record) -> str:
    """``nvls simple, 16 channels``; empty where the library does not say."""
    m = record.measured
    found = m.collective if m else None
    if found is None or found.algorithm is None:
        return ""
    channels = f", {found.channels} channel{'s' * (found.channels != 1)}" if found.channels is not None else ""
    return f"{found.algorithm}{f' {found.protocol}' if found.protocol else ''}{channels}"


def hidden(row: Row) -> tuple[str, str, str]:
    """The hidden share in per cent, no mark, and the larger arm of its interval; empty where it has none."""
    found = row.overlap
    assert found is not None
    if found.hidden_low is None or found.hidden_high is None:
        return number(100 * found.hidden, 3), "", ""
    arm = max(found.hidden_high - found.hidden, found.hidden - found.hidden_low)
    if arm <= 0:
        return number(100 * found.hidden, 3), "", ""
    text, u = stated(100 * found.hidden, 100 * arm, 1)
    return text, "", u


def overlap_notes(rows: Sequence[Row]) -> list[Note]:
    """What hidden means, and by how much energy and power each overlap differs from its two parts."""
    shown = [row for row in rows if row.overlap is not None]
    if not shown:
        return []
    meaning = (
        "hidden: what both at once save of the shorter of the two times, (compute + communication - both) / shorter; "
        "± is the larger arm of its 95 % interval."
    )
    return [Note("", text) for text in (meaning, *map(_energy, shown)) if text]


def _energy(row: Row) -> str:
    """``both: bf16 ...: 2.31 J saved a launch, 4.1 ± 0.9 % of compute and communication apart, at 512 W``."""
    found = row.overlap
    if found is None or found.saved is None or found.saved_j is None:
        return ""
    share, u = number(100 * abs(found.saved), 3), ""
    if found.saved_expanded:
        share, u = stated(100 * abs(found.saved), 100 * found.saved_expanded, 2)
    power = [r.power_w for r in (found.compute, found.communication, found.both)]
    drawn = "" if None in power else ", at {} W (apart {} and {} W)".format(*(number(power[i], 3) for i in (2, 0, 1)))
    did = "saved" if found.saved >= 0 else "lost"
    joules = quantity(abs(found.saved_j), "J", 3)
    part = f"{share}{f' ± {u}' if u else ''} % of compute and communication apart"
    return f"{one_line(row.record.case.label)}: {joules} {did} a launch, {part}{drawn}."


def communication_notes(rows: Sequence[Row]) -> list[Note]:
    """Which backends the collectives went through, what steered them, and why an algorithm is not known."""
    found = [m.collective for row in rows if (m := row.record.measured) is not None and m.collective is not None]
    out = [f"Communication: {text}{_of(n, len(found))}." for text, n in Counter(_words(one) for one in found).items()]
    reasons = Counter(one.reason.rstrip(".") for one in found if one.reason)
    out += [f"Algorithm not known: {reason}{_of(n, len(found))}." for reason, n in reasons.items()]
    return [Note("", text) for text in out]


def _words(one: Communication) -> str:
    """``nccl 2.27.5+cuda12.9, 24 channels, NVLS on (16), NCCL_PROTO=Simple``."""
    parts = [
        f"{one.backend} {one.version}" if not one.version.startswith("torch") else f"{one.backend} of {one.version}"
    ]
    if one.communicator_channels is not None:
        parts.append(f"{one.communicator_channels} channels")
    if one.nvls is not None:
        having = f" ({one.nvls_channels})" if one.nvls and one.nvls_channels else ""
        parts.append(f"NVLS {'on' if one.nvls else 'off'}{having}")
    return ", ".join([*parts, *(f"{name}={value}" for name, value in one.environment.items())])


def _of(n: int, total: int) -> str:
    return "" if n == total else f" ({n} of {total} collectives)"
