"""What criteria are held against: one row a case and device, node or group, from a run's records or a merged fleet.

A fleet's index has the metrics of every record. What it lacks, how well energies are known and what drivers told of the
health of a device, is read from the records themselves, which the index locates, and only for the rows that a criterion
speaks of. The rounds of a burn-in are one row (:mod:`perwatt.results.accept.soaked`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from perwatt.results import derived
from perwatt.results.accept import groups, health, indexed, positions, screened, soaked, unmerged, xids
from perwatt.results.accept.falling import FALL
from perwatt.results.accept.limits import PER_ENERGY
from perwatt.results.accept.pairs import in_pairs
from perwatt.results.accept.positions import Positions
from perwatt.results.accept.said import Said
from perwatt.results.flags import ALL_INVALID, TIME_INVALID
from perwatt.results.fleet import merge
from perwatt.results.fleet.layout import COPY, FLEET, NODES
from perwatt.results.fleet.rows import test_of
from perwatt.results.recheck import WRONG_OUTPUT
from perwatt.results.record import Measured, Record
from perwatt.results.run import ENVIRONMENT
from perwatt.results.store import RECORDS, load
from perwatt.results.uncertainty import budget

if TYPE_CHECKING:
    import pandas as pd

    from perwatt.results.accept.criteria import Criterion

FIGURES = ("rate", "rate_per_watt", "power", "busbw", "temperature", "throttled", "ecc", "spread")
KNOWN = (*FIGURES, FALL)  # of every row, with no need to read its record
KEYS = ("scope", "host", "device", "subject", "test", "kernel", "label", "outcome", "reason", "flags")


@dataclass(frozen=True, eq=False)
class Evidence:
    """``rows``: the columns of :data:`KEYS`, then those of :func:`figures` as far as they are known. ``missing``: by
    device or host the reason why it has no record. ``targets``: the hardware of the devices, as far as it was read;
    empty text for what is none of them. ``folder``: where the files that the rows name lie. ``positions``: where the
    hosts stand. ``nodes``: of a fleet those of each target. ``said``: what the run said of them itself. ``machines``:
    the file in which each host says what it runs. ``earlier``: where rounds before that of a row lie, None without
    any. ``damaged``: of a host the first place of its records that could not be read."""

    rows: pd.DataFrame
    missing: dict[str, str]
    targets: frozenset[str]
    folder: Path
    positions: Positions = field(default_factory=Positions)
    nodes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    said: Said = field(default_factory=Said)
    machines: Mapping[str, Path] = field(default_factory=dict)
    earlier: pd.DataFrame | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)

    def chosen(self, criterion: Criterion) -> pd.DataFrame:
        """The rows that a criterion speaks of; the fleet's are those of its devices."""
        import numpy as np

        scope, _, made = criterion.rows
        taken = (self.rows["scope"] == scope).to_numpy()
        if not made and "file" in self.rows:
            taken = taken & (self.rows["file"] != "").to_numpy()
        rows = self.rows[taken]
        number = rows.groupby(["kernel", "label"], sort=False, observed=True).ngroup().to_numpy()
        _, first = np.unique(number, return_index=True)
        cases = zip(rows["kernel"].iloc[first], rows["label"].iloc[first], strict=True)
        spoken = np.array([criterion.takes(str(kernel), str(label)) for kernel, label in cases], bool)
        return rows if spoken.all() else rows[spoken[number]]

    def lacks(self, criterion: Criterion) -> bool:
        """Whether the rows do not say all that a criterion asks for, and :meth:`full` does."""
        if "file" not in self.rows:
            return False
        return criterion.metric not in KNOWN or (bool(criterion.limits) and criterion.metric in PER_ENERGY)

    def healthy(self, chosen: pd.DataFrame) -> pd.DataFrame:
        """The chosen rows with what drivers told of their devices' health, and heat: a third of the time of
        :meth:`full`."""
        import pandas as pd

        if "file" not in chosen:
            return chosen
        lie = chosen.loc[(chosen["file"] != "").to_numpy(), ["file", "offset"]]
        lie = lie.assign(of=lie.index)
        if self.earlier is not None:
            lie = pd.concat([lie, self.earlier[self.earlier["of"].isin(lie["of"])]])
        return _beside(chosen, {at: one.columns for at, one in soaked.read(lie, self.folder).items()})

    def full(self, chosen: pd.DataFrame) -> pd.DataFrame:
        """The chosen rows with everything that their records say."""
        if "file" not in chosen:
            return chosen
        out: dict[int, dict[str, object]] = {}
        over: dict[int, soaked.Told] = {}
        for name, part in chosen[chosen["file"] != ""].groupby("file", sort=False, observed=True):
            with soaked.opened(self.folder / str(name)) as file:
                for at, offset in zip(part.index, part["offset"], strict=True):
                    record = soaked.record_at(file, int(offset), str(name))
                    out[at] = figures(record)
                    if self.earlier is not None:
                        over[at] = soaked.told(record)
        if self.earlier is not None:
            over = soaked.read(self.earlier[self.earlier["of"].isin(over)], self.folder, over)
        for at, one in over.items():
            out[at] |= one.columns
        return _beside(chosen, out)


def _beside(chosen: pd.DataFrame, said: Mapping[int, Mapping[str, object]]) -> pd.DataFrame:
    """The chosen rows with what their records said, by the number of the row."""
    import pandas as pd

    if not said:
        return chosen
    found = pd.DataFrame(list(said.values()), index=list(said))
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
        own_device = [r for r in newest if not r.case.collective] or newest  # collectives alone speak for themselves
        names = frozenset(r.target.name if r.target else "" for r in own_device)
        names |= frozenset(r.target.name for r in newest if r.target)
        hosts = {r.host for r in newest}
        # of several hosts in one folder, as an import makes it, none says what it runs
        machines = {host: (run / NODES / host if len(hosts) > 1 else run) / ENVIRONMENT for host in hosts}
        rows = pd.DataFrame(map(_over_rounds, cases.values()))
        lost, own = unmerged.read(run, newest)
        return Evidence(rows, lost, names, run, said=own, machines=machines)
    fleet = merge.load(run)
    merge.unchanged(fleet)
    return _merged(fleet, run)


def _merged(fleet: merge.Fleet, run: Path) -> Evidence:
    """The index as rows, and who is missing."""
    lost = {}
    for line in fleet.missing:  # MISSING HOST [device N]: reason
        name, _, reason = line.removeprefix("MISSING ").partition(": ")
        lost[name.replace(" device ", ":")] = reason
    rows, earlier = indexed.rows(fleet)
    nodes = _targets(rows, run)
    where = positions.read(run)
    said = screened.read(run, lost) + groups.read(run, where, _together(rows))
    machines = _machines(rows, run)
    damaged = _damaged(fleet.damaged)
    return Evidence(in_pairs(rows), lost, frozenset(nodes), run, where, nodes, said, machines, earlier, damaged)


def _damaged(lines: Sequence[str]) -> dict[str, str]:
    """The first place of each host's records that could not be read, of lines that say where and why."""
    places: dict[str, str] = {}
    for line in lines:
        place = line.partition(": ")[0]
        folder = Path(place.partition(f"/{RECORDS}")[0])
        if folder.parent.name == NODES:
            places.setdefault(folder.name.removesuffix(COPY), place)
    return places


def _machines(rows: pd.DataFrame, run: Path) -> dict[str, Path]:
    """The file in which each host says what it runs: of one that another allocation measured beside its records."""
    first = rows[(rows["scope"] != "group").to_numpy()].drop_duplicates("host")
    found = {}
    for host, name in zip(map(str, first["host"]), map(str, first["file"]), strict=True):
        own = run / NODES / host
        found[host] = (own if own.is_dir() else (run / name).parent) / ENVIRONMENT
    return found


def _together(rows: pd.DataFrame) -> set[str]:
    """The nodes of the groups that were tested, however that ended."""
    over = rows.loc[(rows["scope"] == "group") & (rows["outcome"] != "skipped"), "over"].unique()
    return {host for text in over for host in str(text).split("\t")[2:]}


def _targets(rows: pd.DataFrame, run: Path) -> dict[str, list[str]]:
    """The nodes by their hardware, as one record of each says."""
    import pandas as pd

    first = rows[rows["scope"] == "device"].drop_duplicates("host")
    others = rows[(rows["scope"] == "node") & ~rows["host"].isin(first["host"])].drop_duplicates("host")
    first = pd.concat([first, others]) if len(others) else first  # a node that measured collectives alone
    targets: dict[str, list[str]] = {}
    for host, name, offset in zip(first["host"], first["file"], first["offset"], strict=True):
        with soaked.opened(path := run / str(name)) as file:
            record = soaked.record_at(file, int(offset), str(path))
        targets.setdefault(record.target.name if record.target else "", []).append(str(host))
    return targets


def _row(record: Record) -> dict[str, object]:
    case, outcome = record.case, record.outcome
    measured = isinstance(outcome, Measured)
    scope, subject = unmerged.of_whom(record)
    return {
        "scope": scope,
        "host": record.host,
        "device": case.device_index,
        "subject": subject,
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
    """The row of a case, of which the last record counts, of a burn-in those of all rounds."""
    rounds = [r for r in same if r.round is not None] if same[-1].round is not None else []
    last = same[-1]
    if any(WRONG_OUTPUT in r.flags for r in rounds):
        last = msgspec.structs.replace(last, flags=tuple(dict.fromkeys((*last.flags, WRONG_OUTPUT))))
    return _row(last) | soaked.over_rounds(rounds)


def figures(record: Record) -> dict[str, object]:
    """All metrics of a record in SI units, NaN where it does not know them; ``u_rate`` and ``u_energy``, relative and
    of k = 2; ``unknown``: why nothing can be said per watt; ``invalid`` and ``invalid_energy``: why its times, and its
    energies, do not count; ``kind``: what its work counts; ``xids``: those against the hardware, in words."""
    energy, m = budget(record), record.measured
    state = derived.state(m.repetitions if m else ())
    flags = {*record.flags, *derived.cautions(record.energies)}
    return {
        "kind": derived.kind(m.work) if m else "",
        "rate": health.number(record.rate),
        "rate_per_watt": health.number(record.work_per_joule),
        "power": health.number(record.power_w),
        "busbw": health.number(record.busbw),
        "temperature": health.number(state.temperature_c),
        "throttled": health.number(state.throttled),
        "ecc": health.number(state.ecc),
        "spread": health.number(record.spread),
        **health.metrics(record),
        "xids": xids.told(health.heard(record)),
        "u_rate": health.number(derived.half_interval(m.seconds) if m else None),
        "u_energy": health.number(energy.relative) if energy else math.nan,
        "unknown": (m.unmetered or "not metered") if m and energy is None else energy.reason if energy else "",
        "invalid": indexed.named(flags & TIME_INVALID),
        "invalid_energy": indexed.named(flags & ALL_INVALID),
        "indicative": "indicative" in flags,
    }
