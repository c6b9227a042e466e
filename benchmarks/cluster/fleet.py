"""The leader of a fleet's run: has every node measure itself, then groups of those that passed measure together.

What lies where in its folder is :mod:`perwatt.results.fleet.layout`'s to say.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from perwatt.benchmarks import folder
from perwatt.benchmarks.cluster.screening import Screened, ended, judge, watch
from perwatt.benchmarks.ending import Interrupted
from perwatt.benchmarks.environment import host
from perwatt.benchmarks.progress import watcher
from perwatt.benchmarks.run import Leader
from perwatt.results.fleet.layout import FLEET, NODES, SCREENING
from perwatt.results.run import CONFIG, ENVIRONMENT
from perwatt.results.store import RECORDS, write_atomically


class FleetLeader(Leader):
    """A run over several machines."""

    def _lead(self) -> None:
        here = self.plan.launcher.hosts()
        hosts = self._asked(here)
        screened = self._screen(hosts, here)
        write_atomically(
            self.run / SCREENING, json.dumps({h: dataclasses.asdict(s) for h, s in screened.items()}, indent=2)
        )
        self.tally.lost_nodes = sum(one.status != "passed" for one in screened.values())
        passed = tuple(h for h in hosts if screened[h].status == "passed" and h in here)
        for name, one in screened.items():
            if one.status != "passed":
                print(f"{one.status.upper()} {name}: {one.reason}", file=sys.stderr, flush=True)
        if self.stop.asked:
            raise Interrupted
        if len(passed) < 2:
            return
        self._group(passed)

    def _asked(self, here: Sequence[str]) -> Sequence[str]:
        """All hosts of the run: those that should be here and those that are; on resuming, first those it had before:
        a new allocation may bring others."""
        path = self.run / FLEET
        before: list[str] = json.loads(path.read_text())["hosts"] if path.exists() else []
        hosts = list(dict.fromkeys([*before, *self.plan.launcher.expected(), *here]))
        if hosts != before:
            asked = {"hosts": hosts, "launcher": self.plan.launcher.name}
            write_atomically(path, json.dumps(asked, indent=2) + "\n")
        return hosts

    # -- screening -----------------------------------------------------------------------------------------------

    def _screen(self, hosts: Sequence[str], here: Sequence[str]) -> dict[str, Screened]:
        """Have the nodes that are ``here`` measure what they have not yet; those that are not here are missing."""
        for name in hosts:
            self._prepare(self.run / NODES / name)
        launcher, said = self.plan.launcher, [""]
        absent = [name for name in hosts if name not in here]
        # one that has come to the end of its run before is judged by that, wherever it is now
        lost = {name: "" for name in absent if ended(self.run / NODES / name)}
        lost |= launcher.absent(gone) if (gone := [name for name in absent if name not in lost]) else {}

        def tell(text: str) -> None:
            if said[-1] != text:
                said.append(text)
                print(f"screening: {text}", file=sys.stderr, flush=True)

        lost |= watch(launcher, self.run.resolve(), here, launcher.timeout_s, tell, lambda: self.stop.asked)
        return judge(self.run, {name: lost[name] for name in hosts})

    def _prepare(self, node: Path) -> None:
        """The folder of a node: the same configuration, on that machine alone."""
        if (node / RECORDS).exists():
            return
        node.mkdir(parents=True, exist_ok=True)
        # a CPU is one device, which has nobody to be joined with
        kind = "inline.Inline" if self.config["device"] == "cpu" else "torchrun.Torchrun"
        launcher = {"_target_": f"perwatt.benchmarks.launch.{kind}", "ranks": None}
        alone = {**self.config, "devices": "all", "launcher": launcher, "resume": None}
        write_atomically(node / CONFIG, OmegaConf.to_yaml(OmegaConf.create(alone)))
        (node / RECORDS).touch()

    # -- groups --------------------------------------------------------------------------------------------------

    def _group(self, hosts: tuple[str, ...]) -> None:
        """Collectives over all nodes that passed."""
        found = json.loads((self.run / NODES / hosts[0] / ENVIRONMENT).read_text())
        self.kind, self._devices = found["kind"], found["devices"]
        self._hosts = hosts
        folder.write_environment(self.run, {**host(), **{k: found[k] for k in ("kind", "devices", "torch")}})
        folder.stamp_clock(self.run, "start")
        per_host = len(self._devices) if self.kind != "cpu" else 1
        cases = self.plan.cases(self.kind, self.plan.launcher.ranks or per_host * len(hosts))
        todo = self._unfinished(p for p in cases if p.case.collective)
        self.watch = watcher(todo)
        try:
            self._collectives(iter(todo))
        finally:
            self.watch.close()
