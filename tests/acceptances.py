"""Runs, fleets and criteria for tests of acceptance; their devices are alike but for what a test makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml
from records import energy, measured, record

from perwatt.benchmarks.cli import main
from perwatt.results.accept.criteria import Criteria, from_plain
from perwatt.results.record import Device, Measured, Record, Target
from perwatt.results.store import Store

SOURCED = {"source": "made up", "date": "2026-01-31"}
MEDIAN_S = 0.01
TFLOPS = 2e-4  # of records of tests: 2 MFLOP in 10 ms

Change = Callable[[Record], Record | None]


def devices(count: int, cases: int = 6, host: str = "n1", change: Change = lambda r: r, seed: int = 0) -> list[Record]:
    """Records of ``count`` devices with a natural spread of 0.5 %; ``change`` may alter or drop any."""
    rng = np.random.default_rng(seed)
    out = []
    for device in range(count):
        for case in range(cases):
            joules = energy("nvml", 300.0, boundary="gpu", terms={"gain": 0.01}, instrument=f"{host}:{device}")
            outcome = measured(joules, median=MEDIAN_S * (1 + 0.005 * rng.standard_normal()))
            made = record(
                f"{device}-{case}",
                outcome,
                device_index=device,
                label=f"bf16 {case}",
                params={"m": case, "dtype": "bf16"},
            )
            kind = Device("gpu", "test GPU", device)
            changed = change(msgspec.structs.replace(made, host=host, device=kind, target=Target("test", "nobody")))
            out += [] if changed is None else [changed]
    return out


def slower(one: Record, times: float) -> Record:
    """The same, in so many times the time and for the same energy."""
    outcome = one.outcome
    assert isinstance(outcome, Measured)
    seconds = msgspec.structs.replace(
        outcome.seconds,
        **{k: getattr(outcome.seconds, k) * times for k in ("median", "ci_low", "ci_high", "p5", "p95")},
    )
    return msgspec.structs.replace(one, outcome=msgspec.structs.replace(outcome, seconds=seconds))


def run_of(path: Path, records: list[Record]) -> Path:
    """A run folder with these records."""
    path.mkdir(parents=True)
    with Store(path) as store:
        for one in records:
            store.append(one)
    return path


def fleet_of(
    path: Path, hosts: dict[str, list[Record]], asked: list[str] | None = None, groups: Sequence[Record] = ()
) -> Path:
    """A fleet's folder, merged: each host with its records; ``asked``: the hosts that there should be; ``groups``: what
    they measured together."""
    from perwatt.results.fleet.merge import merge

    for host, records in hosts.items():
        run_of(path / "nodes" / host, records)
    (path / "fleet.json").write_text(json.dumps({"hosts": asked or list(hosts)}))
    (path / "records.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in groups))
    merge(path, jobs=1)
    return path


def criterion(metric: str = "rate", **changes: Any) -> dict[str, Any]:
    """A criterion as a YAML has it; without a limit one within the fleet."""
    found = {"name": f"{metric} of all", "cases": "matmul *", "metric": metric, **changes}
    if not {"at_least", "at_most", "plausible_max", "within_fleet"} & set(found):
        found["within_fleet"] = {"effect": 3, "unit": "%", **SOURCED}
    return found


def limit(value: float, unit: str) -> dict[str, Any]:
    """A limit with a source."""
    return {"value": value, "unit": unit, **SOURCED}


def criteria(*found: dict[str, Any], **changes: Any) -> Criteria:
    """Criteria of these."""
    return from_plain({"name": "test", "criteria": list(found), **changes}, "test.yaml")


def asked(folder: Path, **more: Any) -> str:
    """Criteria that speak of devices alone."""
    (folder / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", "criteria": [criterion(cases="*")], **more}))
    return f"criteria={folder / 'mine.yaml'}"


def judged(run: Path, *arguments: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """What ``perwatt accept`` ends with, and its verdict.json."""
    code = main(["accept", f"run={run}", asked(run.parent, **more), *arguments])
    return code, json.loads((run / "accept" / "verdict.json").read_text())


def of(told: dict[str, Any], scope: str) -> dict[str, str]:
    """What the verdict of each of a scope is."""
    return {v["subject"]: v["status"] for v in told["verdicts"] if v["scope"] == scope}
