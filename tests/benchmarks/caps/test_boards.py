"""Power limits of GPUs through the real bindings, over libraries whose truth is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_amd
import fake_nvml
from conftest import require

ASKED = """
import json, sys
from perwatt.benchmarks.caps.limit import Refusal, limits
found = limits("cuda", [{"index": 0, "uuid": sys.argv[1]}], "")[0]
told = {"allowed": [found.least_w, found.most_w], "before": found.read()}
try:
    found.write(450)
except Refusal as refusal:
    told["refused"] = str(refusal)
print(json.dumps({**told, "after": found.read()}))
"""


def ask(environment: dict[str, str], uuid: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", ASKED, uuid], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_nvidia(compiler: str, tmp_path: Path) -> None:
    library = fake_nvml.build(compiler, tmp_path)
    told = ask(fake_nvml.environment(library), "GPU-fake-1")
    assert told == {"allowed": [200, 700], "before": 700, "after": 450}
    told = ask(fake_nvml.environment(library, set_code=4), "GPU-fake-1")
    assert told["after"] == 700
    assert told["refused"] == (
        "GPU-fake-1: nvmlDeviceSetPowerManagementLimit: setting it needs root, as nvidia-smi -pl and rocm-smi do"
    )


def test_amd(compiler: str, tmp_path: Path) -> None:
    require("amdsmi", fake_amd.installed() is not None)
    library = fake_amd.build(compiler, tmp_path)
    told = ask(fake_amd.environment(library), "")
    assert told == {"allowed": [200, 1000], "before": 900, "after": 450}
    told = ask(fake_amd.environment(library, set_code=10), "")
    assert told["after"] == 900
    assert "needs root" in told["refused"]
