"""Calls of ``perwatt size`` in tests: what each left and said, and the traces and weather that it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import climates
import numpy as np

FILES = {"sizing.json", "lines.csv", "inputs.csv", "series.csv", "flows.csv", "eed.csv", "report.html", "sizing.xlsx",
         "report.pdf"}  # fmt: skip
NODES = ("system=dgx_h100", "nodes=8", "draws=0")
T0 = 1_767_225_600
SECONDS = np.arange(1000)
SWING_W = np.where(SECONDS % 20 < 14, 9500.0, 7200.0)  # 8810 W in the mean


class Sized:
    """One call in this process: its exit code, what it said, and its sizing as JSON where it left one."""

    def __init__(self, code: int, out: str, err: str, where: Path) -> None:
        self.code, self.out, self.err = code, out, err
        self.last: dict[str, Any] = json.loads(out.splitlines()[-1]) if out else {}
        self.folder = where / self.last["sizing"] if self.last.get("sizing") else None

    @property
    def sizing(self) -> dict[str, Any]:
        assert self.folder is not None, self.err
        found: dict[str, Any] = json.loads((self.folder / "sizing.json").read_text())
        return found

    def values(self) -> dict[str, float | None]:
        return {line["key"]: line["value"] for line in self.sizing["lines"]}


Size = Callable[..., Sized]


def trace(path: Path, t_s: np.ndarray = SECONDS, power_w: np.ndarray = SWING_W) -> Path:
    stamps = (f"{T0 + t},{w:g}" for t, w in zip(t_s.tolist(), power_w.tolist(), strict=True))
    path.write_text("t_s,power_w\n" + "\n".join(stamps) + "\n")
    return path


def epw(path: Path, change: Callable[[list[list[str]]], object] = lambda rows: None) -> Path:
    """A made-up year of a place whose header knows no extremes."""
    dry, humidity = climates.made_up()
    days = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    stamps = [(m, d, h) for m, n in enumerate(days, 1) for d in range(1, n + 1) for h in range(1, 25)]
    rest = ["0"] * 16 + ["9", "999999999", "120", "0.0", "0", "88", "0.2", "0.0", "1.0"]
    rows = [
        ["2009", str(m), str(d), str(h), "60", "?9", f"{t:.1f}", "3.0", f"{r:.0f}", "100500", *rest]
        for (m, d, h), t, r in zip(stamps, dry, humidity, strict=True)
    ]
    change(rows)
    header = ["LOCATION,Somewhere,-,DNK,TMYx,061800,55.63,12.67,1.0,5.0", "DESIGN CONDITIONS,0"]
    header += ["TYPICAL/EXTREME PERIODS,0", "GROUND TEMPERATURES,0", "HOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0"]
    header += ["COMMENTS 1,made up", "COMMENTS 2,", "DATA PERIODS,1,1,Data,Sunday,1/1,12/31"]
    path.write_text("\r\n".join([*header, *(",".join(row) for row in rows)]) + "\r\n")
    return path
