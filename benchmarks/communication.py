"""What the ranks communicate through, and how each collective was done: backend, version, algorithm, protocol, NVLS.

busbw is the wire's rate for a ring and is not for NVLS, so a figure without its algorithm can be compared with nothing.
NCCL tells it in its log (:mod:`perwatt.kernels.collectives.nccl_log`): once prepared, a case is launched once with that
log on, then it is timed with the log off. What no library says is None.

A case that asks for an algorithm or a protocol and does not get it, or of which nobody can say what it got, is skipped
with that reason, before it is timed.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from perwatt.benchmarks.nccl_switch import FILE, LEVEL, SUBSYSTEMS, NcclSwitch, find_reset
from perwatt.kernels.collectives.agree import together
from perwatt.kernels.collectives.nccl_log import Log, merged, parse
from perwatt.kernels.workload import Place, Prepared, Unsupported, Workload
from perwatt.results.record import Communication

FOLDER = "nccl"  # in the folder of the run
NCCL = "nccl"  # torch's name for NCCL and for RCCL
# What steers each backend; the log's own variables are no part of how a case is run.
VARIABLES = {"gloo": re.compile("GLOO_"), NCCL: re.compile("(NCCL|RCCL|TORCH_NCCL)_"), "xccl": re.compile("(CCL|FI)_")}
_GROUPS = itertools.count(1)
OURS = (LEVEL, SUBSYSTEMS, FILE)


class Observer:
    """One rank's view of what it communicates through. To be made before the process group, which is made in it::

    with Observer(...) as observer: group = Group(...)
    """

    def __init__(self, backend: str, rank: int, ranks: int, run: str, switch: NcclSwitch | None = None) -> None:
        self.backend = backend
        named = VARIABLES.get(backend)
        self._variables = {
            k: v for k, v in sorted(os.environ.items()) if named is not None and named.match(k) and k not in OURS
        }
        self._switch = switch
        if switch is None and backend == NCCL and run:
            # a process may be in one group after another
            stem = Path(run) / FOLDER / f"ranks{ranks}-rank{rank}-{os.getpid()}-group{next(_GROUPS)}"
            self._switch = NcclSwitch(stem, find_reset())
        self._logs: dict[tuple[str | None, str | None], Log] = {}  # what was said of each request's communicator

    def __enter__(self) -> Observer:
        if self._switch:
            self._switch.on()
        return self

    def __exit__(self, *_: object) -> None:
        if self._switch:
            self._logs[None, None] = parse(self._switch.text())
            self._switch.off()

    def prepare(
        self, workload: Workload, place: Place, synchronize: Callable[[], None]
    ) -> tuple[Prepared, Communication | None]:
        """``workload`` prepared, and how it communicates; None for a case that does not.

        ``synchronize`` waits for the device and for all ranks. Raises Unsupported on every rank if a request was not
        met, and what ``prepare`` raises.
        """
        switch = self._switch if self.backend == NCCL else None
        if switch:
            switch.on()
        try:
            before = len(switch.text()) if switch else 0
            prepared = workload.prepare(place)
            made, launched = "", ""
            if switch and not switch.reason:
                synchronize()
                made = switch.text()
                prepared.launch()
                synchronize()
                launched = switch.text()[len(made) :]
            elif switch:
                made = switch.text()
        finally:
            if switch:
                switch.off()
        if not workload.work(place.ranks).message_bytes:
            return prepared, None
        # a communicator speaks once, when it is made: at the first case that needs it, or before all cases
        algorithm, protocol = requested = getattr(workload, "requested", (None, None))
        known = self._logs.get(requested, Log()).coll_channels is not None
        if (own := parse(made[before:])).coll_channels is not None and (any(requested) or not known):
            self._logs[requested] = own
        found = self._communication(workload, self._logs.get(requested, Log()), parse(launched))
        if algorithm or protocol:
            # only rank 0 is told, and all have to skip
            together(place, lambda: _require(algorithm, protocol, found) if place.rank == 0 else None)
        return prepared, found

    def _communication(self, workload: Workload, made: Log, launched: Log) -> Communication:
        if medium := str(getattr(workload, "medium", "")):
            return Communication(medium, _torch_version())
        if self.backend != NCCL:
            return Communication(self.backend, _torch_version(), environment=self._variables)
        name, version = _nccl_version()
        first = self._logs.get((None, None), Log())
        did = merged(launched.choices)
        reason = self._switch.reason if self._switch else "NCCL's log was not kept"
        if did is None and not reason:
            reason = "NCCL wrote no algorithm for it"
        return Communication(
            backend=(made.implementation or first.implementation).lower() or name,
            version=made.version or first.version or version,
            algorithm=did.algorithm if did else None,
            protocol=did.protocol if did else None,
            channels=len(did.channels) if did and did.channels is not None else None,
            communicator_channels=made.coll_channels,
            nvls=made.nvls,
            nvls_channels=made.nvls_channels,
            environment=self._variables,
            reason="" if did else reason,
        )


def _require(algorithm: str | None, protocol: str | None, found: Communication) -> None:
    """Raise Unsupported unless what was done is what was asked for."""
    for what, asked, done in (
        ("algorithm", algorithm, found.algorithm),
        ("protocol", protocol, found.protocol),
    ):
        if asked is None or asked == done:
            continue
        library = f"{found.backend.upper()} {found.version}"
        if done is None:
            raise Unsupported(f"{what} {asked} was asked for, and {library} does not say what it used: {found.reason}")
        raise Unsupported(f"{what} {asked} was asked for, {library} used {done}")


def _torch_version() -> str:
    import torch

    return f"torch {torch.__version__}"


def _nccl_version() -> tuple[str, str]:
    """The library and its version as torch was built with or has loaded it; empty if it does not say."""
    import torch

    nccl: Any = torch.cuda.nccl
    try:
        found = nccl.version()
    except (RuntimeError, AttributeError, ImportError):
        found = ()
    return ("rccl" if torch.version.hip else "nccl"), ".".join(map(str, found))
