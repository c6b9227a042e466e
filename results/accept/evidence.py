"""What criteria are held against: one row a case and device, node or group, from a run's records or a merged fleet.

A fleet's index has rate, work per joule and power of every record. Whatever else a criterion asks for is read from the
records themselves, which the index locates, and only for the rows that it speaks of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from perwatt.results.accept import health, positions
from perwatt.results.accept.pairs import in_pairs
from perwatt.results.accept.positions import Positions
from perwatt.results.flags import ALL_INVALID, TIME_INVALID
from perwatt.results.fleet import merge
from perwatt.results.fleet.layout import FLEET
from perwatt.results.fleet.rows import test_of
from perwatt.results.record import Failed, Measured, Record, Seconds
from perwatt.results.store import RECORDS, decode, load
from perwatt.results.uncertainty import budget

if TYPE_CHECKING:
    import pandas as pd

    from perwatt.results.accept.criteria import Criterion

INDEXED = {"rate": "rate", "rate_per_watt": "per_joule", "power": "power_w"}
KEYS = ("scope", "host", "device", "subject", "test", "kernel", "label", "outcome", "reason", "flags")


@dataclass(frozen=True, eq=False)
class Evidence:
    """``rows``: the columns of :data:`KEYS`, then those of :func:`figures` as far as they are known. ``missing``: by
    device or host the reason why it has no record. ``targets``: the hardware of the devices, as far as it was read;
    empty text for what is none of them. ``folder``: where the files that the rows name lie. ``positions``: where the
    hosts stand. ``nodes``: of a fleet those of each target."""

    rows: pd.DataFrame
    missing: dict[str, str]
    targets: frozenset[str]
    folder: Path
    positions: Positions = field(default_factory=Positions)
    nodes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def chosen(self, criterion: Criterion) -> pd.DataFrame:
        """The rows that a criterion speaks of; the fleet's are those of its devices."""
        rows, scope = self.rows, criterion.rows[0]
        cases = rows[["kernel", "label"]].drop_duplicates()
        taken = [criterion.takes(str(k), str(n)) for k, n in zip(cases["kernel"], cases["label"], strict=True)]
        keys = rows["kernel"].astype(str) + "\n" + rows["label"].astype(str)
        wanted = (cases["kernel"].astype(str) + "\n" + cases["label"].astype(str))[taken]
        return rows[(rows["scope"] == scope) & keys.isin(set(wanted))]

    def full(self, chosen: pd.DataFrame) -> pd.DataFrame:
        """The chosen rows with everything that their records say."""
        import pandas as pd

        if "file" not in chosen:
            return chosen
        out = []
        for name, part in chosen[chosen["file"] != ""].groupby("file", sort=False, observed=True):
            with open(self.folder / str(name), "rb") as file:
                for at, offset in zip(part.index, part["offset"], strict=True):
                    out.append({"row": at, **figures(_at(file, int(offset), str(name)))})
        if not out:
            return chosen
        found = pd.DataFrame(out).set_index("row")
        beside = chosen.drop(columns=[c for c in found if c in chosen]).join(found, how="inner")
        made = chosen[chosen["file"] == ""]  # of several records: they say everything themselves
        return pd.concat([beside, made]).reindex(chosen.index) if len(made) else beside


def read(run: Path) -> Evidence:
    """The evidence of a run folder, or of a fleet that has been merged. Raises ValueError for what cannot be read."""
    import pandas as pd

    if not (run / FLEET).is_file():
        cases: dict[str, list[Record]] = {}
        for record in load(run):
            cases.setdefault(record.case.key, []).append(record)
        if not cases:
            raise ValueError(f"{run / RECORDS}: found no record; allowed a run that measured something")
        newest = [same[-1] for same in cases.values()]
        names = frozenset(r.target.name if r.target else "" for r in newest if not r.case.collective)
        return Evidence(pd.DataFrame(map(_over_rounds, cases.values())), {}, names, run)
    return _merged(merge.load(run), run)


def _merged(fleet: merge.Fleet, run: Path) -> Evidence:
    """The index as rows. What it does not say of energies (their own flags, who modelled them) is in the records."""
    rows = fleet.index.rename(columns={"per_joule": "rate_per_watt", "power_w": "power"})
    group = rows["scope"] == "group"
    collective = ~group & (rows["ranks"] > 1)
    rows["scope"] = group.map({True: "group", False: ""}).mask(collective, "node").mask(~group & ~collective, "device")
    host = rows["host"].astype(str)
    rows["subject"] = host.mask(~group & ~collective, host + ":" + rows["device"].astype(str))
    over = rows.loc[group, "over"] if "over" in rows else None  # not in what an older perwatt merged
    rows.loc[group, "subject"] = (
        "group of " + rows.loc[group, "ranks"].astype(str) + " ranks"
        if over is None
        else over.map({text: " ".join(text.split("\t")[:2]).strip() for text in over.unique()})
    )
    flags = {text: set(str(text).split()) for text in rows["flags"].unique()}
    rows["invalid"] = rows["flags"].map({text: _named(f & TIME_INVALID) for text, f in flags.items()})
    rows["invalid_energy"] = rows["flags"].map({t: _named(f & ALL_INVALID) for t, f in flags.items()})
    rows["unknown"] = rows["rate_per_watt"].isna().map({True: "not metered", False: ""})
    lost = {}
    for line in fleet.missing:  # MISSING HOST [device N]: reason
        name, _, reason = line.removeprefix("MISSING ").partition(": ")
        lost[name.replace(" device ", ":")] = reason
    found = Evidence(rows, lost, frozenset(), run, positions.read(run))
    nodes = _targets(rows, run)
    return replace(found, rows=in_pairs(found.rows, found.full), targets=frozenset(nodes), nodes=nodes)


def _targets(rows: pd.DataFrame, run: Path) -> dict[str, list[str]]:
    """The nodes by their hardware, as one record of each says."""
    first = rows[rows["scope"] == "device"].drop_duplicates("host")
    targets: dict[str, list[str]] = {}
    for host, name, offset in zip(first["host"], first["file"], first["offset"], strict=True):
        with open(path := run / str(name), "rb") as file:
            record = _at(file, int(offset), str(path))
        targets.setdefault(record.target.name if record.target else "", []).append(str(host))
    return targets


def _at(file: BinaryIO, offset: int, where: str) -> Record:
    file.seek(offset)
    return decode(file.readline().rstrip(b"\n"), f"{where} at byte {offset}")


def _row(record: Record) -> dict[str, object]:
    case, outcome = record.case, record.outcome
    measured = isinstance(outcome, Measured)
    return {
        "scope": "node" if case.collective else "device",
        "host": record.host,
        "device": case.device_index,
        "subject": record.host if case.collective else f"{record.host}:{case.device_index}",
        # what makes the case itself, but for the device that it ran on
        "test": test_of(case.kernel, msgspec.json.encode(case.params), case.ranks, case.held),
        "kernel": case.kernel,
        "label": case.label,
        "outcome": "measured" if measured else type(outcome).__name__.lower(),
        "reason": getattr(outcome, "error", getattr(outcome, "reason", "")),
        "flags": " ".join(record.flags),
        **figures(record),
    }


def _over_rounds(same: Sequence[Record]) -> dict[str, object]:
    """The row of a case, of which the last record counts; of a burn-in its last round's figures, the worst health of
    all, and failed if one has."""
    row = _row(same[-1])
    if same[-1].round is None:
        return row
    failed = [r.outcome.error for r in same if isinstance(r.outcome, Failed)]
    row |= health.worst([health.metrics(r) for r in same])
    return {**row, "outcome": "failed", "reason": failed[0]} if failed else row


def figures(record: Record) -> dict[str, object]:
    """All metrics of a record in SI units, NaN where it does not know them; ``u_rate`` and ``u_energy``, relative and
    of k = 2; ``unknown``: why nothing can be said per watt; ``invalid`` and ``invalid_energy``: why its times, and its
    energies, do not count; ``kind``: what its work counts."""
    energy = budget(record)
    m = record.measured
    conditions = [c for r in m.repetitions if (c := r.conditions) is not None] if m else []
    energies = [e for _, e in record.energies]
    flags = {*record.flags, *(f for e in energies for f in e.flags), *({"modelled"} if _modelled(energies) else ())}
    # the limit of its power is what a sound chip works at: heat and a power brake are what it must not meet
    faults = [[v for k, v in c.throttled.items() if "thermal" in k or "brake" in k] for c in conditions if c.throttled]
    return {
        "kind": "" if m is None else {"message": "bytes"}.get(m.work.headline, m.work.headline),
        "rate": health.number(record.rate),
        "rate_per_watt": health.number(record.work_per_joule),
        "power": health.number(record.power_w),
        "busbw": health.number(record.busbw),
        "temperature": max((max(t) for c in conditions for t in c.temperature_c.values()), default=math.nan),
        "throttled": max((max(shares, default=0.0) for shares in faults), default=math.nan),
        "ecc": float(sum(sum(c.ecc.values()) for c in conditions)) if any(c.ecc for c in conditions) else math.nan,
        "spread": health.number(record.spread),
        **health.metrics(record),
        "u_rate": _half(m.seconds) if m else math.nan,
        "u_energy": health.number(energy.relative) if energy else math.nan,
        "unknown": (m.unmetered or "not metered") if m and energy is None else energy.reason if energy else "",
        "invalid": _named(flags & TIME_INVALID),
        "invalid_energy": _named(flags & ALL_INVALID),
        "indicative": "indicative" in flags,
    }


def _half(seconds: Seconds) -> float:
    """Half of the 95 % interval of the median, as a share of it; a single sample has none."""
    return (seconds.ci_high - seconds.ci_low) / 2 / seconds.median if seconds.samples > 1 else math.nan


def _modelled(energies: Iterable[object]) -> bool:
    return any(getattr(e, "source", "") in ("modelled", "replayed") for e in energies)


def _named(flags: set[str]) -> str:
    return ", ".join(sorted(flags)).replace("_", " ")
