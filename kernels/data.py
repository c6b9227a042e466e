"""Operand values: the same for the same seed, drawn on the device, and part of a case's identity.

What the operands hold is not a detail: the power of a matrix product changes by 40 % (GPU, arXiv 2409.18324) to 67 %
(A100 DGEMM, arXiv 2212.08805) with the values multiplied, since energy is spent where bits toggle. Hence ``init`` and
``seed`` are parameters of every kernel, recorded with its result.

Values are drawn in fp32 (fp64 for fp64) and rounded to the target format:

* ``normal``: N(0, 1);
* ``uniform``: uniform on [-1, 1), rounded to nearest;
* ``zeros``: all zero, the least power that the kernel can draw;
* ``sparse:p``: N(0, 1) with each element independently set to zero with probability p (unstructured).

For int8 the draft is multiplied first, by 32 (``uniform``: by 127), rounded and held within -127 to 127.

The generator is the device's own, so the values are reproducible on one kind of device, not across kinds.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import math
from typing import TYPE_CHECKING

from perwatt.kernels.dtypes import torch_dtype
from perwatt.kernels.workload import Place, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

INITS = ("normal", "uniform", "zeros", "sparse:p with 0 < p < 1")
_CHUNK = 1 << 24  # elements drawn at a time: the fp32 draft of a huge operand must not need twice its memory


def sparsity(init: str) -> float | None:
    """The fraction p of ``sparse:p``; None for any other ``init``."""
    if not init.startswith("sparse:"):
        return None
    try:
        p = float(init.removeprefix("sparse:"))
    except ValueError:
        return None
    return p if 0.0 < p < 1.0 else None


def check_init(kernel: str, init: object) -> str:
    """The canonical spelling of ``init`` (``sparse:0.50`` is ``sparse:0.5``); ValueError names the choices."""
    if isinstance(init, str):
        if init in ("normal", "uniform", "zeros"):
            return init
        if (p := sparsity(init)) is not None:
            return f"sparse:{p:g}"
    raise ValueError(f"{kernel}.init: {init!r} is not one of {', '.join(INITS)}")


def check_seed(kernel: str, seed: object) -> None:
    """Raise ValueError unless ``seed`` is an integer from 0 to 2**63 - 1."""
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise ValueError(f"{kernel}.seed: {seed!r} is not an integer from 0 to 2**63 - 1")


def check_bool(kernel: str, **values: object) -> None:
    """Raise ValueError unless every value is true or false (1 and 0 are not)."""
    for key, value in values.items():
        if not isinstance(value, bool):
            raise ValueError(f"{kernel}.{key}: {value!r} is not one of false, true")


def substream(seed: int, *index: int | str) -> int:
    """A 32-bit seed for one operand of one set: a hash, since torch's CPU generator takes only 32 bits and
    neighbouring seeds of one case must not be another case's operands."""
    name = "/".join(map(str, (seed, *index)))
    return int.from_bytes(hashlib.blake2s(name.encode(), digest_size=4).digest(), "little")


def fill(
    shape: Sequence[int], dtype: str | torch.dtype, init: str = "normal", seed: int = 0, device: str = "cpu"
) -> torch.Tensor:
    """A contiguous tensor of ``shape`` on ``device`` with values as ``init`` says (see the module).

    ``dtype`` is a name of :mod:`perwatt.kernels.dtypes` or a torch dtype. Equal arguments give equal values.
    """
    import torch

    torch_type = torch_dtype(dtype) if isinstance(dtype, str) else dtype
    if init == "zeros":
        return torch.zeros(tuple(shape), dtype=torch_type, device=device)
    out = torch.empty(tuple(shape), dtype=torch_type, device=device)
    if not out.is_meta:  # a shape without values
        refill(out, init, seed)
    return out


def refill(out: torch.Tensor, init: str, seed: int) -> None:
    """Draw the values of the contiguous tensor ``out`` again, in place."""
    import torch

    if init == "zeros":
        out.zero_()
        return
    check_init("data", init)
    generator = torch.Generator(device=out.device).manual_seed(seed)
    draft_type = torch.float64 if out.dtype == torch.float64 else torch.float32
    p = sparsity(init)
    for chunk in torch.split(out.view(-1), _CHUNK):
        draft = torch.empty(chunk.shape, dtype=draft_type, device=out.device)
        if init == "uniform":
            draft.uniform_(-1.0, 1.0, generator=generator)
        else:
            draft.normal_(generator=generator)
        if p is not None:
            keep = torch.empty_like(draft).uniform_(generator=generator) >= p
            draft.mul_(keep)
        if not out.dtype.is_floating_point:
            draft.mul_(127.0 if init == "uniform" else 32.0).round_().clamp_(-127.0, 127.0)
        chunk.copy_(draft)


def poison(shape: Sequence[int], dtype: str | torch.dtype, device: str) -> torch.Tensor:
    """An output full of NaN, or of the least integer: what a kernel leaves unwritten cannot pass for a result."""
    import torch

    torch_type = torch_dtype(dtype) if isinstance(dtype, str) else dtype
    value = math.nan if torch_type.is_floating_point else torch.iinfo(torch_type).min
    return torch.full(tuple(shape), value, dtype=torch_type, device=device)


def require_memory(footprint_bytes: int, place: Place) -> None:
    """Raise Unsupported if one set of operands of ``footprint_bytes`` cannot fit on the device."""
    if place.memory_bytes is not None and footprint_bytes > place.memory_bytes:
        need, have = footprint_bytes / 2**30, place.memory_bytes / 2**30
        raise Unsupported(f"needs {need:.3g} GiB, {place.device} has {have:.3g} GiB")


def cache_note(count: int, footprint_bytes: int, place: Place) -> str:
    """A caution for the record if ``count`` sets of operands do not outgrow the cache though they were meant to."""
    held = count * footprint_bytes
    if place.cache != "rotate" or not place.llc_bytes or held >= 2 * place.llc_bytes:
        return ""
    return f"{count} sets of operands, {held / 2**20:.3g} MiB, do not exceed twice the last-level cache: partly cached"


def keeping(launch: Callable[[], object], count: int) -> Callable[[], object]:
    """``launch`` with its last ``count`` results kept alive, so that the allocator has to rotate over the outputs
    that it allocates just as the inputs rotate; without it each would be written where the last one was."""
    kept: collections.deque[object] = collections.deque(maxlen=count)

    def launch_and_keep() -> object:
        result = launch()
        kept.append(result)
        return result

    return launch_and_keep


def rotating(calls: Sequence[Callable[[], object]]) -> Callable[[], object]:
    """One callable that makes the next of ``calls`` each time, round and round, and returns what it returned."""
    if len(calls) == 1:
        return calls[0]
    following = itertools.cycle(calls).__next__

    def launch() -> object:
        return following()()

    return launch
