"""SuperBench's summaries: units from its documentation, nodes and devices apart, and nothing guessed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from perwatt.benchmarks.cli import main
from perwatt.results.imports import formats
from perwatt.results.imports.superbench import read
from perwatt.results.record import Failed, Measured


def summary(node: str = "n001", **more: object) -> str:
    metrics: dict[str, object] = {
        "gemm-flops/fp16_tc_flops:0": 250_000.0,
        "gemm-flops/fp16_tc_flops:1": 251_000.0,
        "cublaslt-gemm/bf16_0_8192_8192_8192_flops:0": 700.0,
        "nccl-bw:nvlink/allreduce_8589934592_busbw:0": 480.5,
        "nccl-bw:nvlink/allreduce_8589934592_time:0": 31_000.0,
        "mem-bw/d2d_bw:0": 1500.0,
        "kernel-launch/event_time:0": 0.006,
        "resnet_models/pytorch-resnet50/fp16_train_throughput": 1234.5,
        "resnet_models/pytorch-resnet50/fp16_train_step_time": 26.0,
        "monitor/gpu_power:0": 699,
        "gemm-flops/return_code": 0,
    }
    return json.dumps({**metrics, **more, "node": node})


def test_what_the_documentation_gives_a_unit() -> None:
    text = summary()
    assert formats.told(text) == "superbench"
    found = read(text)
    assert not found.bad
    rates = {}
    for figure in found.figures:
        outcome = figure.outcome
        assert isinstance(outcome, Measured)
        amount = max(outcome.work.flops, outcome.work.bytes, outcome.work.samples) or 1
        per_s = amount / outcome.seconds.median if amount > 1 else outcome.seconds.median
        rates[figure.kernel, figure.label, figure.device_index, figure.collective] = per_s
    assert rates == pytest.approx(
        {
            ("gemm-flops", "fp16_tc_flops", 0, False): 250e12,
            ("gemm-flops", "fp16_tc_flops", 1, False): 251e12,
            ("matmul", "bf16 8192x8192x8192 cublaslt-gemm", 0, False): 700e12,
            ("nccl-bw:nvlink", "allreduce_8589934592_busbw", 0, True): 480.5e9,
            ("nccl-bw:nvlink", "allreduce_8589934592_time", 0, True): 31e-3,
            ("mem-bw", "d2d_bw", 0, False): 1.5e12,
            ("kernel-launch", "event_time", 0, False): 6e-6,
            ("resnet_models", "pytorch-resnet50/fp16_train_throughput", 0, True): 1234.5,
            ("resnet_models", "pytorch-resnet50/fp16_train_step_time", 0, True): 26e-3,
        },
        rel=1e-12,
    )
    assert sum(found.passed_over.values()) == 2  # the monitor's power, and a return code of 0


def test_what_failed_and_what_cannot_be_read() -> None:
    text = "\n".join(
        [
            summary(**{"gemm-flops/return_code": 33, "mem-bw/h2d_bw:0": None, "mem-bw/d2h_bw:0": 0}),
            '{"node": "n002", "gemm-flops/fp16_tc_flops:0": 1',
            '{"gemm-flops/fp16_tc_flops:0": 1}',
            "[]",
            summary("n003", nothing=3.0, **{"gemm-flops/2/fp32_flops:1": 19_000}),
        ]
    )
    found = read(text)
    assert [f.outcome for f in found.figures if isinstance(f.outcome, Failed)] == [
        Failed("gemm-flops/return_code is 33")
    ]
    assert [(b.line, b.found[:20]) for b in found.bad] == [
        (1, "mem-bw/h2d_bw:0 None"),
        (1, "mem-bw/d2h_bw:0 0"),
        (2, '\'{"node": "n002", "g'),
        (3, "'{\"gemm-flops/fp16_t"),
        (4, "'[]'"),
        (5, "'nothing'"),
    ]
    assert found.figures[-1].label == "fp32_flops turn 2"


@pytest.mark.slow
def test_a_slow_device_stands_out_of_its_fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(1)
    lines = []
    for node in range(8):
        values = {f"gemm-flops/fp16_tc_flops:{g}": 250_000 * draw.gauss(1, 0.004) for g in range(8)}
        if node == 3:
            values["gemm-flops/fp16_tc_flops:5"] *= 0.9
        lines.append(json.dumps({"node": f"n{node:03d}", **values}))
    file = tmp_path / "results-summary.jsonl"
    file.write_text("\n".join(lines))
    assert main(["import", f"file={file}", f"runs_dir={tmp_path / 'runs'}"]) == 0
    run = json.loads(capsys.readouterr().out.splitlines()[-1])["run"]
    main(["accept", f"run={run}", "criteria=fleet"])
    out = capsys.readouterr().out
    assert "n003:5" in out
    verdict = json.loads((Path(run) / "accept" / "verdict.json").read_text())
    failed = {f["subject"] for f in verdict["findings"] if f["status"] == "FAIL"}
    assert failed == {"n003:5"}
