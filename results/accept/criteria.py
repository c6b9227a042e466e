"""What a machine must show: criteria as data, each limit with its unit, source and date, no expressions.

name: mine
criteria:
  - name: bf16 matmul                 # told in every verdict
    cases: "matmul bf16*"             # a pattern of 'kernel label', as `perwatt run only=` takes it
    metric: rate                      # see METRICS
    scope: device                     # device, node (its collectives), group (of nodes), fleet (the median device);
                                      # or several, as far as the run has them: scopes: [device, node]
    severity: fail                    # or warn: told, and no reason to refuse
    at_least: {value: 600, unit: TFLOP/s, source: "...", date: 2026-01-31}
    plausible_max: {value: 990, unit: TFLOP/s, source: "...", date: 2026-01-31}
    within_fleet: {effect: 3, unit: "%", source: "...", date: 2026-01-31}
same:                                 # what nodes of the same devices must have alike: what most of them have counts
  - {name: same versions, of: [driver, vbios, firmware, kernel, packages], severity: warn}
waivers:
  - {subject: "n001:3", criterion: bf16 matmul, who: "...", why: "...", until: 2026-12-31}
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from perwatt.results.fleet.plain import converted
from perwatt.results.fleet.versions import KINDS
from perwatt.results.fleet.versions import Kind as Version
from perwatt.results.reports.units import FACTORS


class Unfit(ValueError):
    """Criteria that are sound, and not of what is to be judged. Whoever read them says from which file."""


Metric = Literal[
    "rate", "rate_per_watt", "power", "busbw", "temperature", "throttled", "ecc", "spread", "rate_fall",
    "sdc", "xid", "ecc_uncorrected", "remap_pending", "remap_failure", "remapped_rows", "link", "link_errors", "ras",
]  # fmt: skip
Scope = Literal["device", "node", "group", "fleet"]


@dataclass(frozen=True)
class Kind:
    """What a metric is: its units without prefix (each with what it counts, empty for anything), the range outside of
    which no value can lie (SI), whether a high value is the good one, and whether one that is better than the rest of
    the fleet is suspect as well."""

    units: dict[str, str]
    least: float
    most: float
    high_is_good: bool = False
    prefixes: bool = True
    too_good: bool = True


_SHARE = Kind({"1": "", "%": ""}, 0.0, 1.0, prefixes=False)
METRICS: dict[str, Kind] = {
    "rate": Kind({"FLOP/s": "flops", "B/s": "bytes", "sample/s": "samples"}, 0.0, 1e21, True),
    "rate_per_watt": Kind(
        {"FLOP/J": "flops", "FLOP/s/W": "flops", "B/J": "bytes", "B/s/W": "bytes", "sample/J": "samples"},
        0.0,
        1e18,
        True,
    ),
    "power": Kind({"W": ""}, 0.0, 1e7),
    "busbw": Kind({"B/s": "bytes"}, 0.0, 1e16, True),
    "temperature": Kind({"degC": ""}, -40.0, 150.0, prefixes=False),
    "throttled": _SHARE,
    "ecc": Kind({"1": ""}, 0.0, 1e9, prefixes=False),
    "spread": Kind({"1": "", "%": ""}, 0.0, 100.0, prefixes=False),
    "rate_fall": replace(_SHARE, too_good=False),  # one that holds its rate is good
    **dict.fromkeys(
        ("sdc", "xid", "ecc_uncorrected", "remap_pending", "remap_failure", "remapped_rows", "link_errors", "ras"),
        Kind({"1": ""}, 0.0, 1e9, prefixes=False),
    ),
    "link": Kind({"1": "", "%": ""}, 0.0, 1.0, True, prefixes=False),
}
# Effects that are no share of the usual value.
_OF_ALL = {"1": 1.0, "%": 0.01}
ABSOLUTE = {"temperature": {"K": 1.0}, "throttled": _OF_ALL, "rate_fall": _OF_ALL}


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value in its unit, where it comes from, and when it was read there."""

    value: float
    unit: str
    source: str
    date: str


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far from the rest of the fleet matters: per cent of the usual value, K for temperatures, % of the time."""

    effect: float
    unit: str
    source: str
    date: str


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a fleet showed that a limit was made of: centre and spread of ``n`` values. Told, and decides nothing."""

    centre: float
    spread: float
    n: int
    unit: str


class Criterion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a contract: which cases, which metric of them, and its limits; of several ``scopes`` one of each."""

    name: str
    cases: str
    metric: Metric
    scope: Scope = "device"
    scopes: tuple[Scope, ...] = ()
    severity: Literal["fail", "warn"] = "fail"
    at_least: Limit | None = None
    at_most: Limit | None = None
    plausible_max: Limit | None = None
    within_fleet: Band | None = None
    measured: Baseline | None = None

    @property
    def limits(self) -> dict[str, Limit]:
        """Its absolute limits by their key."""
        found = {"at_least": self.at_least, "at_most": self.at_most, "plausible_max": self.plausible_max}
        return {key: limit for key, limit in found.items() if limit is not None}

    @property
    def each(self) -> tuple[Criterion, ...]:
        """Itself, or one of each of several scopes."""
        return tuple(msgspec.structs.replace(self, scope=scope) for scope in self.scopes) or (self,)

    @property
    def rows(self) -> tuple[str, str, bool]:
        """Which rows it speaks of: those of a scope, the fleet's being its devices', and of a pattern; and whether also
        of what was made of several records, which have rates alone: not if it is of scopes as far as they are there."""
        made = not self.scopes or self.metric in ("rate", "busbw")
        return "device" if self.scope == "fleet" else self.scope, self.cases, made

    def takes(self, kernel: str, label: str) -> bool:
        """Whether it speaks of this case."""
        return any(fnmatchcase(name, self.cases) for name in (kernel, f"{kernel} {label}"))


class Same(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Versions that all nodes of the same devices must have alike, by what most of them have."""

    name: str
    of: tuple[Version, ...]
    severity: Literal["fail", "warn"] = "fail"


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A failure that somebody answers for, until a day: ``subject`` and ``criterion`` are patterns."""

    subject: str
    criterion: str
    who: str
    why: str
    until: str

    def holds(self, subject: str, criterion: str, today: datetime.date) -> bool:
        """Whether it covers this failure on the day ``today``; its last day counts."""
        last = datetime.date.fromisoformat(self.until)
        return last >= today and fnmatchcase(subject, self.subject) and fnmatchcase(criterion, self.criterion)


class Criteria(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A set of criteria. ``targets``: the hardware that its limits are of, anything if empty. ``false_alarms``: good
    devices that all comparisons with the fleet may blame together, on average."""

    name: str
    criteria: tuple[Criterion, ...]
    status: str = ""
    targets: tuple[str, ...] = ()
    false_alarms: float = 0.5
    same: tuple[Same, ...] = ()
    waivers: tuple[Waiver, ...] = ()


def from_plain(plain: Any, where: str) -> Criteria:
    """The criteria of a parsed YAML. Raises ValueError, one line with file, key, what was found and what is allowed."""
    found = converted(plain, Criteria, where)
    if both := next((one["name"] for one in plain["criteria"] if {"scope", "scopes"} <= one.keys()), ""):
        raise ValueError(f"{where}: {both}: found scope and scopes; allowed one of the two")
    if not found.criteria:
        raise ValueError(f"{where}: criteria: found none; allowed one or more")
    if not 0 < found.false_alarms < 1:
        raise ValueError(f"{where}: false_alarms: found {found.false_alarms}; allowed above 0 and below 1")
    names = [criterion.name for criterion in found.criteria] + [one.name for one in found.same]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{where}: criteria: found {twice[0]!r} twice; allowed each name once")
    found = msgspec.structs.replace(found, criteria=tuple(one for c in found.criteria for one in c.each))
    for criterion in found.criteria:
        _check(criterion, f"{where}: {criterion.name}")
    for one in found.same:
        if not one.of:
            raise ValueError(f"{where}: {one.name}: of: found none; allowed {', '.join(KINDS)}")
    for waiver in found.waivers:
        for key in ("who", "why"):
            if not getattr(waiver, key).strip():
                raise ValueError(f"{where}: waivers: {waiver.subject}: {key} is empty; allowed who answers, and why")
        _day(waiver.until, f"{where}: waivers: {waiver.subject}: until")
    return found


def _check(criterion: Criterion, where: str) -> None:
    kind = METRICS[criterion.metric]
    if not criterion.limits and criterion.within_fleet is None:
        raise ValueError(f"{where}: found no limit; allowed at_least, at_most, plausible_max, within_fleet")
    values = {}
    for key, limit in criterion.limits.items():
        values[key] = si(criterion.metric, limit, f"{where}: {key}")[0]
        if not kind.least <= values[key] <= kind.most:
            span = f"{kind.least:g} to {kind.most:g}"
            raise ValueError(f"{where}: {key}: found {limit.value:g} {limit.unit}; allowed {span} in SI units")
        _sourced(limit, f"{where}: {key}")
    least = values.get("at_least", -math.inf)
    for key in ("at_most", "plausible_max"):
        if values.get(key, math.inf) <= least:
            raise ValueError(f"{where}: found {key} {values[key]:g} not above at_least {least:g}: nothing can pass")
    if (band := criterion.within_fleet) is not None:
        effect(criterion.metric, band, f"{where}: within_fleet")
        _sourced(band, f"{where}: within_fleet")
        if criterion.scope == "fleet":
            raise ValueError(f"{where}: within_fleet: found scope fleet; allowed device, node, group")


def _sourced(limit: Limit | Band, where: str) -> None:
    if not limit.source.strip():
        raise ValueError(f"{where}: source: found none; allowed where the figure comes from")
    _day(limit.date, f"{where}: date")


def _day(text: str, where: str) -> None:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{where}: found {text!r}; allowed a day as 2026-01-31") from None


def si(metric: str, limit: Limit, where: str) -> tuple[float, str]:
    """The limit in SI units, and which work its unit counts (``flops``, ``bytes``; empty for any).

    Raises ValueError for a unit that is none of the metric.
    """
    kind = METRICS[metric]
    for base, counts in kind.units.items():
        symbol = limit.unit.removesuffix(base)
        if limit.unit.endswith(base) and symbol in (FACTORS if kind.prefixes else ("",)):
            return limit.value * (0.01 if base == "%" else FACTORS[symbol]), counts
    prefixed = "with or without a prefix" if kind.prefixes else "without a prefix"
    raise ValueError(f"{where}: unit: found {limit.unit!r}; allowed for {metric}: {', '.join(kind.units)}, {prefixed}")


def effect(metric: str, band: Band, where: str) -> tuple[float, bool]:
    """The least deviation from the fleet that matters, and whether it is absolute (in SI) and no share.

    Raises ValueError for a unit that is none of the metric, and for an effect of 0 or less, or of all and more.
    """
    absolute = metric in ABSOLUTE
    units = ABSOLUTE.get(metric, {"%": 0.01})
    if band.unit not in units:
        raise ValueError(f"{where}: unit: found {band.unit!r}; allowed for {metric}: {', '.join(units)}")
    value = band.effect * units[band.unit]
    if not 0 < value < (METRICS[metric].most if absolute else 1.0):
        raise ValueError(f"{where}: effect: found {band.effect:g} {band.unit}; allowed above 0 and below all")
    return value, absolute
