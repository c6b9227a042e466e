"""Node files of a fleet that was never measured, written quickly: one template of a real record's size, filled in."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import numpy as np
from records import case, energy, measured, record

from perwatt.results.record import Conditions, Measured, Target

DEVICES, CASES = 8, 40
MEDIAN_S, ENERGY_J = 0.0125, 300.25  # as the template has them, and nothing else
SPREAD, SLOW, ONE_OF = 0.008, 0.05, 100
COOL = Conditions(
    {"sw_power_cap": 0.5}, {"gpu": (40.0, 61.0)}, {"sm": (1.7e9, 1.8e9)}, {"gpu": 700.0}, {"corrected": 0}
)


def write_fleet(run: Path, nodes: int, asked: int | None = None) -> int:
    """``nodes`` records files of 8 devices and 40 cases each below ``run``, the bytes written. ``asked``: nodes that
    there should be, if they are more.

    Rates spread by 0.8 % (standard deviation), half of the variance a device's own, energies by 0.8 % as well. Of every
    :data:`ONE_OF` devices the first is 5 % slow and draws the same power.
    """
    run.mkdir(parents=True)
    (run / "fleet.json").write_text(
        json.dumps({"hosts": [f"n{i:05}" for i in range(asked or nodes)], "devices": DEVICES})
    )
    (run / "records.jsonl").touch()
    params = {"m": 4096, "n": 4096, "k": 4096, "dtype": "bf16", "backend": "torch", "init": "normal", "seed": 0}
    lines = []
    for device in range(DEVICES):
        for number in range(CASES):
            one = case(
                f"{device:02x}{number:014x}", device_index=device, label=f"bf16 {number}", params=params | {"m": number}
            )
            filled = msgspec.structs.replace(
                record("k"),
                case=one,
                host="HOST!",
                time_utc="2026-01-01T00:00:00Z",
                outcome=_outcome(),
                target=Target("h100_sxm", "nvidia"),
                flags=("noisy",) if number % 10 == 0 else (),
            )
            lines.append(msgspec.json.encode(filled) + b"\n")
    template = b"".join(lines)
    assert len(template) >= 1000 * len(lines)
    # a record has its time once, and its energy in each of two windows
    parts = re.split(rb'(?<="median":)0\.0125|(?<="energy_j":)300\.25', template)
    assert len(parts) == 3 * len(lines) + 1
    for i in range(nodes):
        folder = run / "nodes" / f"n{i:05}"
        folder.mkdir(parents=True)
        made = [""] * (2 * len(parts) - 1)
        made[::2] = [part.decode() for part in parts]
        made[1::2] = _figures(i)
        (folder / "records.jsonl").write_text("".join(made).replace("HOST!", f"n{i:05}"))
    return len(template) * nodes


def bad(nodes: int) -> set[str]:
    """The devices that are slow."""
    return {f"n{at // DEVICES:05}:{at % DEVICES}" for at in range(0, nodes * DEVICES, ONE_OF)}


def _outcome() -> Measured:
    of_gpu = energy("nvml", ENERGY_J, boundary="gpu", terms={"gain": 0.029, "staleness": 0.001}, instrument="GPU-0")
    found = measured(energy(), of_gpu, median=MEDIAN_S)
    parts = tuple(msgspec.structs.replace(part, conditions=COOL) for part in found.repetitions)
    return msgspec.structs.replace(found, repetitions=parts)


def _figures(node: int) -> list[str]:
    """Of each record of a node the median time and two energies."""
    rng = np.random.default_rng(node)
    own, each = rng.standard_normal((DEVICES, 1)), rng.standard_normal((DEVICES, CASES))
    rate = 1 + SPREAD * (own + each) / 2**0.5
    rate[(node * DEVICES + np.arange(DEVICES)) % ONE_OF == 0] *= 1 - SLOW
    energies = ENERGY_J * (1 + SPREAD * rng.standard_normal((2, DEVICES, CASES))) / rate
    return [f"{value:.7g}" for value in np.stack([MEDIAN_S / rate, *energies], axis=-1).ravel()]
