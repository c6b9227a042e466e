"""One process, started directly."""

from __future__ import annotations

from perwatt.benchmarks.launch.job import WORKER, Command, Job, Launcher


def direct(job: Job) -> Command:
    """``python -m perwatt.benchmarks.worker`` with the variables that torchrun would set for a lone rank."""
    environment = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    return Command([job.python, "-m", WORKER], {**environment, **job.environment}, {0: str(job.log_dir / "0.log")})


class Inline(Launcher):
    """Starts a single rank as a child process of its own; collectives need another launcher."""

    name = "inline"

    def command(self, job: Job) -> Command:
        """The one process."""
        if job.ranks != 1:
            raise ValueError(f"launcher inline starts one process, not {job.ranks}: use launcher=torchrun")
        return direct(job)
