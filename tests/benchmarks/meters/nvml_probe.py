"""Opens one NVML meter in a process of its own and reads it at given moments; prints what it said beside the truth.

Argument: JSON of {"meter": class name, "settings": {...}, "part": [type, index, uuid], "at_s": [seconds after the
opening, ...], "load": [path, [[seconds, share], ...]]}. The board and its faults are set by the environment.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import sys
import time
from pathlib import Path

import fake_nvml

from perwatt.benchmarks.meters import nvml
from perwatt.benchmarks.meters.meter import Part, Unavailable


def main() -> None:
    asked = json.loads(sys.argv[1])
    meter = getattr(nvml, asked["meter"])(**asked.get("settings", {}))
    path, turns = asked.get("load", [None, []])
    load = fake_nvml.LoadFile(Path(path)) if path else None
    try:
        about = meter.open(Part(*asked.get("part", ["cuda", 0])))
    except Unavailable as missing:
        print(json.dumps({"reason": missing.reason, "remedy": missing.remedy}))
        return
    begin_ns = time.monotonic_ns()
    events = [(s, None) for s in asked.get("at_s", [])] + [(s, share) for s, share in turns]
    readings = []
    for at_s, share in sorted(events, key=lambda event: event[0]):
        time.sleep(max(0.0, at_s - (time.monotonic_ns() - begin_ns) * 1e-9))
        if share is None:
            readings.append(meter.read())
        else:
            assert load is not None
            load.set(share)
    time.sleep(0.003)
    truth = ctypes.CDLL("libnvidia-ml.so.1").fake_nvml_true_energy_j
    truth.restype, truth.argtypes = ctypes.c_double, [ctypes.c_longlong] * 2
    snapshot = meter.snapshot()
    assert snapshot is not None
    print(
        json.dumps(
            {
                "about": dataclasses.asdict(about),
                "values": [r.value for r in readings],
                "statuses": [r.status for r in readings],
                "true_j": [truth(readings[0].mono_ns, r.mono_ns) for r in readings],
                "seconds": [(r.mono_ns - begin_ns) * 1e-9 for r in readings],
                "snapshot": dataclasses.asdict(snapshot),
            }
        )
    )


if __name__ == "__main__":
    main()
