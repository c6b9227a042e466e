"""Ranks of large groups by torch's fake process group, which takes every call and moves nothing: one process plays
some of its ranks, one after another, with the worker's own code from the group to the answer.

``fake_ranks.py FILE RANKS:RANK,RANK...`` writes JSON: what each rank answered to each case, what it called and how
large that was, and what was said before the check of values, which nothing moved, was put aside.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from perwatt.benchmarks import group, worker
from perwatt.benchmarks.task import Task
from perwatt.kernels.collectives import pattern
from perwatt.results.record import Measured

CASES = ("AllReduce", "AllGather", "ReduceScatter", "AllToAll", "Broadcast", "SendRecv")
MESSAGE = 1 << 20
PROFILE = {"name": "t", "warmup_s": 0.0, "repetitions": 1, "window_s": 0.02, "min_readings": 0, "indicative": True}


class Sent(TorchDispatchMode):
    """How often each operation of torch.distributed was called, and the largest tensor that it was given, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.largest: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(function)
        if name.startswith("c10d."):
            sizes = [x.numel() * x.element_size() for x in _tensors(args)]
            self.calls[name] += 1
            self.largest[name] = max(self.largest[name], *sizes, 0)
        return function(*args, **(kwargs or {}))


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for one in value for t in _tensors(one)] if isinstance(value, list | tuple) else []


def whole(output: torch.Tensor, pieces: list[pattern.Piece], *_: object) -> tuple[float, int]:
    """In place of the check of values, which nothing has moved: that they would cover the target once."""
    at = 0
    for piece in sorted(pieces, key=lambda piece: piece.start):
        assert piece.start == at, (piece, at)
        at += piece.length
    assert at == output.numel()
    return 0.0, at


def answers(rank: int, ranks: int, run: str) -> dict[str, Any]:
    """What one rank makes of each case."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(rank % 8))
    link: Any = SimpleNamespace(entered=0, stop=threading.Event(), send=lambda message: None)
    began = time.process_time()
    played = worker.Worker(link, "cpu", 0, ranks, 60, run, ("nowhere", 1))
    assert played.group
    found: dict[str, Any] = {"group_s": time.process_time() - began, "backend": played.group.backend}
    for name in CASES:
        module = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)[1:].replace("send_recv", "sendrecv")
        spec = {"_target_": f"perwatt.kernels.collectives.{module}.{name}", "dtype": "fp32"}
        rule = {"_target_": "perwatt.benchmarks.stopping.Duration", "seconds": 0.02}
        task = Task(name, {**spec, "message_bytes": MESSAGE}, "warm", PROFILE, rule, {}, run)
        began = time.process_time()
        with Sent() as sent:
            answer = played.answer(task)
        outcome = answer.outcome
        assert isinstance(outcome, Measured), outcome
        found[name] = {
            "seconds": time.process_time() - began,
            "work": msgspec.to_builtins(outcome.work),
            "checked": outcome.check.compared,
            "calls": sent.calls,
            "largest": sent.largest,
        }
    played.group.close()
    return found


def main() -> None:
    """Play the ranks that are named."""
    group.BACKENDS["cpu"] = "fake"
    dist.TCPStore = lambda *_, **__: FakeStore()  # type: ignore[attr-defined]
    path, *asked = sys.argv[1:]
    groups = {int(ranks): [int(rank) for rank in some.split(",")] for ranks, some in (a.split(":") for a in asked)}
    ranks, some = next(iter(groups.items()))
    refused = ""
    with tempfile.TemporaryDirectory() as run:
        try:
            answers(some[0], ranks, run)
        except AssertionError as error:
            refused = str(error)
        dist.destroy_process_group()
        pattern.compare = whole  # type: ignore[assignment]
        played = {ranks: {rank: answers(rank, ranks, run) for rank in some} for ranks, some in groups.items()}
    Path(path).write_text(json.dumps({"refused": refused, "played": played}))


if __name__ == "__main__":
    main()
