"""From a login node: the run is handed to Slurm as one job, which leads itself and can be resumed like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.launch.slurm import ASK_S, Slurm

LOG = "slurm.log"


def submission(launcher: Slurm, run: Path) -> list[str]:
    """The sbatch line for ``run``. Raises ValueError if it is not said for how many nodes."""
    return launcher.submission([sys.executable, "-m", "perwatt.benchmarks.cli", "run", f"resume={run}"], run / LOG)


def submit(launcher: Slurm, run: Path) -> str:
    """The number of the job that was submitted for ``run``. Raises BadRequest if Slurm refuses it."""
    argv = submission(launcher, run.resolve())
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadRequest(f"launcher=slurm: {error}") from None
    if done.returncode:
        raise BadRequest(f"launcher=slurm: {(done.stderr.strip().splitlines() or ['sbatch failed'])[0]}")
    return done.stdout.strip().split(";")[0]
