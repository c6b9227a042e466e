"""Groups of nodes that share no node measure at the same time, each with ranks of its own over its own process group.

A group that loses a rank, or whose ranks hang, is ended by its own crew's watch and started anew for its next case; the
loss is that case's record. One that cannot be started fails all its cases with the same reason, and a node that was in
so many such pairs, and in none that started, is not tried in further pairs: each would be waited for. Ranks that are
asked for a rate only stand between groups (:mod:`perwatt.benchmarks.cluster.standing`), on up to ``groups.standing``
nodes.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perwatt.benchmarks import ranks
from perwatt.benchmarks.cluster.grouping import SHORT, Grouping, collectives, from_config, over
from perwatt.benchmarks.cluster.standing import Joined, Standing
from perwatt.benchmarks.crew import Crew
from perwatt.benchmarks.plan import GROUP_S, JOIN_S, Plan, Planned
from perwatt.benchmarks.progress import watcher
from perwatt.benchmarks.run import Leader
from perwatt.benchmarks.task import Task
from perwatt.benchmarks.watched import Lost
from perwatt.results.record import Device, Failed, Outcome, Over, Record, Skipped
from perwatt.results.store import latest


@dataclass(frozen=True)
class Test:
    """What a group of nodes is to measure."""

    over: Over
    cases: tuple[Planned, ...]


def disjoint(tests: Iterable[Test]) -> list[list[Test]]:
    """The tests packed into rounds in which each node is once: the first round that has room for all of a test's."""
    rounds: list[tuple[list[Test], set[str]]] = []
    for test in tests:
        hosts = set(test.over.hosts)
        for taken, busy in rounds:
            if not hosts & busy:
                taken.append(test)
                busy.update(hosts)
                break
        else:
            rounds.append(([test], hosts))
    return [taken for taken, _ in rounds]


class GroupLeader(Leader):
    """A leader that measures over groups of several machines at once; ``per_host``: ranks on each of them."""

    def __init__(self, config: Mapping[str, Any], plan: Plan, run: Path, directories: Sequence[Path] = ()) -> None:
        super().__init__(config, plan, run, directories)
        self.grouping: Grouping = from_config(config["groups"])
        self.per_host: int | None = None  # until it is known
        self.standing: Standing | None = None  # where ranks stand between groups
        self._hosts: tuple[str, ...] = ()  # in the launcher's order
        self._here: tuple[str, ...] = ()  # the nodes that the launcher gave
        self.gone: dict[str, str] = {}  # those of them that it has withdrawn, and why
        self._writing = threading.Lock()
        self._reached: set[str] = set()
        self._unreached: defaultdict[str, int] = defaultdict(int)

    def test(self, group: Over, all_of: Iterable[Planned] | None = None) -> Test:
        """The suite's collectives, or ``all_of`` these cases, over a group."""
        size = self.ranks_of(group.hosts)
        found = all_of if all_of is not None else self.collectives(size)
        return Test(group, tuple(over(p, group) for p in found))

    def ranks_of(self, hosts: Sequence[str]) -> int:
        """Of a group over these nodes."""
        assert self.per_host is not None
        return self.per_host * len(hosts)

    def in_order(self, hosts: Iterable[str]) -> tuple[str, ...]:
        """As the launcher names them: it numbers the ranks by that order, whatever order it is given."""
        return tuple(sorted(hosts, key=self._hosts.index))

    def collectives(self, size: int) -> list[Planned]:
        """The suite's collectives of so many ranks."""
        return collectives(self.plan, self.kind, size)

    def measure_rounds(self, rounds: Sequence[Sequence[Test]]) -> None:
        """What of these rounds the run holds no record of: the tests of one round at once, round after round."""
        left = [[t for test in tests if (t := self._left(test)).cases] for tests in rounds]
        left = [tests for tests in left if tests]
        if not left:
            return
        # side by side they take a share of the time
        shown = [
            dataclasses.replace(p, estimate_s=(p.estimate_s + self._start_s(test) / len(test.cases)) / len(tests))
            for tests in left
            for test in tests
            for p in test.cases
        ]
        self.watch = watcher(shown)
        try:
            for tests in left:
                self._at_once(tests)
        finally:
            self.watch.close()

    def _start_s(self, test: Test) -> float:
        """A guess of how long the ranks of a group take to be there."""
        return JOIN_S if self._stands(test) else GROUP_S

    def look_again(self) -> None:
        """Something failed: find out which nodes the launcher has withdrawn. Where no node is left, the run stops:
        nothing that fails from here on is the fault of what is tested."""
        self.gone |= self.plan.launcher.withdrawn(self._here)
        if self._here and self.gone.keys() >= set(self._here):
            self.stop.ask(self.gone[self._here[0]])

    def outcomes(self, tests: Iterable[Test]) -> dict[Over, Record]:
        """The record of the first case of each test, where there is one."""
        by_key = {r.case.key: r for r in latest(self.store.records)}
        return {t.over: by_key[t.cases[0].case.key] for t in tests if t.cases and t.cases[0].case.key in by_key}

    def _left(self, test: Test) -> Test:
        return Test(test.over, tuple(self._unfinished(test.cases)))

    def _at_once(self, tests: Sequence[Test]) -> None:
        with ThreadPoolExecutor(min(len(tests), self.grouping.at_once)) as pool:
            futures = [pool.submit(self._run_test, test) for test in tests]
        for future in futures:
            future.result()
        self.stop.check(0)

    def stand(self, nodes: int) -> None:
        """Have the ranks of so many nodes stand between groups, if that many may."""
        if nodes <= self.grouping.standing:
            assert self.per_host is not None
            run = str(self.run.resolve())
            self.standing = Standing(self.plan.launcher, self.config["device"], self.per_host, run, self.stop.crews)

    def end_standing(self) -> None:
        """No group follows whose ranks would stand."""
        if self.standing is not None:
            self.standing.close(kill=self.stop.asked)
            self.standing = None

    def _run_test(self, test: Test) -> None:
        """In a thread of its own: the cases of one group, each kept as soon as it is over."""
        if reason := self._hopeless(test.over):
            for planned in test.cases:
                self._keep_one(planned, self._device(), Skipped(reason), (), True)
            return
        if reason := self._withdrawn(test.over):
            for planned in test.cases:  # to be resumed where its nodes are there again
                self._keep_one(planned, self._device(), Skipped(reason), ("interrupted",), True)
            return
        crew: Joined | Crew | None = None
        healthy = True
        unstartable: Lost | None = None
        try:
            for planned in test.cases:
                self.stop.check(planned.estimate_s)
                try:
                    if unstartable:
                        raise unstartable
                    if crew is None:
                        crew = self._assemble(test)
                    answers = crew.run(self._task(planned))
                except Lost as lost:
                    began = crew is not None
                    if crew is None:
                        unstartable = lost
                    else:
                        self._dismiss(crew, kill=True)
                        crew = None
                    self._keep_lost(planned, lost, began)
                    continue
                reduced, flags = ranks.reduce(answers)
                healthy = healthy and not isinstance(reduced, Failed)
                self._keep_one(planned, answers[0].device, reduced, flags, all(a.taken for a in answers))
        finally:
            if crew is not None:
                # nobody knows what a failure left behind in ranks that would stand
                self._dismiss(crew, kill=not healthy and isinstance(crew, Joined))

    def _crew_of(self, test: Test) -> Joined | Crew:
        """The ranks of a group: those that stand on its nodes, or others launched for it."""
        group, logs = test.over, str(self.run.resolve())
        if self._stands(test):
            assert self.standing is not None
            return Joined(self.standing, group.hosts)
        size, meters = self.ranks_of(group.hosts), {} if group.kind in SHORT else self.config["meter"]
        return Crew(self.plan.launcher, size, self.config["device"], 0, meters, run=logs, hosts=group.hosts)

    def _stands(self, test: Test) -> bool:
        """Whether the ranks of such a test stand: of one with meters they do not, nor of one whose memory is mapped
        for good into the ranks of its first group."""
        mapped = any("symmetric" in planned.case.kernel for planned in test.cases)
        return self.standing is not None and test.over.kind in SHORT and not mapped

    def _keep_lost(self, planned: Planned, lost: Lost, began: bool) -> None:
        """The loss is the case's record, unless it was the allocation's: what never ``began`` is left to be resumed."""
        if not self._ending(lost):
            self.look_again()
        outcome: Outcome = Failed(str(lost), lost.rank, lost.log)
        flags: tuple[str, ...] = ()
        if not began and planned.case.over and (reason := self._withdrawn(planned.case.over)):
            outcome, flags = Skipped(f"{lost}; {reason}"), ("interrupted",)
        self._keep_one(planned, self._device(), outcome, flags, not self.stop.asked)

    def _withdrawn(self, group: Over) -> str:
        """Which of its nodes are not there any more, and why; empty if all are."""
        return "; ".join(f"{host}: {self.gone[host]}" for host in group.hosts if host in self.gone)

    def _assemble(self, test: Test) -> Joined | Crew:
        """The ranks of a group, joined. Raises Lost if they could not be."""
        group, crew = test.over, self._crew_of(test)
        self.stop.crews.append(crew)
        try:
            crew.start()
            crew.ready()
        except (Lost, ValueError, OSError) as error:
            self._dismiss(crew, kill=True)
            with self._writing:
                at_fault = (error.host,) if isinstance(error, Lost) and error.host else group.hosts
                for host in at_fault if group.kind == "pair" else ():
                    self._unreached[host] += 1
            raise error if isinstance(error, Lost) else Lost(str(error)) from None
        with self._writing:
            self._reached.update(group.hosts)
        return crew

    def _hopeless(self, group: Over) -> str:
        """Why a pair is not tried any more; empty if it is."""
        for host in group.hosts if group.kind == "pair" else ():
            if self._unreached[host] >= self.grouping.unreached and host not in self._reached:
                return f"{host} could not be started in {self._unreached[host]} pairs, and in none it could"
        return ""

    def _keep_one(
        self, planned: Planned, device: Device, outcome: Outcome, flags: tuple[str, ...], taken: bool
    ) -> None:
        with self._writing:
            self.watch.begin(planned)
            self._keep(planned, device, outcome, flags, taken)

    def _task(self, planned: Planned) -> Task:
        task = super()._task(planned)
        group = planned.case.over
        return self.grouping.shortened(task) if group is not None and group.kind in SHORT else task
