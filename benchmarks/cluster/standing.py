"""Ranks that stand between groups: started once on each node, and joined with those of other nodes for one group after
another.

To start ranks anew takes the launcher, Python and torch, and a device's context; a pair of nodes is measured in a third
of that. So each node has a crew of its own, with a launcher of its own, which is in no group until the leader names its
partners: the worker's ``setup`` comes again with its rank among them and where their store is, and ``rest`` ends the
group. Whatever goes wrong in a group ends the crews of its nodes, whose processes nobody can trust any more, and those
alone: the other groups of the round do not notice, and the next group of these nodes starts them anew.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor

from perwatt.benchmarks.channel import allow_connections
from perwatt.benchmarks.crew import PORTS, Crew
from perwatt.benchmarks.launch.job import Launcher
from perwatt.benchmarks.watched import Lost, Member, Watched

REST_S = 10.0  # for ranks to leave a group that ended well


class Standing:
    """The crews that stand, by node: ``per_host`` ranks on each. ``crews``: where all that run are noted, to be stopped
    by whoever asks. Each node is in one group at a time; groups may be joined from several threads."""

    def __init__(self, launcher: Launcher, device: str, per_host: int, run: str, crews: list[Watched]) -> None:
        self.launcher, self.per_host = launcher, per_host
        self._device, self._run, self._crews = device, run, crews
        allow_connections()  # one a rank, all the time
        self._nodes: dict[str, Crew] = {}

    def node(self, host: str) -> tuple[Crew, bool]:
        """The crew of a node, and whether it stood already; launched if there is none, or if it died at rest."""
        if (crew := self._nodes.get(host)) is not None:
            if not crew.connected or crew.stands():
                return crew, crew.connected
            self.end(host)
        crew = self._nodes[host] = Crew(self.launcher, self.per_host, self._device, run=self._run, hosts=(host,))
        self._crews.append(crew)
        crew.start()
        return crew, False

    def end(self, host: str, kill: bool = True) -> None:
        """End the ranks of a node, if they stand."""
        if (crew := self._nodes.pop(host, None)) is not None:
            if crew in self._crews:
                self._crews.remove(crew)
            crew.close(kill)

    def close(self, kill: bool = False) -> None:
        """End them all, at once: each takes a while to leave."""
        with ThreadPoolExecutor(max(1, len(self._nodes))) as pool:
            for _ in pool.map(lambda host: self.end(host, kill), list(self._nodes)):
                pass


class Joined(Watched):
    """The ranks of ``hosts``, in that order, as one group."""

    def __init__(self, standing: Standing, hosts: tuple[str, ...]) -> None:
        super().__init__(standing.launcher, standing.per_host * len(hosts), hosts)
        self._standing = standing
        self._nodes: dict[str, Crew] = {}
        self._told = False  # of their group

    def start(self) -> None:
        """Launch the nodes that do not stand, without waiting for them."""
        stood = []
        for host in self.hosts:
            try:
                self._nodes[host], before = self._standing.node(host)
            except (OSError, ValueError) as error:
                raise Lost(f"{host}: {error}", host=host) from error
            stood.append(before)
        # what a first group has to import and to open, the others have
        self._wait(self.launcher.timeout_s if all(stood) else self.launcher.start_timeout_s)

    def ready(self) -> None:
        """Join them. Raises :class:`Lost`, which names the node that did not come, or ValueError."""
        for host, crew in self._nodes.items():
            try:
                crew.stand()
            except Lost as lost:
                self._standing.end(host)  # the others go on coming up
                raise Lost(f"{host}: {lost}", self._first(host) + (lost.rank or 0), lost.log, host) from None
        for host, crew in self._nodes.items():
            for member in crew.members.values():
                self._add(Member(self._first(host) + member.rank, member.pid, member.host, member.line))
        self._told = True
        store = [self.hosts[0], random.randint(*PORTS)]
        for rank, member in self.members.items():
            join = {"rank": rank, "ranks": self.ranks, "store": store}
            with contextlib.suppress(OSError):  # a dead rank is found by reading from it
                member.line.send({**self._nodes[self._host(rank)].setup, "join": join})
        self._formed()

    def close(self, kill: bool = False) -> None:
        """Leave the ranks standing if all went well, or if they were told of no group yet; else end them."""
        if self._told and (kill or not self._rested()):
            for host in self.hosts:
                self._standing.end(host)
        self._selector.close()

    def _rested(self) -> bool:
        """Whether all have left their group, in good time."""
        for member in self.members.values():
            with contextlib.suppress(OSError):
                member.line.send({"do": "rest"})
        self._wait(REST_S)
        waiting = set(self.members)
        try:
            while waiting:
                self._still_starting("did not leave the group", waiting)
                waiting -= {member.rank for member, message in self._heard(0.2) if message["event"] == "rested"}
        except Lost:
            return False
        return True

    def kill(self) -> None:
        """End every process of its nodes."""
        for crew in self._nodes.values():
            crew.kill()

    def log(self, rank: int | None) -> str:
        """The last lines that a rank wrote, or its node's launcher."""
        host = self._host(rank or 0)
        return self._nodes[host].log((rank or 0) - self._first(host))

    def _launched(self, rank: int) -> subprocess.Popen[bytes]:
        return self._nodes[self._host(rank)].launched()

    def _first(self, host: str) -> int:
        """The number of the first rank of a host."""
        return self.hosts.index(host) * self._standing.per_host

    def _host(self, rank: int) -> str:
        return self.hosts[rank // self._standing.per_host]
