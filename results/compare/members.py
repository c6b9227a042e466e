"""Who is compared: a run by a letter, with the devices and the software that it names."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

from perwatt.results.compare.comparison import Member
from perwatt.results.compare.pairing import Cases, read
from perwatt.results.compare.sample import unit
from perwatt.results.run import read as read_run

LETTERS = string.ascii_uppercase


def members(paths: Sequence[Path]) -> tuple[list[Member], list[Cases]]:
    """Read the runs; the first is the reference. Raises ValueError, one line, for a run that cannot be read or has
    measured nothing, for more runs than letters, and where two are one and the same."""
    if len(paths) > len(LETTERS):
        raise ValueError(f"runs: found {len(paths)}; allowed up to {len(LETTERS)}")
    found: list[Member] = []
    cases: list[Cases] = []
    for letter, path in zip(LETTERS, paths, strict=False):
        records = read(path)
        run = read_run(path, telemetry=False)
        name = run.name if run.records else path.name
        if same := [m for m in found if m.name == name]:
            raise ValueError(f"runs: found {same[0].path} and {path}, which are both {name}; allowed each run once")
        devices = {unit(r): r.device.name for r in records if not r.case.collective}
        devices = devices or {unit(r): r.device.name for r in records}
        packages = run.environment.get("packages")
        software = {str(k): str(v) for k, v in packages.items()} if isinstance(packages, dict) else {}
        hosts = len({r.host for r in records})
        when = min(r.time_utc for r in records)
        found.append(Member(letter, name, str(path), tuple(devices.values()), hosts, when, len(records), software))
        cases.append(Cases(name, records))
    return found, cases
