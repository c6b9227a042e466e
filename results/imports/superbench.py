"""SuperBench's ``results-summary.jsonl``: a line a node, ``benchmark/metric:rank`` and a number.

The file says no units: they are those of SuperBench's documentation (docs/user-tutorial/benchmarks), here as a table.
A metric that the table does not have is counted and passed over. Of a rate without a time a launch is taken as one
second of that work; a metric without a rank is the node's. What its monitor says of power is passed over: it is the
greatest of readings in whole watts, and no energy. A return code other than 0 is a case that failed.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from perwatt.results.imports.figures import Bad, Figure, LineError, Read, measured, positive, wrong
from perwatt.results.record import Failed, Measured, Work

NAME = re.compile(r"^([^/]+)/(?:(\d+)/)?(.+?)(?::(\d+))?$")
GEMM = re.compile(r"^(fp\d+|bf16|fp8e4m3|fp8e5m2|int8)_(\d+)_(\d+)_(\d+)_(\d+)_flops$")
DTYPES = {"fp8e4m3": "fp8_e4m3", "fp8e5m2": "fp8_e5m2"}


class Unit(NamedTuple):
    """What a metric of a benchmark counts, and what one of its unit is in SI."""

    benchmark: str
    metric: str
    kind: str  # flops, bytes, samples or time
    si: float


UNITS = [
    Unit(b, m, kind, si)
    for b, m, kind, si in (
        (r"gemm-flops", r".*_(fl|i)ops", "flops", 1e9),
        (r"(cublaslt|hipblaslt)-gemm", r".*_flops", "flops", 1e12),
        (r"cpu-hpl", r"throughput", "flops", 1e9),
        (r"(nccl|rccl)-bw", r".*_(algbw|busbw)", "bytes", 1e9),
        (r"(nccl|rccl)-bw", r".*_time", "time", 1e-6),
        (r"mem-bw|gpu-copy-bw|nvbandwidth|ib-loopback|ib-traffic", r".*_bw(_\d+)?.*", "bytes", 1e9),
        (r"cpu-stream", r".*_throughput", "bytes", 1e6),
        (r"cpu-stream", r".*_time_\w+", "time", 1.0),
        (r"cpu-memory-bw-latency", r".*_bw", "bytes", 1e6),
        (r"cpu-memory-bw-latency", r".*_lat", "time", 1e-9),
        (r"cublas-function|cudnn-function", r".*_time", "time", 1e-6),
        (r"kernel-launch|pytorch-matmul", r".*_time", "time", 1e-3),
        (r"tensorrt-inference|ort-inference", r".*_time(_\w+)?", "time", 1e-3),
        (r".*models?(-benchmarks)?(/.*)?|megatron-.*", r".*_(train|inference)_step_time(_\d+)?", "time", 1e-3),
        (r".*models?(-benchmarks)?(/.*)?|megatron-.*", r".*_(train|inference)_throughput(_\d+)?", "samples", 1.0),
        (r"megatron-.*", r".*_train_tflops", "flops", 1e12),
    )
]


def is_it(text: str) -> bool:
    """Whether this is such a file."""
    first = text.lstrip().partition("\n")[0]  # the node stands last where SuperBench wrote it
    return first.startswith("{") and bool(re.search(r'"node"\s*:', first) and re.search(r'"[\w.:-]+/[^"]+"\s*:', first))


def read(text: str) -> Read:
    """The figures of all nodes."""
    out = Read()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            whole = json.loads(line)
            node = whole.pop("node")
            if not isinstance(node, str) or not node:
                raise ValueError(node)
        except (ValueError, KeyError, AttributeError, TypeError):
            out.bad.append(Bad(number, repr(line), 'an object with "node" and numbers by benchmark/metric'))
            continue
        out.hosts.append(node)
        for name, value in whole.items():
            try:
                if (found := _figure(number, node, name, value)) is None:
                    what = "metrics whose unit SuperBench's documentation does not state, or which are no results"
                    out.passed_over[what] = out.passed_over.get(what, 0) + 1
                else:
                    out.figures.append(found)
            except LineError as error:
                out.bad.append(Bad(number, *error.args))
    return out


def _figure(line: int, node: str, name: str, value: object) -> Figure | None:
    """One metric of one node; None for one that is passed over."""
    parts = NAME.match(name)
    if parts is None:
        wrong(f"{name!r}", "benchmark/metric or benchmark/metric:rank")
    benchmark, turn, metric, rank = parts.groups()
    plain = benchmark.partition(":")[0]  # an annotation of the user's stands behind it
    outcome = _outcome(plain, metric, name, value)
    if outcome is None:
        return None
    kernel, label, params = benchmark, metric, dict[str, object]({"metric": metric})
    if (shape := GEMM.match(metric)) and "gemm" in plain:
        m, n, k = (int(side) for side in shape.groups()[2:])
        dtype, batch = DTYPES.get(shape[1], shape[1]), max(int(shape[2]), 1)  # 0: no batch
        kernel, params = "matmul", {"m": m, "n": n, "k": k, "batch": batch, "dtype": dtype, "backend": plain}
        label = f"{dtype} {f'{batch}x' * (batch > 1)}{m}x{n}x{k} {plain}"
    if turn:
        label, params["turn"] = f"{label} turn {turn}", int(turn)
    alone = rank is not None and plain not in ("nccl-bw", "rccl-bw")  # rank 0 prints those for all
    return Figure(
        line, kernel, label, metric, ("value", 1.0), params, outcome, f"what SuperBench calls {name}",
        collective=not alone, device_index=int(rank) if alone else 0, hosts=(node,), flags=("unchecked",),
        tool="SuperBench",
    )  # fmt: skip


def _outcome(benchmark: str, metric: str, name: str, value: object) -> Measured | Failed | None:
    """The value as work and time; None for what is not to be imported."""
    if metric == "return_code":
        return Failed(f"{name} is {value}") if value != 0 else None
    unit = next((u for u in UNITS if re.fullmatch(u.benchmark, benchmark) and re.fullmatch(u.metric, metric)), None)
    if unit is None:
        return None
    amount = positive(name, value) * unit.si
    if unit.kind == "time":
        return measured(Work(0, 0, "time"), amount, timer="SuperBench")
    done = max(round(amount), 1)  # about a second of it, or as long as a whole one takes
    work = {
        "flops": Work(done, 0, "flops"),
        "bytes": Work(0, done, "bytes"),
        "samples": Work(0, 0, "samples", samples=done),
    }[unit.kind]
    return measured(work, done / amount, timer="SuperBench", note="a rate without a time")
