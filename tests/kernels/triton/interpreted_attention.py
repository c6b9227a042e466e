"""attention, attention_varlen and decode with backend=triton, from specification to check, in the interpreter."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import interpreter  # noqa: F401 - teaches the interpreter bfloat16
import pytest

from perwatt.kernels import attention_triton, decode_operands, decode_triton, packed, packed_triton
from perwatt.kernels.attention import Attention
from perwatt.kernels.attention_varlen import AttentionVarlen
from perwatt.kernels.decode import Decode
from perwatt.kernels.triton.configuration import Table
from perwatt.kernels.workload import Place, Unsupported, WrongResult

TILES = {"block_m": 32, "block_n": 32}
TABLE = Table(
    "test",
    "here",
    {
        "flash_forward": [{**TILES, "descriptors": True}],
        "flash_backward_keys": [TILES],
        "flash_backward_queries": [{**TILES, "descriptors": True}],
        "decode_paged": [{"block_n": 16, "least_tiles": 1}],
        "decode_mla": [{"block_m": 16, "block_n": 16, "least_tiles": 1}],
    },
    cores=4,
)
CPU = Place("cpu", llc_bytes=1 << 16, table=TABLE)
MODES = ("forward", "backward", "forward_backward")
SMALL = Attention(heads=2, kv_heads=1, seq_q=40, seq_k=50, head_dim=64, backend="triton")
VARLEN = AttentionVarlen(batch=2, heads=2, kv_heads=1, seq=40, head_dim=64, backend="triton")
DECODE = Decode(batch=2, heads=4, kv_heads=2, context=50, page=16, head_dim=64, backend="triton")


@pytest.mark.parametrize("mode", MODES)
def test_attention(mode: str) -> None:
    spec = dataclasses.replace(SMALL, mode=mode, window=20)
    prepared = attention_triton.prepare(spec, CPU, TABLE)
    assert 0 < prepared.check.max_error < prepared.check.tolerance
    assert prepared.buffers > 1
    attention_triton.prepare(dataclasses.replace(spec, init="zeros", seq_q=1, seq_k=8), CPU, TABLE)


@pytest.mark.parametrize("mode", MODES)
def test_packed_attention(mode: str) -> None:
    spec = dataclasses.replace(VARLEN, mode=mode)
    prepared = packed.prepare(spec, CPU, partial(packed_triton.call, TABLE), [])
    assert 0 < prepared.check.max_error < prepared.check.tolerance


@pytest.mark.parametrize("spec", [DECODE, Decode("mla", 2, 20, context=50, page=16, backend="triton")], ids=str)
def test_decode(spec: Decode) -> None:
    operands = decode_operands.build(spec, 0, "normal", "cpu")
    decode_triton.call(spec, TABLE, operands)()
    check = decode_operands.Reference(spec, operands).check(operands.out)
    assert 0 < check.max_error < check.tolerance


def test_a_wrong_kernel_is_found_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    real = attention_triton.forward

    def unmasked(b: Any, mask: attention_triton.Mask, *rest: Any) -> Any:
        return real(b, dataclasses.replace(mask, causal=False), *rest)

    monkeypatch.setattr(attention_triton, "forward", unmasked)
    with pytest.raises(WrongResult, match=r"^output of batch"):
        attention_triton.prepare(SMALL, CPU, TABLE)


def test_what_the_kernels_lack_is_said_in_one_line() -> None:
    meta = Place("meta", table=TABLE)
    for spec, said in (
        (
            dataclasses.replace(SMALL, head_dim=80),
            "attention with backend=triton has heads of 64, 128 and 256 .* not 80",
        ),
        (dataclasses.replace(SMALL, head_dim_v=128), "not 64 and 128"),
        (dataclasses.replace(VARLEN, head_dim=32), "attention_varlen with backend=triton"),
        (dataclasses.replace(DECODE, page=24), "pages of a power of two .here 24."),
        (dataclasses.replace(DECODE, head_dim=96), "values of 64, 128, 256 elements for gqa .here 96."),
    ):
        with pytest.raises(Unsupported, match=said) as error:
            spec.programs(meta)
        assert "\n" not in str(error.value)


def test_programs_by_mode() -> None:
    meta = Place("meta", table=TABLE)
    names = {mode: [p.name for p in dataclasses.replace(SMALL, mode=mode).programs(meta)] for mode in MODES}
    backward = ["flash_backward_delta", "flash_backward_keys", "flash_backward_queries"]
    assert names == {
        "forward": ["flash_forward"],
        "backward": backward,
        "forward_backward": ["flash_forward", *backward],
    }
    assert [p.name for p in VARLEN.programs(meta)] == ["flash_forward"]
    assert [p.name for p in DECODE.programs(meta)] == ["decode_paged", "decode_combine"]
