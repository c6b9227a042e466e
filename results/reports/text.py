"""The table for other programs and other documents: Markdown to paste, CSV to compute with, JSON to keep.

Markdown holds the cells of :mod:`layout`. CSV holds SI numbers in full precision, the unit in each column's name and
nothing where there is nothing: a reader must be able to tell 0 from absent. JSON is the records themselves, each with
what follows from it under ``derived``: it reads back as records all the same.
"""

from __future__ import annotations

import csv as csv_format
import io
import math
from collections.abc import Callable, Sequence

import msgspec

from perwatt.results.overlap import PARTS, Overlap
from perwatt.results.record import Record
from perwatt.results.reports.layout import Group, groups, notes
from perwatt.results.reports.legend import TERMS
from perwatt.results.reports.paces import pace_of
from perwatt.results.reports.table import Row, rows
from perwatt.results.reports.units import finite
from perwatt.results.run import NOTHING
from perwatt.results.uncertainty import K

_MARKDOWN = str.maketrans(
    {"\\": "\\\\", "|": "\\|", "`": "\\`", "*": "\\*", "[": "\\[", "]": "\\]", "<": "&lt;", ">": "&gt;", "&": "&amp;"}
)


def markdown(records: Sequence[Record], nothing: str = NOTHING) -> str:
    """One Markdown table a kernel, with the notes below the last; ``nothing`` where there is no record."""
    if not records:
        return f"{nothing}\n"
    tables = groups(records)
    parts = [_markdown_group(group) for group in tables]
    remarks = [f"- {_md(note.mark)} {_md(note.text)}" if note.mark else f"- {_md(note.text)}" for note in notes(tables)]
    if remarks:
        parts.append("\n".join(remarks))
    return "\n\n".join(parts) + "\n"


def _md(text: str) -> str:
    return text.translate(_MARKDOWN)


def _markdown_group(group: Group) -> str:
    heads = [_md(f"{c.title} ({c.unit})" if c.unit else c.title) for c in group.columns]
    lines = [f"### {_md(group.kernel)}", "", "| " + " | ".join(heads) + " |"]
    lines.append("|" + "|".join(" ---: " if c.numeric else " --- " for c in group.columns) + "|")
    for line in group.lines:
        cells = []
        for column in group.columns:
            cell = line.cells.get(column.key)
            cells.append(_md(cell.whole) if cell else "")
        if line.row.state != "measured":
            # the last column, that of the flags, takes the reason
            cells[-1] = _md(f"{line.row.state}: {line.row.reason}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def csv(records: Sequence[Record]) -> str:
    """One line a record under a header; numbers as the shortest decimal that reads back as the same float."""
    out = io.StringIO()
    writer = csv_format.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows(records):
        values = [field(row) for field in COLUMNS.values()]
        writer.writerow(["" if value is None else value for value in values])
    return out.getvalue()


def json(records: Sequence[Record]) -> str:
    """The records as a JSON array, indented; the numbers under ``derived`` are in SI units, U has k = 2."""
    out = [msgspec.to_builtins(row.record) | _derived(row) for row in rows(records)]
    return msgspec.json.format(msgspec.json.encode(out), indent=2).decode() + "\n"


def _derived(row: Row) -> dict[str, object]:
    if row.state != "measured":
        return {}
    budget = row.budget
    known: dict[str, object] = {
        "rate": row.rate,
        "power_w": row.power_w,
        "net_power_w": row.net_power_w,
        "work_per_joule": row.per_joule,
        "tokens_per_s": row.tokens_per_s,
        "joules_per_token": row.joules_per_token,
        "expanded_uncertainty": budget.expanded if budget else None,
        "no_energy_reason": row.why or None,
        "uncertainty": budget
        and {
            "k": K,
            "terms": budget.terms,
            "dominant": budget.dominant or None,
            "coverage": budget.coverage,
            "repetitions": budget.repetitions,
            "not_stated_because": budget.reason or None,
            "note": budget.note or None,
        },
        "throttled": row.throttled,
        "flags": row.flags,
        "boundaries": row.lines,
        "overlap": _overlap(row.overlap) if row.overlap else None,
    }
    return {"derived": known}


def _overlap(found: Overlap) -> dict[str, object]:
    return {
        "hidden": found.hidden,
        "hidden_ci95": (found.hidden_low, found.hidden_high),
        "energy_j": found.energy_j and dict(zip(PARTS, found.energy_j, strict=True)),
        "saved": found.saved,
        "saved_expanded": found.saved_expanded,
    }


Field = Callable[[Row], object]


def _of(path: str, *, several: bool = False) -> Field:
    """The attribute at ``path``, None where a part of it is absent; if ``several``, only from two samples on."""

    def read(row: Row) -> object:
        value: object = row
        for name in path.split("."):
            value = getattr(value, name) if value is not None else None
        if several and (m := row.record.measured) is not None and m.seconds.samples < 2:
            return None
        return finite(value) if isinstance(value, float) else value

    return read


def _if_headline(headline: str, field: Field) -> Field:
    def read(row: Row) -> object:
        m = row.record.measured
        return field(row) if m is not None and m.work.headline == headline else None

    return read


def _term(name: str) -> Field:
    """One relative standard uncertainty; ``""``: all those together that have no column of their own."""

    def read(row: Row) -> object:
        if row.budget is None:
            return None
        rest = [u for term, u in row.budget.terms.items() if term not in TERMS]
        return finite(row.budget.terms.get(name) if name else (math.hypot(*rest) if rest else None))

    return read


def _throttled(row: Row) -> object:
    return msgspec.json.encode(row.throttled, order="sorted").decode() if row.throttled else None


def _left_over(field: str) -> Field:
    """Of the node: what is in it and was not metered on its own."""

    def read(row: Row) -> object:
        return next((getattr(line, field) for line in row.lines if line.name == "unexplained"), None)

    return read


def _if_peak(kind: str) -> Field:
    return lambda row: row.of_peak if row.peak_kind == kind else None


def _sum(energy: bool) -> Field:
    def read(row: Row) -> object:
        pairs = row.record.energies if row.power_w is not None else ()
        return sum(e.energy_j if energy else r.window_s for r, e in pairs) if pairs else None

    return read


COLUMNS: dict[str, Field] = {
    "run": _of("record.run"),
    "time_utc": _of("record.time_utc"),
    "host": _of("record.host"),
    "kernel": _of("record.case.kernel"),
    "entry": _of("record.case.entry"),
    "case_key": _of("record.case.key"),
    "label": _of("record.case.label"),
    "series": _of("record.case.series"),
    "size_name": _of("record.case.size_name"),
    "size": _of("record.case.size"),
    "ranks": _of("record.case.ranks"),
    "cache": _of("record.case.cache"),
    "device_type": _of("record.device.type"),
    "device_name": _of("record.device.name"),
    "device_index": _of("record.case.device_index"),
    "target": _of("record.target.name"),
    "outcome": _of("state"),
    "reason": lambda row: row.reason or None,
    "flags": lambda row: ";".join(row.flags) or None,
    "source": _of("record.source"),
    "origin_format": _of("record.origin.format"),
    "origin_file": _of("record.origin.file"),
    "origin_line": _of("record.origin.line"),
    "origin_statistic": _of("record.origin.statistic"),
    "rate_flop_per_s": _if_headline("flops", _of("rate")),
    "rate_byte_per_s": _if_headline("bytes", _of("rate")),
    "rate_sample_per_s": _if_headline("samples", _of("rate")),
    "algbw_byte_per_s": _if_headline("message", _of("rate")),
    "busbw_byte_per_s": _of("busbw"),
    "token_per_s": _of("tokens_per_s"),
    "of_datasheet_peak_ratio": _if_peak("datasheet"),
    "of_measured_peak_ratio": _if_peak("measured"),
    "power_w": _of("power_w"),
    "flop_per_joule": _if_headline("flops", _of("per_joule")),
    "byte_per_joule": _if_headline("bytes", _of("per_joule")),
    "sample_per_joule": _if_headline("samples", _of("per_joule")),
    "bus_byte_per_joule": _if_headline("message", _of("per_joule")),
    "joule_per_token": _of("joules_per_token"),
    "work_per_joule_expanded_ratio": _of("budget.relative"),
    **{f"u_{name}_ratio": _term(name) for name in TERMS},
    "u_other_ratio": _term(""),
    "uncertainty_coverage": _of("budget.coverage"),
    "no_uncertainty_reason": lambda row: (row.budget.reason or None) if row.budget else None,
    "uncertainty_note": lambda row: (row.budget.note or None) if row.budget else None,
    "no_energy_reason": lambda row: row.why or None,
    "idle_power_w": _of("idle.power_w"),
    "net_power_w": _of("net_power_w"),
    "throttled_ratio": _throttled,
    "steady": _of("record.measured.steady"),
    "sampler_cost_ratio": _of("record.measured.sampler_cost.relative"),
    "sampler_cost_u_ratio": _of("record.measured.sampler_cost.error"),
    "unexplained_node_w": _left_over("power_w"),
    "unexplained_node_expanded_w": _left_over("expanded_w"),
    "meter": _of("energy.meter"),
    "boundary": _of("energy.boundary"),
    "accuracy_class": _of("energy.accuracy_class"),
    "energy_source": _of("energy.source"),
    "energy_j": _sum(energy=True),
    "metered_window_s": _sum(energy=False),
    "repetitions": lambda row: len(m.repetitions) if (m := row.record.measured) else None,
    "samples": _of("record.measured.seconds.samples"),
    "warmup_samples": _of("record.measured.seconds.warmup_samples"),
    "median_s": _of("record.measured.seconds.median"),
    "mean_s": _of("record.measured.seconds.mean"),
    "stdev_s": _of("record.measured.seconds.stdev", several=True),
    "p5_s": _of("record.measured.seconds.p5", several=True),
    "p95_s": _of("record.measured.seconds.p95", several=True),
    "median_ci95_low_s": _of("record.measured.seconds.ci_low", several=True),
    "median_ci95_high_s": _of("record.measured.seconds.ci_high", several=True),
    "rank_mean_s": _of("record.measured.seconds.rank_mean"),
    "work_flop": _of("record.measured.work.flops"),
    "work_byte": _of("record.measured.work.bytes"),
    "work_token": lambda row: (m.work.tokens or None) if (m := row.record.measured) else None,
    "message_byte": _if_headline("message", _of("record.measured.work.message_bytes")),
    "bus_factor": _if_headline("message", _of("record.measured.work.bus_factor")),
    "rank_apart_ratio": _of("record.measured.pace.apart"),
    "slowest_rank": lambda row: pace.last if (pace := pace_of(row.record)) else None,
    "slowest_rank_share_ratio": lambda row: pace.slowest[pace.last] if (pace := pace_of(row.record)) else None,
    "stragglers": lambda row: " ".join(map(str, pace.stragglers)) or None if (pace := pace_of(row.record)) else None,
    "hidden_ratio": _of("overlap.hidden"),
    "hidden_ci95_low_ratio": _of("overlap.hidden_low"),
    "hidden_ci95_high_ratio": _of("overlap.hidden_high"),
    "overlap_saved_joule": _of("overlap.saved_j"),
    "overlap_saved_ratio": _of("overlap.saved"),
    "overlap_saved_expanded_ratio": _of("overlap.saved_expanded"),
    "backend": _of("record.measured.collective.backend"),
    "backend_version": _of("record.measured.collective.version"),
    "algorithm": _of("record.measured.collective.algorithm"),
    "protocol": _of("record.measured.collective.protocol"),
    "channels": _of("record.measured.collective.channels"),
    "nvls": _of("record.measured.collective.nvls"),
    "buffers": _of("record.measured.buffers"),
    "timer": _of("record.measured.timer"),
    "check_max_error": _of("record.measured.check.max_error"),
    "check_tolerance": _of("record.measured.check.tolerance"),
    "params": lambda row: msgspec.json.encode(row.record.case.params, order="sorted").decode(),
}
