"""Compile a program for a device that is not there: to machine code, by the very path that a launch would take.

Triton is given a driver that names the target and can do nothing else; operands are tensors of torch's ``meta`` device,
so the shapes, strides and alignments that a launch specialises on are the real ones and no memory is needed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from perwatt.kernels.dtypes import one_line
from perwatt.kernels.triton.program import Program


class Refused(Exception):
    """The compiler cannot make this program for this target; the message is its reason."""


def compile_ahead(program: Program, backend: str, arch: int | str, warp_size: int) -> Any:
    """Triton's CompiledKernel with ``asm`` and ``metadata``, not loaded on any device.

    ``backend``, ``arch`` and ``warp_size`` are those of Triton's GPUTarget. Raises Refused.
    """
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    before = driver._active  # not `active`, which looks for a device
    driver.set_active(_absent(GPUTarget(backend, arch, warp_size)))
    said: list[str] = []
    try:
        with _quiet(said):
            return program.function.warmup(
                **program.arguments, **program.constants, **program.options, grid=program.grid
            )
    except Exception as error:
        raise Refused(_reason(error, said)) from error
    finally:
        driver._active = before


def _absent(target: Any) -> Any:
    """A driver for ``target`` without a device."""
    from triton.backends.driver import DriverBase

    class Absent(DriverBase):
        @staticmethod
        def is_active() -> bool:
            return True

        def map_python_to_cpp_type(self, ty: str) -> str:
            return ty

        def get_current_target(self) -> Any:
            return target

        def get_active_torch_device(self) -> Any:
            import torch

            return torch.device("meta")

        def get_benchmarker(self) -> Any:
            raise RuntimeError("there is no device to time anything on")

        def get_current_device(self) -> str:
            return f"absent {target}"  # what is compiled is kept by device

        def get_current_stream(self, device: object = None) -> int:
            return 0

    return Absent()


@contextlib.contextmanager
def _quiet(said: list[str]) -> Iterator[None]:
    """Keep what the compiler and its tools print, whole assembly listings, off the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as sink:
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, old in enumerate(kept, start=1):
                os.dup2(old, number)
                os.close(old)
            sink.seek(0)
            said.append(sink.read().decode(errors="replace"))


def _reason(error: Exception, said: list[str]) -> str:
    """The line that says what is wrong: an exception of a pass says only that the pass failed."""
    lines = [line.strip() for line in "\n".join(said).splitlines()]
    told = next((line for line in lines if "error:" in line or "fatal" in line.lower()), "")
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    last = (str(cause).strip().splitlines() or [type(cause).__name__])[-1]
    return one_line(f"{type(error).__name__}: {told.partition('error:')[2].strip() or last}")
