"""All ranks of one node under torchrun's elastic agent; a single rank is started directly."""

from __future__ import annotations

from perwatt.benchmarks.launch.inline import direct
from perwatt.benchmarks.launch.job import WORKER, Command, Job, Launcher, threads


class Torchrun(Launcher):
    """torchrun on this node. Ranks are never restarted by the agent: a rank that dies is a result, not a nuisance."""

    name = "torchrun"

    def command(self, job: Job) -> Command:
        """``python -m torch.distributed.run --standalone``, one log directory a rank."""
        if job.ranks == 1:
            return direct(job)
        argv = [job.python, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.ranks}"]
        argv += ["--max-restarts=0", "--redirects=3", f"--log-dir={job.log_dir}", "-m", WORKER]
        environment = {
            # with a shared store the process group hangs or fails to form after a restart (pytorch#135712)
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
            "OMP_NUM_THREADS": str(threads(job.ranks)),
        }
        # the agent names its directories itself: <log_dir>/<run id>/attempt_0/<rank>/stderr.log
        logs = {rank: str(job.log_dir / "*" / "attempt_*" / str(rank) / "std*.log") for rank in range(job.ranks)}
        return Command(argv, {**environment, **job.environment}, logs)
