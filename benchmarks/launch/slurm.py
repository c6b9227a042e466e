"""Slurm: srun inside an allocation, sbatch from a login node.

Plain sbatch, not submitit: one job is submitted, which runs perwatt itself; there is nothing to pickle, and without
Slurm's accounting submitit cannot tell a job that died from one that runs.

A step shares the allocation with the steps beside it (``--overlap``), outlives a node that dies (``--no-kill``) and a
task that fails (``--kill-on-bad-exit=0``): the others' measurements are kept, the loss is seen by the leader.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from perwatt.benchmarks.launch.job import Command, Job, Launcher, listed, which

ALLOCATION = "SLURM_JOB_ID"
NODES = "SLURM_JOB_NODELIST"
SIGNAL_S = 60  # before the time limit, for the case in progress to be written down
ASK_S = 60.0  # for Slurm to answer
RUNS = ("RUNNING", "SUSPENDED")
AGAIN = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED")


class Slurm(Launcher):
    """``nodes``, ``partition``, ``account``, ``time`` and further ``options`` are what is asked of sbatch; inside an
    allocation its nodes are taken, and these are not looked at. ``step_options`` are added to every srun. ``expect``:
    the nodes that there should be (``n[001-064]``); one that Slurm does not give is missing, for Slurm's reason."""

    name = "slurm"
    remote = True

    def __init__(
        self,
        ranks: int | None = None,
        nodes: int | None = None,
        partition: str | None = None,
        account: str | None = None,
        time: str | None = None,
        options: Sequence[str] = (),
        step_options: Sequence[str] = (),
        expect: str = "",
        start_timeout_s: float = 300.0,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(ranks, start_timeout_s, timeout_s)
        if nodes is not None and (isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 1):
            raise ValueError(f"launcher.nodes: {nodes!r} is not a positive whole number (null: the allocation's)")
        for key, given in (("options", options), ("step_options", step_options)):
            if isinstance(given, str) or not all(isinstance(o, str) and o.startswith("-") for o in given):
                raise ValueError(f"launcher.{key}: {given!r} is not a list of options, each with its dash")
        self.nodes, self.partition, self.account, self.time = nodes, partition, account, time
        self.options, self.step_options, self.expect = tuple(options), tuple(step_options), expect

    def command(self, job: Job) -> Command:
        """One srun for all of it, in the allocation that this process is in."""
        tasks = job.ranks if job.group else len(job.hosts)
        argv = ["srun", f"--nodes={len(job.hosts)}", f"--ntasks={tasks}", f"--nodelist={listed(job.hosts)}"]
        argv += [f"--ntasks-per-node={job.per_host if job.group else 1}", "--distribution=block", "--overlap"]
        argv += ["--no-kill", "--kill-on-bad-exit=0", "--wait=0", "--cpu-bind=none", "--mpi=none", "--export=ALL"]
        argv += ["--unbuffered", f"--output={job.log_dir}/%t.log", *self.step_options]
        argv += [job.python, "-m", job.module, *job.arguments]
        environment = dict(job.environment)
        if job.group:
            environment |= {"MASTER_ADDR": job.hosts[0], "MASTER_PORT": str(job.port)}
        return Command(argv, environment, {task: str(job.log_dir / f"{task}.log") for task in range(tasks)})

    def submission(self, program: Sequence[str], log: Path) -> list[str]:
        """The sbatch line that has ``program`` run on the first of so many nodes, its output in ``log``.

        Raises ValueError if the number of nodes is not said.
        """
        if self.nodes is None:
            raise ValueError("launcher.nodes: found null outside an allocation; allowed the number of nodes to ask for")
        argv = ["sbatch", "--parsable", "--job-name=perwatt", f"--nodes={self.nodes}", "--ntasks-per-node=1"]
        argv += ["--exclusive", "--no-kill", f"--output={log}", "--open-mode=append", f"--signal=B:TERM@{SIGNAL_S}"]
        asked = (("partition", self.partition), ("account", self.account), ("time", self.time))
        argv += [f"--{key}={value}" for key, value in asked if value is not None]
        # exec: the signal before the limit goes to the batch shell alone, and must reach perwatt
        return [*argv, *self.options, f"--wrap=exec {shlex.join(program)}"]

    def allocated(self) -> bool:
        """Whether this process is inside an allocation."""
        return ALLOCATION in os.environ

    def hosts(self) -> tuple[str, ...]:
        """The nodes of the allocation. Raises ValueError outside one, and if Slurm does not answer."""
        if not self.allocated():
            raise ValueError(f"launcher=slurm: no allocation here ({ALLOCATION} is not set)")
        return _names(os.environ[NODES])

    def expected(self) -> tuple[str, ...]:
        """Those of ``expect``. Raises ValueError if Slurm cannot read it."""
        return _names(self.expect) if self.expect else ()

    def absent(self, hosts: Sequence[str]) -> dict[str, str]:
        """What Slurm says of the nodes that it did not give."""
        try:
            lines = ask("sinfo", "--noheader", "--Node", f"--nodes={listed(hosts)}", "--format=%N|%T|%E").splitlines()
        except ValueError as error:
            return dict.fromkeys(hosts, f"it is not in this allocation; {error}")
        states = {name: (state, why) for name, state, why in (line.split("|", 2) for line in lines)}
        return {host: f"it is not in this allocation: {_state(*states.get(host, ('', '')))}" for host in hosts}

    def withdrawn(self, hosts: Sequence[str]) -> dict[str, str]:
        """Nodes that Slurm has taken out of this job, or all of them if the job has ended or was begun anew."""
        job = os.environ.get(ALLOCATION, "")
        try:
            fields = dict(re.findall(r"(\w+)=(\S*)", ask("scontrol", "--oneliner", "show", "job", job)))
            state = fields["JobState"]
            if state in AGAIN or int(fields["Restarts"]) != restarts():
                return dict.fromkeys(hosts, f"Slurm begins job {job} anew")
            if state not in RUNS:
                return dict.fromkeys(hosts, f"Slurm calls job {job} {state}")
            held = set(_names(fields["NodeList"]))
            gone = [host for host in hosts if host not in held]
        except (ValueError, KeyError):  # it does not answer: nothing is known to have gone
            return {}
        return self.absent(gone) if gone else {}

    @staticmethod
    def missing() -> str:
        """Empty if srun is here."""
        return which("srun")


def restarts(environment: Mapping[str, str] = os.environ) -> int:
    """How often Slurm has begun the job of this process anew, after a node failed or on somebody's request."""
    return int(environment.get("SLURM_RESTART_COUNT") or 0)


def ask(*argv: str) -> str:
    """What a command of Slurm's says. Raises ValueError if it does not."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=ASK_S).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ValueError(f"launcher=slurm: {shlex.join(argv)}: {error}") from None


def _names(nodes: str) -> tuple[str, ...]:
    return tuple(ask("scontrol", "show", "hostnames", nodes).split())


def _state(state: str, why: str) -> str:
    if not state:
        return "Slurm knows no such node"
    return f"Slurm calls it {state}" + (f" ({why})" if why not in ("", "none") else "")
