"""The ranks of the tests over gloo: each runs every scenario in turn and writes what it saw. Started as a process.

Arguments: a folder, and the sizes of the groups, run one after another. Rank r of n writes n-r.json (scenario ->
outcome) to the folder.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from gloo_rank import KINDS, Rank, cases

from perwatt.kernels.collectives import pattern
from perwatt.kernels.collectives.all_gather import AllGather
from perwatt.kernels.collectives.all_reduce import AllReduce
from perwatt.kernels.collectives.all_to_all import AllToAll
from perwatt.kernels.collectives.collective import Buffers, Collective
from perwatt.kernels.collectives.reduce_scatter import ReduceScatter

DEADLINE_S = 150.0  # for one group
TIMEOUT = datetime.timedelta(seconds=30)  # for one collective


def outcome(action: Callable[[], Any]) -> dict[str, Any]:
    """What ``action`` returned, or the kind of its exception and what it says."""
    try:
        return {"raised": None, "result": action()}
    except Exception as error:
        return {"raised": type(error).__name__, "said": str(error)}


def scenarios(me: Rank) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Names and actions, the same on all ranks and in the same order."""
    for spec in cases():
        yield (
            f"values {spec.name} {spec.dtype} {spec.reduction} {spec.in_place} {spec.message_bytes}",
            (lambda spec=spec: me.values(spec)),
        )
    yield "settled", me.settled

    yield "unrestored", lambda: _unrestored(me)

    def damaged(kind: type[Collective], spoil: Callable[[Buffers], object], **fields: Any) -> Callable[[], Any]:
        def action() -> str:
            with me.spoiled(kind, spoil):
                return me.prepare(kind(message_bytes="64KiB", **fields))

        return action

    def raises(error: Exception) -> Callable[[Buffers], object]:
        return mock.Mock(side_effect=error)

    for kind in KINDS:
        in_place = {"in_place": kind.name in ("all_reduce", "broadcast")}
        yield f"wrong last {kind.name}", damaged(kind, lambda b: b.target[-1:].add_(1), **in_place)
        yield f"wrong nan {kind.name}", damaged(kind, lambda b: b.target[7:8].fill_(float("nan")), **in_place)
        yield f"wrong shifted {kind.name}", damaged(kind, lambda b: b.target.copy_(b.target.roll(1)), **in_place)
    swap = lambda b: b.target.copy_(b.target.roll(b.target.numel() // me.ranks))  # noqa: E731
    yield "wrong order all_gather", damaged(AllGather, swap)
    yield "wrong order all_to_all", damaged(AllToAll, swap)
    yield "wrong missing all_to_all", damaged(AllToAll, lambda b: b.target[-64:].zero_())

    def other_op(used: str) -> Callable[[], Any]:
        op = getattr(dist.ReduceOp, used)

        def action() -> str:
            with mock.patch.object(AllReduce, "torch_op", return_value=op):
                return me.prepare(AllReduce(message_bytes="1KiB", op="avg" if used != "AVG" else "sum"))

        return action

    for used in ("SUM", "MAX", "AVG"):
        yield f"wrong op {used}", other_op(used)

    def without_rank() -> str:
        table = AllReduce.table
        silent = lambda spec, rank, ranks: table(spec, rank, ranks) * (rank != 1)  # noqa: E731
        with mock.patch.object(AllReduce, "table", silent):
            return me.prepare(AllReduce(message_bytes="1KiB", dtype="bf16"))

    yield "wrong without rank 1", without_rank
    yield "refused by all", lambda: _refused(me)
    yield "refused by one", damaged(AllReduce, raises(RuntimeError("no such thing")))
    yield "broken on one", damaged(AllReduce, raises(OSError("link down")))
    yield "device error", damaged(AllReduce, raises(dist.DistBackendError("unhandled")))
    yield "too little memory", lambda: me.prepare(AllReduce(), memory_bytes=1000 if me.rank == 1 % me.ranks else None)
    yield "no element", lambda: me.prepare(AllGather(message_bytes=8, dtype="fp32"))
    yield "former names", lambda: _former_names(me)
    yield "windows", lambda: _windows(me)
    yield "usable after all", lambda: me.prepare(AllReduce(message_bytes="1KiB"))


def _unrestored(me: Rank) -> bool:
    """Whether sums in place stay finite when nothing restores them."""
    with mock.patch.object(AllReduce, "lifetime", return_value=None):
        prepared, sets = me.noted(AllReduce(message_bytes="1KiB", dtype="fp16", op="sum"))
    for _ in range(20):
        prepared.launch()
    return bool(sets[0].target.isfinite().all())


def _refused(me: Rank) -> str:
    refusing = mock.Mock(side_effect=RuntimeError("Invalid scalar type"))
    with mock.patch.object(ReduceScatter, "bind", return_value=refusing):
        return me.prepare(ReduceScatter(message_bytes="1KiB", dtype="fp16"))


def _former_names(me: Rank) -> list[str]:
    """As in versions of torch without the newer names."""
    present = [name for name in ("all_gather_single", "reduce_scatter_single") if hasattr(dist, name)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", FutureWarning)
        for name in present:
            stack.enter_context(mock.patch.object(dist, name, None))
        return [me.prepare(kind(message_bytes="1KiB")) for kind in (AllGather, ReduceScatter)]


def _windows(me: Rank) -> int:
    """With a small limit only parts are compared, among them the last element."""
    with mock.patch.object(pattern, "FULL_BYTES", 4096), me.spoiled(AllReduce, lambda b: b.target[-1:].add_(1)):
        return AllReduce(message_bytes="64KiB", dtype="fp32").prepare(me.place()).check.compared


def run_rank(rank: int, ranks: int, folder: Path) -> None:
    """Run every scenario over gloo."""
    warnings.simplefilter("error", FutureWarning)
    warnings.simplefilter("error", DeprecationWarning)
    store = dist.FileStore(str(folder / f"store{ranks}"), ranks)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=TIMEOUT)
    me = Rank(rank, ranks)
    seen = {name: outcome(action) for name, action in scenarios(me)}
    (folder / f"{ranks}-{rank}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


def main() -> int:
    """One group after another, forked from this process so that torch is imported only once."""
    folder, groups = Path(sys.argv[1]), [int(ranks) for ranks in sys.argv[2:]]
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    for ranks in groups:
        processes = [context.Process(target=run_rank, args=(rank, ranks, folder)) for rank in range(ranks)]
        for process in processes:
            process.start()
        deadline = time.monotonic() + DEADLINE_S
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        hung = [process for process in processes if process.is_alive()]
        for process in hung:
            process.kill()
        if hung or any(process.exitcode for process in processes):
            print(f"{ranks} ranks: {len(hung)} hung, exit codes {[process.exitcode for process in processes]}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
