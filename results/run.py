"""A finished (or interrupted) run, read back from its folder: all that the reports need, and nothing of the hardware.

A run folder holds ``records.jsonl`` (one record a line), ``config.yaml`` (what was asked for), ``environment.json``
(where it ran) and, if samples were kept, ``telemetry.parquet``. A run that stopped early lacks some of them: what is
missing is empty here and never an error, because a report on an interrupted run is when one is needed most.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perwatt.results.fleet.layout import FLEET, NODES
from perwatt.results.store import RECORDS, load

if TYPE_CHECKING:
    from pandas import DataFrame

    from perwatt.results.record import Record

CONFIG, ENVIRONMENT = "config.yaml", "environment.json"
NOTHING = "No records: nothing has been measured in this run."


@dataclass(frozen=True, eq=False)
class Run:
    """One run folder in memory.

    ``environment`` is the parsed JSON (empty if there is none), ``config_text`` the YAML as written, ``telemetry``
    the long frame with the columns ``case, series, rank, repetition, t_ns, value, n``, or None if none was kept.
    ``rounds``: all records, where ``records`` has each case once.
    """

    path: Path
    records: Sequence[Record] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    config_text: str = ""
    telemetry: DataFrame | None = None
    rounds: Sequence[Record] = ()

    @property
    def name(self) -> str:
        """The run's id: what its records say, or the folder's name while there is no record."""
        return self.records[0].run if self.records else self.path.name

    @property
    def nothing(self) -> str:
        """What is said where there is no record: of a fleet these are of the nodes together, not of each."""
        if (self.path / FLEET).is_file():
            return (
                f"No records of several nodes together; those of each node are in {NODES}/, judged by perwatt accept."
            )
        return NOTHING


def read(path: Path, *, telemetry: bool = True) -> Run:
    """Read the run in the folder ``path``; without ``telemetry`` no parquet is opened and pandas is not imported.

    Raises ValueError if ``path`` is no run folder, or if a file of it cannot be understood.
    """
    if not path.is_dir():
        raise ValueError(f"{path}: there is no such run folder")
    if not any((path / name).is_file() for name in (RECORDS, CONFIG, ENVIRONMENT)):
        raise ValueError(f"{path}: not a run folder (it holds none of {RECORDS}, {CONFIG}, {ENVIRONMENT})")
    records: list[Record] = []
    if (path / RECORDS).is_file():
        records = load(path)
    frame = None
    # an interrupted run has only the parts that its ranks had written
    if telemetry and any((path / name).exists() for name in ("telemetry.parquet", "telemetry.parts")):
        from perwatt.results import telemetry as samples

        frame = samples.load(path)
    config = path / CONFIG
    return Run(
        path=path,
        records=records,
        environment=_environment(path / ENVIRONMENT),
        config_text=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
        telemetry=frame,
    )


def _environment(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: a JSON object was expected, not {type(found).__name__}")
    return found
