"""What a reading of NVML and of AMD SMI costs: the bindings find their library when they are first used, so a pytest of
its own loads the stand-ins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fake_amd
import fake_nvml
import pytest
from conftest import require


@pytest.mark.slow
@pytest.mark.alone
def test_cost_of_a_read(compiler: str, tmp_path: Path) -> None:
    require("amdsmi", fake_amd.installed() is not None)
    env = {
        **fake_amd.environment(fake_amd.build(compiler, tmp_path)),
        **fake_nvml.environment(fake_nvml.build(compiler, tmp_path)),
        "ROCM_PATH": str(tmp_path),
    }
    argv = [sys.executable, "-m", "pytest", str(Path(__file__).with_name("vendor_reads.py")), "-p", "no:cacheprovider"]
    argv += ["--benchmark-columns=min,median,iqr,rounds", "--benchmark-sort=name"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
