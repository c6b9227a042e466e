"""Specifications: message sizes and bus factors of nccl-tests, validation, YAML, imports without torch."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from importlib.resources import files
from typing import Any

import pytest
import yaml

from perwatt.kernels.collectives.all_gather import AllGather
from perwatt.kernels.collectives.all_reduce import AllReduce
from perwatt.kernels.collectives.all_to_all import AllToAll
from perwatt.kernels.collectives.broadcast import Broadcast
from perwatt.kernels.collectives.collective import Collective
from perwatt.kernels.collectives.message import format_bytes, parse_bytes
from perwatt.kernels.collectives.reduce_scatter import ReduceScatter
from perwatt.kernels.collectives.sendrecv import SendRecv
from perwatt.kernels.workload import Place, Unsupported

KINDS: dict[str, type[Collective]] = {
    kind.name: kind for kind in (AllReduce, ReduceScatter, AllGather, AllToAll, Broadcast, SendRecv)
}


# factor for 1, 2, 3 and 8 ranks, worked out by hand from doc/PERFORMANCE.md of nccl-tests
@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("all_reduce", (0.0, 1.0, 4 / 3, 1.75)),
        ("reduce_scatter", (0.0, 0.5, 2 / 3, 0.875)),
        ("all_gather", (0.0, 0.5, 2 / 3, 0.875)),
        ("all_to_all", (0.0, 0.5, 2 / 3, 0.875)),
        ("broadcast", (1.0, 1.0, 1.0, 1.0)),
        ("sendrecv", (1.0, 1.0, 1.0, 1.0)),
    ],
)
def test_bus_factor(name: str, factors: tuple[float, ...]) -> None:
    assert [KINDS[name]().work(n).bus_factor for n in (1, 2, 3, 8)] == pytest.approx(factors, rel=1e-15)


# (asked for, dtype): S of an unsplit message; S of a split one over 1, 2, 3, 8 ranks, by the GetCollByteCount functions
@pytest.mark.parametrize(
    ("asked", "dtype", "whole", "split"),
    [
        (1 << 20, "fp32", 1048576, (1048576, 1048576, 1048560, 1048576)),  # 349525 B a rank -> 349520
        (1 << 20, "bf16", 1048576, (1048576, 1048576, 1048560, 1048576)),
        (1000, "fp32", 1000, (992, 992, 960, 896)),  # 1000, 500, 333, 125 B -> 992, 496, 320, 112
        (1001, "bf16", 1000, (992, 992, 960, 896)),
        (1003, "fp64", 1000, (992, 992, 960, 896)),
        (63, "fp32", 60, (48, 32, 48, 0)),  # 15 elements: 15, 7, 5, 1 -> 12, 4, 4, 0
        (3, "fp32", 0, (0, 0, 0, 0)),
    ],
)
def test_message_size(asked: int, dtype: str, whole: int, split: tuple[int, ...]) -> None:
    for name, kind in KINDS.items():
        spec = kind(message_bytes=asked, dtype=dtype)
        expected = split if name in ("all_gather", "reduce_scatter", "all_to_all") else (whole,) * 4
        assert tuple(spec.work(n).message_bytes for n in (1, 2, 3, 8)) == expected, name


# least bytes read and written, and bytes held, of one rank: S = 4096 over 4 ranks
@pytest.mark.parametrize(
    ("name", "in_place", "touched", "held"),
    [
        ("all_reduce", True, 8192, 4096),
        ("reduce_scatter", False, 5120, 5120),
        ("reduce_scatter", True, 5120, 4096),
        ("all_gather", False, 5120, 5120),
        ("all_gather", True, 4096, 4096),
        ("all_to_all", False, 8192, 8192),
        ("broadcast", True, 4096, 4096),
        ("sendrecv", False, 8192, 8192),
    ],
)
def test_bytes_of_one_rank(name: str, in_place: bool, touched: int, held: int) -> None:
    spec = KINDS[name](message_bytes=4096, in_place=in_place)
    work = spec.work(4)
    assert (work.flops, work.bytes, work.headline, work.message_bytes) == (0, touched, "message", 4096)
    assert spec.footprint_bytes(4) == held


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("16 MiB", 16777216), ("1GiB", 1073741824), ("4B", 4), ("123", 123), (7, 7)]
)
def test_sizes_are_read_in_binary_units(text: object, size: int) -> None:
    spec = AllReduce(message_bytes=text)  # type: ignore[arg-type]
    assert spec.message_bytes == size
    assert spec.params()["message_bytes"] == size


@pytest.mark.parametrize("text", ["64KB", "64k", "1.5MiB", "MiB", "", 0, -4, True, 2.0, None, "0", "0KiB", [4]])
def test_sizes_that_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"all_reduce\.message_bytes: .* KiB, MiB"):
        parse_bytes("all_reduce", "message_bytes", text)


def test_sizes_are_printed_in_binary_units() -> None:
    assert [format_bytes(n) for n in (4, 1023, 65536, 3 << 29, 1 << 41)] == [
        "4 B",
        "1023 B",
        "64 KiB",
        "1.5 GiB",
        "2 TiB",
    ]


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("all_reduce", {"dtype": "bf17"}, "all_reduce.dtype: 'bf17' is not one of fp64, fp32, bf16, fp16"),
        ("all_reduce", {"dtype": "fp8_e4m3"}, "all_reduce.dtype: 'fp8_e4m3' is not one of"),
        ("all_gather", {"dtype": "tf32"}, "all_gather.dtype: 'tf32' is not one of"),
        ("reduce_scatter", {"op": "mean"}, "reduce_scatter.op: 'mean' is not one of sum, avg, max, min"),
        ("broadcast", {"in_place": 1}, "broadcast.in_place: 1 is not one of"),
        ("sendrecv", {"init": "random"}, "sendrecv.init: 'random' is not one of"),
        ("all_to_all", {"seed": -1}, "all_to_all.seed: -1"),
    ],
)
def test_what_is_not_allowed(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        KINDS[name](**fields)


def test_labels_and_series() -> None:
    assert AllReduce(op="avg").label() == "bf16 avg 16 MiB"
    assert AllReduce(op="sum").series() == "bf16 sum"
    assert AllGather(in_place=True, init="zeros").label() == "bf16 16 MiB in place zeros"
    assert AllGather(in_place=True).series() == "bf16 in place"
    assert SendRecv(message_bytes=4, dtype="fp32").label() == "fp32 4 B"
    assert Broadcast(message_bytes="1KiB").size() == ("message bytes", 1024.0)
    assert all(kind.collective for kind in KINDS.values())


@pytest.mark.parametrize("name", KINDS)
def test_yaml_has_exactly_the_fields_and_their_defaults(name: str) -> None:
    text = files("perwatt.conf").joinpath("kernel", f"{name}.yaml").read_text()
    node = yaml.safe_load(text)
    module, _, attribute = node.pop("_target_").rpartition(".")
    assert (module, attribute) == (KINDS[name].__module__, KINDS[name].__name__)
    assert set(node) == {field.name for field in dataclasses.fields(KINDS[name])}
    assert KINDS[name](**node) == KINDS[name]()
    assert all("#" in line for line in text.splitlines() if not line.startswith("_target_"))


def test_modules_import_without_torch() -> None:
    modules = [kind.__module__ for kind in KINDS.values()]
    code = f"import sys, {', '.join(modules)}; {KINDS['sendrecv'].__module__}.SendRecv().work(8)"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=180).returncode == 0


def test_without_a_process_group() -> None:
    with pytest.raises(Unsupported, match="no process group"):
        AllReduce(message_bytes=64).prepare(Place("cpu"))


def test_how_long_values_last() -> None:
    # 8 * 2**124 = 2**127 in fp32 and bf16; 8 * 2**12 = 2**15 in fp16
    assert [AllReduce(op="sum", dtype=d).lifetime(2) for d in ("fp32", "bf16", "fp16", "fp64")] == [124, 124, 12, 1020]
    assert [AllReduce(op="sum", dtype="bf16").lifetime(n) for n in (1, 8, 1024)] == [None, 41, 12]
    assert [AllReduce(op=op, dtype="bf16").lifetime(8) for op in ("avg", "max", "min")] == [None] * 3
    assert [AllReduce(dtype="bf16", op="avg").lifetime(n) for n in (256, 1024)] == [None, 31]  # 1024 = 2**8 * 2**2
    assert ReduceScatter(op="sum", dtype="fp16").lifetime(8) is None
    in_place = [ReduceScatter(op="sum", dtype=d, in_place=True).lifetime(8) for d in ("fp32", "bf16", "fp16")]
    assert in_place == [None, None, 512]  # 512 * 8 ranks * 8 = 2**15
