"""``perwatt tune``: look for faster configurations of Triton kernels on the GPU at hand, and keep them as a table.

Every candidate is prepared, checked against float64 and timed by a rank as any case is, so that one that is wrong,
hangs or takes its device down costs itself alone. What was found for a case is written at once, in front of what the
table of that target held before.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from perwatt.benchmarks import documents, plan, tables, targets
from perwatt.benchmarks.build import build
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest, composed
from perwatt.benchmarks.crew import Crew
from perwatt.benchmarks.launch.inline import Inline
from perwatt.benchmarks.options import options
from perwatt.benchmarks.plan import Planned
from perwatt.benchmarks.searching import descend
from perwatt.benchmarks.task import Task
from perwatt.benchmarks.watched import Lost
from perwatt.kernels.triton.configuration import Configuration, Table
from perwatt.kernels.triton.device import ABSENT
from perwatt.kernels.workload import Place, Unsupported, Workload
from perwatt.results.record import Device, Measured
from perwatt.results.store import write_atomically

OBJECTIVES = ("rate", "per_watt")


def tune(arguments: Sequence[str]) -> int:
    """Tune every case of a suite that has Triton kernels. Exit code 3 where there is no GPU for them."""
    given, overrides = options(
        arguments, "kernels.matmul.m=8192", objective="rate", out="conf", candidates=60.0, config_dir=""
    )
    if given["objective"] not in OBJECTIVES:
        raise BadRequest(f"objective={given['objective']}: choices: {', '.join(OBJECTIVES)}")
    directories = [given["config_dir"]] if given["config_dir"] else []
    config = _config(overrides, directories, metered=given["objective"] == "per_watt")
    tuner = Tuner(config, given["objective"], max(2, int(given["candidates"])), Path(given["out"]), directories)
    try:
        return tuner.run()
    finally:
        tuner.close()


def _config(overrides: Sequence[str], directories: Sequence[str], metered: bool) -> dict[str, Any]:
    """Short windows and no meter; for energies windows in which a board's counter is renewed often enough."""
    usual = {"suite": "triton", "profile": "quick" if metered else "smoke", "meter": "[auto]" if metered else "none"}
    wanted = [f"{k}={v}" for k, v in usual.items() if not any(o.startswith(f"{k}=") for o in overrides)] + [*overrides]
    return composed(wanted, directories)


Asked = tuple[type[Configuration], dict[str, Any], Configuration]


@dataclasses.dataclass(frozen=True)
class Spy(Table):
    """A table that notes which configurations were asked of it: kind, conditions, answer."""

    asked: list[Asked] = dataclasses.field(default_factory=list)

    def choose(self, kind: Any, **case: Any) -> Any:
        """As the table does, and note it."""
        chosen = super().choose(kind, **case)
        self.asked.append((kind, case, chosen))
        return chosen


class Tuner:
    """The cases one after the other, on the first device, by one rank that is started again when it is lost."""

    def __init__(
        self, config: dict[str, Any], objective: str, most: int, out: Path, directories: Sequence[str]
    ) -> None:
        self.config, self.objective, self.most, self.out, self.directories = config, objective, most, out, directories
        self.plan = plan.check(config, [Path(d) for d in directories])
        self._crew: Crew | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="perwatt-tune-")  # what each candidate's samples are left in

    def run(self) -> int:
        """Tune, tell, write. Returns the exit code."""
        crew = self._start(environment=True)
        device = Device(**{"type": "", "name": "", **crew.environment["devices"][0]})
        target = targets.recognise(device, targets.load_targets(documents.folders(self.directories, "target")))
        name = target.name if target else device.arch
        if device.type == "cpu":
            print("perwatt tune: needs a GPU that Triton compiles for, and this is a CPU", file=sys.stderr)
            last_line(tuned=0, exit=3)
            return 3
        table = tables.load(device.arch, name, device.cores or 1, self.directories)
        if table is None:
            raise BadRequest(f"no configurations for {device.arch}: conf/triton/{device.arch}.yaml is where to begin")
        path = self.out / tables.TUNED / f"{name}.yaml"
        tuned = 0
        for planned in self.plan.cases(device.type, 1):
            for kind, case, start in self._asked(planned, table):
                tuned += self._one(planned, table, kind, case, start, path, device)
        last_line(tuned=tuned, table=str(path) if tuned else None, exit=0)
        return 0

    def _asked(self, planned: Planned, table: Table) -> list[Asked]:
        """The configurations that a case asks for, each kernel's once."""
        workload: Workload = build(planned.spec, "perwatt.kernels", "kernels")
        spy = Spy(**dataclasses.asdict(table))
        try:
            workload.programs(Place(ABSENT, table=spy))
        except Unsupported as reason:
            print(f"{planned.case.kernel} {planned.case.label}: {reason}", file=sys.stderr)
        return list({kind: (kind, case, start) for kind, case, start in spy.asked}.values())

    def _one(
        self,
        planned: Planned,
        table: Table,
        kind: type[Configuration],
        case: dict[str, Any],
        start: Configuration,
        path: Path,
        device: Device,
    ) -> int:
        """Search for one kernel of one case; 1 if something better was found and written."""

        def cost(config: Configuration) -> float | None:
            entry = {**case, **config.values()}
            first = {**table.kernels, kind.kernel: [entry, *table.kernels.get(kind.kernel, ())]}
            found = self._cost(planned, dataclasses.replace(table, kernels=first))
            told = f"{found:.4g}" if found is not None else "refused"
            print(f"  {told:>12}  {' '.join(f'{k}={v}' for k, v in config.values().items())}", file=sys.stderr)
            return found

        print(f"{planned.case.kernel} {planned.case.label}: {kind.kernel}", file=sys.stderr)
        before = cost(start)
        best, after, tried = descend(start, lambda c: before if c == start else cost(c), self.most)
        if after is None or best == start:
            print(f"  kept, the best of {tried}", file=sys.stderr)
            return 0
        gain = "" if before is None else f", {before / after - 1:.1%} better"
        print(f"  taken, the best of {tried}{gain}", file=sys.stderr)
        keep(path, kind, case, best, device)
        return 1

    def _cost(self, planned: Planned, table: Table) -> float | None:
        """Seconds a launch, or joules; None if this cannot be had."""
        task = Task(
            key=planned.case.key,
            spec=planned.spec,
            cache=planned.case.cache,
            profile=dict(self.config["profile"]),
            stopping=dict(self.config["stopping"]),
            meters=dict(self.config["meter"]),
            run=self._scratch.name,
            table=dataclasses.asdict(table),
        )
        try:
            outcome = self._start().run(task, lambda _: None)[0].outcome
        except Lost:
            self.close()
            return None
        if not isinstance(outcome, Measured):
            return None
        if self.objective == "rate":
            return outcome.seconds.median
        joules = [e.energy_j / r.iterations for r in outcome.repetitions for e in r.energies if e.source == "counter"]
        return sum(joules) / len(joules) if joules else None

    def _start(self, environment: bool = False) -> Crew:
        if self._crew is None:
            launcher = self.plan.launcher
            inline = Inline(None, launcher.start_timeout_s, launcher.timeout_s)
            self._crew = Crew(inline, 1, self.config["device"], 0, self.config["meter"], environment)
            self._crew.start()
            self._crew.ready()
        return self._crew

    def close(self) -> None:
        """Let the rank go."""
        if self._crew is not None:
            self._crew.close(kill=True)
            self._crew = None


def keep(path: Path, kind: type[Configuration], case: dict[str, Any], config: Configuration, device: Device) -> None:
    """Write the configuration for exactly this case in front of what the table at ``path`` holds."""
    held: dict[str, Any] = documents.read(path) if path.exists() else {}
    kernels: dict[str, list[Any]] = held.get("kernels", {})
    rest = [e for e in kernels.get(kind.kernel, []) if {c: e.get(c) for c in case} != case]
    kernels[kind.kernel] = [{**case, **config.values()}, *rest]
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"# Found by `perwatt tune` on {device.name}, last on {date.today().isoformat()}.\n"
    write_atomically(
        path, head + yaml.safe_dump({"kernels": kernels}, sort_keys=False, default_flow_style=None, width=200)
    )
