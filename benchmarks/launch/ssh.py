"""Hosts by name over ssh: ClusterShell's clush starts one torchrun, or one process, on each.

ClusterShell, not parallel-ssh: it is what operators have, it drives the ssh that is configured here (keys, jumps,
host names), and it tells the exit status of each host. Its ``exec`` worker runs one local ssh a host and knows each
host's number, so that nobody has to guess which node it is.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from importlib.util import find_spec

from perwatt.benchmarks.launch.job import Command, Job, Launcher, listed, which
from perwatt.results.fleet.nodesets import expand

HOST = "PERWATT_HOST"
EXTRA = "launcher=ssh needs ClusterShell: pip install 'perwatt[fleet]'"


class Ssh(Launcher):
    """``hosts``: a list, or text as in ``n[001-064],head``. ``options`` are ssh's own, such as ``-F FILE``; the working
    directory and the Python must be found under the same names on each host."""

    name = "ssh"
    remote = True

    def __init__(
        self,
        hosts: str | Sequence[str] = (),
        ranks: int | None = None,
        options: Sequence[str] = (),
        start_timeout_s: float = 300.0,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(ranks, start_timeout_s, timeout_s)
        self._hosts, self.options = hosts, tuple(options)

    def hosts(self) -> tuple[str, ...]:
        """The hosts in the order in which clush numbers them. Raises ValueError for none, or names that cannot be."""
        if self.missing():
            raise ValueError(self.missing())
        text = self._hosts if isinstance(self._hosts, str) else ",".join(self._hosts)
        try:
            found = expand(text)
        except ValueError as error:
            raise ValueError(f"launcher.hosts: {text!r}: {error}") from None
        if not found:
            raise ValueError("launcher.hosts: found none; allowed a list, or text as in 'n[001-064]'")
        return found

    def command(self, job: Job) -> Command:
        """One clush for all hosts; on each a torchrun with its number, or the process itself."""
        hosts, per_host = job.hosts, job.per_host
        program = [job.python, "-m", job.module, *job.arguments]
        if job.group:
            program = [job.python, "-m", "torch.distributed.run", f"--nnodes={len(hosts)}", "--node-rank=%rank"]
            program += [f"--nproc-per-node={per_host}", f"--master-addr={hosts[0]}", f"--master-port={job.port}"]
            program += ["--max-restarts=0", "--redirects=3", f"--log-dir={job.log_dir}/%rank"]
            program += ["-m", job.module, *job.arguments]
        variables = [f"{key}={value}" for key, value in {**job.environment, HOST: "%host"}.items()]
        remote = f"cd {shlex.quote(os.getcwd())} && exec env {shlex.join([*variables, *program])}"
        # a lost network is noticed by ssh itself; there is nobody to type a password
        options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", *self.options]
        local = shlex.join(["ssh", *options, "%host", remote])
        argv = [job.python, "-m", "ClusterShell.CLI.Clush", "-S", "-R", "exec", "-f", str(len(hosts))]
        argv += ["-w", listed(hosts), local]
        if not job.group:
            return Command(argv, {}, {})
        logs = {
            rank: str(job.log_dir / str(rank // per_host) / "*" / "attempt_*" / str(rank % per_host) / "std*.log")
            for rank in range(job.ranks)
        }
        return Command(argv, {}, logs)

    @staticmethod
    def missing() -> str:
        """Empty if ssh and ClusterShell are here."""
        return which("ssh") or ("" if find_spec("ClusterShell") else EXTRA)
