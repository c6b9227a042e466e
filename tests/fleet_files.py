"""Node files of a fleet that was never measured, written quickly: one template of a real record's size, filled in."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from records import case, energy, measured, record

from perwatt.results.record import Target

DEVICES, CASES = 8, 40


def write_fleet(run: Path, nodes: int, asked: int | None = None) -> int:
    """``nodes`` records files of 8 devices and 40 cases each below ``run``, the bytes written. ``asked``: nodes that
    there should be, if they are more."""
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
                outcome=measured(energy(), energy("nvml", 300.0, boundary="gpu"), median=0.0125),
                target=Target("h100_sxm", "nvidia"),
                flags=("noisy",) if number % 10 == 0 else (),
            )
            lines.append(msgspec.json.encode(filled) + b"\n")
    template = b"".join(lines)
    assert len(template) >= 1000 * len(lines)
    for i in range(nodes):
        folder = run / "nodes" / f"n{i:05}"
        folder.mkdir(parents=True)
        # times differ by node, so that the statistics have something to find
        mine = template.replace(b"HOST!", b"n%05d" % i).replace(
            b'"median":0.0125', b'"median":0.01%05d' % (i * 7919 % 99991)
        )
        (folder / "records.jsonl").write_bytes(mine)
    return len(template) * nodes
