"""The health of one NVIDIA board as NVML tells it: memory repaired, links, errors on them, XIDs.

Each question stands alone, so that a driver that lacks one answers the others: absent is what it does not know.
Sources: nvml.h of the CUDA toolkit; NVIDIA's documentation of row remapping, page retirement and XID errors.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from perwatt.benchmarks.meters.kernel_log import KernelLog
from perwatt.benchmarks.meters.meter import Vitals
from perwatt.benchmarks.meters.nvml_board import Board, Field

# Totals over all links, each a field; a driver without them is asked link by link, by the number of the counter.
NVLINK = {"nvlink_replay": (52, 0), "nvlink_recovery": (59, 1), "nvlink_crc_flit": (38, 2), "nvlink_crc_data": (45, 3)}
LINK_COUNT, RECOVERY_ACTION = 91, 230
XID_EVENT = 8  # nvmlEventTypeXidCriticalError
MOST_EVENTS = 1000  # of one look: a storm of them must not hold the case up
REMAP = ("remapped_corrected", "remapped_uncorrected", "remap_pending", "remap_failure")
CALLS = {
    "pcie_generation": "nvmlDeviceGetCurrPcieLinkGeneration",
    "pcie_generation_max": "nvmlDeviceGetMaxPcieLinkGeneration",
    "pcie_width": "nvmlDeviceGetCurrPcieLinkWidth",
    "pcie_width_max": "nvmlDeviceGetMaxPcieLinkWidth",
    "retire_pending": "nvmlDeviceGetRetiredPagesPendingStatus",
}


class Health:
    """The questions to one board, and an ear for its XIDs from the first of them on."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._events: Any = None
        self._log: KernelLog | None = None
        self._listen()

    def _listen(self) -> None:
        nvml = self.board.nvml
        with suppress(nvml.NVMLError, AttributeError):
            events = nvml.nvmlEventSetCreate()
            nvml.nvmlDeviceRegisterEvents(self.board.handle, XID_EVENT, events)
            self._events = events
            return
        with suppress(OSError, AttributeError, ValueError):
            bus = self.board.tell("nvmlDeviceGetPciInfo").busId
            self._log = KernelLog(bus.decode() if isinstance(bus, bytes) else str(bus))

    def read(self) -> Vitals:
        """All that this driver tells, now."""
        counts, state = self._memory()
        for name, call in CALLS.items():
            if (value := self.board.tell(call)) is not None:
                state[name] = int(value)
        if (replays := self.board.tell("nvmlDeviceGetPcieReplayCounter")) is not None:
            counts["pcie_replays"] = int(replays)
        if (action := self._field(RECOVERY_ACTION)) is not None:
            state["recovery_action"] = action
        self._links(counts, state)
        return Vitals("nvml", counts, state, self._heard(), "nvml" if self._events else "kernel_log" * bool(self._log))

    def _memory(self) -> tuple[dict[str, int], dict[str, int]]:
        counts: dict[str, int] = {}
        for name, kind in (("corrected", 0), ("uncorrected", 1)):
            if (errors := self.board.tell("nvmlDeviceGetTotalEccErrors", kind, 0)) is not None:
                counts[f"ecc_{name}"] = int(errors)
            if (pages := self.board.tell("nvmlDeviceGetRetiredPages", kind)) is not None:
                counts[f"retired_{name}"] = len(pages)
        remapped = dict(zip(REMAP, map(int, self.board.tell("nvmlDeviceGetRemappedRows") or ()), strict=False))
        counts |= {name: value for name, value in remapped.items() if name.startswith("remapped")}
        return counts, {name: value for name, value in remapped.items() if not name.startswith("remapped")}

    def _links(self, counts: dict[str, int], state: dict[str, int]) -> None:
        links = self._field(LINK_COUNT)
        if not links:
            return
        told = [self.board.tell("nvmlDeviceGetNvLinkState", link) for link in range(links)]
        if known := [up for up in told if up is not None]:
            state |= {"links": len(known), "links_up": sum(map(int, known))}
        for name, (number, counter) in NVLINK.items():
            total = self._field(number)
            if total is None:
                each = [self.board.tell("nvmlDeviceGetNvLinkErrorCounter", link, counter) for link in range(links)]
                total = sum(int(n) for n in each if n is not None) if any(n is not None for n in each) else None
            if total is not None:
                counts[name] = total

    def _field(self, number: int) -> int | None:
        try:
            return self.board.field(number)[0]
        except (Field, self.board.nvml.NVMLError):
            return None

    def _heard(self) -> tuple[int, ...] | None:
        if self._log is not None:
            return tuple(self._log.heard())
        if self._events is None:
            return None
        found: list[int] = []
        with suppress(self.board.nvml.NVMLError):  # a timeout: nothing more has happened
            while len(found) < MOST_EVENTS:
                event = self.board.nvml.nvmlEventSetWait_v2(self._events, 0)
                if event.eventType == XID_EVENT:
                    found.append(int(event.eventData))
        return tuple(found)
