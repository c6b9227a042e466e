"""Which hosts belong together: leaves, rails and racks from YAML, or what Slurm knows, and the groups to test by level.

A topology may describe more hosts than a run has; where it knows leaves or racks, it must place every host of the run.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perwatt.benchmarks.cluster.keys import refuse_unknown
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.launch.slurm import ASK_S
from perwatt.results.fleet.nodesets import expand

KEYS = ("name", "source", "leaves", "rails", "racks")
LEVELS = {"racks": "rack", "leaves": "leaf", "rails": "rail"}  # from the smallest group to the largest
SHARED = {"rail", "aggregated block"}  # a host may be in several groups of these
LEAVES = (
    "leaf",
    "level 0",
    "block",
    "rack",
)  # each host is in one of these where they are known; the first is its leaf


@dataclass(frozen=True)
class Group:
    """Hosts that are tested together."""

    level: str
    name: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Topology:
    """``levels``: of each its groups and their hosts, the smallest groups first."""

    name: str
    levels: Mapping[str, Mapping[str, tuple[str, ...]]]

    def groups(self, hosts: Sequence[str]) -> tuple[Group, ...]:
        """The groups to test of a run's hosts, level by level: those of two hosts and more, without all hosts (a test
        of its own) and without those that a level before has already."""
        self._placed(hosts)
        seen = {frozenset(hosts)}
        found = []
        for level, groups in self.levels.items():
            for name, members in groups.items():
                known = set(members)
                present = tuple(host for host in hosts if host in known)
                if len(present) > 1 and frozenset(present) not in seen:
                    seen.add(frozenset(present))
                    found.append(Group(level, name, present))
        return tuple(found)

    def leaf_of(self, hosts: Sequence[str]) -> dict[str, str]:
        """The leaf of each host, of the racks where there are no leaves; empty if neither is known."""
        self._placed(hosts)
        level = next((level for level in LEAVES if level in self.levels), None)
        leaves = self.levels[level] if level else {}
        wanted = set(hosts)
        return {host: name for name, members in leaves.items() for host in members if host in wanted}

    def told(self, hosts: Sequence[str]) -> dict[str, object]:
        """What ``topology.json`` holds: of each level the groups of a run's hosts."""
        here, levels = set(hosts), {}
        for level, groups in self.levels.items():
            present = {name: [host for host in members if host in here] for name, members in groups.items()}
            levels[level] = {name: members for name, members in present.items() if members}
        return {"name": self.name, "levels": levels}

    def _placed(self, hosts: Sequence[str]) -> None:
        for level in filter(self.levels.__contains__, LEAVES):
            known = {host for members in self.levels[level].values() for host in members}
            if lost := sorted(set(hosts) - known):
                more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
                raise BadRequest(f"topology {self.name}: host {lost[0]!r}{more} is in no {level}; allowed one for each")


def found(config: Mapping[str, object]) -> Topology:
    """Which nodes belong together, as given, or as Slurm knows it here. Raises BadRequest where it does not answer."""
    if config.get("source") != "slurm":
        return from_config(config)
    argv = ["scontrol", "show", "topology"]
    try:
        text = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=ASK_S).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise BadRequest(f"topology=slurm: {' '.join(argv)}: {error}") from None
    return from_config(config, text)


def from_config(config: Mapping[str, object], slurm: str = "") -> Topology:
    """The topology of a YAML, or of ``slurm``, the text of `scontrol show topology`, where its source is that.

    Raises BadRequest, in one line, for what it does not know, for empty groups and for hosts in two leaves or racks.
    """
    refuse_unknown(config, KEYS, "topology")
    name, source = str(config.get("name", "topology")), config.get("source", "given")
    if source == "slurm":
        return from_slurm(slurm)
    if source != "given":
        raise BadRequest(f"topology.source: found {source!r}; allowed given, slurm")
    levels: dict[str, dict[str, tuple[str, ...]]] = {}
    for key, level in LEVELS.items():
        given = config.get(key) or {}
        if not isinstance(given, Mapping):
            raise BadRequest(f"topology.{key}: found {given!r}; allowed names, each with its hosts")
        if given:
            levels[level] = {str(group): _hosts(f"topology.{key}.{group}", hosts) for group, hosts in given.items()}
    return _checked(Topology(name, levels))


def from_slurm(text: str) -> Topology:
    """The topology in what `scontrol show topology` prints: a line for each switch of a tree (topology/tree), or for
    each block (topology/block). Raises BadRequest for a line that is neither, and if there is none."""
    levels: dict[str, dict[str, tuple[str, ...]]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        if "SwitchName" in fields and fields.get("Level", "").isdigit():
            level, name = f"level {fields['Level']}", fields["SwitchName"]
        elif "BlockName" in fields:
            level, name = "block", fields["BlockName"]
        elif "AggregatedBlock" in fields:
            level, name = "aggregated block", fields["AggregatedBlock"]
        else:
            raise BadRequest(
                f"scontrol show topology: found {line[:80]!r}; allowed SwitchName= with Level=, BlockName="
            )
        hosts = fields.get("Nodes", "")
        if hosts not in ("", "(null)"):  # a switch that nothing hangs on
            levels.setdefault(level, {})[name] = _hosts(f"scontrol show topology: {name}", hosts)
    if not levels:
        raise BadRequest("scontrol show topology: found no switches; allowed topology/tree or topology/block in Slurm")
    return _checked(Topology("slurm", dict(sorted(levels.items(), key=lambda item: _number(item[0])))))


def _hosts(key: str, given: object) -> tuple[str, ...]:
    if isinstance(given, list | tuple) and all(isinstance(host, str) for host in given):
        text = ",".join(given)
    elif isinstance(given, str):
        text = given
    else:
        raise BadRequest(f"{key}: found {given!r}; allowed hosts as a list, or as text like 'n[001-016]'")
    try:
        hosts = expand(text)
    except ValueError as error:
        raise BadRequest(f"{key}: {error}") from None
    if not hosts:
        raise BadRequest(f"{key}: found no hosts; allowed one and more")
    return hosts


def _checked(topology: Topology) -> Topology:
    for level, groups in topology.levels.items():
        placed: dict[str, str] = {}
        for name, hosts in groups.items():
            for host in hosts:
                if host in placed and level not in SHARED:
                    found = f"found {host!r} in {placed[host]} and in {name}"
                    raise BadRequest(f"topology {topology.name}: {level}: {found}; allowed one for each host")
                placed[host] = name
    return topology


def _number(level: str) -> int:
    return int(level.removeprefix("level ")) if level.startswith("level ") else 0
