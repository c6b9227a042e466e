"""What criteria on the health of devices are held against: counts and states of a record, NaN where nobody told them.

A count is what came in the case; of several devices, and over all rounds of a burn-in, the worst is what counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from perwatt.results.accept import xids
from perwatt.results.accept.causes import Hint
from perwatt.results.health import LINK_ERRORS, RAS, Health
from perwatt.results.recheck import Rechecks

BAD_IS_LOW = ("link",)
LINK = (("pcie_width", "pcie_width_max"), ("pcie_generation", "pcie_generation_max"), ("pcie_mtps", "pcie_mtps_max"))
RESET = "drain the node, reset the GPU, test it again; if it comes back, have it replaced"
CAUSES: dict[str, Hint] = {
    "sdc": (
        "silent data corruption: it computed wrongly and reported nothing",
        "take it out of service; have it replaced",
    ),
    "xid": ("an error of the GPU, its memory or its links, which its driver reported", RESET),
    "ecc_uncorrected": ("memory that ECC could not correct", RESET),
    "remap_pending": (
        "a row of its memory waits to be remapped, or a page to be retired",
        "reset the GPU, which does it",
    ),
    "remap_failure": ("its memory has no spare row left for an error", "have it replaced"),
    "remapped_rows": ("rows of its memory were remapped for errors that ECC could not correct", "watch it; test again"),
    "link": (
        "a link narrower or slower than its maximum: connector, riser, cable, or the slot",
        "reseat it; test again",
    ),
    "link_errors": ("errors on NVLink or xGMI: connector, cable or switch", "reseat it; test the nodes in pairs"),
    "ras": ("errors in a block of the GPU that it could not correct", RESET),
}
METRICS = tuple(CAUSES)


class AnyMeasured(Protocol):
    """Of :class:`perwatt.results.record.Measured`, what is read here."""

    @property
    def health(self) -> Sequence[Health]:
        """What drivers told around the case."""

    @property
    def rechecks(self) -> Rechecks | None:
        """Outputs that were compared again."""


class AnyRecord(Protocol):
    """Of :class:`perwatt.results.record.Record`, what is read here."""

    @property
    def measured(self) -> AnyMeasured | None:
        """The measurement, or None."""


def metrics(record: AnyRecord) -> dict[str, float]:
    """Each of :data:`METRICS` of one record."""
    m = record.measured
    told = [_of(health) for health in m.health] if m else []
    found = worst(told)
    if m is not None and m.rechecks is not None:
        found["sdc"] = float(len(m.rechecks.wrong))
    return found


def heard(record: AnyRecord) -> Counter[str]:
    """How often each XID was heard, whatever it speaks against."""
    found: Counter[str] = Counter()
    for health in record.measured.health if record.measured else ():
        found.update(health.xid or {})
    return found


def worst(told: Sequence[Mapping[str, float]], names: Iterable[str] = METRICS) -> dict[str, float]:
    """Of each metric the worst that anybody told; NaN where nobody did."""
    if len(told) == 1:  # of most records, of which there may be millions
        return {name: told[0].get(name, math.nan) for name in names}
    out = {}
    for name in names:
        known = [value for one in told if math.isfinite(value := one.get(name, math.nan))]
        out[name] = (min if name in BAD_IS_LOW else max)(known) if known else math.nan
    return out


def _of(health: Health) -> dict[str, float]:
    ras = [name for name in health.counts if name.startswith(RAS) and not name.endswith("_corrected")]
    errors = _sum(health.grown(*LINK_ERRORS), health.now("xgmi_error"))
    return {
        "xid": math.nan if health.xid is None else float(xids.count(health.xid)),
        "ecc_uncorrected": number(health.grown("ecc_uncorrected")),
        "remap_pending": number(health.now("remap_pending", "retire_pending")),
        "remap_failure": number(health.now("remap_failure")),
        "remapped_rows": float(health.counts.get("remapped_uncorrected", (0, math.nan))[1]),
        "link": _link(health),
        "link_errors": number(errors),
        "ras": number(health.grown(*ras)),
    }


def _link(health: Health) -> float:
    """The least share of its maximum that a link had after the load, or of its links that were up before it."""
    pairs = [(health.state[a][1], health.state[b][1]) for a, b in LINK if {a, b} <= health.state.keys()]
    if "links_up" in health.state and health.state["links_up"][0]:
        before, after = health.state["links_up"]
        pairs.append((after, before))
    return min((now / most for now, most in pairs if most), default=math.nan)


def _sum(*values: int | None) -> int | None:
    known: Iterable[int] = [value for value in values if value is not None]
    return sum(known) if known else None


def number(value: float | None) -> float:
    """NaN for what is not known, as tables have it."""
    return math.nan if value is None else float(value)
