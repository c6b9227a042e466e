"""Decoding by perwatt's own kernels, for :class:`~perwatt.kernels.decode.Decode`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from perwatt.kernels.triton.attention_configuration import DecodeMla, DecodePaged
from perwatt.kernels.triton.configuration import Table
from perwatt.kernels.workload import Unsupported

if TYPE_CHECKING:
    from perwatt.kernels.decode import Decode
    from perwatt.kernels.decode_operands import Operands
    from perwatt.kernels.triton.program import Program

_WIDTHS = {"gqa": (64, 128, 256), "mla": (512,)}


def programs(spec: Decode, table: Table, operands: Operands) -> tuple[Program, ...]:
    """The launch: stretches of keys, and what puts several together. Raises Unsupported with the reason."""
    if spec.width_v not in _WIDTHS[spec.kind] or spec.page & (spec.page - 1):
        raise Unsupported(
            f"decode with backend=triton has values of {', '.join(map(str, _WIDTHS[spec.kind]))} elements for "
            f"{spec.kind} (here {spec.width_v}) and pages of a power of two (here {spec.page}); use backend=torch"
        )
    where = (operands.table, operands.lengths, spec.context, operands.out)
    if spec.kind == "mla":
        from perwatt.kernels.triton import decode_mla

        config = table.choose(DecodeMla, dtype=spec.dtype)
        return decode_mla.programs(operands.q, operands.k.squeeze(2), *where, spec.scale, config, table.cores)
    from perwatt.kernels.triton import decode_paged

    assert operands.v is not None
    case = {"dtype": spec.dtype, "head_dim": spec.width, "group": spec.heads // spec.groups}
    return decode_paged.programs(
        operands.q, operands.k, operands.v, *where, table.choose(DecodePaged, **case), table.cores
    )


def call(spec: Decode, table: Table, operands: Operands) -> Callable[[], object]:
    """The launch as a call without arguments."""
    from perwatt.kernels.triton.program import sequence

    return sequence(programs(spec, table, operands))
