"""Which groups of a fleet's nodes are tested, as ``conf/groups`` says, and what a case over one of them is."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from perwatt.benchmarks.cluster.keys import build
from perwatt.benchmarks.cluster.pairs import Schedule, schedule
from perwatt.benchmarks.cluster.suspects import Limits
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.plan import Plan, Planned
from perwatt.benchmarks.task import Task
from perwatt.results.record import Over

DURATION = "perwatt.benchmarks.stopping.Duration"
SHORT = ("pair", "retest", "bisection")  # kinds of groups that ask for a rate only


@dataclass(frozen=True)
class Grouping:
    """The keys of ``conf/groups``, which explains them. Raises BadRequest for a value that is not allowed."""

    name: str
    levels: bool
    all: bool
    pairs: bool
    kernel: str
    warmup_s: float
    repetitions: int
    window_s: float
    every_up_to: int
    per_doubling: int
    seed: int
    at_once: int
    standing: int
    effect: float
    deviations: float
    unreached: int
    straggler_effect: float
    straggler_share: float
    bisect: bool

    def __post_init__(self) -> None:
        least = {"warmup_s": 0, "repetitions": 1, "every_up_to": 0, "per_doubling": 1, "at_once": 1}
        least |= {"standing": 0, "unreached": 1}
        for key, bound in least.items():
            if getattr(self, key) < bound:
                raise BadRequest(f"groups.{key}: found {getattr(self, key)}; allowed {bound} and more")
        if not self.window_s > 0:
            raise BadRequest(f"groups.window_s: found {self.window_s}; allowed seconds above 0")
        if not 0 < self.effect < 1:
            raise BadRequest(f"groups.effect: found {self.effect}; allowed a fraction between 0 and 1")
        if not self.straggler_effect > 0:
            raise BadRequest(f"groups.straggler_effect: found {self.straggler_effect}; allowed a fraction above 0")
        if not 0 < self.straggler_share <= 1:
            raise BadRequest(f"groups.straggler_share: found {self.straggler_share}; allowed above 0, at most 1")
        if not self.deviations >= 0:
            raise BadRequest(f"groups.deviations: found {self.deviations}; allowed 0 and more")

    @property
    def limits(self) -> Limits:
        """How far below normal is slow."""
        return Limits(self.effect, self.deviations)

    def schedule(self, hosts: Sequence[str], leaf_of: Mapping[str, str]) -> Schedule:
        """The rounds of pairs."""
        return schedule(hosts, self.every_up_to, self.per_doubling, self.seed, leaf_of)

    def pair_case(self, planned: Sequence[Planned]) -> Planned | None:
        """Of the collectives that a pair can run: the largest message of ``kernel``, of any if it has none of it."""
        named = [p for p in planned if p.case.kernel == self.kernel] or planned
        return max(named, key=lambda p: p.case.size, default=None)

    def shortened(self, task: Task) -> Task:
        """The task of a pair: a rate is asked for, and no energy."""
        profile = {**task.profile, "warmup_s": self.warmup_s, "repetitions": self.repetitions}
        profile |= {"window_s": self.window_s, "warmup_max_s": 0.0, "idle_s": 0.0, "sampler_cost_s": 0.0}
        rule = {"_target_": DURATION, "seconds": self.window_s, "min_samples": 3}
        return msgspec.structs.replace(task, profile=profile, stopping=rule, meters={})


def from_config(config: Mapping[str, Any]) -> Grouping:
    """The grouping of a plain configuration. Raises BadRequest, naming the key, for what it does not know or lacks."""
    # in a run that an older perwatt began none stood
    return build(Grouping, {"standing": 0, **config}, "groups")


def collectives(plan: Plan, kind: str, size: int) -> list[Planned]:
    """The suite's collectives of so many ranks, on a kind of device."""
    return [p for p in plan.cases(kind, size) if p.case.collective and p.case.ranks == size]


def over(planned: Planned, group: Over) -> Planned:
    """The case over these machines: another one than the same case over others, and the same in any order of them."""
    identity = "\0".join([planned.case.key, group.kind, *sorted(group.hosts)])
    where = {"all": "", "pair": f" over {group.name}"}.get(group.kind, f" over {group.kind} {group.name}")
    case = msgspec.structs.replace(
        planned.case,
        key=hashlib.sha256(identity.encode()).hexdigest()[:16],
        label=planned.case.label + where,
        over=group,
    )
    return dataclasses.replace(planned, case=case)
