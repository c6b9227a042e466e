"""What a dry run says of the groups of a run over several machines: which, in how many rounds, and for how long.

As if all nodes passed; the tests again of suspects and the halving of what fails come on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perwatt.benchmarks.cluster import topology
from perwatt.benchmarks.cluster.grouping import Grouping, collectives, from_config, over
from perwatt.benchmarks.cluster.groups import Test, disjoint
from perwatt.benchmarks.plan import GROUP_S, JOIN_S, PREPARE_S, Plan
from perwatt.benchmarks.progress import duration
from perwatt.results.record import Over


@dataclass(frozen=True)
class Outlook:
    """``lines`` to be read; groups of more than two, pairs, rounds of pairs, and seconds of all of it."""

    lines: tuple[str, ...]
    groups: int
    pairs: int
    rounds: int
    estimate_s: float


def outlook(
    config: Mapping[str, Any], plan: Plan, kind: str, hosts: Sequence[str], per_host: int, named: bool
) -> Outlook:
    """The groups of ``hosts`` with ``per_host`` ranks on each; unless they are ``named`` their places in a topology are
    not known. Raises BadRequest for a topology that lacks one of them."""
    grouping = from_config(config["groups"])
    notes: list[str] = []
    tests: list[list[Test]] = []
    leaf_of: Mapping[str, str] = {}

    def test(group: Over) -> Test:
        found = collectives(plan, kind, per_host * len(group.hosts))
        return Test(group, tuple(over(planned, group) for planned in found))

    if named:
        places = topology.found(config["topology"])
        leaf_of = places.leaf_of(hosts)
        levels = places.groups(hosts) if grouping.levels else ()
        tests = disjoint(test(Over(of.level, of.name, of.hosts)) for of in levels)
    elif config["topology"].get("source") == "slurm" or topology.from_config(config["topology"]).levels:
        notes.append("# which of them form leaves, rails and racks is known once the nodes are")
    if grouping.all and len(hosts) > 1:
        tests.append([test(Over("all", "", tuple(hosts)))])
    # one without a case is not started
    tests = [kept for together in tests if (kept := [of for of in together if of.cases])]
    lines = []
    for of in (of for together in tests for of in together):
        name = f"{of.over.name}: " if of.over.name else ""
        lines.append(f"{of.over.kind:16} {name}{len(of.over.hosts)} nodes, {len(of.cases)} cases")
    # those of one round at once: the longest of them
    seconds = sum(max(GROUP_S + sum(p.estimate_s for p in of.cases) for of in together) for together in tests)
    pairs = _pairs(grouping, plan, kind, hosts, per_host, leaf_of)
    lines += pairs.lines
    return Outlook(
        lines=(f"# over {len(hosts)} nodes, if all pass", *lines, *notes),
        groups=sum(map(len, tests)),
        pairs=pairs.pairs,
        rounds=pairs.rounds,
        estimate_s=seconds + pairs.estimate_s,
    )


def _pairs(
    grouping: Grouping, plan: Plan, kind: str, hosts: Sequence[str], per_host: int, leaf_of: Mapping[str, str]
) -> Outlook:
    """The pairs alone: none of two nodes, who are all that there are, and none without a collective."""
    case = grouping.pair_case(collectives(plan, kind, 2 * per_host))
    if not grouping.pairs or len(hosts) < 3 or case is None:
        return Outlook((), 0, 0, 0, 0.0)
    schedule = grouping.schedule(hosts, leaf_of)
    most = max(map(len, schedule.rounds))
    turns = sum(-(-len(pairs) // grouping.at_once) for pairs in schedule.rounds)
    each_s = PREPARE_S + grouping.warmup_s + grouping.repetitions * grouping.window_s
    # ranks that stand are started once
    start_s = GROUP_S + turns * JOIN_S if len(hosts) <= grouping.standing else turns * GROUP_S
    whole_s = start_s + turns * each_s
    line = (
        f"{'pair':16} {schedule.kind}: {len(schedule.pairs)} in {len(schedule.rounds)} rounds of up to "
        f"{min(most, grouping.at_once)} at once, {case.case.kernel} {case.case.label}, about {duration(whole_s)}"
    )
    return Outlook((line,), 0, len(schedule.pairs), len(schedule.rounds), whole_s)
