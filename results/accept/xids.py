"""XIDs that speak against the hardware, in words of ours; others come of software more often than not.

Taken in is what NVIDIA's catalog answers with a reset of the GPU, a restart of the machine or a check of its seating,
and what names failing memory or a failing link. Left out is what it puts down to applications (31, 137), to somebody's
intention (155) or to errors that were corrected (121), what tells of another XID (45, 154), what has no action yet
(167, 169), and 144 to 148, whose sub-code decides: the fatal ones come with 48. 63, a row to be remapped, asks for
nothing there, and the rows themselves are metrics of their own. 119 and 120 may be of the firmware: the GPU is lost all
the same.

Sources, read on 2026-11-27: NVIDIA, XID errors, catalog for Ampere and newer
(docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html): descriptions, immediate and investigatory actions, the
decoding of 144 to 150. Numbers: src/common/sdk/nvidia/inc/nverror.h of NVIDIA's open kernel modules 595.45.04, which
lacks 46, 54 and 109; 173 is in it alone, by its name.
"""

from __future__ import annotations

from collections.abc import Mapping

HARDWARE = {
    "46": "the GPU stopped working",
    "48": "double bit ECC error",
    "54": "auxiliary power is not connected",
    "62": "a microcontroller in the GPU halted",
    "64": "a row of its memory could not be remapped",
    "74": "NVLink error",
    "79": "the GPU has fallen off the bus",
    "92": "many single bit ECC errors",
    "94": "memory error, contained in one application",
    "95": "memory error, not contained",
    "109": "a change of context timed out",
    "110": "security fault",
    "119": "the GPU's system processor did not answer",
    "120": "the GPU's system processor failed",
    "136": "an NVLink could not be trained",
    "140": "uncorrectable ECC error that was not repaired",
    "143": "the GPU could not be initialised",
    "149": "NVLink 5: a link went down, or its bit errors rose",
    "150": "NVLink 5: MSE error",
    "156": "a resource of the GPU was retired",
    "157": "a resource of the GPU could not be retired: no repair is left",
    "158": "the GPU timed out for good",
    "168": "errors in a protected region of its memory",
    "171": "uncorrectable error in DRAM",
    "172": "uncorrectable error in SRAM",
    "173": "the link to the CPU (C2C) failed",
}


def count(heard: Mapping[str, int]) -> int:
    """How many of these were heard."""
    return sum(n for xid, n in heard.items() if xid in HARDWARE)


def told(heard: Mapping[str, int]) -> str:
    """These in words: ``XID 79, the GPU has fallen off the bus``."""
    known = sorted((xid for xid, n in heard.items() if n and xid in HARDWARE), key=int)
    return "; ".join(f"XID {xid}, {HARDWARE[xid]}" for xid in known)
