"""What kind of work an instruction does, how many bytes it moves and how many FLOP it is.

Classes are the same for both vendors; what is not named here is ``other``: addresses, predicates, moves. The matrix
instructions of NVIDIA carry their shape in their name (``HGMMA.64x256x16``, ``HMMA.16816`` for 16x8x16) except those
of Blackwell's tensor memory (``UTCHMMA``), whose shape is an operand: it comes from elsewhere. Those of AMD carry shape
and number of blocks (``v_mfma_f32_32x32x8_bf16``, ``v_mfma_f32_4x4x4_16b_f16``). A product of m x k by k x n is 2 m n k
FLOP. Structured sparsity is not counted: what share of the FLOP is done has no one answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple

from perwatt.kernels.triton.static.assembly import Instruction

Vendor = Literal["NVIDIA", "AMD"]
Scope = Literal["warp", "warpgroup", "block"]

_FAMILIES: dict[str, str] = {
    "tensor": "HMMA IMMA QMMA OMMA DMMA BMMA HGMMA IGMMA QGMMA BGMMA UTCHMMA UTCIMMA UTCQMMA UTCOMMA",
    "bulk_load": "UTMALDG UBLKCP",
    "bulk_store": "UTMASTG UTMAREDG UBLKRED",
    "async_copy": "LDGSTS",
    "global_load": "LDG LD",
    "global_store": "STG ST",
    "shared_load": "LDS LDSM",
    "shared_store": "STS STSM",
    "tensor_memory": "LDTM STTM UTCCP UTCSHIFT",
    "atomic": "ATOM ATOMG ATOMS RED REDG",
    "spill_load": "LDL",
    "spill_store": "STL",
    "special": "MUFU",
    "fp64": "DADD DFMA DMUL DSETP",
    "fp32": "FADD FADD2 FADD32I FCHK FFMA FFMA2 FFMA32I FMNMX FMNMX3 FMUL FMUL2 FMUL32I FSEL FSET FSETP FSWZADD",
    "fp16": "HADD2 HFMA2 HMNMX2 HMUL2 HSET2 HSETP2",
    "convert": "F2F F2FP F2I F2IP FRND I2F I2FP I2IP UF2F UF2FP UF2I UI2F UI2FP",
    "sync": (
        "ARRIVES BAR B2R CGAERRBAR DEPBAR ERRBAR FENCE LDGDEPBAR MEMBAR NANOSLEEP SYNCS UCGABAR_ARV UCGABAR_WAIT"
        " UTCBAR UTMACMDFLUSH WARPGROUP WARPGROUPSET WARPSYNC"
    ),
    "branch": "BMOV BPT BRA BREAK BRX BSSY BSYNC CALL EXIT JMP JMX KILL RET YIELD",
}
_NVIDIA = {family: kind for kind, families in _FAMILIES.items() for family in families.split()}
_AMD = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("tensor", r"v_s?mfma"),
        ("async_copy", r"global_load_lds|buffer_load_\w+ .*\blds\b"),
        ("global_load", r"(global|buffer|flat)_load"),
        ("global_store", r"(global|buffer|flat)_store"),
        ("atomic", r"(global|buffer|flat)_atomic|ds_(add|sub|min|max|and|or|xor|cmpst|cmpswap|wrxchg)"),
        ("shared_load", r"ds_(read|load)"),
        ("shared_store", r"ds_(write|store)"),
        ("spill_load", r"scratch_load"),
        ("spill_store", r"scratch_store"),
        ("special", r"v_(exp|log|rcp|rsq|sqrt|sin|cos)_"),
        ("convert", r"v_cvt_"),
        ("fp64", r"v_(pk_)?(fma|fmac|add|sub|mul|max|min|mac|cmpx?_\w+)_f64"),
        ("fp32", r"v_(pk_)?(fma|fmac|add|sub|subrev|mul|max|max3|min|min3|mac|cmpx?_\w+)_f32"),
        ("fp16", r"v_(pk_)?(fma|fmac|add|sub|subrev|mul|max|max3|min|min3|mac|cmpx?_\w+)_(f16|bf16)"),
        ("sync", r"s_(waitcnt|barrier|sleep|sendmsg|wait)"),
        ("branch", r"s_(c?branch|endpgm|setpc|swappc|call)"),
    )
)
_ENCODING = re.compile(r"_(e32|e64|e64_dpp|sdwa|dpp)$")
_GROUP = re.compile(r"([HQIB])GMMA\.(\d+)x(\d+)x(\d+)\.(.*)")
_WARP = re.compile(r"([HQIOD])MMA\.(?:SF\.)?(\d+x\d+x\d+|\d+)\.?(.*)")
_MFMA = re.compile(r"v_mfma(?:_scale)?_(?:f32|f64|i32)_(\d+)x(\d+)x(\d+)(?:_(\d+)b)?_?(\w+)")
_MICRO = {"0": "fp8_e4m3", "1": "fp8_e5m2", "4": "fp4"}  # cbsz and blgp of f8f6f4; CDNA4 ISA; 2 and 3 are 6 bits wide
_WIDTH = re.compile(r"\.(U8|S8|U16|S16|64|128|256)\b")
_WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16, "256": 32}
_AMD_WIDTHS = {"ubyte": 1, "sbyte": 1, "byte": 1, "ushort": 2, "sshort": 2, "short": 2, "dword": 4, "b32": 4}


class Product(NamedTuple):
    """One matrix instruction: its FLOP (None if its name does not say), who issues it together, what it multiplies."""

    flops: int | None
    scope: Scope
    dtype: str


def family(instruction: Instruction, vendor: Vendor) -> str:
    """The name under which an instruction is counted: without NVIDIA's modifiers, without AMD's encoding."""
    return _family(instruction.opcode, vendor)


@cache
def _family(opcode: str, vendor: Vendor) -> str:
    return opcode.partition(".")[0] if vendor == "NVIDIA" else _ENCODING.sub("", opcode)


def kind(instruction: Instruction, vendor: Vendor) -> str:
    """The class of an instruction."""
    if vendor == "NVIDIA":
        return _NVIDIA.get(_family(instruction.opcode, vendor), "other")
    in_lds = instruction.opcode.startswith("buffer_load") and " lds" in instruction.operands
    return _amd_kind(f"{instruction.opcode} lds" if in_lds else instruction.opcode)


@cache
def _amd_kind(text: str) -> str:
    return next((kind for kind, pattern in _AMD if pattern.match(text)), "other")


def tally(instructions: Iterable[Instruction], vendor: Vendor) -> tuple[dict[str, int], dict[str, int]]:
    """How many of each class, and how many of each family that is not ``other``; the most frequent first."""
    classes: dict[str, int] = {}
    families: dict[str, int] = {}
    for instruction in instructions:
        its = kind(instruction, vendor)
        classes[its] = classes.get(its, 0) + 1
        if its != "other":
            name = family(instruction, vendor)
            families[name] = families.get(name, 0) + 1
    return _sorted(classes), _sorted(families)


def _sorted(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def lane_bytes(instruction: Instruction, vendor: Vendor) -> int:
    """Bytes that one lane of a warp moves between global memory and registers or shared memory."""
    if vendor == "NVIDIA":
        found = _WIDTH.search(instruction.opcode)
        return _WIDTHS[found[1]] if found else 4
    name = _family(instruction.opcode, vendor)
    if wide := re.search(r"dwordx(\d)|_b(\d+)$", name):
        return 4 * int(wide[1]) if wide[1] else int(wide[2]) // 8
    return next((size for word, size in _AMD_WIDTHS.items() if word in name.split("_")), 4)


def product(instruction: Instruction, vendor: Vendor) -> Product:
    """What a matrix instruction does; only for those of class ``tensor``."""
    if vendor == "AMD":
        return _mfma(instruction)
    return _mma(instruction.opcode)


@cache
def _mma(opcode: str) -> Product:
    if opcode.startswith("UTC"):
        return Product(None, "block", "")
    if found := _GROUP.match(opcode):
        return Product(2 * int(found[2]) * int(found[3]) * int(found[4]), "warpgroup", _nvidia_dtype(found[1], opcode))
    if found := _WARP.match(opcode):
        sizes = found[2].split("x") if "x" in found[2] else _shape(found[2])
        if len(sizes) == 3 and ".SP" not in opcode:
            m, n, k = map(int, sizes)
            return Product(2 * m * n * k, "warp", _nvidia_dtype(found[1], opcode))
    return Product(None, "warpgroup" if "GMMA" in opcode else "warp", "")


def _shape(digits: str) -> list[str]:
    """``16816`` is 16 x 8 x 16, ``884`` 8 x 8 x 4."""
    m = "16" if digits.startswith("16") else "8"
    rest = digits[len(m) :]
    return [m, "8", rest[1:]] if rest.startswith("8") and rest[1:] else []


def _nvidia_dtype(letter: str, opcode: str) -> str:
    """The format of the operands; of two that differ the wider, which sets the pace."""
    words = set(opcode.split("."))
    for word, name in (("BF16", "bf16"), ("TF32", "tf32"), ("E4M3", "fp8_e4m3"), ("E5M2", "fp8_e5m2"), ("E2M1", "fp4")):
        if word in words:
            return name
    return {"H": "fp16", "I": "int8", "D": "fp64", "Q": "fp8_e4m3", "O": "fp4"}.get(letter, "")


def _mfma(instruction: Instruction) -> Product:
    found = _MFMA.match(_family(instruction.opcode, "AMD"))
    if found is None:
        return Product(None, "warp", "")
    m, n, k, blocks = (int(part or 1) for part in found.groups()[:4])
    suffix = found[5]
    if suffix == "f8f6f4":
        formats = [re.search(rf"{key}:(\d)", instruction.operands) for key in ("cbsz", "blgp")]
        names = [_MICRO.get(f[1] if f else "0", "") for f in formats]
        dtype = "" if "" in names else max(names, key=lambda name: name.startswith("fp8"))
    else:
        ends = (("bf16", "bf16"), ("f16", "fp16"), ("xf32", "tf32"), ("f32", "fp32"), ("f64", "fp64"), ("i8", "int8"))
        eight = {"fp8": "fp8_e4m3", "bf8": "fp8_e5m2"}.get(suffix[:3], "")
        dtype = eight or next((name for end, name in ends if suffix.removesuffix("_1k").endswith(end)), "")
    return Product(2 * m * n * k * blocks, "warp", dtype)
