"""The ranks of one case: the process group, and how they agree on what a chunk of samples took."""

from __future__ import annotations

import datetime
import math
import os
import sys
from typing import Any

from perwatt.benchmarks.measurement import Agreed
from perwatt.kernels.collectives import request

MOST = 256  # ranks whose median is taken: to sort the times of thousands would keep a device waiting
BACKENDS = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl"}  # torch calls RCCL nccl as well


class Group:
    """The default process group for the collectives under test, and a gloo group beside it for agreements.

    ``store``: host and port of rank 0's, for a process that was not launched for this group; else the launcher's
    variables say where. A process may be in one after another, once it has left the one before."""

    def __init__(self, kind: str, device: str, timeout_s: float, store: tuple[str, int] | None = None) -> None:
        import torch
        import torch.distributed as dist

        timeout = datetime.timedelta(seconds=timeout_s)
        options: dict[str, Any] = {} if kind == "cpu" else {"device_id": torch.device(device)}
        if store is not None:
            rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            options |= {"rank": rank, "world_size": ranks}
            make = dist.TCPStore  # type: ignore[attr-defined]  # documented, and not in __all__
            options["store"] = make(*store, ranks, is_master=rank == 0, timeout=timeout)
        self._hook = sys.excepthook  # torch wraps it, group for group
        dist.init_process_group(BACKENDS[kind], timeout=timeout, **options)
        self.backend = dist.get_backend()
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        # numbers of the harness never travel on the network under test
        self._control = None if kind == "cpu" else dist.new_group(backend="gloo", timeout=timeout)

    def exchange(self, seconds: list[float], stop: bool, ready: bool) -> Agreed:
        """The slowest rank's seconds for each sample; stop if any rank was asked to, ready if all are."""
        import torch
        import torch.distributed as dist

        mine = torch.tensor([*seconds, float(stop), float(ready)], dtype=torch.float64)
        all_ranks = [torch.empty_like(mine) for _ in range(self.ranks)]
        dist.all_gather(all_ranks, mine, group=self._control)
        table = torch.stack(all_ranks)
        times = table[:, :-2]
        return Agreed(
            slowest=times.amax(dim=0).tolist(),
            mean=float(times.mean()) if times.numel() else math.nan,
            stop=bool(table[:, -2].max()),
            ready=bool(table[:, -1].min()),
            middle=_middle(times).tolist(),
            fastest=times.amin(dim=0).tolist(),
        )

    def barrier(self) -> None:
        """All ranks are here; used at the edges of a window, so that their windows are the same interval."""
        import torch.distributed as dist

        dist.barrier(group=self._control)

    def close(self) -> None:
        """Leave the group, and what was made of it."""
        import torch.distributed as dist

        request.drop()
        if dist.is_initialized():
            dist.destroy_process_group()
        sys.excepthook = self._hook


def _middle(times: Any) -> Any:
    """The median over ranks of each sample, of more than ``MOST`` ranks over as many of them, evenly spread."""
    some = times[:: -(-len(times) // MOST)].sort(dim=0).values
    # of an even number the mean of the two in the middle, which torch's median is not
    return (some[(len(some) - 1) // 2] + some[len(some) // 2]) / 2
