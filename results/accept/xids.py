"""XIDs that speak against the hardware, with what NVIDIA says of them; others come of software more often than not.

Source: NVIDIA, XID errors (docs.nvidia.com/deploy/xid-errors) and its catalog for Ampere and newer.
"""

from __future__ import annotations

HARDWARE = {
    "48": "double bit ECC error",
    "63": "a row or page was marked to be repaired",
    "64": "a row or page could not be repaired",
    "74": "NVLink error",
    "79": "the GPU has fallen off the bus",
    "92": "high rate of single bit ECC errors",
    "94": "contained uncorrectable memory error",
    "95": "uncontained uncorrectable memory error",
    "119": "the GPU's system processor did not answer",
    "120": "the GPU's system processor failed",
    "140": "unrecovered ECC error",
}
