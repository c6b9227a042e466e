"""Classes, widths and FLOP of instructions, by their names as compilers print them."""

from __future__ import annotations

import pytest

from perwatt.kernels.triton.static.assembly import Instruction
from perwatt.kernels.triton.static.operations import Vendor, family, kind, lane_bytes, product, tally


def nvidia(opcode: str) -> Instruction:
    return Instruction(0, opcode)


def amd(line: str) -> Instruction:
    opcode, _, operands = line.partition(" ")
    return Instruction(0, opcode, operands)


@pytest.mark.parametrize(
    ("opcode", "flops", "scope", "dtype"),
    [
        ("HGMMA.64x256x16.F32.BF16", 2 * 64 * 256 * 16, "warpgroup", "bf16"),
        ("HGMMA.64x128x8.F32.TF32", 2 * 64 * 128 * 8, "warpgroup", "tf32"),
        ("QGMMA.64x128x32.F32.E4M3.E4M3", 2 * 64 * 128 * 32, "warpgroup", "fp8_e4m3"),
        ("IGMMA.64x128x32.S8.S8", 2 * 64 * 128 * 32, "warpgroup", "int8"),
        ("HMMA.16816.F32.BF16", 2 * 16 * 8 * 16, "warp", "bf16"),
        ("HMMA.16816.F32", 2 * 16 * 8 * 16, "warp", "fp16"),
        ("HMMA.1688.F32.TF32", 2 * 16 * 8 * 8, "warp", "tf32"),
        ("HMMA.SP.16832.F32", None, "warp", ""),
        ("IMMA.16832.S8.S8", 2 * 16 * 8 * 32, "warp", "int8"),
        ("DMMA.884", 2 * 8 * 8 * 4, "warp", "fp64"),
        ("QMMA.16832.F32.E4M3.E5M2", 2 * 16 * 8 * 32, "warp", "fp8_e4m3"),
        ("QMMA.SF.16832.F32.E4M3.E4M3.E8", 2 * 16 * 8 * 32, "warp", "fp8_e4m3"),
        ("OMMA.SF.16864.F32.E2M1.E2M1.E8", 2 * 16 * 8 * 64, "warp", "fp4"),
        ("UTCHMMA", None, "block", ""),
    ],
)
def test_products_of_nvidia(opcode: str, flops: int | None, scope: str, dtype: str) -> None:
    assert kind(nvidia(opcode), "NVIDIA") == "tensor"
    assert product(nvidia(opcode), "NVIDIA") == (flops, scope, dtype)


@pytest.mark.parametrize(
    ("line", "flops", "dtype"),
    [
        ("v_mfma_f32_32x32x8_bf16 v[0:15], v[1:2], v[3:4], 0", 2 * 32 * 32 * 8, "bf16"),
        ("v_mfma_f32_16x16x16_f16 v[0:3], v[1:2], v[3:4], 0", 2 * 16 * 16 * 16, "fp16"),
        ("v_mfma_f32_4x4x4_16b_f16 a[0:3], v[1:2], v[3:4], 0", 2 * 4 * 4 * 4 * 16, "fp16"),
        ("v_mfma_f32_32x32x4_xf32 v[0:15], v[1:2], v[3:4], 0", 2 * 32 * 32 * 4, "tf32"),
        ("v_mfma_f32_32x32x2_f32 v[0:15], v1, v3, 0", 2 * 32 * 32 * 2, "fp32"),
        ("v_mfma_f64_16x16x4_f64 v[0:7], v[1:2], v[3:4], 0", 2 * 16 * 16 * 4, "fp64"),
        ("v_mfma_i32_32x32x16_i8 v[0:15], v[1:2], v[3:4], 0", 2 * 32 * 32 * 16, "int8"),
        ("v_mfma_f32_32x32x16_fp8_fp8 v[0:15], v[1:2], v[3:4], 0", 2 * 32 * 32 * 16, "fp8_e4m3"),
        ("v_mfma_f32_32x32x16_bf8_fp8 v[0:15], v[1:2], v[3:4], 0", 2 * 32 * 32 * 16, "fp8_e5m2"),
        ("v_mfma_f32_32x32x64_f8f6f4 v[0:15], v[1:8], v[9:16], 0", 2 * 32 * 32 * 64, "fp8_e4m3"),
        ("v_mfma_scale_f32_32x32x64_f8f6f4 v[0:15], v[1:4], v[5:8], 0, v1, v2 cbsz:4 blgp:4", 2 * 32 * 32 * 64, "fp4"),
        ("v_mfma_scale_f32_32x32x64_f8f6f4 v[0:15], v[1:4], v[5:8], 0, v1, v2 cbsz:2 blgp:4", 2 * 32 * 32 * 64, ""),
        ("v_smfmac_f32_16x16x32_f16 v[0:3], v[1:2], v[3:6], v7", None, ""),
    ],
)
def test_products_of_amd(line: str, flops: int | None, dtype: str) -> None:
    assert kind(amd(line), "AMD") == "tensor"
    assert product(amd(line), "AMD") == (flops, "warp", dtype)


@pytest.mark.parametrize(
    ("opcode", "its", "width"),
    [
        ("LDG.E.128", "global_load", 16),
        ("LDG.E.U8", "global_load", 1),
        ("LDG.E.64.CONSTANT", "global_load", 8),
        ("LDG.E", "global_load", 4),
        ("STG.E.U16", "global_store", 2),
        ("LDGSTS.E.BYPASS.128", "async_copy", 16),
    ],
)
def test_widths_of_nvidia(opcode: str, its: str, width: int) -> None:
    assert (kind(nvidia(opcode), "NVIDIA"), lane_bytes(nvidia(opcode), "NVIDIA")) == (its, width)


@pytest.mark.parametrize(
    ("line", "its", "width"),
    [
        ("global_load_dwordx4 v[0:3], v[4:5], off", "global_load", 16),
        ("global_load_ubyte v0, v[4:5], off", "global_load", 1),
        ("global_store_short v[0:1], v2, off", "global_store", 2),
        ("buffer_load_dwordx2 v[0:1], v4, s[4:7], 0 offen", "global_load", 8),
        ("buffer_load_dwordx4 v4, s[4:7], 0 offen lds", "async_copy", 16),
        ("global_load_lds_dwordx4 v[4:5], off", "async_copy", 16),
    ],
)
def test_widths_of_amd(line: str, its: str, width: int) -> None:
    assert (kind(amd(line), "AMD"), lane_bytes(amd(line), "AMD")) == (its, width)


@pytest.mark.parametrize(
    ("vendor", "opcode", "its"),
    [
        ("NVIDIA", "UTMALDG.2D", "bulk_load"),
        ("NVIDIA", "UTMASTG.2D", "bulk_store"),
        ("NVIDIA", "LDTM.x64", "tensor_memory"),
        ("NVIDIA", "LDL.LU.64", "spill_load"),
        ("NVIDIA", "STL", "spill_store"),
        ("NVIDIA", "MUFU.EX2", "special"),
        ("NVIDIA", "SYNCS.PHASECHK.TRANS64.TRYWAIT", "sync"),
        ("NVIDIA", "BRA.U", "branch"),
        ("NVIDIA", "IMAD.MOV.U32", "other"),
        ("AMD", "ds_read_b64_tr_b16", "shared_load"),
        ("AMD", "scratch_store_dwordx4", "spill_store"),
        ("AMD", "v_exp_f32_e32", "special"),
        ("AMD", "v_fmac_f32_e32", "fp32"),
        ("AMD", "v_pk_fma_f32", "fp32"),
        ("AMD", "s_waitcnt", "sync"),
        ("AMD", "s_cbranch_scc1", "branch"),
        ("AMD", "v_lshl_add_u64", "other"),
    ],
)
def test_classes(vendor: Vendor, opcode: str, its: str) -> None:
    assert kind(Instruction(0, opcode), vendor) == its


def test_tally_names_families_without_modifiers_and_only_what_has_a_class() -> None:
    rows = [Instruction(0, opcode) for opcode in ("FFMA", "FFMA.FTZ", "MOV", "LDS.128")]
    assert tally(rows, "NVIDIA") == ({"fp32": 2, "other": 1, "shared_load": 1}, {"FFMA": 2, "LDS": 1})
    assert family(Instruction(0, "v_fmac_f32_e32"), "AMD") == "v_fmac_f32"
