"""The section of the HTML report on energy: what each uncertainty is made of, the state of the device in the windows,
and what was metered at several boundaries, laid beside each other.

A number stands here only where a meter spoke for it: a replayed or modelled energy keeps its mark and has no U.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from perwatt.results.reconcile import Line as Boundary
from perwatt.results.reports.html_cases import table
from perwatt.results.reports.layout import ABSENT, UNITS, Group, Line
from perwatt.results.reports.legend import PLUS_MINUS, TERMS, small, spoken
from perwatt.results.reports.table import Row
from perwatt.results.reports.units import number, stated

# How wide a bar of shares is drawn at all: what is thinner than this part of it cannot be seen.
LEAST_SHARE = 0.005


def energy(tables: Sequence[Group]) -> str:
    """The section; empty where nothing was metered."""
    parts = [part for group in tables for part in _kernel(group)]
    if not parts:
        return ""
    intro = (
        f"{PLUS_MINUS}. Each term is a relative standard uncertainty in percent; U is twice the root of the sum of "
        "their squares, and the bar shows their squares' shares. What a meter does not enclose is no uncertainty: it "
        "lies outside its boundary."
    )
    body = "\n".join(parts)
    return (
        f'<section class="energy">\n<h2>Energy and its uncertainty</h2>\n<p class="muted">{intro}</p>\n{body}</section>'
    )


def _kernel(group: Group) -> Iterator[str]:
    lines = [line for line in group.lines if line.row.budget is not None]
    if not lines:
        return
    yield f"<h3>{escape(group.kernel)}</h3>\n" + _budgets(group, lines)
    yield _states(group, lines)
    yield from (_boundaries(group, line) for line in lines if line.row.lines)


def _name(group: Group, line: Line) -> str:
    device = line.cells["device"].text if any(column.key == "device" for column in group.columns) else ""
    return escape(line.cells["case"].text) + (f" <small>device {escape(device)}</small>" if device else "")


def _budgets(group: Group, lines: Sequence[Line]) -> str:
    found = dict.fromkeys(name for line in lines if line.row.budget for name in line.row.budget.terms)
    terms = [name for name in TERMS if name in found] + sorted(set(found) - set(TERMS))
    keys = {name: f'<i class="key s{at % 8}"></i>' for at, name in enumerate(terms)}
    heads = [f"per watt<small>{group.watt_prefix}{UNITS[group.headline]}/W</small>", "U<small>%, k = 2</small>"]
    heads += [f"{keys[name]}{escape(spoken(name))}<small>%</small>" for name in terms]
    body = []
    for line in lines:
        budget = line.row.budget
        assert budget is not None
        u = ABSENT if budget.relative is None else number(100 * budget.relative, 2)
        cells = [escape(line.cells["per_watt"].whole), u]
        cells += [_percent(budget.terms.get(name)) for name in terms]
        bar = "".join(
            f'<i class="s{terms.index(name) % 8}" style="width:{100 * share:.1f}%"></i>'
            for name, share in budget.shares.items()
            if share >= LEAST_SHARE
        )
        remarks = [f"not stated: {budget.reason}"] if budget.reason else []
        remarks += [f"{budget.repetitions} repetitions"] if budget.repetitions > 1 else []
        remarks += [budget.note] if budget.note else []
        drawn = f'<span class="shares" aria-hidden="true">{bar}</span>' if bar and not budget.reason else ""
        body.append((_name(group, line), [*cells, f"{drawn}<small>{escape('; '.join(remarks))}</small>"]))
    return table(f"Uncertainty of {group.kernel}", "case", [*heads, "shares"], body)


def _percent(u: float | None) -> str:
    if u is None:
        return ABSENT
    return "<0.001" if 0 < u < 1e-5 else number(100 * u, 2) if u < 1e-3 else f"{100 * u:.2f}"


def _states(group: Group, lines: Sequence[Line]) -> str:
    """Power gross, idle and net; what else is known of the windows. Columns that nothing is known for are left out."""
    states = [(line, known) for line in lines if any((known := _state(line.row)).values())]
    if not states:
        return ""
    shown = [title for title in states[0][1] if any(known[title] for _, known in states)]
    heads = ["power<small>W, gross</small>", *shown]
    body = [
        (_name(group, line), [escape(line.cells["power"].whole), *(known[title] or ABSENT for title in shown)])
        for line, known in states
    ]
    return table(f"State in the windows of {group.kernel}", "case", heads, body, "states")


def _state(row: Row) -> dict[str, str]:
    m = row.record.measured
    assert m is not None
    cost = m.sampler_cost
    known = [r.conditions for r in m.repetitions if r.conditions]
    places = dict.fromkeys(place for c in known for place in c.temperature_c)
    degrees = [_from_to([c.temperature_c[p] for c in known if p in c.temperature_c], p) for p in places]
    domains = dict.fromkeys(domain for c in known for domain in c.clock_hz)
    clocks = [_from_to([c.clock_hz[d] for c in known if d in c.clock_hz], d, 1e6) for d in domains]
    limits = dict.fromkeys(f"{number(w, 3)} {spoken(k)}" for c in known for k, w in c.limit_w.items())
    slowed = [f"{spoken(reason)} {small(share)}" for reason, share in row.throttled.items() if share > 0]
    return {
        "idle<small>W</small>": number(row.idle.power_w, 3) if row.idle else "",
        "net<small>W, secondary</small>": number(row.net_power_w, 3),
        "throttled<small>% of the time</small>": escape(", ".join(slowed) or ("none" if row.throttled else "")),
        "temperature<small>°C</small>": escape(", ".join(degrees)),
        "clock<small>MHz</small>": escape(", ".join(clocks)),
        "power limit<small>W</small>": escape(", ".join(limits)),
        "steady": "" if m.steady is None else "yes" if m.steady else "no",
        "sampler's cost<small>% of the rate</small>": ""
        if cost is None
        else f"{100 * cost.relative:.2f} ± {200 * cost.error:.2f}",
    }


def _from_to(values: Sequence[tuple[float, float]], name: str, unit: float = 1.0) -> str:
    """From the start of the first window to the end of the last."""
    start, end = values[0][0] / unit, values[-1][1] / unit
    return f"{spoken(name)} {start:.0f}" if round(start) == round(end) else f"{spoken(name)} {start:.0f} to {end:.0f}"


def _boundaries(group: Group, line: Line) -> str:
    """One case at all its boundaries, folded away behind what is left over."""
    body = []
    for b in line.row.lines:
        meters = escape(", ".join(b.meters)) or ABSENT
        share = "" if b.share is None else f"{number(100 * b.share, 3)} %"
        flags = " ".join(f'<span class="flag">{escape(spoken(f))}</span>' for f in b.flags)
        about = f"class {b.accuracy_class}, {b.source}" if b.boundary else b.note
        cells = [_watts(b), share, str(b.packages or ""), meters, f"{escape(about)} {flags}".strip()]
        body.append((escape(b.name), cells))
    rest = "; ".join(f"{b.name} {_watts(b)} W" for b in line.row.lines if not b.boundary)
    title = f"{_name(group, line)}: boundaries" + (f", {escape(rest)}" if rest else "")
    heads = ["power<small>W ± U</small>", "of the whole", "packages", "meter", ""]
    made = table(f"Boundaries of {line.cells['case'].text}", "boundary", heads, body)
    return f"<details><summary>{title}</summary>\n{made}</details>"


def _watts(line: Boundary) -> str:
    return " ± ".join(stated(line.power_w, line.expanded_w)) if line.expanded_w else number(line.power_w, 3)
