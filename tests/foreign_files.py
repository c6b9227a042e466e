"""Results as other tools write them, made from the formats' own sources: the layout is theirs, the numbers are not."""

from __future__ import annotations

import json
from typing import Any

H100 = "NVIDIA H100 80GB HBM3"
DEVICES = "\n".join(
    f"#  Rank {rank:2d} Group  0 Pid  12{rank:02d} on {host:>10} device {rank % 4:2d} [0000:{rank:02x}:00] {H100}"
    for rank, host in enumerate(["n001"] * 4 + ["n002"] * 4)
)
HEADER = """\
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw  #wrong     time   algbw   busbw  #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)"""
FOOTER = """\
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 123.4
#
# Collective test concluded: all_reduce_perf
"""


def row(size: int, times_us: tuple[float, float], factor: float, op: str = "sum", wrong: str = "0") -> str:
    halves = []
    for t in times_us:
        algbw = size / t * 1e-3
        halves.append(f"  {t:7.2f}  {algbw:6.2f}  {algbw * factor:6.2f}  {wrong:>6}")
    return f"{size:12d}  {size // 4:12d}  {'float':>8}  {op:>6}  {'-1':>6}" + "".join(halves)


def nccl(*rows: str, program: str = "all_reduce", footer: bool = True) -> str:
    top = [
        "# nccl-tests version 2.17.6 nccl-headers=22809 nccl-library=22809",
        f"# Collective test starting: {program}_perf",
        "# nThread 1 nGpus 1 minBytes 8 maxBytes 1024 step: 2(factor) warmup iters: 1 iters: 20 agg iters: 1 "
        "validation: 1 graph: 0 unalign: 0",
        "#",
        "# Using devices",
    ]
    return "\n".join([*top, DEVICES, HEADER, *rows, FOOTER if footer else ""])


def nccl_json(**changes: Any) -> str:
    def half(t: float, wrong: float | None = 0.0) -> dict[str, float | None]:
        algbw = 1048576 / t * 1e-3
        return {"time": t, "alg_bw": algbw, "bus_bw": algbw * 1.75, "nwrong": wrong}

    whole = {
        "version": 3,
        "start_time": "2026-05-04 10:20:30",
        "args": ["./build/all_reduce_perf", "-b", "1M", "-I", "1"],
        "env": ["HOME=/root"],
        "nccl_version": 22809,
        "config": {
            "nthreads": 1,
            "ngpus": 4,
            "iterations": 5,
            "devices": [
                {"rank": r, "group": 0, "hostname": h, "device": 0, "device_info": "NVIDIA H100 80GB HBM3"}
                for r, h in ((0, "n001"), (4, "n002"))
            ],
        },
        "results": [
            {
                "size": 1048576, "count": 262144, "type": "float", "redop": "sum", "root": "    -1",
                "out_of_place": half(100.0),
                "in_place": half(80.0),
                "in_place_per_iter": {"skipped_iterations": 1, "times_us": [200.0, 80.0, 82.0, 84.0, 86.0]},
                "actual_iterations": 5,
            }
        ],
        "errors": [],
    }  # fmt: skip
    return json.dumps({**whole, **changes})


def mamf(*lines: str, dtype: str = "torch.bfloat16") -> str:
    return "\n".join(
        [
            "",
            "Benchmark started on 2026-05-04 10:20:30",
            "",
            "** Command line:",
            "/usr/bin/python mamf-finder.py --m 4096 --n 4096 --k 4096 --num_iterations 50",
            "",
            f"** Dtype: {dtype}",
            "",
            "** Platform/Device info:",
            "- Linux n001 5.15",
            "- _CudaDeviceProperties(name='NVIDIA H100 80GB HBM3', major=9, minor=0, total_memory=81079MB)",
            "",
            "- benchmark version: 2",
            "",
            "Warming up the accelerator for 30 secs ... accelerator warmup finished",
            *lines,
            "",
            "Tried 2 shapes => the best outcomes were:",
            "mean:   700.1 TFLOPS @ 4096x4096x4096 (MxNxK)",
            "median: 701.2 TFLOPS @ 4096x4096x4096 (MxNxK)",
            "max:    720.3 TFLOPS @ 4096x4096x4096 (MxNxK)",
        ]
    )


def shape(number: int, m: int, median: float) -> str:
    return (
        f"{number:>6} | {median - 1:6.1f}(mean) {median:6.1f}(median) {median + 9:6.1f}(max) @ "
        f"{f'{m}x4096x4096':<20} | "
        "best:  700.1(mean)  701.2(median)  720.3(max) TFLOPS"
    )
