"""Whether Triton kernels can run at a place, and with which configurations."""

from __future__ import annotations

import os
from importlib.util import find_spec

from perwatt.kernels.triton.configuration import Table
from perwatt.kernels.workload import Place, Unsupported

ABSENT = "meta"  # torch's device of shapes without values: for compiling where there is no device


def table_of(place: Place) -> Table:
    """The configurations for ``place``.

    Raises Unsupported on a CPU, in an interpreted Triton (never timed as if it were a device), and without Triton.
    """
    if place.type == "cpu":
        raise Unsupported("backend=triton needs a GPU that Triton compiles for, and this is a CPU; use backend=torch")
    if find_spec("triton") is None:
        raise Unsupported("backend=triton needs Triton: pip install 'perwatt[triton]'; or use backend=torch")
    if os.environ.get("TRITON_INTERPRET") == "1" and place.type != ABSENT:
        raise Unsupported("TRITON_INTERPRET=1 is set: the interpreter is not timed; unset it, or use backend=torch")
    if place.table is None:
        raise Unsupported("backend=triton has no configurations for this kind of device; use backend=torch")
    return place.table
