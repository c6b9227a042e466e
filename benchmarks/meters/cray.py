"""Cray EX node meters: the files of ``/sys/cray/pm_counters``, renewed ten times a second by the node controller.

Each holds a number, its unit and a time stamp. ``energy`` is the node's direct current input in J, ``accelN_energy``
one accelerator module's, ``cpu_energy`` and ``memory_energy`` theirs. ``freshness`` changes with every renewal: it is
read before and after, and a reading that a renewal cut in two is taken again. Every user may read them.
Source: HPE Cray EX documentation of pm_counters; the Slurm plugin acct_gather_energy/pm_counters.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from perwatt.benchmarks.meters.meter import Capabilities, Part, Unavailable
from perwatt.benchmarks.meters.sysfs import FileMeter, OutOfRange, first_word, number

BOUNDARY = {"node": "node_dc", "accel": "gpu", "cpu": "cpu_package", "memory": "memory"}
TRIES = 5


class Cray(FileMeter):
    """The energy counter of ``what``: node, accel (all of them, summed), cpu or memory."""

    kind: Literal["energy"] = "energy"

    def __init__(self, what: str = "node", root: str = "/sys/cray/pm_counters", poll_s: float = 0.1) -> None:
        if what not in BOUNDARY:
            raise ValueError(f"meter.cray.what: found {what!r}, allowed {', '.join(BOUNDARY)}")
        number("cray", "poll_s", poll_s, 0.001, 60)
        self.what, self.poll_s, self.root = what, poll_s, Path(root)

    def open(self, part: Part) -> Capabilities:
        """Find the counters and read each once. Raises :class:`Unavailable`."""
        pattern = {"node": "energy", "accel": "accel[0-9]*_energy"}.get(self.what, f"{self.what}_energy")
        files = sorted(self.root.glob(pattern))
        if not files:
            raise Unavailable(f"no {pattern} in {self.root}", "this is not a Cray EX node, or its counters are off")
        names = {file.name.removesuffix("_energy") if file.name != "energy" else "node": file for file in files}
        self.start({name: partial(first_word, file, 1.0) for name, file in names.items()})
        return Capabilities(
            name="cray",
            kind="energy",
            boundary=BOUNDARY[self.what],
            packages=tuple(names),
            period_s=0.1,
            poll_s=self.poll_s,
            quantum=1.0,
            accuracy_class="C",
            instrument=f"pm_counters:{'+'.join(names)}",
            detail="" if self.root == Path("/sys/cray/pm_counters") else f"root {self.root}",
        )

    def _sum(self) -> float:
        """All counters of one renewal; the last try is taken where the tree has no freshness."""
        for _ in range(TRIES):
            before = self._freshness()
            total = super()._sum()
            if before is None or before == self._freshness():
                return total
        raise OutOfRange("the counters were renewed in every try")

    def _freshness(self) -> str | None:
        try:
            return (self.root / "freshness").read_text()
        except OSError:
            return None
