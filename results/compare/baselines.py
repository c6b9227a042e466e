"""Baselines kept for a machine: runs in a folder, found again by what they ran on.

    DIR/HARDWARE/RUN/records.jsonl, environment.json     the run as it was
    DIR/HARDWARE/RUN/identity.json                       hardware and software as they were compared

The hardware is its kind: names, numbers and architecture of devices and processor, no serial numbers and no host names,
so that any machine of a CI's pool finds its baseline. Software may change between two runs, which is what a regression
test is for; what changed is told.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from perwatt.results.compare.pairing import read
from perwatt.results.compare.sample import unit
from perwatt.results.record import Record
from perwatt.results.run import ENVIRONMENT
from perwatt.results.run import read as read_run
from perwatt.results.store import RECORDS, folder_atomically, write_atomically

IDENTITY = "identity.json"


class Identity(msgspec.Struct, frozen=True):
    """What a run ran on. ``time_utc`` is that of its first record."""

    run: str
    time_utc: str
    hardware: dict[str, str]
    software: dict[str, str]

    @property
    def machine(self) -> str:
        """The hardware as the name of a folder."""
        text = msgspec.json.encode(self.hardware, order="sorted")
        name = "".join(c if c.isalnum() else "-" for c in self.hardware["devices"])[:40].strip("-").lower()
        return f"{name}-{hashlib.sha256(text).hexdigest()[:12]}"


def identity(run: Path) -> Identity:
    """Of a run folder. Raises ValueError for one that cannot be read."""
    return of_records(read(run), read_run(run, telemetry=False).environment)


def of_records(records: Sequence[Record], environment: Mapping[str, Any]) -> Identity:
    """Hardware from the records themselves, processor and software from the environment as far as it says so."""
    devices = {unit(r): (r.device.name, r.device.vendor, r.device.arch) for r in records if not r.case.collective}
    devices = devices or {unit(r): (r.device.name, r.device.vendor, r.device.arch) for r in records}
    told = [f"{n} x {' '.join(filter(None, about))}" for about, n in sorted(Counter(devices.values()).items())]
    cpu, torch, packages = (_mapping(environment.get(key)) for key in ("cpu", "torch", "packages"))
    hardware = {"devices": ", ".join(told), "cpu": str(cpu.get("model", "")), "cores": str(cpu.get("cores", ""))}
    software = {str(name): str(version) for name, version in packages.items()}
    about = {"build": torch.get("build"), **{key: environment.get(key) for key in ("os", "kernel", "python")}}
    software |= {name: str(value) for name, value in about.items() if value}
    return Identity(records[0].run, min(r.time_utc for r in records), hardware, software)


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """``torch 2.12, now 2.13`` for each entry that differs."""
    names = sorted({*before, *after})
    return [
        f"{name} {before.get(name) or 'absent'}, now {after.get(name) or 'absent'}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def keep(run: Path, store: Path, about: Identity) -> Path:
    """Copy what a baseline needs of ``run``, which is ``about``, into ``store``: whole, or not there. A run that is
    there stays as it is. Raises OSError if the store cannot be written."""
    where = store / about.machine / about.run
    if where.is_dir():
        return where
    with folder_atomically(where) as begun:
        for path in (run / ENVIRONMENT, *run.glob(f"nodes/*/{RECORDS}"), run / RECORDS):
            if path.is_file():
                (to := begun / path.relative_to(run)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
        write_atomically(begun / IDENTITY, msgspec.json.format(msgspec.json.encode(about)).decode() + "\n")
    return where


def kept(store: Path, machine: str) -> list[tuple[Path, Identity]]:
    """The runs of that machine, the oldest first. Raises ValueError for one whose identity cannot be read."""
    found = []
    for path in sorted((store / machine).glob(f"[!.]*/{IDENTITY}")):
        try:
            found.append((path.parent, msgspec.json.decode(path.read_bytes(), type=Identity)))
        except (OSError, msgspec.MsgspecError) as error:
            raise ValueError(f"{path}: cannot be read ({error})") from None
    return sorted(found, key=lambda item: (item[1].time_utc, item[1].run))


def machines(store: Path) -> list[str]:
    """What the store holds runs of."""
    return sorted(path.name for path in store.iterdir() if path.is_dir()) if store.is_dir() else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
