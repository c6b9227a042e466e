"""What a run ran on: machine, software, devices, meters. Written once a run, shown in its report."""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from perwatt.benchmarks import devices
from perwatt.benchmarks.build import build
from perwatt.benchmarks.meters.meter import Meter, Part, Unavailable

PACKAGES = ("perwatt", "torch", "triton", "numpy", "pandas", "pyarrow", "hydra-core", "omegaconf", "nvidia-ml-py")
# Firmware as Linux tells it to everybody
BIOS, NETWORK = Path("/sys/class/dmi/id/bios_version"), Path("/sys/class/infiniband")
# Variables that change how fast or how hot a kernel runs. A list, not everything: an environment holds secrets.
VARIABLES = re.compile(
    "(OMP|MKL|OPENBLAS|KMP|GOMP|DNNL|ONEDNN|TORCH|PYTORCH|NCCL|RCCL|GLOO|CCL|CUDA|HIP|ROCR|HSA|ZE|ONEAPI)_"
)


def host() -> dict[str, Any]:
    """The machine and its software, without asking torch: packages absent here are left out."""
    return {
        "host": socket.gethostname(),
        "os": _os_name(),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "time_utc": utc(),
        "cpu": {
            "model": devices.cpu_model(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        },
        "firmware": firmware(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "variables": {k: v for k, v in sorted(os.environ.items()) if VARIABLES.match(k)},
    }


def firmware() -> dict[str, str]:
    """Versions of the BIOS, and of network cards by the board that they are; what a container hides is left out."""
    cards: dict[str, set[str]] = {}
    for card in sorted(NETWORK.glob("*")):
        if told := _text(card / "fw_ver"):
            cards.setdefault(f"network {_text(card / 'board_id')}".strip(), set()).add(told)
    bios = {"bios": told} if (told := _text(BIOS)) else {}
    return {**bios, **{name: ", ".join(sorted(known)) for name, known in cards.items()}}


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def describe(kind: str, meters: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Torch, its devices of this kind, and each configured meter with why it is missing. Imports torch."""
    import torch
    import torch.distributed as dist

    found = [devices.describe(kind, index) for index in range(devices.count(kind))]
    parts = [Part(kind, index, device.uuid) for index, device in enumerate(found)]
    backends = [name for name in ("gloo", "nccl", "xccl", "mpi", "ucc") if dist.is_backend_available(name)]
    return {
        "torch": {
            "version": torch.__version__,
            "build": _build(torch.version.cuda, torch.version.hip),
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "backends": backends,
        },
        "kind": kind,
        "devices": [msgspec.to_builtins(device) for device in found],
        "meters": [_over(name, node, parts) for name, node in meters.items()],
    }


def _over(name: str, node: dict[str, Any], parts: Sequence[Part]) -> dict[str, Any]:
    """The meter of the first device, with the VBIOS of all of them: one of eight boards may have another."""
    told = probe(name, node, parts[0])
    if "vbios" in told:
        others = (probe(name, node, part).get("vbios", "") for part in parts[1:])
        told["vbios"] = ", ".join(sorted({told["vbios"], *filter(None, others)}))
    return told


def _build(cuda: str | None, hip: str | None) -> str:
    return f"CUDA {cuda}" if cuda else f"ROCm {hip}" if hip else "CPU"


def probe(name: str, node: dict[str, Any], part: Part) -> dict[str, Any]:
    """Open a meter once and say what it is, or why it cannot be had and what would enable it."""
    meter: Meter = build(node, "perwatt.benchmarks.meters", f"meter.{name}")
    try:
        about = meter.open(part)
    except Unavailable as missing:
        return {"name": name, "available": False, "reason": missing.reason, "remedy": missing.remedy}
    meter.close()
    return {
        "name": name,
        "available": True,
        "kind": about.kind,
        "boundary": about.boundary,
        "packages": list(about.packages),
        "accuracy_class": about.accuracy_class,
        "replayed": about.replayed,
        "detail": about.detail,
        # by these a fleet finds the node that differs
        **{name: about.facts[name] for name in ("driver", "vbios") if name in about.facts},
    }


def utc() -> str:
    """Now, as ISO 8601 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
