"""Comparisons made again of perwatt's own kernels, prepared in the interpreter: an output that goes wrong is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import interpreter  # noqa: F401 - teaches the interpreter bfloat16
import pytest
import torch

from perwatt.benchmarks.rechecking import Rechecker
from perwatt.kernels import attention, attention_varlen, decode, matmul, matmul_grouped
from perwatt.kernels.attention import Attention
from perwatt.kernels.attention_varlen import AttentionVarlen
from perwatt.kernels.decode import Decode
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.matmul_grouped import MatmulGrouped
from perwatt.kernels.memory import Memory
from perwatt.kernels.periodic import Periodic
from perwatt.kernels.spin import Spin
from perwatt.kernels.triton import device
from perwatt.kernels.triton.configuration import Table
from perwatt.kernels.triton.program import Program
from perwatt.kernels.virus import Virus
from perwatt.kernels.workload import Place, Workload, WrongResult

TILES = {"block_m": 32, "block_n": 32}
PRODUCT = {"block_m": 16, "block_n": 16, "block_k": 32, "group_m": 2}
MIX = {"block_m": 16, "block_n": 16, "block_k": 32, "programs_per_core": 1}
TABLE = Table(
    "test",
    "here",
    {
        "stream": [{"op": "read", "block_bytes": 256, "rounds": 2}, {"block_bytes": 256}],
        "vector_spin": [{"block": 32, "programs_per_core": 1}],
        "tensor_spin": [MIX],
        "virus": [{**MIX, "block": 64, "block_exps": 32, "products": 2, "exps": 2}],
        "flash_forward": [{**TILES, "descriptors": True}],
        "flash_backward_keys": [TILES],
        "flash_backward_queries": [{**TILES, "descriptors": True}],
        "decode_paged": [{"block_n": 16, "least_tiles": 1}],
        "decode_mla": [{"block_m": 16, "block_n": 16, "least_tiles": 1}],
        "matmul_pointer": [PRODUCT],
        "matmul_grouped": [PRODUCT],
    },
    cores=2,
)
HEADS: dict[str, Any] = {"batch": 2, "heads": 2, "kv_heads": 1, "head_dim": 64, "backend": "triton"}
VIRUS: dict[str, Any] = {"buffer_bytes": 2000}
# Each kernel, and the argument of its program of which one element is wrong.
KERNELS: list[tuple[Workload, str]] = [
    *((Memory(op=op, array_bytes=4000, backend="triton"), "a_ptr") for op in ("read", "write", "copy", "triad")),
    *((Spin(pipe=pipe, rounds=1), "out_ptr") for pipe in ("fp32", "exp2", "tensor_bf16")),
    *((Virus(**VIRUS), name) for name in ("buffer_ptr", "out_ptr", "values_ptr")),
    (Virus(**VIRUS, duty=0.5, period_s=0.1), "buffer_ptr"),
    (Attention(seq_q=40, seq_k=50, **HEADS), "out"),
    (Attention(seq_q=40, mode="backward", **HEADS), "dq"),
    (AttentionVarlen(seq=40, **HEADS), "out"),
    (AttentionVarlen(seq=40, mode="forward_backward", **HEADS), "dk"),
    (Decode(**{**HEADS, "heads": 4, "kv_heads": 2}, context=50, page=16), "parts"),
    (Decode("mla", 2, 20, context=50, page=16, backend="triton"), "parts"),
    (Matmul(m=40, backend="triton_pointer"), "c_ptr"),
    (MatmulGrouped(groups=3, tokens=40, n=32, k=32, backend="triton"), "c_ptr"),
]


class Interpreted(Place):
    """The CPU, taken for a device of another kind."""

    @property
    def type(self) -> str:
        return "interpreted"


class Wrong:
    """While ``on``, the first element of the argument of that name is off after each launch."""

    def __init__(self, argument: str) -> None:
        self.argument, self.on, self.hits = argument, False, 0

    def call(self, program: Program) -> Callable[[], Any]:
        right = _call(program)

        def launch() -> None:
            right()
            if self.on and isinstance(found := program.arguments.get(self.argument), torch.Tensor):
                found[(0,) * found.dim()] += 8
                self.hits += 1

        return launch


_call = Program.call


@pytest.mark.parametrize(("kernel", "argument"), KERNELS, ids=lambda x: x if isinstance(x, str) else x.label())
def test_an_output_that_goes_wrong_is_found(kernel: Workload, argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (attention, attention_varlen, decode, matmul, matmul_grouped, device):
        monkeypatch.setattr(module, "table_of", lambda _: TABLE)
    monkeypatch.setattr(Periodic, "_time", lambda _: 0.02)
    wrong = Wrong(argument)
    monkeypatch.setattr(Program, "call", lambda program: wrong.call(program))  # noqa: PLW0108 - it is bound to the program
    prepared = kernel.prepare(Interpreted("cpu", memory_bytes=1 << 30, table=TABLE))
    assert prepared.verify is not None
    rechecker = Rechecker(prepared.verify, 1)
    for window in range(4):
        wrong.on = window == 2
        for _ in range(1 + window):  # the virus turns the sign of its buffer at each launch
            prepared.launch()
        rechecker.after(window, window)
    found = rechecker.result(prepared.check)
    assert wrong.hits
    assert found is not None
    assert (found.checks, [one.after_window for one in found.wrong]) == (4, [2])
    assert found.wrong[0].elements
    assert found.wrong[0].at


@pytest.mark.parametrize(("kernel", "operand"), [(Spin(pipe="fp32", rounds=1), 0), (Virus(**VIRUS), 3)])
def test_an_operand_that_changed_in_memory_is_no_new_truth(
    kernel: Workload, operand: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "table_of", lambda _: TABLE)
    built, held = type(kernel)._built, []  # type: ignore[attr-defined]

    def keep(*arguments: Any) -> Any:
        made = built(*arguments)
        held.append(made[1])
        return made

    monkeypatch.setattr(type(kernel), "_built", keep)
    prepared = kernel.prepare(Interpreted("cpu", memory_bytes=1 << 30, table=TABLE))
    assert prepared.verify is not None
    prepared.verify()
    held[-1][operand].view(-1)[5] += 1
    prepared.launch()
    with pytest.raises(WrongResult, match="expected"):
        prepared.verify()
