"""The health of one device around a case: what its driver counted, how its links stood, and what it complained of.

Read before the warm-up and after the last window, never in between. What a driver does not tell is absent, never 0.
"""

from __future__ import annotations

import msgspec

RAS = "ras_"  # begins the counts of AMD's blocks, as ras_umc_uncorrected
LINK_ERRORS = ("nvlink_crc_flit", "nvlink_crc_data", "nvlink_replay", "nvlink_recovery")


class Health(msgspec.Struct, frozen=True):
    """``package``: which device, as its meters name it; ``source``: ``nvml`` or ``amdsmi``.

    ``counts`` (before, after): ``ecc_corrected`` and ``ecc_uncorrected`` since the driver was loaded; over the board's
    life rows ``remapped_corrected`` and ``remapped_uncorrected`` (for errors of that kind), pages
    ``retired_corrected``, ``retired_uncorrected``, ``retired_pages``; ``pcie_replays``; of NVLink
    ``nvlink_crc_flit``, ``nvlink_crc_data``, ``nvlink_replay``, ``nvlink_recovery``; of AMD's blocks
    ``ras_BLOCK_corrected``, ``_uncorrected`` and ``_deferred``.
    ``state`` (before, after): ``remap_pending``, ``remap_failure``, ``retire_pending`` (1 if so); ``pcie_width`` and
    ``pcie_width_max`` in lanes; ``pcie_generation`` and its ``_max``, or ``pcie_mtps`` and its ``_max`` in MT/s (a link
    at rest may be slower); NVLink's or xGMI's ``links_up`` of ``links``; ``xgmi_error`` (2: several);
    ``recovery_action`` as NVML numbers them (0: none is asked for).
    ``xid``: how often each XID was heard since the case before, None where nobody could listen; ``heard_by``: ``nvml``
    or ``kernel_log``. ``read_s``: what reading all this took, the longer of both times.
    """

    package: str
    source: str
    counts: dict[str, tuple[int, int]] = {}
    state: dict[str, tuple[int, int]] = {}
    xid: dict[str, int] | None = None
    heard_by: str = ""
    read_s: float = 0.0

    def grown(self, *names: str) -> int | None:
        """By how much these counts grew together over the case; None where none of them is told. A count that went
        back was started anew with the driver: what it shows now has come since."""
        told = [self.counts[name] for name in names if name in self.counts]
        return sum(b - a if b >= a else b for a, b in told) if told else None

    def now(self, *names: str) -> int | None:
        """The largest of these states after the case; None where none of them is told."""
        return max((self.state[name][1] for name in names if name in self.state), default=None)
