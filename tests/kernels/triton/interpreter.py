"""What the interpreted tests share: the interpreter with bfloat16, operands, output formats."""

from __future__ import annotations

import os

assert os.environ.get("TRITON_INTERPRET") == "1", "these tests run in a process of their own: test_in_own_process.py"

import bf16  # noqa: E402 - Triton is imported after it was said how
import torch  # noqa: E402

from perwatt.kernels import data  # noqa: E402

bf16.install()
torch.set_num_threads(1)

WRITTEN = {"fp8": torch.bfloat16, "int": torch.int32}
STORED = {"fp8_e4m3fnuz": torch.float8_e4m3fnuz, "fp8_e5m2fnuz": torch.float8_e5m2fnuz, "int8": torch.int8}


def draw(shape: tuple[int, ...], dtype: str, seed: int) -> torch.Tensor:
    """N(0, 1) in ``dtype``; whole numbers of the whole range for int8."""
    if dtype == "int8":
        return torch.randint(-128, 128, shape, dtype=torch.int8, generator=torch.Generator().manual_seed(seed))
    return data.fill(shape, STORED.get(dtype, dtype), "normal", seed)
