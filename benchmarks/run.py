"""The leader of a run: plans it, has the ranks measure it, and keeps what comes back, case by case.

The leader imports no torch and touches no device: whatever a kernel does to its process, the leader lives to record it
and to start another. Nothing that was measured depends on how the run ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import itertools
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from perwatt.benchmarks import documents, folder, ranks, tables, targets
from perwatt.benchmarks.caps.sweep import Unchanged, power_limits
from perwatt.benchmarks.cluster import begin, node
from perwatt.benchmarks.cluster.clocks import from_config
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.crew import Crew
from perwatt.benchmarks.ending import Interrupted, Stop, Tally
from perwatt.benchmarks.environment import host, utc
from perwatt.benchmarks.launch.allocation import seconds_left
from perwatt.benchmarks.launch.inline import Inline
from perwatt.benchmarks.launch.slurm import restarts
from perwatt.benchmarks.pace import straggler
from perwatt.benchmarks.plan import Plan, Planned, but_for_its_device
from perwatt.benchmarks.progress import Watcher, watcher
from perwatt.benchmarks.soak import Soak
from perwatt.benchmarks.task import Answer, Task
from perwatt.benchmarks.watched import Lost, Watched
from perwatt.results import telemetry
from perwatt.results.record import SCHEMA, Device, Failed, Outcome, Record, Skipped, Target
from perwatt.results.rounds import Round, each_round
from perwatt.results.store import Store, StoreError, latest

# a file system that takes no more, or whose server or daemon has gone
GONE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ECONNABORTED)
SAME_S = 3.0  # a batch system ends a job's processes together: ranks may be gone before their leader is asked to stop


class Leader:
    """One run, from its first rank to its last record."""

    def __init__(self, config: Mapping[str, Any], plan: Plan, run: Path, directories: Sequence[Path] = ()) -> None:
        self.config, self.plan, self.run, self.directories = config, plan, run, directories
        self.tally = Tally()
        self.kind = ""  # cpu, cuda or xpu, once the first rank has looked
        self._crews: dict[int, Crew] = {}
        self._unstartable: dict[int, Lost] = {}
        self._todo: list[Planned] = []
        self._soak: Soak | None = None
        self._begin_ns: int | None = None  # on this machine's monotonic clock
        self._limits: Unchanged = Unchanged()
        self._launcher = Inline(None, plan.launcher.start_timeout_s, plan.launcher.timeout_s)

    def measure(self) -> Tally:
        """Measure what the run does not hold yet. Raises BadRequest for what only the device could tell."""
        # of a job that Slurm began anew the leader before may live on, on a node that Slurm lost, until it notices; and
        # on a node of a fleet the run that was given up
        patience_s = self.plan.launcher.start_timeout_s if restarts() or node.VARIABLE in os.environ else 0.0
        with Store(self.run, patience_s) as store, Stop(seconds_left()) as stop:
            self.store, self.stop = store, stop
            try:
                self._lead()
            except (Interrupted, KeyboardInterrupt):
                self.tally.interrupted, self.tally.stopped = True, stop.reason
            except StoreError as error:
                self.tally.lost = str(error)
            except OSError as error:
                if error.errno not in GONE:
                    raise
                self.tally.lost = f"cannot write in {self.run}: {error.strerror}"
            finally:
                for crew in self._crews.values():
                    crew.close(kill=self.tally.interrupted)
            with contextlib.suppress(StoreError, OSError):
                self._keep_unmeasured()
            with contextlib.suppress(OSError):  # a full disk leaves the parts, which are read as well
                folder.stamp_clock(self.run, "end", whole=not (self.tally.interrupted or self.tally.lost))
                telemetry.fold(self.run)
            self.tally.count(each_round(store.records))
        return self.tally

    # -- the course of a run -------------------------------------------------------------------------------------

    def _lead(self) -> None:
        first = self._crew(0, want_environment=True)
        environment = self._environment(first)
        self.kind, self._devices = environment["kind"], environment["devices"]
        devices = len(self._devices)
        indices = self._indices(devices)
        with power_limits(self.run, self.plan.sweep, self.kind, self._devices) as self._limits:
            cases = self.plan.cases(self.kind, self._group_size(devices), indices, self._limits.caps_w)
            if self.plan.duration_s is not None:
                self._rounds(cases, Soak(self.plan.duration_s, self.store.records))
                return
            todo = self._unfinished(cases)
            self._begin_ns = self._agreed_start(todo)
            self._round(todo, watcher(todo))

    def _round(self, todo: Sequence[Planned], watch: Watcher) -> None:
        self.watch = watch
        try:
            self._singles(p for p in todo if not p.case.collective)
            self._collectives(p for p in todo if p.case.collective)
        finally:
            self.watch.close()

    def _rounds(self, cases: Sequence[Planned], soak: Soak) -> None:
        """The cases again and again until the time is over. A round that can measure nothing is the last."""
        self._soak = soak
        self._begin_ns = self._agreed_start(cases)
        while not soak.over:
            todo = [p for p in cases if p.case.key not in soak.done(self.store.records)]
            self._round(todo, watcher(todo, soak.left_s, f"round {soak.number}: "))
            if soak.idle(self.store.records):
                return
            soak.number += not soak.over

    def _over(self) -> bool:
        return self._soak is not None and self._soak.over

    def _unfinished(self, cases: Iterable[Planned]) -> list[Planned]:
        """The cases that the run holds no whole record of."""
        done = {r.case.key for r in latest(self.store.records) if "interrupted" not in r.flags}
        todo = [p for p in cases if p.case.key not in done]
        self._todo += todo
        return todo

    def _environment(self, first: Crew) -> dict[str, Any]:
        """What the first rank found; on resuming, the same as before, or the run would mix two machines."""
        found = {**host(), **first.environment}
        before = folder.read_environment(self.run)
        if "kind" in before:  # not of a run that was stopped before it had looked
            for key in ("kind", "devices"):
                same = [_identity(e.get(key)) for e in (before, found)]
                if same[0] != same[1]:
                    raise BadRequest(f"resume: the run was begun on {same[0]}, this machine has {same[1]}")
        else:
            folder.write_environment(self.run, found)
        folder.stamp_clock(self.run, "start")
        return found

    def _agreed_start(self, todo: Sequence[Planned]) -> int | None:
        """Of a fleet's node: the moment at which all nodes begin, agreed on once its ranks are up; None: at once."""
        if not todo or not begin.awaited():
            return None
        indices = {p.case.device_index for p in todo if not p.case.collective}
        with ThreadPoolExecutor(len(indices) or 1) as pool:
            for future in [pool.submit(self._crew, index) for index in sorted(indices)]:
                with contextlib.suppress(Lost):  # its cases say so
                    future.result()
        return begin.agree(self.run, from_config(self.config["clocks"]), lambda: self.stop.asked)

    def _group_size(self, devices: int) -> int:
        """Ranks of a collective: as the launcher says, else one a device; on a CPU two processes."""
        if isinstance(self.plan.launcher, Inline):
            return 1
        return self.plan.launcher.ranks or (devices if self.kind != "cpu" else 2)

    def _indices(self, devices: int) -> Sequence[int]:
        wanted = self.config["devices"]
        if wanted in ("first", "all"):
            return range(devices if wanted == "all" else 1)
        indices = wanted if isinstance(wanted, list) else [wanted]
        if not indices or any(not isinstance(i, int) or not 0 <= i < devices for i in indices):
            raise BadRequest(f"devices={wanted}: choices: first, all, or a list of indices below {devices}")
        return sorted(set(indices))

    def _singles(self, planned: Iterator[Planned]) -> None:
        """Cases of one device; a case's devices run side by side, each in a process of its own."""
        for _, same in itertools.groupby(planned, but_for_its_device):
            together = list(same)
            if self._over():
                return
            self._begin(together[0])
            with ThreadPoolExecutor(len(together)) as pool:
                futures = [pool.submit(self._single, p, tell=p is together[0]) for p in together]
                for p, future in zip(together, futures, strict=True):
                    self._keep(p, *future.result())
            self._ended()
            if self.stop.asked:
                raise Interrupted

    def _single(self, planned: Planned, tell: bool) -> tuple[Device, Outcome, tuple[str, ...], bool]:
        index = planned.case.device_index
        try:
            crew = self._crew(index)
            answer = crew.run(self._task(planned), lambda m: self._tell(planned, m) if tell else None)[0]
        except Lost as lost:
            return self._lose(index, lost)
        return answer.device, answer.outcome, answer.flags, answer.taken

    def _collectives(self, planned: Iterator[Planned]) -> None:
        """Cases of a group; a group that loses a rank is started anew for the next case."""
        for size, group in itertools.groupby(planned, lambda p: p.case.ranks):
            for p in group:
                if self._over():
                    break
                self._begin(p)
                self._keep(p, *self._collective(p, size))
                self._ended()
                if self.stop.asked:
                    raise Interrupted
            self._drop(-size)

    def _collective(self, planned: Planned, size: int) -> tuple[Device, Outcome, tuple[str, ...], bool]:
        if size == 1 or isinstance(self.plan.launcher, Inline):
            return self._device(), Skipped("a collective needs two ranks or more (launcher.ranks)"), (), True
        try:
            crew = self._crew(-size)
            answers: list[Answer] = crew.run(self._task(planned), lambda m: self._tell(planned, m))
        except Lost as lost:
            return self._lose(-size, lost)
        outcome, flags = ranks.reduce(answers)
        return answers[0].device, outcome, flags, all(a.taken for a in answers)

    # -- crews ---------------------------------------------------------------------------------------------------

    def _crew(self, key: int, want_environment: bool = False) -> Crew:
        """The crew of device ``key``, or of a group of ``-key`` ranks; started if there is none.

        One that could not be started is not tried again: its cases fail at once, with the same reason.
        """
        if key in self._unstartable:
            raise self._unstartable[key]
        if key not in self._crews:
            launcher, size = (self._launcher, 1) if key >= 0 else (self.plan.launcher, -key)
            meters, logs = self.config["meter"], str(self.run.resolve())
            crew = Crew(launcher, size, self.config["device"], max(key, 0), meters, want_environment, logs)
            self._crews[key] = crew
            self.stop.crews.append(crew)
            try:
                crew.start()
                crew.ready()
            except (Lost, ValueError) as error:
                if self.stop.asked:
                    raise Interrupted from None
                if not self.kind:  # the very first: there is nothing to measure on
                    raise
                lost = error if isinstance(error, Lost) else Lost(str(error))
                self._unstartable[key] = lost
                raise lost from None
        return self._crews[key]

    def _drop(self, key: int, kill: bool = False) -> None:
        if (crew := self._crews.pop(key, None)) is not None:
            self._dismiss(crew, kill)

    def _dismiss(self, crew: Watched, kill: bool) -> None:
        if crew in self.stop.crews:
            self.stop.crews.remove(crew)
        crew.close(kill)

    def _lose(self, key: int, lost: Lost) -> tuple[Device, Outcome, tuple[str, ...], bool]:
        self._drop(key, kill=True)
        outcome = Failed(str(lost), lost.rank, lost.log)
        return self._device(max(key, 0)), outcome, (), not self._ending(lost)

    def _ending(self, lost: Lost) -> bool:
        """Whether the run is being stopped, which then is why a rank died."""
        return self.stop.within(SAME_S if lost.died else 0)

    def _device(self, index: int = 0) -> Device:
        """A device as the environment has it: for a rank that cannot say any more."""
        found = self._devices or [{}]
        return Device(**{"type": self.kind, "name": "", **found[min(index, len(found) - 1)], "index": index})

    # -- cases ---------------------------------------------------------------------------------------------------

    def _begin(self, planned: Planned) -> None:
        self.stop.check(planned.estimate_s)
        self._limits.set(planned.case.cap_w)
        if self._soak is not None:
            self._soak.begin()
        self.watch.begin(planned)

    def _ended(self) -> None:
        if self._soak is not None:
            self._soak.end()

    def _tell(self, planned: Planned, message: dict[str, Any]) -> None:
        self.watch.tell({**message, "amount": planned.amount, "headline": planned.headline})

    def _task(self, planned: Planned) -> Task:
        return Task(
            key=planned.case.key,
            spec=planned.spec,
            cache=planned.case.cache,
            profile=dict(self.config["profile"]),
            stopping=dict(self.config["stopping"]),
            meters=dict(self.config["meter"]),
            run=str(self.run.resolve()),
            llc_bytes=self._llc_bytes(),
            table=self._table,
            target=self._target(self._device()),
            directories=tuple(str(d.resolve()) for d in self.directories),
            straggler=straggler(self.config.get("groups")),
            begin_ns=self._begin_ns,
        )

    def _llc_bytes(self) -> int | None:
        """The target's last-level cache, where it is larger than what the driver calls L2 (a memory-side cache)."""
        device = self._device()
        target = self._target(device)
        return max(int(target.llc.value), device.llc_bytes or 0) if target and target.llc else None

    @functools.cached_property
    def _table(self) -> dict[str, Any] | None:
        """The configurations of Triton kernels for this device, read once a run; a CPU has none."""
        if self.kind == "cpu":
            return None
        device = self._device()
        target = self._target(device)
        table = tables.load(device.arch, target.name if target else "", device.cores or 1, self.directories)
        return dataclasses.asdict(table) if table else None

    @functools.cached_property
    def _target_files(self) -> Sequence[targets.TargetFile]:
        return targets.load_targets(documents.folders(self.directories, "target"))

    def _target(self, device: Device) -> Target | None:
        name = self.config["target"].get("name", "auto")
        if name == "auto":
            return targets.recognise(device, self._target_files)
        return targets.target_named(name, self._target_files)

    def _keep(self, planned: Planned, device: Device, outcome: Outcome, flags: tuple[str, ...], taken: bool) -> None:
        """Append the record. A case that was stopped before anything was measured has none: it is still to be run."""
        if not taken:
            return
        record = self._record(planned, device, outcome, flags)
        self.store.append(record)
        self.watch.end(record)

    def _keep_unmeasured(self) -> None:
        """Of a run that a batch system ended: a record, with the reason, of each case that it leaves to be resumed."""
        if not self.stop.reason or not self.kind:
            return
        kept = {r.case.key for r in self.store.records}
        for planned in self._todo:
            if planned.case.key not in kept:
                kept.add(planned.case.key)
                outcome = Skipped(f"not measured: {self.stop.reason}")
                device = self._device(planned.case.device_index)
                self.store.append(self._record(planned, device, outcome, ("interrupted",)))

    def _record(self, planned: Planned, device: Device, outcome: Outcome, flags: tuple[str, ...]) -> Record:
        return Record(
            schema=SCHEMA,
            run=self.run.name,
            time_utc=utc(),
            host=socket.gethostname(),
            case=planned.case,
            device=device,
            outcome=outcome,
            target=self._target(device),
            flags=flags,
            round=Round(self._soak.number, self._soak.took_s()) if self._soak else None,
        )


def _identity(value: Any) -> Any:
    """What makes two environments the same machine: the names of its devices, in order."""
    return [d.get("name") for d in value] if isinstance(value, list) else value
