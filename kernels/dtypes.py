"""Number formats by the names that the field uses, their sizes and precisions, and whether a device computes in them.

``tf32`` is stored as fp32 and multiplied with a 10-bit mantissa; the fp8 names are the OCP formats, for which some
devices have only a variant with another bias (``fnuz``). Whether a device or library has an operation is never looked
up by name: :func:`supported` calls it once, on operands of a few kilobytes.

A CPU without arithmetic for a 16-bit format gets right results slowly. How slowly depends on the operation (a matrix
product converts every element at every use, 30 to 250 times slower than fp32; an attention kernel converts tiles
once, hardly slower), hence :func:`native` for what the processor says and :func:`slowdown` for what the library does.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from perwatt.kernels.workload import Place, Unsupported

if TYPE_CHECKING:
    import torch

# name: (bytes per element, significant bits including the implicit one, of an integer those beside the sign)
_FORMATS: dict[str, tuple[int, int]] = {
    "fp64": (8, 53),
    "fp32": (4, 24),
    "tf32": (4, 11),
    "bf16": (2, 8),
    "fp16": (2, 11),
    "fp8_e4m3": (1, 4),
    "fp8_e5m2": (1, 3),
    "int8": (1, 7),
    "int32": (4, 31),
}

NAMES = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2")
INTEGERS = ("int8",)
FP8 = ("fp8_e4m3", "fp8_e5m2")

# In order of preference: the OCP format, then the one with no negative zero of earlier AMD accelerators.
_TORCH: dict[str, tuple[str, ...]] = {
    "fp64": ("float64",),
    "fp32": ("float32",),
    "tf32": ("float32",),
    "bf16": ("bfloat16",),
    "fp16": ("float16",),
    "fp8_e4m3": ("float8_e4m3fn", "float8_e4m3fnuz"),
    "fp8_e5m2": ("float8_e5m2", "float8_e5m2fnuz"),
    "int8": ("int8",),
    "int32": ("int32",),
}

# Any one of these in /proc/cpuinfo means arithmetic in the format: x86 first, then arm64.
_CPU_FLAGS: dict[str, frozenset[str]] = {
    "fp16": frozenset({"avx512_fp16", "asimdhp", "fphp"}),
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}),
}
_SLOWDOWN_LIMIT = 12.0


def itemsize(name: str) -> int:
    """Bytes per stored element of the format ``name``."""
    return _FORMATS[name][0]


def unit_roundoff(name: str) -> float:
    """Largest relative error of rounding to nearest: 2**-p with p significant bits (tf32: of the multiplied value)."""
    return float(2.0 ** -_FORMATS[name][1])


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype in which values of the format ``name`` are stored."""
    return torch_dtypes(name)[0]


def torch_dtypes(name: str) -> tuple[torch.dtype, ...]:
    """The torch dtypes that stand for the format ``name``, preferred first; more than one only for fp8."""
    import torch

    return tuple(getattr(torch, attribute) for attribute in _TORCH[name] if hasattr(torch, attribute))


def one_line(text: object, limit: int = 240) -> str:
    """A message of a library as one line of at most ``limit`` characters, without torch's notes of origin."""
    kept = str(text).split("Exception raised from")[0].split("(Triggered internally")[0]
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def synchronize(device: str) -> None:
    """Wait for what was queued on ``device``; the CPU queues nothing."""
    import torch

    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(torch.device(device))


def supported(place: Place, what: str, probe: Callable[[], object]) -> None:
    """Call ``probe`` once on ``place.device``; if the library refuses, raise Unsupported with its own reason.

    A device that is out of order must not pass for one that lacks a feature: the device first has to add two numbers
    outside the attempt, and what the library marks as a device error or as exhausted memory is passed on.
    """
    import torch

    (torch.ones(1, device=place.device) + 1).cpu()
    broken = tuple(getattr(torch, name) for name in ("AcceleratorError", "OutOfMemoryError") if hasattr(torch, name))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            probe()
            synchronize(place.device)
        except broken:
            raise
        except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError) as error:
            # torch warns why each attention backend declined, and says in the error only that all of them did
            said = dict.fromkeys(one_line(w.message) for w in caught)
            raise Unsupported(
                f"{what} on {place.type}: {one_line('; '.join([one_line(error), *said]), 480)}"
            ) from error


def cpu_flags(cpuinfo: str = "/proc/cpuinfo") -> frozenset[str]:
    """The features that the kernel reports for the first processor; empty if it does not say (not Linux)."""
    try:
        lines = Path(cpuinfo).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def native(dtype: str, flags: frozenset[str] | None = None) -> bool | None:
    """Whether this CPU has arithmetic in ``dtype``; None if it does not say. Always true but for fp16 and bf16."""
    if dtype not in _CPU_FLAGS:
        return True
    flags = cpu_flags() if flags is None else flags
    return bool(flags & _CPU_FLAGS[dtype]) if flags else None


def slowdown(probe: Callable[[str], Callable[[], object]], dtype: str) -> float:
    """How many times longer ``probe(dtype)()`` takes than ``probe("fp32")()`` on one CPU thread.

    Best of a few, and on one thread: a barrier between threads that others disturb costs more than the call.
    """
    import torch

    def best(call: Callable[[], object], repetitions: int) -> float:
        call()
        times = []
        for _ in range(repetitions):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return best(probe(dtype), 3) / best(probe("fp32"), 10)
    finally:
        torch.set_num_threads(threads)


def not_emulated(place: Place, dtype: str, probe: Callable[[str], Callable[[], object]]) -> str:
    """Raise Unsupported if this CPU can only emulate ``dtype`` at a rate that says nothing about it.

    ``probe(name)`` returns the operation in the format ``name`` as a call. Returns a note for the record: empty where
    the arithmetic is native or the device is no CPU.
    """
    if place.type != "cpu" or (has := native(dtype)):
        return ""
    if dtype == "fp16" and has is False:
        raise Unsupported("this CPU has no native fp16 arithmetic: emulated, up to about 100 times slower; use fp32")
    times = slowdown(probe, dtype)
    if times > _SLOWDOWN_LIMIT:
        raise Unsupported(
            f"this CPU has no native {dtype} arithmetic that torch uses: emulated, about {times:.0f} times slower "
            "than fp32; use fp32"
        )
    return "" if has is None else f"no native {dtype} arithmetic on this CPU: converted to fp32"
