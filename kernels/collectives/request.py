"""An algorithm or a protocol asked for: a process group of its own, whose communicator is made under that request.

NCCL reads NCCL_ALGO and NCCL_PROTO when a communicator is created (ncclTopoTuneModel in its src/graph/tuning.cc), and
only then. So a request has a group, made and used for the first time while the environment says so; then the
environment is as it was, and the default group is untouched. One is held at a time: each takes memory of the device.

NCCL may do something else all the same: before 2.24 it falls back where the combination does not exist, from then on
it refuses ("invalid usage"). What was really done has to be read from its log (:mod:`nccl_log`), by whoever times it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from perwatt.kernels.collectives.nccl_log import ALGORITHMS, PROTOCOLS
from perwatt.kernels.workload import Unsupported, choice

if TYPE_CHECKING:
    import torch.distributed as dist

LIBRARY = "nccl"  # torch's name for RCCL as well
# What NCCL_ALGO takes (ncclAlgoStr in src/init.cc), letters of either size.
_SPELLING = {"collnet_direct": "CollNetDirect", "collnet_chain": "CollNetChain", "nvls_tree": "NVLSTree"}

Request = tuple[str | None, str | None]

_held: dict[Request, dist.ProcessGroup] = {}  # one at most


def check(kernel: str, algorithm: object, protocol: object) -> None:
    """ValueError, naming the choices, for a name that NCCL does not know."""
    if algorithm is not None:
        choice(kernel, "algorithm", algorithm, ALGORITHMS)
    if protocol is not None:
        choice(kernel, "protocol", protocol, PROTOCOLS)


def variables(wanted: Request) -> dict[str, str]:
    """The environment that makes NCCL do what is wanted, without what is not asked for."""
    algorithm, protocol = wanted
    out = {} if algorithm is None else {"NCCL_ALGO": _SPELLING.get(algorithm, algorithm)}
    return out if protocol is None else out | {"NCCL_PROTO": protocol}


def require(wanted: Request) -> None:
    """Raise Unsupported for a request that the default group's library takes none of."""
    import torch.distributed as dist

    if any(wanted) and (backend := dist.get_backend()) != LIBRARY:
        raise Unsupported(f"{backend} has no choice of algorithm or protocol: only NCCL and RCCL take a request")


def group(wanted: Request) -> dist.ProcessGroup | None:
    """The group for ``wanted``, the same for as long as nothing else is; None, the default group, if nothing is.

    Every rank has to call it, and the first launch on a new group has to be made within :func:`environment`.
    """
    import torch.distributed as dist

    if not any(wanted):
        return None
    if wanted not in _held:
        drop()
        with environment(wanted):
            _held[wanted] = dist.new_group()
    return _held[wanted]


def drop() -> None:
    """Leave the group that is held, if one is."""
    import torch.distributed as dist

    while _held:
        _, found = _held.popitem()
        with contextlib.suppress(ValueError, AssertionError):  # the default group was left before, and this with it
            dist.destroy_process_group(found)


@contextlib.contextmanager
def environment(wanted: Request) -> Iterator[None]:
    """The process's environment with the variables of ``wanted``; afterwards as it was."""
    before = {name: os.environ.get(name) for name in variables(wanted)}
    os.environ.update(variables(wanted))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
