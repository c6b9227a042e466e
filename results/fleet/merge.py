"""The files of a fleet's nodes made one: ``RUN/merged/``, derived, the same bytes for the same records.

    index.parquet     one row a record (:class:`perwatt.results.fleet.rows.Row`), of a burn-in those of all rounds
    cases.parquet     each test over all devices: count, median, MAD, percentiles, least and most with its device
    devices.parquet   each device: cases measured, failed, skipped, missing
    merged.json       what is MISSING, which lines could not be read, and of each file of records its size and CRC-32

The summaries count each case once, by its newest record. A damaged line is reported by file and number and everything
else is merged. ``merged.json`` is written last.
"""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perwatt.results.fleet.layout import COPY, FLEET, MERGED, NODES
from perwatt.results.fleet.missing import missing
from perwatt.results.fleet.rows import Found, Host, Source, read, schema
from perwatt.results.fleet.summary import cases, devices
from perwatt.results.store import RECORDS, write_atomically

if TYPE_CHECKING:
    import pandas as pd

INDEX, CASES, DEVICES, SUMMARY = "index.parquet", "cases.parquet", "devices.parquet", "merged.json"
HOSTS_A_TASK = 64


@dataclass(frozen=True, eq=False)
class Fleet:
    """A merged fleet: the three tables as data frames, and the lines of text that say what is not in them. ``files``:
    of each file of records that was read, by its name, the size and the CRC-32; ``asked``: what the fleet was to be.

    The index is read when it is asked for: of a large fleet it has millions of rows, ``records`` of them.
    """

    folder: Path
    records: int
    cases: pd.DataFrame
    devices: pd.DataFrame
    missing: tuple[str, ...]
    damaged: tuple[str, ...]
    files: Mapping[str, tuple[int, int]]
    asked: Mapping[str, Any]

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row a record."""
        import pandas as pd

        with whole(self.folder / INDEX):
            return pd.read_parquet(self.folder / INDEX)

    def columns(self, names: Sequence[str], categories: Sequence[str]) -> pd.DataFrame:
        """Some columns of the index, of which ``categories`` are told by number: quicker, and smaller, than as text."""
        import pyarrow.parquet as pq

        with whole(self.folder / INDEX):
            table = pq.read_table(self.folder / INDEX, columns=list(names), read_dictionary=list(categories))
        frame: pd.DataFrame = table.to_pandas()
        return frame


def merge(run: Path, others: Sequence[Path] = (), jobs: int | None = None) -> Path:
    """Merge the node files of ``run``, with those of ``others`` (the same fleet in other allocations), into
    ``run/merged``, by ``jobs`` processes (one a core unless given).

    Raises ValueError for a folder that holds no run of a fleet.
    """
    import pyarrow.parquet as pq

    asked = _asked(run)
    hosts = _hosts([run, *others], asked["hosts"])
    out = run / MERGED
    out.mkdir(exist_ok=True)
    lines: dict[str, int] = {}
    damaged: list[str] = []
    files: dict[str, tuple[int, int]] = {}

    def index(file: Any) -> None:
        with pq.ParquetWriter(file, schema(), compression="zstd") as writer:
            for found in _read(hosts, jobs or os.cpu_count() or 1):
                writer.write_table(found.table)
                lines.update(found.lines)
                damaged.extend(found.damaged)
                files.update(found.files)

    write_atomically(out / INDEX, index)
    strings = ["scope", "host", "uuid", "test", "kernel", "label", "outcome"]
    columns = [*strings, "device", "ranks", "rate", "per_joule", "last"]
    table = pq.read_table(out / INDEX, columns=columns, read_dictionary=strings)
    table = table.filter(table["last"])
    for name, frame in ((CASES, cases(table)), (DEVICES, known := devices(table))):
        write_atomically(out / name, lambda file, frame=frame: frame.to_parquet(file, index=False))  # type: ignore[misc]
    lost = missing(run, asked, known, lines)
    told = {"missing": lost, "damaged": sorted(damaged), "asked": asked, "files": files}
    write_atomically(out / SUMMARY, json.dumps(told, indent=1) + "\n")
    return out


def load(run: Path) -> Fleet:
    """The merged fleet of ``run``. Raises ValueError if it has not been merged, or by a perwatt of another index."""
    import pandas as pd
    import pyarrow.parquet as pq

    out = run / MERGED
    if not (out / SUMMARY).is_file():
        raise ValueError(f"{run}: not merged yet: perwatt merge run={run}")
    with whole(out / SUMMARY):
        told = json.loads((out / SUMMARY).read_text())
        missing, damaged = tuple(map(str, told["missing"])), tuple(map(str, told["damaged"]))
        files = {str(name): (int(size), int(crc)) for name, (size, crc) in dict(told.get("files", {})).items()}
    with whole(out / CASES):
        tests = pd.read_parquet(out / CASES)
    with whole(out / DEVICES):
        found = pd.read_parquet(out / DEVICES)
    with whole(out / INDEX):
        index = pq.read_metadata(out / INDEX)
    if index.schema.names != schema().names or not {"files", "asked"} <= told.keys():
        raise ValueError(f"{run}: merged by a perwatt whose index is another: perwatt merge run={run}")
    return Fleet(out, index.num_rows, tests, found, missing, damaged, files, told["asked"])


def twice(fleet: Fleet) -> list[str]:
    """A line for each folder in which files of records are those of another: copies count once, and are told."""
    first: dict[tuple[str, int, int], Path] = {}
    same: dict[tuple[Path, Path], list[str]] = {}
    for name, told in sorted(fleet.files.items(), key=lambda one: Path(one[0]).is_absolute()):  # the run's own first
        folder, own = _of_run(name, fleet.folder.parent)
        if told[0] and (other := first.setdefault((own, *told), folder)) != folder:
            same.setdefault((other, folder), []).append(own)
    return [
        f"{folder}: found {len(names)} file{'s' if len(names) > 1 else ''} of records as in {other}, {names[0]} the "
        "first; each record counts once"
        for (other, folder), names in same.items()
    ]


def _of_run(name: str, run: Path) -> tuple[Path, str]:
    """The folder of the run in which a file of records lies, as the index calls it, and its name there."""
    if not Path(name).is_absolute():
        return run, name
    at = Path(name).parent
    folder = at.parent.parent if at.parent.name == NODES else at
    return folder, Path(name).relative_to(folder).as_posix()


def unchanged(fleet: Fleet) -> None:
    """Raises ValueError of one line if a file of records is not what was merged, or was not there then, or if the fleet
    was to be another.

    Sizes tell almost everything, as records are appended; only a file that was written since is read again.
    """
    run, files = fleet.folder.parent, fleet.files
    merged_ns = (fleet.folder / SUMMARY).stat().st_mtime_ns
    others = [path for path in dict.fromkeys(_of_run(name, run)[0] for name in files) if path != run]
    there = {source.name: source.path for host in _hosts([run, *others], ()) for source in host.sources}
    found = [f"{FLEET} changed"] if _asked(run) != fleet.asked else []
    found += [f"{name} gone" for name in files if name not in there]
    for name, path in there.items():
        try:
            about = path.stat()
            if name not in files:
                same = not os.access(path, os.R_OK)  # nor could it be read when the others were
            elif same := about.st_size == files[name][0]:
                # whoever copies a file may set the time that it was written back, not that of its change
                same = (
                    max(about.st_mtime_ns, about.st_ctime_ns) < merged_ns
                    or zlib.crc32(path.read_bytes()) == files[name][1]
                )
        except OSError:
            same = False
        if not same:
            found.append(f"{name} {'changed' if name in files else 'new'}")
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        asked = f"runs=[{','.join(map(str, (run, *others)))}]" if others else f"run={run}"
        raise ValueError(f"{run}: found {found[0]}{more} since it was merged: perwatt merge {asked}")


@contextlib.contextmanager
def whole(path: Path) -> Iterator[None]:
    """Raises ValueError of one line if what was merged cannot be read any more. pyarrow's errors are of these kinds."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: not as it was merged ({reason}): perwatt merge run={path.parent.parent}") from None


def _asked(run: Path) -> dict[str, Any]:
    """What the fleet was to be."""
    try:
        found = json.loads((run / FLEET).read_text())
    except OSError:
        raise ValueError(f"{run}: no run of a fleet (a folder with {FLEET} and {NODES}/)") from None
    except ValueError as error:
        raise ValueError(f"{run / FLEET}: not readable as JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("hosts"), list):
        raise ValueError(f"{run / FLEET}: an object with a list 'hosts' was expected")
    return found


def _hosts(runs: Sequence[Path], listed: Sequence[str]) -> list[Host]:
    """What there is to read: hosts in the order of ``listed``, then those that were not asked for, then the groups."""
    nodes: defaultdict[str, list[Source]] = defaultdict(list)
    groups: list[Source] = []
    for run in runs:
        prefix = "" if run == runs[0] else f"{run.resolve()}/"
        if (run / RECORDS).is_file():
            groups.append(Source(run / RECORDS, f"{prefix}{RECORDS}"))
        for path in (run / NODES).glob(f"*/{RECORDS}"):
            name = path.parent.name
            host = name if name in nodes or not name.endswith(COPY) else name.removesuffix(COPY)
            nodes[host].append(Source(path, f"{prefix}{NODES}/{name}/{RECORDS}"))
    order = list(dict.fromkeys([*(host for host in listed if host in nodes), *sorted(nodes)]))
    found = [Host("node", host, tuple(sorted(nodes[host], key=lambda s: s.name))) for host in order]
    return [*found, Host("group", "", tuple(sorted(groups, key=lambda s: s.name)))]


def _read(hosts: Sequence[Host], jobs: int) -> Iterator[Found]:
    """Their rows, in order, whoever is ready first."""
    tasks = [hosts[i : i + HOSTS_A_TASK] for i in range(0, len(hosts), HOSTS_A_TASK)]
    if jobs == 1 or len(tasks) == 1:
        yield from map(read, tasks)
        return
    # what is read has no cycles: to look for some among millions of objects takes a tenth of the time
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), gc.disable) as pool:
        yield from pool.map(read, tasks)
