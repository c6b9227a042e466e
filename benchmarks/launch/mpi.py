"""mpirun: where a site's MPI already knows how to start processes on every node. No message goes through MPI itself."""

from __future__ import annotations

from collections.abc import Sequence

from perwatt.benchmarks.launch.job import Command, Job, Launcher, which

FLAVOURS = ("openmpi", "mpich")


class Mpi(Launcher):
    """``hosts``: a list of names. ``flavour``: whose options mpirun takes: Open MPI's, or MPICH's and those of its kin
    (Intel MPI, MVAPICH). ``options`` are added to the line."""

    name = "mpi"
    remote = True

    def __init__(
        self,
        hosts: Sequence[str] = (),
        ranks: int | None = None,
        flavour: str = "openmpi",
        options: Sequence[str] = (),
        start_timeout_s: float = 300.0,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(ranks, start_timeout_s, timeout_s)
        if flavour not in FLAVOURS:
            raise ValueError(f"launcher.flavour: found {flavour!r}; allowed {', '.join(FLAVOURS)}")
        if isinstance(hosts, str) or not all(isinstance(host, str) for host in hosts):
            raise ValueError(f"launcher.hosts: found {hosts!r}; allowed a list of names")
        self._hosts, self.flavour, self.options = tuple(hosts), flavour, tuple(options)

    def hosts(self) -> tuple[str, ...]:
        """The hosts as given. Raises ValueError for none."""
        if not self._hosts:
            raise ValueError("launcher.hosts: found none; allowed a list of names")
        return self._hosts

    def command(self, job: Job) -> Command:
        """One mpirun, its processes in blocks a host."""
        per_host = job.per_host if job.group else 1
        tasks = per_host * len(job.hosts)
        environment = dict(job.environment)
        if job.group:
            environment |= {"MASTER_ADDR": job.hosts[0], "MASTER_PORT": str(job.port)}
        if self.flavour == "openmpi":
            argv = ["mpirun", "-np", str(tasks), "--host", ",".join(f"{host}:{per_host}" for host in job.hosts)]
            argv += ["--map-by", f"ppr:{per_host}:node", "--bind-to", "none", "--output-filename", str(job.log_dir)]
            argv += [part for key in environment for part in ("-x", key)]
            # <directory>/<job>/rank.<rank>/stdout, the rank padded with zeros
            logs = {rank: str(job.log_dir / "*" / f"rank.*{rank}" / "std*") for rank in range(tasks)}
        else:
            argv = ["mpirun", "-n", str(tasks), "-ppn", str(per_host), "-hosts", ",".join(job.hosts)]
            argv += ["-outfile-pattern", f"{job.log_dir}/%r.log", "-errfile-pattern", f"{job.log_dir}/%r.err.log"]
            argv += ["-genvlist", ",".join(environment)] if environment else []
            logs = {rank: str(job.log_dir / f"{rank}.*log") for rank in range(tasks)}
        return Command([*argv, *self.options, job.python, "-m", job.module, *job.arguments], environment, logs)

    @staticmethod
    def missing() -> str:
        """Empty if mpirun is here."""
        return which("mpirun")
