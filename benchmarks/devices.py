"""The device under test, through torch's own accelerator API: cuda for NVIDIA and ROCm, xpu for Intel, or the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from perwatt.results.record import Device

DEVICE_TYPES = ("auto", "cpu", "cuda", "xpu")


def device_type(wanted: str) -> str:
    """``auto`` resolved: the machine's accelerator if torch can use one, else ``cpu``.

    Raises ValueError if a kind of device is asked for that torch does not find here.
    """
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    here = found.type if found is not None else "cpu"
    if wanted in ("auto", here):
        return here
    if wanted == "cpu":
        return "cpu"
    raise ValueError(f"device: {wanted!r} was asked for, and torch {torch.__version__} finds only {here!r} here")


def count(kind: str) -> int:
    """How many devices of this kind there are; the CPU is one."""
    if kind == "cpu":
        return 1
    import torch

    return int(torch.accelerator.device_count())


def describe(kind: str, index: int) -> Device:
    """The device as its driver reports it."""
    return cpu() if kind == "cpu" else _accelerator(kind, index)


def cpu() -> Device:
    """This machine's processor, from /proc and /sys; needs no torch."""
    return Device(
        type="cpu",
        name=cpu_model(),
        vendor="CPU",
        memory_bytes=memory_available_bytes(),
        llc_bytes=_cpu_llc_bytes(),
        cores=len(os.sched_getaffinity(0)),
        arch=os.uname().machine,
    )


def cpu_model() -> str:
    """The model name that the kernel reports, or the architecture where it reports none."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Hardware", "Processor")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return os.uname().machine


def memory_available_bytes() -> int | None:
    """Memory that may still be allocated, so that a case too large is skipped and not killed."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _cpu_llc_bytes() -> int | None:
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        scale = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KMG")) * scale)
    return max(sizes, default=None)


def _accelerator(kind: str, index: int) -> Device:
    import torch

    properties: Any = torch.get_device_module(kind).get_device_properties(index)
    hip = torch.version.hip is not None
    vendor = {"cuda": "AMD" if hip else "NVIDIA", "xpu": "Intel"}.get(kind, kind)
    capability = (getattr(properties, "major", None), getattr(properties, "minor", None))
    arch = getattr(properties, "gcnArchName", "").split(":")[0] if hip else ""
    if not arch and None not in capability:
        arch = f"sm_{capability[0]}{capability[1]}"
    uuid = getattr(properties, "uuid", "")
    return Device(
        type=kind,
        name=str(properties.name),
        index=index,
        uuid=str(uuid) if uuid else "",
        vendor=vendor,
        memory_bytes=getattr(properties, "total_memory", None),
        llc_bytes=getattr(properties, "L2_cache_size", None) or None,
        cores=getattr(properties, "multi_processor_count", None) or getattr(properties, "gpu_subslice_count", None),
        arch=arch,
    )
