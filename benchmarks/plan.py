"""From a configuration to the cases of a run: a list is an axis, and everything is built before anything is run.

An entry of ``kernels`` is a kernel with its parameters. Any parameter may be a list; the cases are the product of the
lists. Besides the kernel's own parameters an entry may hold keys of the harness:

``runs_on`` ``any``, ``cpu`` or ``accelerator``: the kind of device that the entry is meant for
``points``  a list of mappings, for parameters that belong together (m, n and k of a layer)
``cache``   ``rotate``, ``warm`` or ``cold``
``ranks``   of a collective: how many processes; null for one a device

A parameter called ``model`` may name a file of ``conf/model``, whose shape takes its place.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perwatt.benchmarks import models, soak
from perwatt.benchmarks.build import build
from perwatt.benchmarks.caps.sweep import Sweep, from_config
from perwatt.benchmarks.config import BadRequest, RunConfig
from perwatt.benchmarks.devices import DEVICE_TYPES
from perwatt.benchmarks.launch.job import Launcher
from perwatt.benchmarks.profile import Profile
from perwatt.kernels.workload import Workload, choice
from perwatt.results.record import Case

HARNESS = ("runs_on", "points", "cache", "ranks")
KINDS = ("any", "cpu", "accelerator")
PREPARE_S = 0.4  # allocation and check of a middling case; for estimates only
GROUP_S = 8.0  # start of a group of ranks; for estimates only
JOIN_S = 1.0  # a group of ranks that stand already; measured over gloo, 4 nodes of Slurm; for estimates only


@dataclass(frozen=True)
class Planned:
    """One case to be run: what goes into its record, the node that a rank builds it from, and a guess of its time."""

    case: Case
    spec: dict[str, Any]
    amount: float
    headline: str
    estimate_s: float


@dataclass(frozen=True)
class Plan:
    """A checked configuration: the parts that are built once, and the entries that cases come from."""

    profile: Profile
    launcher: Launcher
    entries: tuple[tuple[str, dict[str, Any]], ...]
    only: tuple[str, ...]
    sweep: Sweep | None = None
    duration_s: float | None = None  # of rounds; None: each case once

    def cases(
        self, kind: str, ranks: int, devices: Sequence[int] = (0,), caps_w: Sequence[float | None] = (None,)
    ) -> list[Planned]:
        """The cases for a kind of device (``cpu``, ``cuda``, ``xpu``), groups of ``ranks`` ranks, device indices and
        power limits.

        Cases of one device come first and a case's devices side by side; collectives follow, so that their ranks are
        started once. Under a power limit stand all cases that can before it is changed.
        """
        wanted = "cpu" if kind == "cpu" else "accelerator"
        found: dict[str, Planned] = {}
        for name, node in self.entries:
            if node.get("runs_on", "any") in ("any", wanted):
                for planned in self._expand(name, node, ranks, devices, caps_w):
                    found.setdefault(planned.case.key, planned)
        chosen = [p for p in found.values() if self._chosen(p.case)]
        order = {cap: at for at, cap in enumerate(caps_w)}

        def place(p: Planned) -> tuple[bool, int, int]:
            return p.case.collective, p.case.ranks if p.case.collective else 0, order[p.case.cap_w]

        return sorted(chosen, key=place)

    def _chosen(self, case: Case) -> bool:
        names = (case.kernel, case.entry, f"{case.kernel} {case.label}")
        return not self.only or any(fnmatch.fnmatch(name, pattern) for pattern in self.only for name in names)

    def _expand(
        self,
        entry: str,
        node: Mapping[str, Any],
        ranks: int,
        devices: Sequence[int],
        caps_w: Sequence[float | None],
    ) -> Iterator[Planned]:
        for spec in _product(entry, node):
            workload: Workload = build(spec, "perwatt.kernels", f"kernels.{entry}")
            for cache in _axis(node.get("cache", "rotate")):
                groups = [r or ranks for r in _axis(node.get("ranks"))] if workload.collective else [1]
                on = (0,) if workload.collective else devices
                for cap_w, group, device in itertools.product(caps_w, groups, on):
                    yield self._planned(entry, spec, workload, (str(cache), cap_w), group, device)

    def _planned(
        self,
        entry: str,
        spec: dict[str, Any],
        workload: Workload,
        held: tuple[str, float | None],
        ranks: int,
        device: int,
    ) -> Planned:
        params, size = workload.params(), workload.size()
        cache, cap_w = held
        identity = [workload.name, params, ranks, device, cache, *([cap_w] if cap_w else [])]
        suffix = ("" if cache == "rotate" else f" {cache} cache") + (f" {cap_w:g} W" if cap_w else "")
        case = Case(
            key=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16],
            kernel=workload.name,
            entry=entry,
            label=workload.label() + suffix,
            series=workload.series() + suffix,
            size_name=size.name,
            size=float(size.value),
            params=params,
            ranks=ranks,
            device_index=device,
            cache=cache,
            collective=workload.collective,
            cap_w=cap_w,
        )
        work, profile = workload.work(ranks), self.profile
        amount = {"flops": work.flops, "bytes": work.bytes, "message": work.message_bytes}.get(work.headline, 0)
        seconds = PREPARE_S + profile.warmup_s + profile.repetitions * profile.window_s
        return Planned(case, spec, amount, work.headline, seconds)


def _axis(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _product(entry: str, node: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The specs of an entry: every point with every combination of the listed parameters."""
    params = {key: value for key, value in node.items() if key not in HARNESS and key != "_target_"}
    points = node.get("points") or [{}]
    if not isinstance(points, list) or not all(isinstance(p, dict) for p in points):
        raise BadRequest(f"kernels.{entry}.points: {points!r} is not a list of mappings")
    for point in points:
        if unknown := [key for key in point if key not in params]:
            choices = ", ".join(params)
            raise BadRequest(f"kernels.{entry}.points: {unknown[0]}: no such parameter; choices: {choices}")
        axes = {key: [point[key]] if key in point else _axis(value) for key, value in params.items()}
        if empty := [key for key, values in axes.items() if not values]:
            raise BadRequest(f"kernels.{entry}.{empty[0]}: an empty list leaves nothing to run")
        for values in itertools.product(*axes.values()):
            yield {"_target_": node.get("_target_"), **dict(zip(axes, values, strict=True))}


def check(config: Mapping[str, Any], directories: Sequence[Path] = ()) -> Plan:
    """Build everything that a plain configuration names, on no device, so that a mistake dies before a second is spent.

    ``directories`` are those of the user's own YAML, where models may be described. Raises BadRequest (or ValueError)
    with one line for the first thing that is wrong.
    """
    known = [field.name for field in dataclasses.fields(RunConfig)]
    if unknown := [key for key in config if key not in known]:
        raise BadRequest(f"{unknown[0]}: no such key; choices: {', '.join(known)}")
    if config["device"] not in DEVICE_TYPES:
        raise BadRequest(f"device: {config['device']!r} is not one of {', '.join(DEVICE_TYPES)}")
    profile = Profile(**config["profile"])
    build(config["stopping"], "perwatt.benchmarks.stopping", "stopping")
    for name, node in config["meter"].items():
        build(node, "perwatt.benchmarks.meters", f"meter.{name}")
    launcher: Launcher = build(config["launcher"], "perwatt.benchmarks.launch", "launcher")
    _check_groups(config)
    sweep = from_config(config)
    only = tuple(map(str, _axis(config["only"]))) if config["only"] is not None else ()
    duration_s = soak.seconds(config["duration"]) if config.get("duration") is not None else None
    entries = tuple(models.resolve(config["kernels"], directories).items())
    plan = Plan(profile, launcher, entries, only, sweep, duration_s)
    if not plan.entries:
        raise BadRequest(f"suite={config['suite']}: names no kernels")
    labels = []
    for name, node in plan.entries:
        if not isinstance(node, dict):
            raise BadRequest(f"kernels.{name}: {node!r} is not a kernel (a mapping with _target_)")
        choice(f"kernels.{name}", "runs_on", node.get("runs_on", "any"), KINDS)
        for cache in _axis(node.get("cache", "rotate")):
            choice(f"kernels.{name}", "cache", cache, ("rotate", "warm", "cold"))
        for ranks in _axis(node.get("ranks")):
            if ranks is not None and (not isinstance(ranks, int) or isinstance(ranks, bool) or ranks < 1):
                raise BadRequest(f"kernels.{name}.ranks: {ranks!r} is not a positive whole number or null")
        labels += [p.case for p in plan._expand(name, node, 2, (0,), (None,))]
    if only and not any(plan._chosen(case) for case in labels):
        kernels = ", ".join(sorted({c.kernel for c in labels} | {c.entry for c in labels}))
        raise BadRequest(f"only={','.join(only)}: matches no case; kernels here: {kernels}")
    return plan


def _check_groups(config: Mapping[str, Any]) -> None:
    """Of a run over several machines; one that is made in Python may leave them out."""
    from perwatt.benchmarks.cluster import clocks, grouping, topology

    if config.get("clocks"):
        clocks.from_config(config["clocks"])
    if config.get("groups"):
        grouping.from_config(config["groups"])
    if (given := config.get("topology")) and given.get("source") != "slurm":
        topology.from_config(given)
    if given := config.get("remote"):
        from perwatt.benchmarks.cluster import collecting

        collecting.asked(given)


def but_for_its_device(planned: Planned) -> tuple[object, ...]:
    """What a case has in common with itself on another device."""
    return planned.case.kernel, str(planned.case.params), planned.case.held


def estimate_s(cases: Sequence[Planned]) -> float:
    """Seconds that the cases will take, devices side by side counted once."""
    single = {but_for_its_device(p): p.estimate_s for p in cases if not p.case.collective}
    groups = {p.case.ranks for p in cases if p.case.collective}
    return sum(single.values()) + sum(p.estimate_s for p in cases if p.case.collective) + GROUP_S * len(groups)
