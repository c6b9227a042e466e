"""The health of one AMD package as AMD SMI tells it: RAS counts block by block, bad pages, PCIe and xGMI.

A block without RAS, a call that this release lacks, and what the driver calls "N/A" are absent.
Source: amdsmi.h and amdsmi_interface.py of ROCm.
"""

from __future__ import annotations

from typing import Any

from perwatt.benchmarks.meters.amd_board import NOISE, Board, number
from perwatt.benchmarks.meters.meter import Vitals
from perwatt.results.health import RAS

KINDS = {"correctable": "corrected", "uncorrectable": "uncorrected", "deferred": "deferred"}
NO_BLOCK = ("INVALID", "RESERVED")
PCIE = {"pcie_width": "pcie_width", "pcie_mtps": "pcie_speed"}  # our name: theirs, in static after "max_"


class Health:
    """The questions to one package."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def read(self) -> Vitals:
        """All that this release tells, now."""
        counts = self._counts("amdsmi_get_gpu_total_ecc_count", "ecc_")
        for block in self._blocks():
            counts |= self._counts("amdsmi_get_gpu_ecc_count", f"{RAS}{block.name.lower()}_", block)
        pages = self.board.tell("amdsmi_get_gpu_bad_page_info")
        if isinstance(pages, list):
            counts["retired_pages"] = len(pages)
        told = self.board.tell("amdsmi_get_pcie_info") or {}
        now, most = told.get("pcie_metric", {}), told.get("pcie_static", {})
        found = {name: number(now.get(theirs)) for name, theirs in PCIE.items()}
        found |= {f"{name}_max": number(most.get(f"max_{theirs}")) for name, theirs in PCIE.items()}
        state = {name: int(value) for name, value in found.items() if value}  # 0: a link that is not known
        if (replays := number(now.get("pcie_replay_count"))) is not None:
            counts["pcie_replays"] = int(replays)
        self._xgmi(state)
        return Vitals("amdsmi", counts, state, None, "")

    def _blocks(self) -> list[Any]:
        try:
            return [block for block in self.board.smi.AmdSmiGpuBlock if block.name not in NO_BLOCK]
        except NOISE:
            return []

    def _counts(self, call: str, prefix: str, *arguments: object) -> dict[str, int]:
        told = self.board.tell(call, *arguments) or {}
        found = {ours: number(told.get(f"{theirs}_count")) for theirs, ours in KINDS.items()}
        return {prefix + name: int(value) for name, value in found.items() if value is not None}

    def _xgmi(self, state: dict[str, int]) -> None:
        error = number(self.board.tell("amdsmi_gpu_xgmi_error_status"))
        if error is not None:
            state["xgmi_error"] = int(error)
        links = (self.board.tell("amdsmi_get_gpu_xgmi_link_status") or {}).get("status")
        if isinstance(links, list) and (there := [link for link in links if link in ("U", "D")]):
            state |= {"links": len(there), "links_up": there.count("U")}
