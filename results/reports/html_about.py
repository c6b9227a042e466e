"""The parts of the HTML report that explain: the machine, the datasheet peaks used, and what the columns mean.

``environment.json`` grows with the project and may come from an older or an interrupted run: known keys are set out in
tables, unknown ones are listed as they are, and a missing or oddly shaped one is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from perwatt.results.record import Quantity, Record, Target
from perwatt.results.reports.layout import ABSENT, Group
from perwatt.results.reports.table import SPIN
from perwatt.results.reports.units import FACTORS, binary, common_prefix, number

_FIRST = ("host", "os", "kernel", "python", "time_utc")
_APART = ("cpu", "packages", "torch", "devices", "meters", "variables")
_METER = ("name", "available", "boundary", "accuracy_class", "reason")


def environment(found: Mapping[str, Any]) -> str:
    """The section on the machine and its software; empty if nothing is known."""
    facts = [(key, found[key]) for key in _FIRST if _known(found.get(key))]
    facts += [(f"{key} {name}", value) for key in ("cpu", "torch") for name, value in _pairs(found.get(key))]
    facts += [(key, value) for key, value in _pairs(found) if key not in (*_FIRST, *_APART)]
    listed = "".join(f"<div><dt>{_label(k)}</dt><dd>{_value(k, v)}</dd></div>" for k, v in facts)
    meters = [{**{key: row.get(key) for key in _METER}, **row} for row in _rows(found.get("meters"))]
    parts = [
        f'<dl class="facts">{listed}</dl>' if listed else "",
        _table("Devices", _rows(found.get("devices"))),
        _table("Meters", meters),
        _folded("Packages", _pairs(found.get("packages"))),
        _folded("Environment variables", _pairs(found.get("variables"))),
    ]
    body = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>Environment</h2>\n{body}\n</section>" if body else ""


def _known(value: object) -> bool:
    return value is not None and value not in ("", [], {})


def _pairs(value: object) -> list[tuple[str, Any]]:
    return [(str(k), v) for k, v in value.items() if _known(v)] if isinstance(value, Mapping) else []


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list | tuple) else []


def _label(key: str) -> str:
    return escape(key.removesuffix("_bytes").removesuffix("_utc").replace("_", " "))


def _value(key: str, value: object) -> str:
    """``value`` as HTML: bytes with their unit, lists with commas, mappings as ``key value`` pairs."""
    if value is None or value == "":
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key.endswith("_bytes") and isinstance(value, int | float):
        return escape(binary(value))
    if isinstance(value, list | tuple):
        return ", ".join(_value("", v) for v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{escape(str(k))} {_value(str(k), v)}" for k, v in value.items())
    return escape(str(value))


def _table(title: str, rows: Sequence[Mapping[str, Any]], *, headed: bool = True) -> str:
    """A table with a column for each key that any of ``rows`` has a value for."""
    keys = [key for key in dict.fromkeys(k for row in rows for k in row) if any(_known(row.get(key)) for row in rows)]
    if not keys:
        return ""
    heading = f"<h3>{title}</h3>\n" if headed else ""
    heads = "".join(f'<th scope="col">{_label(str(key))}</th>' for key in keys)
    lines = ("".join(f"<td>{_value(str(key), row.get(key))}</td>" for key in keys) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'{heading}<div class="scroll" role="region" tabindex="0" aria-label="{title}">'
        f'<table class="plain"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _folded(title: str, pairs: Sequence[tuple[str, Any]]) -> str:
    if not pairs:
        return ""
    body = "".join(f'<tr><th scope="row">{escape(k)}</th><td>{_value("", v)}</td></tr>' for k, v in pairs)
    return f'<details><summary>{title} ({len(pairs)})</summary><table class="plain">{body}</table></details>'


def targets(records: Sequence[Record]) -> str:
    """The datasheet peaks that percentages were taken of, each with where it was read."""
    found: dict[str, Target] = {r.target.name: r.target for r in records if r.target}
    lines = []
    for target in found.values():
        peaks: list[tuple[str, Quantity | None]] = [(f"dense {k}", v) for k, v in target.peak_flops.items()]
        peaks += [("memory bandwidth", target.memory_bandwidth), ("TDP", target.tdp)]
        lines += [
            {"target": target.name, "quantity": name, "value": _peak(q), "source": q.source}
            for name, q in peaks
            if q is not None
        ]
    table = _table("Datasheet values", lines, headed=False)
    return f"<section>\n<h2>Datasheet values</h2>\n{table}\n</section>" if table else ""


def _peak(peak: Quantity) -> str:
    symbol = common_prefix([peak.value])
    text = number(peak.value / FACTORS[symbol])
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {symbol}{peak.unit}"


def method(tables: Sequence[Group], *, timeline: bool) -> str:
    """What each column means, for those columns that the report has."""
    if all(line.row.state != "measured" for group in tables for line in group.lines):
        return ""
    keys = {column.key for group in tables for column in group.columns}
    spun = any(line.row.peak_kind == "measured" for group in tables for line in group.lines)
    budgets = [line.row.budget for group in tables for line in group.lines if line.row.budget]
    shown = {
        "± U": any(budget.expanded is not None for budget in budgets),
        "algbw, busbw": any(group.headline == "message" for group in tables),
        "of peak": "of_peak" in keys,
        "of measured peak": spun,
        "samples over time": timeline,
    }
    listed = "".join(
        f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in MEANING.items() if shown.get(name, True)
    )
    return f'<section>\n<h2>What the columns mean</h2>\n<dl class="method">{listed}</dl>\n</section>'


MEANING = {
    "rate": "Work of one launch over the median seconds per launch. Work is counted by the field's formulas, not by "
    "the hardware: FLOP for arithmetic, bytes that must move for memory. Prefixes are decimal (1 GB is 1e9 bytes).",
    "algbw, busbw": "Message bytes over time, and that times the bus factor of the collective, as nccl-tests defines "
    "them. The time of an iteration is that of its slowest rank.",
    "of peak": "Rate over the datasheet's dense peak for the same dtype, or over its memory bandwidth. A datasheet "
    "peak holds at one clock: a device that runs above it can exceed 100 %.",
    "of measured peak": f"Where no datasheet peak is known: rate over the best {SPIN} rate, a loop of multiply-adds in "
    "registers, of the same run, device and dtype.",
    "power": "Energy over time in the measured windows, idle power included, at the boundary named below the tables. "
    "“Not metered” means that no reading encloses this device; it stands for no number.",
    "per watt": "Work per joule, time and energy from the same windows, averaged over repetitions: 1 GFLOP/s/W is "
    "1 GFLOP/J. For a collective over several ranks the work is that of busbw. Gross power: net figures flatter "
    "hardware that idles badly.",
    "± U": "Expanded uncertainty of the work per watt with coverage factor 2: the scatter of the repetitions, and what "
    "no repetition removes, above all how true the sensor reads. Two results differ if they differ by more than the "
    "root of the sum of their U squared. A replayed, modelled or estimated energy has none.",
    "spread": "5th to 95th percentile of the seconds per launch, in percent of the median. No sample is dropped.",
    "95 % CI": "Bootstrap interval of the median time, the larger of its two sides, in percent of the median.",
    "samples over time": "Each timed sample as a rate; measured windows are shaded. The scale follows the measured "
    "samples: a warm-up beyond it sits on the edge. An envelope has, for each of 300 time steps, a bar from the least "
    "to the greatest sample and a dot at the median.",
}
