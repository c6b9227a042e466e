"""The leader of a fleet's run: has every node measure itself, then groups of those that passed measure together.

What lies where in its folder is :mod:`perwatt.results.fleet.layout`'s to say.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Sequence

import msgspec
from omegaconf import OmegaConf

from perwatt.benchmarks import folder
from perwatt.benchmarks.caps.sweep import KEPT
from perwatt.benchmarks.cluster import clocks, culprits, links
from perwatt.benchmarks.cluster.blame import Blame, nodes
from perwatt.benchmarks.cluster.collecting import checked, collecting
from perwatt.benchmarks.cluster.groups import GroupLeader, Test, disjoint
from perwatt.benchmarks.cluster.reference import VARIABLE, reference, utc_clock
from perwatt.benchmarks.cluster.screening import CUT_SHORT, ended, judge, watch
from perwatt.benchmarks.cluster.topology import Topology, found
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.crew import SCRATCH
from perwatt.benchmarks.ending import Interrupted
from perwatt.benchmarks.environment import host
from perwatt.results.accept.screened import Screened
from perwatt.results.fleet import merge, remote, stated
from perwatt.results.fleet.layout import FLEET, GROUPS, NODES, SCREENING, TOPOLOGY
from perwatt.results.fleet.nodesets import some
from perwatt.results.record import Over, Skipped
from perwatt.results.reports import operators
from perwatt.results.run import CONFIG, ENVIRONMENT
from perwatt.results.store import RECORDS, latest, write_atomically


class FleetLeader(GroupLeader):
    """A run over several machines."""

    def _lead(self) -> None:
        here = self.plan.launcher.hosts()
        hosts = self._asked(here)
        # what is wrong with the request is said before anything is measured
        topology = found(self.config["topology"])
        topology.leaf_of(hosts)
        self._remote = checked(self.config.get("remote") or {}, hosts)
        if topology.levels:
            write_atomically(self.run / TOPOLOGY, json.dumps(topology.told(hosts), indent=1) + "\n")
        for folder_left in self.run.glob(f"{SCRATCH}*"):  # of a leader that was killed; there is but one at a time
            shutil.rmtree(folder_left, ignore_errors=True)
        for name in operators.NAMES:  # of an earlier try: they hold once all is tested
            (self.run / name).unlink(missing_ok=True)
        screened = self._screen(hosts, here)
        write_atomically(self.run / SCREENING, json.dumps(msgspec.to_builtins(screened), indent=2))
        self.tally.lost_nodes = sum(one.status != "passed" for one in screened.values())
        # in the launcher's order, by which it numbers ranks; then those that are in another allocation
        passed = [h for h in dict.fromkeys([*here, *hosts]) if screened[h].status == "passed"]
        present = tuple(h for h in passed if h in here)
        for name, one in screened.items():
            if one.reason:
                say(f"{'WARNING' if one.status == 'passed' else one.status.upper()} {name}: {one.reason}")
        if len(passed) < 2 and any(screened[h].reason.startswith(CUT_SHORT) for h in here):
            # an allocation that ends stops a node before its leader, which has nothing to do without it
            self.stop.ask("its nodes were interrupted")
        if self.stop.asked:
            raise Interrupted
        try:
            blame = self._group(passed, present, topology) if len(passed) > 1 else Blame()
        finally:
            self.end_standing()
        tested = [r for r in latest(self.store.records) if r.case.over]
        left = {h for r in tested if r.case.over and "interrupted" in r.flags for h in r.case.over.hosts}
        away = [h for h in hosts if h in left and h not in here]
        why = {**(self.plan.launcher.absent(away) if away else {}), **self.gone}
        for name in [h for h in hosts if h in why and h in left and screened[h].status == "passed"]:
            screened[name] = Screened("missing", f"it has not come to all of its tests with others: {why[name]}")
            say(f"MISSING {name}: {screened[name].reason}")
        together = {h for r in tested if r.case.over and not isinstance(r.outcome, Skipped) for h in r.case.over.hosts}
        self._hand_over(nodes(hosts, screened, blame, together), blame)

    def _asked(self, here: Sequence[str]) -> Sequence[str]:
        """All hosts of the run: those that should be here and those that are; on resuming, first those it had before:
        a new allocation may bring others."""
        path = self.run / FLEET
        found = json.loads(path.read_text()) if path.exists() else {}
        before: list[str] = found.get("hosts", [])
        hosts = list(dict.fromkeys([*before, *self.plan.launcher.expected(), *here]))
        self.per_host, ranks = found.get("ranks_per_host"), self.plan.launcher.ranks
        if self.per_host is None and ranks:
            if ranks % len(hosts):
                raise BadRequest(f"launcher.ranks: {ranks} cannot be spread evenly over {len(hosts)} hosts")
            self.per_host = ranks // len(hosts)
        if hosts != before:
            asked = {"hosts": hosts, "launcher": self.plan.launcher.name, "ranks_per_host": self.per_host}
            write_atomically(path, json.dumps(asked, indent=2) + "\n")
        return hosts

    # -- screening -----------------------------------------------------------------------------------------------

    def _screen(self, hosts: Sequence[str], here: Sequence[str]) -> dict[str, Screened]:
        """Have the nodes that are ``here`` measure what they have not yet; those that are not here are missing."""
        new = [node for name in hosts if not ((node := self.run / NODES / name) / RECORDS).exists()]
        text = self._alone() if new else ""
        for node in new:
            node.mkdir(parents=True, exist_ok=True)
            write_atomically(node / CONFIG, text)
            (node / RECORDS).touch()
        launcher, said = self.plan.launcher, [""]
        self._here = tuple(here)
        absent = [name for name in hosts if name not in here]
        # one that has come to the end of its run before is judged by that, wherever it is now
        lost = {name: "" for name in absent if ended(self.run / NODES / name)}
        lost |= launcher.absent(gone) if (gone := [name for name in absent if name not in lost]) else {}

        def tell(text: str) -> None:
            if said[-1] != text:
                said.append(text)
                say(f"screening: {text}")

        given = self.config.get("clocks")  # not of a run that an older perwatt began
        settings = clocks.from_config(given) if given else None
        with reference(self.run, here, settings, say) as told:
            where = {VARIABLE: str(told.path)} if told else {}
            run, silent_s = self.run.resolve(), launcher.timeout_s
            with collecting(self.run, self._remote, told.utc_ns if told else utc_clock(), say):
                lost |= watch(launcher, run, here, silent_s, tell, lambda: self.stop.asked, where, self.look_again)
        lost |= {name: f"{lost[name]}; {why}" for name, why in self.gone.items() if lost[name]}
        if capped := [name for name in hosts if (self.run / NODES / name / KEPT).exists()]:
            say(f"WARNING {some(capped)}: power limits were not put back; perwatt run resume={self.run} does it")
        return judge(self.run, {name: lost[name] for name in hosts}, settings if told else None)

    def _alone(self) -> str:
        """The configuration of each node: the same, on that machine alone."""
        # a CPU is one device, which has nobody to be joined with
        kind = "inline.Inline" if self.config["device"] == "cpu" else "torchrun.Torchrun"
        launcher = {"_target_": f"perwatt.benchmarks.launch.{kind}", "ranks": None}
        alone = {**self.config, "devices": "all", "launcher": launcher, "remote": {}, "resume": None}
        return OmegaConf.to_yaml(OmegaConf.create(alone))

    # -- groups --------------------------------------------------------------------------------------------------

    def _group(self, passed: Sequence[str], present: tuple[str, ...], topology: Topology) -> Blame:
        """Collectives over each leaf, rail and rack of those that passed and are ``present``, over all of these, and
        over pairs; then who is to blame for what was slow or failed, in this allocation or an earlier one."""
        found = json.loads((self.run / NODES / passed[0] / ENVIRONMENT).read_text())
        self.kind, self._devices, self._hosts = found["kind"], found["devices"], tuple(passed)
        self.per_host = self.per_host or (len(self._devices) if self.kind != "cpu" else 1)
        if "kind" not in folder.read_environment(self.run):  # on resuming, the first one stays
            folder.write_environment(self.run, {**host(), **{k: found[k] for k in ("kind", "devices", "torch")}})
        folder.stamp_clock(self.run, "start")
        self.stand(len(present))
        levels = topology.groups(present) if self.grouping.levels else ()
        rounds = disjoint(self.test(Over(of.level, of.name, of.hosts)) for of in levels)
        if self.grouping.all and len(present) > 1:
            rounds.append([self.test(Over("all", "", present))])
        self.measure_rounds(rounds)
        leaf_of = topology.leaf_of(passed)
        # two nodes are a pair already
        pairs = self.grouping.pairs and len(passed) > 2
        blame = Blame(links.measure(self, passed, present, leaf_of) if pairs else None)
        if self.grouping.bisect:
            blame = self._halve(blame, [test for tests in rounds for test in tests], present)
        order = sorted(passed, key=lambda name: (leaf_of.get(name, ""), passed.index(name)))
        write_atomically(self.run / GROUPS, json.dumps(blame.told(order, leaf_of), indent=1) + "\n")
        return blame

    def _halve(self, blame: Blame, tests: Sequence[Test], hosts: Sequence[str]) -> Blame:
        """Failed groups halved, but for those whose failure a node explains that is to blame already."""
        for failed in culprits.failures(self, tests):
            bad = {name for name, told in blame.reasons().items() if "FAIL" in told}
            if bad & set(failed[0].hosts):
                continue
            suspects = blame.links.suspects if blame.links else None
            good = suspects.good if suspects else tuple(h for h in hosts if h not in failed[0].hosts)
            blame = Blame(blame.links, (*blame.culprits, culprits.search(self, failed, good)))
        return blame

    # -- the end -------------------------------------------------------------------------------------------------

    def _hand_over(self, found: Sequence[operators.Node], blame: Blame) -> None:
        """What operators use next, and the tables of all nodes."""
        for node in found:
            if node.status in ("FAIL", "INCONCLUSIVE"):
                say(f"{node.status} {node.host}: {'; '.join(node.reasons)}")
        for line in blame.lines():
            say(line)
        statuses = [node.status for node in found]
        self.tally.lost_nodes = statuses.count("FAIL") + statuses.count("MISSING") + blame.faults
        self.tally.undecided = statuses.count("INCONCLUSIVE") + blame.undecided
        try:
            for name, text in operators.files(found).items():
                write_atomically(self.run / name, text)
            merge.merge(self.run)
            names = [node.host for node in found]
            remote.state(self.run)
            stated.began(self.run, names)
            with contextlib.suppress(ValueError):  # no node has a meter: the table says so
                stated.state(self.run, names)
        except (ValueError, OSError) as error:  # what was measured is safe; a library or room on the disk is missing
            say(f"perwatt run: {error}; what is missing: perwatt merge run={self.run}")


def say(text: str) -> None:
    """To stderr, at once."""
    print(text, file=sys.stderr, flush=True)
