"""What is said once below the tables: what the flags mean, how well the energies are known, the state of the device.

Power and work per watt are gross, idle power included; what is net of idle stands beside them and never in their place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from perwatt.results.reports.table import Note, Row
from perwatt.results.reports.units import number

FLAGS = {
    "aliasing_risk": "the load repeats in step with the sensor, which may then see its peaks or its pauses only",
    "clock_mismatch": "the clocks of host and device disagree on how long the window was",
    "counter_reset": "an energy counter went back within a window, which has no energy for that",
    "counter_vs_poll": "the energy counter and the polled power of the same packages differ by more than 3 %",
    "few_readings": "a meter was read less often in a window than the profile asks for",
    "frozen": "an energy counter did not move, so that its window has no energy",
    "gappy": "a meter left gaps of more than three periods in a window",
    "imported": "measured by another tool, which says no more than is shown; a single figure has no interval",
    "interrupted": "stopped before all repetitions were done",
    "launch_bound": "the host launched no faster than the device worked: the rate may be the host's",
    "lost": "a meter did not answer in a window",
    "meter_lost": "a meter stopped answering, and a window has no energy of it",
    "meter_stalled": "an energy counter did not advance in a window, which is left out of work per watt",
    "modelled": "the energy is an assumption and not a reading",
    "no_permission": "a meter refused to be read in a window",
    "noisy": "the times had not settled when the window ended",
    "not_settled": "the window ended at its time limit before the times had settled",
    "not_steady": "power, temperature or rate still drifted when the first window began",
    "other_process": "somebody else worked on the device in a window",
    "out_of_range": "a reading was above what the device can draw, or not above 0, and was refused",
    "sampler_cost": "reading the meters took more than 0.5 % of the rate",
    "scopes_disagree": "parts drew more than the whole that should contain them: a meter does not enclose what it says",
    "short_window": "the edges of the window may change its energy by more than 1 %",
    "slow_meter": "a meter took too long to answer; those readings were left out",
    "stale": "a reading was older than its meter's period and was left out",
    "throttled_thermal": "heat or a power brake slowed the device in a window",
    "wrong_output": "an output compared again between windows was not what it must be: see the record's rechecks",
    "time_limit": "the window ended at its time limit, before its meters had been read often or counted far enough",
    "unchecked": "the tool that measured it did not check the result",
    "uncovered": "the readings of a meter do not reach over a whole window, which has no energy for that",
}
# The terms of a budget in the order in which they are shown; others follow as they are named.
TERMS = {
    "repeatability": "scatter of the repetitions, with Student's factor",
    "gain": "how true the sensor reads",
    "resolution": "its steps",
    "staleness": "when a counter was renewed",
    "edges": "power that varied where the window began and ended",
    "aliasing": "the phase between load and sensor",
    "clock": "the length of the window",
}
PLUS_MINUS = "Value ± U with U of coverage factor k = 2, that is about 95 %"


def spoken(name: str) -> str:
    """A name of the record as words."""
    return name.replace("_", " ")


def flag_notes(rows: Sequence[Row]) -> list[Note]:
    """The meaning of each flag that a row carries, as far as it has one; ``indicative`` has a mark instead."""
    seen = dict.fromkeys(flag for row in rows for flag in row.flags)
    return [Note("", f"{spoken(flag)}: {FLAGS[flag]}.") for flag in sorted(seen) if flag in FLAGS]


def energy_notes(rows: Sequence[Row]) -> list[Note]:
    """How well the works per watt are known, then idle power, throttling, steadiness and the sampler's cost."""
    budgets = [row.budget for row in rows if row.budget is not None and not row.words]
    out = []
    if stated := [b for b in budgets if b.expanded is not None]:
        largest = Counter(b.dominant for b in stated if b.dominant)
        text = ", ".join(f"{name}{_of(n, len(stated))}" for name, n in largest.most_common())
        out.append(Note("±", f"{PLUS_MINUS}{f'; largest term: {text}' if text else ''}."))
    for reason, n in Counter(b.reason for b in budgets if b.reason).items():
        out.append(Note("", f"No ± stands where none can be stated: {reason}{_of(n, len(budgets))}."))
    for note, n in Counter(part for b in stated for part in b.note.split("; ") if part).items():
        out.append(Note("", f"± {note}{_of(n, len(stated))}."))
    return out + [Note("", text) for text in (*_idle(rows), *_state(rows), *_left_over(rows)) if text]


def _of(n: int, total: int) -> str:
    return "" if n == total else f" ({n} of {total} cases)"


def span(values: Iterable[float], digits: int = 3) -> str:
    """``200 to 260``, or one number if both ends read the same."""
    found = sorted(values)
    low, high = (number(v, digits) for v in (found[0], found[-1]))
    return low if low == high else f"{low} to {high}"


def _idle(rows: Sequence[Row]) -> list[str]:
    by_meter: dict[str, list[Row]] = {}
    for row in rows:
        if row.idle is not None:
            by_meter.setdefault(f"{row.idle.meter}, {row.idle.boundary}", []).append(row)
    out = []
    for meter, found in by_meter.items():
        idle = span(row.idle.power_w for row in found if row.idle is not None)
        net = span(row.net_power_w for row in found if row.net_power_w is not None)
        out.append(f"Idle: {idle} W ({meter}), so that net power is {net} W; power and per watt are gross.")
    return out


def _state(rows: Sequence[Row]) -> list[str]:
    out = []
    if reasons := sorted({reason for row in rows for reason, share in row.throttled.items() if share > 0}):
        worst = {r: [row.throttled[r] for row in rows if row.throttled.get(r, 0) > 0] for r in reasons}
        parts = [f"{spoken(r)} up to {small(max(s))} % of the time ({_cases(len(s))})" for r, s in worst.items()]
        out.append(f"Throttled: {', '.join(parts)}.")
    measured = [m for row in rows if (m := row.record.measured) is not None]
    asked = [m.steady for m in measured if m.steady is not None]
    if asked:
        out.append(f"Steady before the first window: {sum(asked)} of {_cases(len(asked))}.")
    costs = [m.sampler_cost for m in measured if m.sampler_cost is not None]
    if costs:
        worst_cost = max(costs, key=lambda cost: cost.relative)
        size = f"{100 * worst_cost.relative:.2f} ± {200 * worst_cost.error:.2f} %"
        out.append(f"Reading the meters costs {size if len(costs) == 1 else 'at most ' + size} of the rate.")
    return out


def _left_over(rows: Sequence[Row]) -> list[str]:
    """What outer boundaries leave unexplained, over all cases."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for line in (line for row in rows for line in row.lines if line.share is not None):
        found.setdefault((line.name, line.note), []).append((line.power_w, line.share or 0.0))
    return [
        f"{name[0].upper()}{name[1:]}: {span(w for w, _ in values)} W, {span(100 * s for _, s in values)} %: {note}"
        for (name, note), values in found.items()
    ]


def _cases(n: int) -> str:
    return "1 case" if n == 1 else f"{n} cases"


def small(share: float) -> str:
    """A share of a window in per cent: what is above 0 never reads as 0, what is below 100 never as 100."""
    if share >= 1:
        return "100"
    return "<0.1" if 0 < share < 1e-3 else ">99.9" if share > 0.999 else f"{100 * share:.1f}"
