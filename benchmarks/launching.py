"""``perwatt launch show``, and what a dry run adds: what would be started, and where, without starting any of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from perwatt.benchmarks.channel import VARIABLE
from perwatt.benchmarks.cluster.screening import alone
from perwatt.benchmarks.cluster.submission import submission
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest, composed
from perwatt.benchmarks.launch.inline import Inline, direct
from perwatt.benchmarks.launch.job import Command, Job, Launcher
from perwatt.benchmarks.launch.k8s import K8s
from perwatt.benchmarks.launch.slurm import Slurm
from perwatt.benchmarks.options import options

RUN = "RUN"  # in place of the name that a run gives its folder


def launch(arguments: Sequence[str]) -> int:
    """``show [KEY=VALUE ...]``; raises BadRequest for anything else."""
    if not arguments or arguments[0] != "show":
        raise BadRequest(f"{arguments[0] if arguments else 'nothing'}: no such command; choices: show")
    given, overrides = options(arguments[1:], "launcher=...", config_dir="")
    from perwatt.benchmarks.plan import check

    directories = [given["config_dir"]] if given["config_dir"] else []
    plain = composed(overrides, directories)
    launcher = check(plain, [Path(d) for d in directories]).launcher
    print("\n".join(commands(launcher, plain, overrides, devices(plain["device"]))))
    if not isinstance(launcher, K8s):  # nothing but the documents: they go to kubectl
        last_line(launcher=launcher.name, exit=0)
    return 0


def devices(device: str) -> tuple[str, int]:
    """The kind of device that is meant, and how many of it are here."""
    from perwatt.benchmarks.devices import count, device_type

    kind = device_type("auto") if device == "auto" else device
    return kind, count(kind) if device == "auto" or kind == "cpu" else 0


def commands(
    launcher: Launcher, plain: Mapping[str, Any], overrides: Sequence[str], found: tuple[str, int]
) -> list[str]:
    """Lines of a shell, or the documents for Kubernetes. ``overrides``: the request; ``found``: kind and number of
    devices on a node, as far as they are known. Raises ValueError for what the launcher lacks."""
    if isinstance(launcher, K8s):
        return [yaml.safe_dump_all(launcher.manifest(overrides), sort_keys=False, width=120).rstrip()]
    kind, count = found
    run = Path(plain["runs_dir"]).resolve() / RUN
    out = [f"# {RUN}: the run's folder, which gets a name of its own"]
    if not launcher.remote:
        out += ["# each device by itself", _line(direct(Job(1, run / "logs", {VARIABLE: str(run / "s")})))]
        size = launcher.ranks or (2 if kind == "cpu" else count)
        if isinstance(launcher, Inline) or size == 1:
            return out
        return [*out, *_together(launcher, run, (), size or 1, bool(size))]
    hosts, named = nodes(launcher)
    if not named:
        assert isinstance(launcher, Slurm)
        out += ["# from here: a job, which does the rest", shlex.join(submission(launcher, run))]
        out += [f"# in it: {hosts[0]}, ... are the nodes that Slurm gives"]
    out += ["# every node by itself", _line(launcher.command(alone(run, hosts)))]
    if len(hosts) < 2:
        return out
    per_host = 1 if kind == "cpu" else count
    ranks = launcher.ranks or len(hosts) * (per_host or 1)
    return [*out, *_together(launcher, run, hosts, ranks, bool(launcher.ranks or per_host))]


def nodes(launcher: Launcher) -> tuple[tuple[str, ...], bool]:
    """The nodes that a launcher would use, and whether these are their names: who gives them may not have yet."""
    if isinstance(launcher, K8s) or (isinstance(launcher, Slurm) and not launcher.allocated()):
        return tuple(f"NODE{index + 1}" for index in range(launcher.nodes or 1)), False
    return launcher.hosts(), True


def _together(launcher: Launcher, run: Path, hosts: tuple[str, ...], ranks: int, known: bool) -> list[str]:
    job = Job(ranks, run / "logs", {VARIABLE: str(run / "s")}, hosts=hosts)
    who = "those that passed, together" if hosts else "all devices together"
    note = "" if known else "; how many devices a node has is known once it has been looked at: here one"
    return [f"# {who}: {ranks} ranks{note}", _line(launcher.command(job))]


def _line(command: Command) -> str:
    return " ".join([*(f"{k}={shlex.quote(v)}" for k, v in command.environment.items()), shlex.join(command.argv)])
