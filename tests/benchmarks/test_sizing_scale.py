"""How fast ``perwatt size`` is, and how much memory a year of seconds takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from sizing_calls import NODES


@pytest.mark.slow
@pytest.mark.alone
def test_the_front_is_fast_and_a_sizing_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from perwatt.benchmarks.cli import main; code = main(sys.argv[1:]);"
        "print([m for m in ('torch', 'triton', 'hydra', 'pandas') if m in sys.modules]); sys.exit(code)"
    )

    def loaded(*arguments: str) -> tuple[list[str], float]:
        start = time.perf_counter()
        argv = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout.splitlines()[-1].replace("'", '"')), time.perf_counter() - start

    assert loaded("size", "--help")[0] == []
    assert min(loaded("--help")[1] for _ in range(5)) < 0.5
    modules, _ = loaded("size", *NODES, "out=null")
    assert "torch" not in modules
    assert "triton" not in modules


def used(argv: list[str], cwd: Path) -> tuple[int, float, float, int]:
    """Exit code, wall and processor seconds, and the most memory in bytes of a process of its own."""
    start = time.perf_counter()
    with open(cwd / "said.txt", "wb") as said:
        process = subprocess.Popen(argv, cwd=cwd, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def a_year(path: Path, count: int) -> Path:
    """Seconds of a node that computes and communicates in turn and rests on Sundays."""
    parquet = path.suffix == ".parquet"
    schema = pa.schema([("t_s", pa.float64() if parquet else pa.int64()), ("power_w", pa.float64())])
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, schema) if parquet else pa_csv.CSVWriter(path, schema) as file:
        for first in range(0, count, 1 << 20):
            t = np.arange(first, min(first + (1 << 20), count))
            watts = np.where(t % 97 < 70, 9500.0, 7200.0) * np.where((t // 86_400) % 7 == 6, 0.3, 1.0)
            watts = np.round(np.clip(watts + rng.normal(0, 60, len(t)), 0, None), 1)
            stamps = pa.array(t + 1_767_225_600).cast(schema.field(0).type)
            file.write_batch(pa.record_batch([stamps, pa.array(watts)], schema=schema))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_year_of_seconds_fits_in_two_gibibytes(
    tmp_path: Path, record_property: Callable[[str, object], None], kind: str
) -> None:
    path = a_year(tmp_path / f"year.{kind}", 31_536_000)
    # what any tool has to do first, on the same machine at the same time: a ratio holds on a busy one too
    program = f"import sys, pandas; t = pandas.read_{kind}(sys.argv[1]); t.power_w.sort_values()"
    code, read_s, read_cpu_s, _ = used([sys.executable, "-c", program, str(path)], tmp_path)
    assert code == 0
    sized = [sys.executable, "-m", "perwatt.benchmarks.cli", "size", "system=sr780a_b200", "nodes=64", f"trace={path}"]
    code, wall_s, cpu_s, most_bytes = used(sized, tmp_path)
    said = (tmp_path / "said.txt").read_text()
    for name, value in (("wall_s", wall_s), ("cpu_s", cpu_s), ("read_s", read_s), ("read_cpu_s", read_cpu_s),
                        ("gibibytes", most_bytes / 2**30)):  # fmt: skip
        record_property(name, round(value, 2))
        print(f"{kind} {name} {value:.2f}")
    assert code == 0, said
    assert most_bytes < 2 * 2**30
    assert cpu_s < 4 * read_cpu_s
    lines = json.loads((tmp_path / json.loads(said.splitlines()[-1])["sizing"] / "sizing.json").read_text())["lines"]
    values = {line["key"]: line["value"] for line in lines}
    assert values["transients.swing.period"] == pytest.approx(7 * 86_400)  # rest and work part best
    assert values["transients.ramp_up.1"] is not None
