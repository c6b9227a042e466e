"""The product over groups of :class:`~perwatt.kernels.matmul_grouped.MatmulGrouped` through torch: its grouped product
where it has one for the format, else one product a group."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from perwatt.kernels import dtypes
from perwatt.kernels.workload import Place, Unsupported

if TYPE_CHECKING:
    import torch

    from perwatt.kernels.matmul_grouped import MatmulGrouped, Operands

    Call = Callable[[Operands], Callable[[], object]]

_LOOP = "no grouped product in torch for this, so one product a group"


def available(spec: MatmulGrouped, place: Place) -> tuple[Call, torch.dtype, str, bool]:
    """What makes a launch, the storage format in which it works here, a note, and whether a launch allocates C.

    Tried on two groups of a few rows with what remains of each dimension modulo 16. Raises Unsupported with the
    library's reason, or if this CPU only emulates the format.
    """
    n, k = (d if d <= 64 else 64 + d % 16 for d in (spec.n, spec.k))
    small = dataclasses.replace(spec, groups=2, tokens=24, n=n, k=k, skew=0.0)
    candidates = dtypes.torch_dtypes(spec.dtype)
    refusals = []
    for make, allocates, how in ((grouped, True, ""), (loop, spec.dtype in dtypes.FP8, _LOOP)):
        for stored in candidates:
            call: Call = partial(make, spec)
            probe = small.operands(0, "normal", stored, place.device, allocates)
            try:
                dtypes.supported(place, f"{spec.dtype} matmul_grouped", partial(_once, partial(make, small), probe))
            except Unsupported as error:
                refusals.append(error)
                continue
            notes = [f"stored as {str(stored).removeprefix('torch.')}" if stored is not candidates[0] else ""]
            notes += [how, dtypes.not_emulated(place, spec.dtype, _timing_probe(make, place.device))]
            return call, stored, "; ".join(note for note in notes if note), allocates
    raise refusals[-1] if refusals else Unsupported(f"this torch has no {spec.dtype}")


def grouped(spec: MatmulGrouped, operands: Operands) -> Callable[[], object]:
    """One call for all groups; for fp8 with scales of 1 for every row and column."""
    import torch
    from torch.nn import functional

    a, b, offsets, _ = operands
    ends = offsets[1:].contiguous()
    if spec.dtype not in dtypes.FP8:
        return partial(functional.grouped_mm, a, b, offs=ends)
    rows = torch.ones(a.shape[0], dtype=torch.float32, device=a.device)
    columns = torch.ones(b.shape[0], b.shape[2], dtype=torch.float32, device=a.device)
    recipe = functional.ScalingType.RowWise
    return partial(
        functional.scaled_grouped_mm,  # type: ignore[attr-defined]
        a,
        b,
        rows,
        recipe,
        columns,
        recipe,
        offs=ends,
        output_dtype=dtypes.torch_dtype(spec.output),
    )


def loop(spec: MatmulGrouped, operands: Operands) -> Callable[[], object]:
    """One product for each group that has rows; those of fp8 are returned in a list, since torch allocates them."""
    import torch
    from torch.nn import functional

    sizes = list(spec.sizes())
    parts = zip(torch.split(operands.a, sizes), operands.b, strict=True)
    pairs = [(a, b) for a, b in parts if len(a)]
    if spec.dtype not in dtypes.FP8:
        outputs = [c for c in torch.split(operands.c, sizes) if len(c)]
        calls = [partial(torch.mm, a, b, out=c) for (a, b), c in zip(pairs, outputs, strict=True)]
    else:
        one = torch.ones((), dtype=torch.float32, device=operands.a.device)
        recipe = functional.ScalingType.TensorWise
        out = dtypes.torch_dtype(spec.output)
        calls = [partial(functional.scaled_mm, a, b, one, recipe, one, recipe, output_dtype=out) for a, b in pairs]
    return lambda: [call() for call in calls]


def _once(make: Call, operands: Operands) -> object:
    return make(operands)()


def _timing_probe(
    make: Callable[[MatmulGrouped, Operands], Callable[[], object]], device: str
) -> Callable[[str], Callable[[], object]]:
    """Two groups of 128 rows, 256 x 256, for finding out whether a CPU emulates a format; fp32 stands for itself."""
    from perwatt.kernels.matmul_grouped import MatmulGrouped

    spec = MatmulGrouped(groups=2, tokens=256, n=256, k=256)

    def probe(dtype: str) -> Callable[[], object]:
        if dtype == "fp32":
            operands = spec.operands(0, "normal", dtypes.torch_dtype("fp32"), device)
            return loop(spec, operands._replace(c=operands.c.float()))
        small = dataclasses.replace(spec, dtype=dtype)
        return make(small, small.operands(0, "normal", dtypes.torch_dtype(dtype), device))

    return probe
