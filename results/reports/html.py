"""A run as one HTML file that needs nothing else: no script, no network, no second file.

It can be mailed, archived and printed as it is. Order: what was measured and on what; the best of each kernel; every
case; the curves; the samples over time; the machine; the configuration; what the columns mean. Text from outside
(labels, reasons, names of devices) is escaped wherever it is put.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from perwatt.results.record import Failed
from perwatt.results.reports import drifts
from perwatt.results.reports.document import captioned, document
from perwatt.results.reports.html_about import environment, method, targets
from perwatt.results.reports.html_cases import cases
from perwatt.results.reports.html_energy import energy
from perwatt.results.reports.html_fleet import power as power_of_fleet
from perwatt.results.reports.html_links import groups as groups_of_nodes
from perwatt.results.reports.html_remote import meters as meters_of_fleet
from perwatt.results.reports.html_static import compiled
from perwatt.results.reports.layout import UNITS, Group, groups
from perwatt.results.reports.table import Row, device_name, one_line, several_devices
from perwatt.results.reports.units import FACTORS, number, percent
from perwatt.results.run import Run

if TYPE_CHECKING:
    pass


def render(run: Run) -> str:
    """The report on ``run`` as a complete HTML document."""
    tables = groups(run.records)
    body = "\n".join(part for part in _parts(run, tables) if part)
    return document(f"perwatt: {run.name}", ["report.css"], body)


def _parts(run: Run, tables: list[Group]) -> Iterator[str]:
    yield _header(run)
    if not tables:
        yield f'<p class="empty">{run.nothing}</p>'
    yield _best(tables)
    yield groups_of_nodes(run.path)
    yield power_of_fleet(run.path)
    yield meters_of_fleet(run.path)
    yield cases(tables)
    yield drifts.section(drifts.of(run))
    yield energy(tables)
    yield compiled(tables)
    yield _curves(tables)
    yield _samples(run, tables)
    yield environment(run.environment)
    yield targets(run.records)
    yield _config(run.config_text)
    yield method(tables, timeline=run.telemetry is not None and not run.telemetry.empty)


def _header(run: Run) -> str:
    records = run.records
    devices = {(r.host, r.device.type, r.device.index, r.device.uuid): r.device.name for r in records}
    states = Counter("measured" if r.measured else type(r.outcome).__name__.lower() for r in records)
    when = records[0].time_utc if records else str(run.environment.get("time_utc", ""))
    facts = (
        ("host", _unique(sorted({r.host for r in records}) or [str(run.environment.get("host", ""))])),
        ("device", _unique(list(devices.values()))),
        ("target", _unique(sorted({r.target.name for r in records if r.target}))),
        ("date", f'<time datetime="{escape(when)}">{escape(_date(when))}</time>' if when else ""),
        ("meter", _unique(_meters(run)) or "none"),
        ("cases", ", ".join(f"{states[s]} {s}" for s in ("measured", "skipped", "failed") if states[s]) or "none"),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts if value)
    failed = [i for i, r in enumerate(records) if isinstance(r.outcome, Failed)]
    alert = ""
    if failed:
        text = "1 case failed" if len(failed) == 1 else f"{len(failed)} cases failed"
        alert = f'<p class="alert"><a href="#case-{failed[0]}">{text}</a></p>\n'
    head = f'<p class="brand">perwatt</p>\n<h1>{escape(run.name)}</h1>'
    return f'<header>\n{head}\n<dl class="facts">{cells}</dl>\n{alert}</header>'


def _unique(values: Sequence[str]) -> str:
    """``values`` as HTML, once each, with their number where it is more than one."""
    counted = Counter(v for v in values if v)
    return ", ".join(escape(one_line(v)) + (f" &times; {n}" if n > 1 else "") for v, n in counted.items())


def _meters(run: Run) -> list[str]:
    """The meters that spoke for a device; before anything was measured, those that could have."""
    if any(r.measured for r in run.records):
        return list(dict.fromkeys(r.meter for r in run.records if r.meter))
    listed = run.environment.get("meters")
    rows = [m for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []
    return list(dict.fromkeys(str(m.get("name", "")) for m in rows if m.get("available") is True))


def _date(iso: str) -> str:
    """``2026-11-01T12:00:00Z`` as ``2026-11-01 12:00 UTC``; anything else as it is."""
    day, _, clock = iso.partition("T")
    utc = clock.endswith(("Z", "+00:00"))
    return f"{day} {clock[:5]} UTC" if utc and clock[2:3] == ":" else iso


def _best(tables: list[Group]) -> str:
    """The best case of each kernel, and its best rate per watt, which may be another case."""
    tiles = [tile for group in tables if (tile := _tile(group))]
    return f'<section>\n<h2>Best of each kernel</h2>\n<dl class="tiles">{"".join(tiles)}</dl>\n</section>' * bool(tiles)


def _tile(group: Group) -> str:
    lines = [line for line in group.lines if line.row.best is not None]
    if not lines:
        return ""
    best = max(lines, key=lambda line: line.row.best or 0.0).row
    unit = UNITS[group.headline]
    value = number((best.best or 0.0) / FACTORS[group.rate_prefix], 3)
    metered = [line for line in lines if line.row.per_joule]
    if metered:
        frugal = max(metered, key=lambda line: line.row.per_joule or 0.0)
        other = "" if frugal.row is best else f", {escape(frugal.cells['case'].text)}"
        second = f"<strong>{escape(frugal.cells['per_watt'].whole)} {group.watt_prefix}{unit}/W</strong>{other}"
    else:
        second = escape(best.words)
    name = escape(group.kernel) + (" busbw" if best.busbw is not None else "")
    return (
        f'<div><dt>{name}</dt><dd><span class="value">{value}</span> {group.rate_prefix}{unit}'
        f"<small>{escape(one_line(best.record.case.label))}{_share(best)}</small><small>{second}</small></dd></div>"
    )


def _share(row: Row) -> str:
    if row.of_peak is None or row.is_peak:
        return ""
    return f", {percent(row.of_peak)} % of {row.peak_kind} peak"


def _curves(tables: list[Group]) -> str:
    from perwatt.results.reports.plots import by_size

    figures: list[str] = []
    for at, group in enumerate(tables):
        rate = by_size(group, "rate", f"r{at}")
        per_watt = by_size(group, "per_watt", f"w{at}")
        # a pair starts a row of its own, so that its two figures stand beside each other
        figures += [captioned(rate, "first" if per_watt else "")] if rate else []
        figures += [captioned(per_watt)] if per_watt else []
    if not figures:
        return ""
    return f'<section>\n<h2>Against size</h2>\n<div class="figures">\n{"".join(figures)}</div>\n</section>'


def _samples(run: Run, tables: list[Group]) -> str:
    from perwatt.results.reports.timeline import panels

    shown = {line.row.index for group in tables for line in group.lines}
    several = several_devices(run.records)
    few = replace(run, records=[record for index, record in enumerate(run.records) if index in shown])
    by_kernel: dict[str, list[str]] = {}
    for record, drawing in panels(few, {group.kernel: group.rate_prefix for group in tables}):
        device = f", device {device_name(record, run.records)}" if several and not record.case.collective else ""
        titled = replace(drawing, title=one_line(drawing.title) + device)
        by_kernel.setdefault(record.case.kernel, []).append(captioned(titled))
    if not by_kernel:
        return ""
    signs = {"dot": "measured sample", "dot faint": "warm-up", "box": "measured window", "rule": "power"}
    legend = "".join(f'<span><i class="{sign}"></i>{text}</span>' for sign, text in signs.items())
    blocks = "".join(
        f'<h3>{escape(kernel)}</h3>\n<div class="panels">\n{"".join(figures)}</div>\n'
        for kernel, figures in by_kernel.items()
    )
    legend += "<span>horizontal: seconds since the first sample</span>"
    return f'<section>\n<h2>Samples over time</h2>\n<p class="legend">{legend}</p>\n{blocks}</section>'


def _config(text: str) -> str:
    if not text.strip():
        return ""
    folded = f"<details><summary>config.yaml</summary><pre>{escape(text)}</pre></details>"
    return f'<section class="folded">\n<h2>Configuration</h2>\n{folded}\n</section>'
