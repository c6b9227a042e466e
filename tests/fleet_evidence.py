"""Evidence of a fleet that was never measured: nodes of eight in racks, two racks on a switch, with a natural spread of
devices, tests and racks, and of positions; a test makes of it what it likes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from perwatt.results.accept.evidence import Evidence
from perwatt.results.accept.positions import of_groups

SLOTS, TESTS = 8, 10
OWN, EACH, RACK = 0.007, 0.004, 0.002  # shares: of a device, of a test, of a rack
KELVIN, RACK_KELVIN = 1.5, 0.7
WARM_SLOT, COSTS, HOTTER = 7, 0.02, 4.0  # the last in the stream of air is 2 % slower everywhere, and 4 K hotter


@dataclass
class Simulated:
    """A fleet of ``racks`` times ``per_rack`` nodes. ``rate`` (1 is usual), ``kelvin`` and ``throttled`` by device,
    ``busbw`` by node; ``rack`` of each node."""

    seed: int
    racks: int = 8
    per_rack: int = 8
    rate: np.ndarray = field(init=False)
    kelvin: np.ndarray = field(init=False)
    throttled: np.ndarray = field(init=False)
    busbw: np.ndarray = field(init=False)
    rack: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        nodes = self.racks * self.per_rack
        self.rack = np.repeat(np.arange(self.racks), self.per_rack)
        shape = nodes, SLOTS
        own = OWN * rng.standard_normal(shape) + RACK * rng.standard_normal(self.racks)[self.rack][:, None]
        self.rate = 1 + own[:, :, None] + EACH * rng.standard_normal((*shape, TESTS))
        self.kelvin = 55 + KELVIN * rng.standard_normal(shape)
        self.kelvin += RACK_KELVIN * rng.standard_normal(self.racks)[self.rack][:, None]
        self.rate[:, WARM_SLOT] *= 1 - COSTS
        self.kelvin[:, WARM_SLOT] += HOTTER
        self.throttled = np.zeros(shape)
        self.busbw = 1 + 0.01 * rng.standard_normal((nodes, 3))

    @property
    def hosts(self) -> list[str]:
        """Their names, by node."""
        return [f"n{i:04}" for i in range(len(self.rack))]

    def evidence(self) -> Evidence:
        """All of it as if it had been read."""
        nodes = len(self.rack)
        at = np.indices((nodes, SLOTS, TESTS)).reshape(3, -1)
        hosts = np.array(self.hosts)
        rate = self.rate.reshape(-1)
        devices = _rows("device", hosts[at[0]], at[1], at[2], "matmul", rate=4e14 * rate)
        devices["subject"] = devices["host"] + ":" + devices["device"].astype(str)
        devices["power"] = 650.0  # all work at the limit of their power
        devices["rate_per_watt"] = devices["rate"] / devices["power"]
        devices["temperature"] = np.round(np.repeat(self.kelvin.reshape(-1), TESTS))
        devices["throttled"] = np.repeat(self.throttled.reshape(-1), TESTS)
        at = np.indices(self.busbw.shape).reshape(2, -1)
        fabric = _rows("node", hosts[at[0]], np.zeros(len(at[0]), int), at[1], "all_reduce", rate=np.nan)
        fabric["busbw"] = 4e11 * self.busbw.reshape(-1)
        fabric["subject"] = fabric["host"]
        names = dict(zip(self.hosts, self.rack, strict=True))
        levels = {
            "rack": {f"r{r}": [h for h in names if names[h] == r] for r in range(self.racks)},
            "leaf": {f"l{r}": [h for h in names if names[h] // 2 == r] for r in range((self.racks + 1) // 2)},
        }
        rows = pd.concat([devices, fabric], ignore_index=True)
        return Evidence(rows, {}, frozenset({"test"}), Path(), of_groups(levels))


def _rows(
    scope: str, hosts: np.ndarray, device: np.ndarray, test: np.ndarray, kernel: str, rate: np.ndarray | float
) -> pd.DataFrame:
    """Rows with everything that :func:`perwatt.results.accept.evidence.figures` says, most of it unknown."""
    rows = pd.DataFrame({"scope": scope, "host": hosts, "device": device, "test": test, "kernel": kernel})
    rows["test"] = kernel + rows["test"].astype(str)
    rows["label"] = "bf16 " + rows["test"]
    unknown = ("rate_per_watt", "power", "busbw", "temperature", "throttled", "ecc", "spread", "u_energy")
    empty = dict.fromkeys(("reason", "flags", "unknown", "invalid", "invalid_energy"), "")
    return rows.assign(
        outcome="measured",
        kind="flops" if kernel == "matmul" else "bytes",
        rate=rate,
        u_rate=0.001,
        indicative=False,
        **empty,
        **dict.fromkeys(unknown, np.nan),
    )
