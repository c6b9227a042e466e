"""Measures windows of a stand-in board with perwatt and with zeus at once, and prints both errors against the truth.

Arguments: JSON of {"windows": [seconds, ...], "seed": n, "gain": g}. The curve is the library's, by its environment.
"""

from __future__ import annotations

import ctypes
import json
import logging
import random
import sys
import time

from zeus.monitor import ZeusMonitor

from perwatt.benchmarks.meters.meter import Part
from perwatt.benchmarks.meters.nvml import NvmlEnergy, NvmlInstant
from perwatt.benchmarks.sampler import Sampler, open_meters
from perwatt.benchmarks.window import Window


def main() -> None:
    asked = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    truth = ctypes.CDLL("libnvidia-ml.so.1").fake_nvml_true_j
    truth.restype, truth.argtypes = ctypes.c_double, [ctypes.c_longlong] * 2
    channels, missing = open_meters({"energy": NvmlEnergy(), "instant": NvmlInstant()}, Part("cuda"), host=True)
    assert not missing
    for channel in channels:  # as a calibration file sets it
        channel.correction = (1 / asked["gain"], 0.0)
    zeus = ZeusMonitor(gpu_indices=[0], cpu_indices=[])
    drawn = random.Random(asked["seed"])
    with Sampler(channels) as sampler:
        for seconds in asked["windows"]:
            sampler.hurry(True)
            time.sleep(0.35 + drawn.uniform(0, 0.1))  # the load runs before the window
            window = Window(sampler)
            zeus.begin_window("w", sync_execution=False)
            begin_ns = time.monotonic_ns()
            window.open()
            if seconds > 1:
                time.sleep(0.3)
                sampler.hurry(False)
                time.sleep(seconds - 0.6)
                sampler.hurry(True)
                time.sleep(0.3)
            else:
                time.sleep(seconds)
            window.close()
            end_ns = time.monotonic_ns()
            measured = zeus.end_window("w", sync_execution=False)
            time.sleep(0.35)  # ... and after it
            found = {e.meter: e for e in window.energies()}
            counter = found.get("energy")
            ours = truth(window.start_ns, window.end_ns)
            flags = sorted({f for e in found.values() for f in e.flags})
            print(
                json.dumps(
                    {
                        "seconds": seconds,
                        "perwatt": counter.energy_j / ours - 1 if counter else None,
                        "zeus": measured.gpu_energy[0] / asked["gain"] / truth(begin_ns, end_ns) - 1,
                        "flags": flags if counter else ["no energy", *flags],
                    }
                )
            )


if __name__ == "__main__":
    main()
