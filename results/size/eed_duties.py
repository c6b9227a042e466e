"""Which rules of the Union, and of Germany, a data centre of a given power meets: each with its threshold and its text.

From Directive (EU) 2023/1791 (energy efficiency, recast), Delegated Regulation (EU) 2024/1364 and the German
Energieeffizienzgesetz (EnEfG) as enacted in 2023. Directives bind through national law, which may ask for more. A draft
amendment of the Regulation, with a label, was published in 2026; neither it nor what may have changed in the German law
since is in here. This is a list to check, not advice.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

from perwatt.results.size.elementwise import within
from perwatt.results.size.site import Site
from perwatt.results.size.sizing import Line

REPORT_W = 500e3  # installed IT power
CONDUCT_W = 1e6  # installed IT power
REUSE_W = 1e6  # total rated energy input
GERMAN_W = 300e3  # non-redundant electrical connection

# ISO 3166 codes of the member states
UNION = frozenset(
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE".split()  # noqa: SIM905
)
# EnEfG section 11(2): the least ERF of a centre by the day on which it enters into operation, the latest first
GERMAN_ERF = (
    (datetime.date(2028, 7, 1), 0.20),
    (datetime.date(2027, 7, 1), 0.15),
    (datetime.date(2026, 7, 1), 0.10),
)
GERMAN_PUE = 1.2  # of centres that enter into operation from 2026-07-01


class Duty(NamedTuple):
    """A rule. ``applies``: None where the request does not say enough. ``met``: whether the sizing's figures satisfy
    it, None where it sets no figure or the figure is not known. ``reason``: threshold and what was found; ``power_w``:
    the power that decides."""

    rule: str
    text: str
    applies: bool | None
    reason: str
    power_w: float
    met: bool | None = None


def duties(
    pdit_w: float,
    rated_input_w: float,
    country: str,
    *,
    opening: datetime.date | None = None,
    pue: float | None = None,
    erf: float | None = None,
) -> tuple[Duty, ...]:
    """The rules for an installed IT power ``pdit_w`` and a total rated energy input ``rated_input_w``, both in W, in
    ``country`` (ISO 3166, two letters; empty: not stated). ``opening``: entry into operation; ``pue``, ``erf`` of the
    year, the PUE for the German rule without what only upgrades waste heat.

    The input may be below the nominal IT power: a centre sized on measurement is. Raises ValueError for powers
    that are negative or not finite, and for a country that is no two-letter code.
    """
    for name, value in (("pdit_w", pdit_w), ("rated_input_w", rated_input_w)):
        within(name, value, 0)
    code = country.strip().upper()
    if code and not (len(code) == 2 and code.isalpha() and code.isascii()):
        raise ValueError(f"country: found {country!r}; allowed a two-letter code such as DK, or nothing")
    it, rated = ("installed IT power", pdit_w), ("total rated energy input", rated_input_w)
    rules = [
        _union(
            "Directive (EU) 2023/1791 Art. 12(1), Delegated Regulation (EU) 2024/1364",
            "report the calendar year's information and indicators by 15 May of the next; keep for 10 years which "
            "points and devices measured (centres only for defence and civil protection are exempt)",
            code, *it, REPORT_W,
        ),
        _union(
            "Directive (EU) 2023/1791 Art. 12(4)",
            "encouraged, not bound, to follow the European Code of Conduct on Data Centre Energy Efficiency",
            code, *it, CONDUCT_W,
        ),
        _union(
            "Directive (EU) 2023/1791 Art. 26(6)",
            "use the waste heat or recover it otherwise, unless shown not to be technically or economically feasible",
            code, *rated, REUSE_W, above=True,
        ),
        _union(
            "Directive (EU) 2023/1791 Art. 26(7)",
            "when planned or substantially refurbished: a cost-benefit analysis of using the waste heat and of "
            "connecting to a network",
            code, *rated, REUSE_W, above=True,
        ),
    ]  # fmt: skip
    return (*rules, *(_german(rated_input_w, opening, pue, erf) if code == "DE" else ()))


def _union(rule: str, text: str, code: str, what: str, found_w: float, least_w: float, above: bool = False) -> Duty:
    reached = found_w > least_w if above else found_w >= least_w
    sign = "above" if above else "of at least"
    reason = f"{what} {sign} {least_w / 1e3:g} kW: found {found_w / 1e3:.6g} kW"
    if not reached:
        return Duty(rule, text, False, reason, found_w)
    if not code:
        return Duty(rule, text, None, f"{reason}; the request names no country", found_w)
    if code not in UNION:
        return Duty(rule, text, False, f"{code} is not in the Union", found_w)
    return Duty(rule, text, True, reason, found_w)


def _german(rated_input_w: float, opening: datetime.date | None, pue: float | None, erf: float | None) -> list[Duty]:
    """EnEfG section 11(2); what opened before 2026-07-01 has limits of PUE by year instead (section 11(1))."""
    rule = "EnEfG section 11"
    size = f"connection from {GERMAN_W / 1e3:g} kW: found {rated_input_w / 1e3:.6g} kW"
    if rated_input_w < GERMAN_W:
        return [Duty(rule, "PUE and ERF within limits", False, size, rated_input_w)]
    if opening is None:
        reason = f"{size}; the request names no entry into operation"
        return [Duty(rule, "PUE and ERF within limits", None, reason, rated_input_w)]
    if opening < GERMAN_ERF[-1][0]:
        text = "PUE of 1.5 at most from 2027-07-01 and of 1.3 at most from 2030-07-01"
        met = None if pue is None else True if pue <= 1.3 else False if pue > 1.5 else None
        reason = f"{size}; in operation before 2026-07-01"
        return [Duty("EnEfG section 11(1)", text, True, reason, rated_input_w, met)]
    least = next(share for day, share in GERMAN_ERF if opening >= day)
    within = f"{size}; in operation from {opening.isoformat()}; two years after it at the latest"
    return [
        Duty(
            "EnEfG section 11(2) no. 1",
            f"PUE of {GERMAN_PUE:g} at most, without electricity that only upgrades waste heat",
            True,
            within,
            rated_input_w,
            None if pue is None else pue <= GERMAN_PUE,
        ),
        Duty(
            "EnEfG section 11(2) no. 2",
            f"ERF of {least:g} at least; excepted by section 11(3), such as where a network refuses the heat",
            True,
            within,
            rated_input_w,
            None if erf is None else erf >= least,
        ),
    ]


def lines(site: Site, pdit_w: float, rated_input_w: float, pue: float, erf: float | None) -> tuple[Line, ...]:
    """The rules as lines of a sizing: the power that decides, whether the rule applies, and its text; none outside the
    Union. Arguments as of :func:`duties`."""
    if site.country and site.country not in UNION:
        return ()
    found = duties(pdit_w, rated_input_w, site.country, opening=site.opening, pue=pue, erf=erf)
    said = {True: "applies", False: "does not apply", None: "may apply"}
    met = {True: ", met", False: ", not met", None: ""}
    made = []
    for at, duty in enumerate(found):
        label = f"{duty.rule}: {said[duty.applies]}{met[duty.met]}"
        made.append(
            Line(f"duties.{at}", "duties", "site", label, duty.power_w, "W", "modelled", f"{duty.text}; {duty.reason}")
        )
    return tuple(made)
