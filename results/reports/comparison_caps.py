"""What a limit of power allows, as sections of text."""

from __future__ import annotations

from perwatt.results.compare.caps import CapCase, Limit, Setting, optimum
from perwatt.results.compare.comparison import Comparison
from perwatt.results.reports.comparison_parts import ABSENT, UNITS, Section
from perwatt.results.reports.units import FACTORS, common_prefix, number


def limited(found: Comparison) -> list[Section]:
    """A table for each case: every hardware at every cap, the best of them marked."""
    if found.limit is None:
        return []
    letters = found.letters
    return [_section(case, found.limit, letters) for case in found.limit.cases]


def remarks(limit: Limit) -> list[str]:
    """What the figures rest on, and what is not in them."""
    rest = f" and {limit.rest_w:g} W beside each unit" if limit.rest_w else ""
    told = [
        f"{limit.limit_w / 1e3:g} kW from the facility, PUE {limit.pue:g}{rest}, at the mean power of the windows; "
        "between caps nothing is interpolated. What a site needs at its design hour: perwatt size limit_mw="
    ]
    return [*told, *(f"left out: {text}" for text in limit.left_out)]


def answer(case: CapCase, letters: dict[str, str]) -> str:
    """``most work: A at 500 W; not told apart from it: A at 400 W``."""
    best, near = optimum(case.settings)
    if not best.work:
        return "not one unit of any run fits the limit"
    others = [_named(s, letters) for s in near if s is not best]
    told = f"most work: {_named(best, letters)}"
    if best.best_of_all is None:
        return f"{told}; how sure that is is not known"
    told += (
        f"; not told apart from it: {', '.join(others)}"
        if others
        else f", in {100 * best.best_of_all:.0f} % of the draws"
    )
    caps = sorted(s.cap_w for s in case.settings if s.run == best.run and s.cap_w is not None)
    if len(caps) > 1 and best.cap_w in (caps[0], caps[-1]):
        told += f"; it is the {'lowest' if best.cap_w == caps[0] else 'highest'} cap recorded: more may lie beyond"
    return told


def _section(case: CapCase, limit: Limit, letters: dict[str, str]) -> Section:
    best, _ = optimum(case.settings)
    work = common_prefix([s.work for s in case.settings])
    eta = common_prefix([s.work_per_joule for s in case.settings])
    unit = UNITS[case.unit]
    rows = []
    for s in case.settings:
        span = ABSENT
        if s.low is not None and s.high is not None:
            span = f"{number(s.low / FACTORS[work], 4)}{ABSENT}{number(s.high / FACTORS[work], 4)}"
        rows.append(
            (
                _named(s, letters),
                number(s.power_w, 4),
                number(s.work_per_joule / FACTORS[eta], 4),
                str(s.units),
                number(s.work / FACTORS[work], 4) if s.units else "not one fits",
                span,
                _percent(s.best_of_run),
                _percent(s.best_of_all),
                "most work" if s is best and s.work else "",
            )
        )
    head = ("setting", "W each", f"per watt {eta}{unit}/J", "units", f"work {work}{unit}/s", "95 %",
            "best cap of its run", "best of all", "")  # fmt: skip
    where = f"power at {case.boundary}, class {case.accuracy_class}"
    title = f"{case.kernel} {case.label} under {limit.limit_w / 1e3:g} kW"
    return Section(title, head, tuple(rows), (answer(case, letters), where, *remarks(limit)))


def _named(setting: Setting, letters: dict[str, str]) -> str:
    cap = "as it ran" if setting.cap_w is None else f"at {setting.cap_w:g} W"
    return f"{letters[setting.run]} {setting.device} {cap}"


def _percent(share: float | None) -> str:
    return ABSENT if share is None else f"{100 * share:.0f} %"
