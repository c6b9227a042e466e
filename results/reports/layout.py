"""Rows to text: which columns a kernel's table has, in which unit, and what each cell and each note says.

Console, HTML and Markdown print these same cells, so that no two reports of one run disagree. One unit holds for a
whole column (that of its largest value), so that a column can be read downwards; a value far below it carries its own
unit. Memory bandwidth and collectives are in GB/s whatever their size, as the field prints them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from perwatt.results.record import Record
from perwatt.results.reports import tokens
from perwatt.results.reports.beside import beside_notes
from perwatt.results.reports.collectives import communication_notes, hidden, overlap_notes, way
from perwatt.results.reports.legend import energy_notes, flag_notes, spoken
from perwatt.results.reports.paces import pace_notes, pace_of, slowest
from perwatt.results.reports.pairs import pair_notes, shortened
from perwatt.results.reports.scores import score_notes
from perwatt.results.reports.table import SPIN, Note, Row, device_name, one_line, rows, several_devices
from perwatt.results.reports.units import FACTORS, common_prefix, number, percent, prefix, quantity, stated

UNITS = {"flops": "FLOP/s", "bytes": "B/s", "message": "B/s", "samples": "sample/s", "time": "launch/s"}
# A value below this share of the column's unit is printed with a unit of its own; no column has more decimals than
# this, because blanks behind the large numbers would part them from their heading.
FAR_BELOW, MOST_DECIMALS = 1e-2, 3
MARKS = {"indicative": "~", "replayed": "‡", "modelled": "§", "measured peak": "*"}
EXPLAINED = {
    "~": "Indicative only: the meter or the window does not support a firmer figure per watt (see the flags).",
    "‡": "Energy replayed from a recorded trace: this hardware did not draw it in this run.",
    "§": "Energy modelled, not metered.",
}
MEASURED_PEAK = (
    f"Percent of the measured peak: of the best {SPIN} rate of the same run, device and dtype; "
    "there is no datasheet peak for that dtype."
)
ABSENT = "\u2013"


@dataclass(frozen=True)
class Column:
    """A column: ``key`` into :attr:`Line.cells`, a title, and the unit that all its plain numbers are in."""

    key: str
    title: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """What stands in a cell: a plain number or words; ``mark`` precedes it and is explained in a note; ``u`` is what
    follows it after ±, rounded to the same place."""

    text: str
    mark: str = ""
    u: str = ""

    @property
    def whole(self) -> str:
        """All of it in one line."""
        return f"{self.mark}{self.text}{f' ± {self.u}' if self.u else ''}"


@dataclass(frozen=True)
class Line:
    """A row with its cells; a skipped or failed one has a label and a reason in place of cells."""

    row: Row
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Group:
    """The table of one kernel, with the SI prefixes of its rates and of its rates per watt; ``notes`` on what it leaves
    out."""

    kernel: str
    headline: str
    rate_prefix: str
    watt_prefix: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    notes: tuple[Note, ...] = ()


def groups(records: Sequence[Record]) -> list[Group]:
    """The tables of a run, one a kernel (and kind of work), in the order in which they first occur."""
    several = several_devices(records)
    by_kernel: dict[str, list[Row]] = {}
    for row in rows(records):
        by_kernel.setdefault(row.record.case.kernel, []).append(row)
    found = []
    for kernel, members in by_kernel.items():
        kinds = list(dict.fromkeys(_headline(r) for r in members if r.state == "measured")) or ["flops"]
        for kind in kinds:
            # what was not measured has no kind of work: it stands with the first
            part = [r for r in members if (_headline(r) if r.state == "measured" else kinds[0]) == kind]
            found.append(_group(kernel, kind, part, records, several))
    return found


def notes(tables: Sequence[Group]) -> list[Note]:
    """What has to be said once below the tables: boundaries, marks, and why something was not metered."""
    lines = [line for group in tables for line in group.lines]
    measured = [line.row for line in lines if line.row.state == "measured"]
    energies = [row.energy for row in measured if row.energy is not None and not row.words]
    meters = Counter(f"{e.meter}, boundary {e.boundary}, class {e.accuracy_class}, {e.source}" for e in energies)
    absent = Counter((row.words, row.why) for row in measured if row.words)
    out = [Note("", f"Power: meter {text}{_of(n, len(measured))}.") for text, n in meters.items()]
    out += [Note("", f"{words}: {why.rstrip('.')}{_of(n, len(measured))}.") for (words, why), n in absent.items()]
    used = {mark for line in lines for cell in line.cells.values() for mark in cell.mark}
    out += [Note(mark, text) for mark, text in EXPLAINED.items() if mark in used]
    if any(row.peak_kind == "measured" for row in measured):
        mark = MARKS["measured peak"]
        out.append(Note(mark if mark in used else "", MEASURED_PEAK))
    said = [*overlap_notes(measured), *communication_notes(measured), *pace_notes(measured)]
    said += [note for group in tables for note in group.notes]
    taken = [row.record for row in measured]
    compared = [*score_notes(taken), *beside_notes(taken)]
    return out + compared + energy_notes(measured) + said + flag_notes([line.row for line in lines])


def _of(n: int, total: int) -> str:
    return "" if n == total else f" ({n} of {total} measured cases)"


def _headline(row: Row) -> str:
    m = row.record.measured
    return m.work.headline if m else ""


def _group(kernel: str, headline: str, of_all: list[Row], records: Sequence[Record], several: bool) -> Group:
    members = shortened(of_all)
    measured = [r for r in members if r.state == "measured"]
    fixed = headline != "flops"
    best = [v for r in measured for v in (r.rate, r.busbw)]
    rate = "" if headline == "time" else "G" if headline in ("bytes", "message") else common_prefix(best)
    per_joule = [r.per_joule for r in measured if r.per_joule]
    watt = prefix(max(per_joule)) if fixed and per_joule else common_prefix(per_joule)
    unit = UNITS[headline]
    kinds = {r.peak_kind for r in measured if r.peak_kind}
    basis = f"% {next(iter(kinds))}" if len(kinds) == 1 else "%"
    columns = [Column("case", "case", numeric=False)]
    collective = any(r.record.case.collective for r in members)
    if collective:
        columns.append(Column("ranks", "ranks"))
    elif several:
        columns.append(Column("device", "device", numeric=False))
    if headline == "message":
        columns += [Column("rate", "algbw", rate + unit), Column("busbw", "busbw", rate + unit)]
    elif headline != "time":  # where no work is done there is no rate
        columns.append(Column("rate", "bandwidth" if headline == "bytes" else "rate", rate + unit))
    if (counted := tokens.prefixes(measured)) is not None:
        columns.append(Column("tokens", "tokens", f"{counted[0]}token/s"))
    if kinds:
        columns.append(Column("of_peak", "of peak", basis))
    paced = [Column("slowest", "slowest", numeric=False), Column("apart", "apart", "%")]
    columns += [
        Column("power", "power", "W"),
        *([Column("per_watt", "per watt", f"{watt}{unit}/W" if per_joule else "")] if headline != "time" else []),
        *([Column("per_token", "per token", f"{counted[1]}J" if per_joule else "")] if counted else []),
        *([Column("hidden", "hidden", "%")] if any(r.overlap for r in measured) else []),
        *([Column("way", "algorithm", numeric=False)] if any(way(r.record) for r in measured) else []),
        *(paced if any(pace_of(r.record) for r in measured) else []),
        Column("spread", "spread", "%"),
        Column("ci", "95 % CI", "± %"),
        Column("flags", "flags", numeric=False),
    ]
    mixed = len(kinds) > 1
    write = _writer(rate, watt, unit, mixed, records, counted or ("", ""))
    lines = tuple(Line(r, write(r)) for r in members)
    return Group(kernel, headline, rate, watt, tuple(columns), lines, tuple(pair_notes(of_all)))


def _writer(
    rate: str, watt: str, unit: str, mixed: bool, records: Sequence[Record], counted: tuple[str, str]
) -> Callable[[Row], dict[str, Cell]]:
    def scaled(value: float | None, symbol: str, suffix: str, digits: int) -> str:
        if value is None:
            return ABSENT
        if abs(value) < FAR_BELOW * FACTORS[symbol] and value:
            return quantity(value, suffix, 3)
        text = number(value / FACTORS[symbol], digits)
        return text if len(text.partition(".")[2]) <= MOST_DECIMALS else f"{value / FACTORS[symbol]:.{MOST_DECIMALS}f}"

    def per_watt(row: Row, mark: str) -> Cell:
        value, known = row.per_joule, row.budget.expanded if row.budget else None
        if value is None or not known:
            return Cell(scaled(value, watt, f"{unit}/W", 3), mark)
        if value < FAR_BELOW * FACTORS[watt]:
            return Cell(scaled(value, watt, f"{unit}/W", 3), mark, f"{number(100 * known / value, 2)} %")
        text, u = stated(value / FACTORS[watt], known / FACTORS[watt], MOST_DECIMALS)
        return Cell(text, mark, u)

    def per_token(row: Row, mark: str) -> Cell:
        text, u = tokens.per_token(row, counted[1])
        return Cell(text, mark, u) if text else Cell(ABSENT)

    def write(row: Row) -> dict[str, Cell]:
        case = row.record.case
        cells = {
            "case": Cell(one_line(case.label)),
            "ranks": Cell(str(case.ranks)),
            "device": Cell(device_name(row.record, records)),
            "flags": Cell(", ".join(spoken(flag) for flag in row.flags)),
        }
        if row.state != "measured":
            return cells
        source = row.energy.source if row.energy else ""
        mark = MARKS.get(source, "") + (MARKS["indicative"] if row.indicative else "")
        peak_mark = MARKS["measured peak"] if mixed and row.peak_kind == "measured" else ""
        peak = Cell("is the peak") if row.is_peak else Cell(percent(row.of_peak) or ABSENT, peak_mark)
        cells |= {
            "rate": Cell(scaled(row.rate, rate, unit, 4)),
            "busbw": Cell(scaled(row.busbw, rate, unit, 4)),
            "of_peak": peak,
            "power": Cell(row.words or number(row.power_w, 3), "" if row.words else mark),
            "per_watt": Cell(row.words) if row.words else per_watt(row, mark),
            "tokens": Cell(tokens.per_second(row, counted[0]) or ABSENT),
            "per_token": Cell(row.words) if row.words and row.tokens_per_s else per_token(row, mark),
            "spread": Cell(_small_percent(row.spread)),
            "ci": Cell(_small_percent(row.ci)),
            "hidden": Cell(*hidden(row)) if row.overlap else Cell(ABSENT),
            "way": Cell(way(row.record) or ABSENT),
            "slowest": Cell(slowest(row.record) or ABSENT),
            "apart": Cell(_small_percent(pace.apart if (pace := pace_of(row.record)) else None)),
        }
        return cells

    return write


def _small_percent(ratio: float | None) -> str:
    """Two decimals, for a figure of dispersion: beyond that it says nothing; below it, say so."""
    if ratio is None:
        return ABSENT
    if 0 < ratio < 5e-5:
        return "<0.01"
    decimals = 2 if ratio < 0.1 else 1 if ratio < 1 else 0
    return f"{100 * ratio:.{decimals}f}"
