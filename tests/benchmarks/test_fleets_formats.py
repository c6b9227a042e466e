"""Traces in every format: told by what they hold, they mean the same, and a clock that jumps ahead is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sizing_calls import SECONDS, SWING_W, T0, trace

from perwatt.results.size.trace_file import read_traces
from tests.fleets_of import NODE, asked


def as_csv(path: Path, t_s: np.ndarray = SECONDS) -> Path:
    return trace(path / "node.csv", t_s)


def as_gzip(path: Path, t_s: np.ndarray = SECONDS) -> Path:
    (path / "node.csv.gz").write_bytes(gzip.compress(as_csv(path, t_s).read_bytes()))
    return path / "node.csv.gz"


def as_parquet(path: Path, t_s: np.ndarray = SECONDS) -> Path:
    pq.write_table(pa.table({"t_s": t_s + float(T0), "power_w": SWING_W}), path / "node.parquet")
    return path / "node.parquet"


def as_prometheus(path: Path, t_s: np.ndarray = SECONDS) -> Path:
    values = [[T0 + t, f"{w:g}"] for t, w in zip(t_s.tolist(), SWING_W.tolist(), strict=True)]
    result = [{"metric": {"__name__": "node_power_watts", "instance": "n1"}, "values": values}]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    (path / "node.json").write_text(json.dumps(answer))
    return path / "node.json"


def as_mlperf(path: Path, t_s: np.ndarray = SECONDS) -> Path:
    def event(key: str, t: int, value: float) -> str:
        about = {"time_ms": 1000 * (T0 + t), "event_type": "POINT_IN_TIME", "key": key, "value": value, "metadata": {}}
        return f":::MLLOG {json.dumps(about)}"

    lines = [event("power_reading", t, w) for t, w in zip(t_s.tolist(), SWING_W.tolist(), strict=True)]
    whole = [event("power_measurement_start", 0, 0), *lines, event("power_measurement_stop", 1000, 0)]
    (path / "node_0.txt").write_text("\n".join(whole) + "\n")
    return path / "node_0.txt"


def as_spl(path: Path, t_s: np.ndarray = SECONDS) -> Path:
    lines = []
    for t, w in zip(t_s.tolist(), SWING_W.tolist(), strict=True):
        stamp = np.datetime64(T0 + t, "s").item().strftime("%m-%d-%Y %H:%M:%S.000")
        lines.append(f"Time,{stamp},Watts,{w:.6f},Volts,230.0,Amps,40.0,PF,0.98,Mark,run")
    (path / "spl.txt").write_text("\n".join(lines) + "\n")
    return path / "spl.txt"


JUMPED = SECONDS + np.where(SECONDS < 500, 0, 3600)
FORMATS = [as_csv, as_gzip, as_parquet, as_prometheus, as_mlperf, as_spl]


@pytest.mark.parametrize("written", FORMATS, ids=lambda f: f.__name__)
def test_each_format_is_told_by_what_it_holds_and_means_the_same(tmp_path: Path, written: Callable[..., Path]) -> None:
    ((entry, recorded),) = asked(*NODE, f"trace={written(tmp_path)}")
    assert entry.load.kind == "measured"
    assert entry.load.mean_w == pytest.approx(SWING_W.mean(), rel=0.002)
    assert entry.load.at(1.0, 1.0) == pytest.approx(9500)
    assert recorded is not None
    np.testing.assert_allclose(recorded[0][:3], [0, 1, 2])
    assert recorded[1].max() == 9500


@pytest.mark.parametrize("written", FORMATS, ids=lambda f: f.__name__)
def test_in_each_format_a_clock_that_jumps_ahead_is_refused_unless_it_is_left_out(
    tmp_path: Path, written: Callable[..., Path]
) -> None:
    path = written(tmp_path, JUMPED)
    with pytest.raises(ValueError, match="found a jump of 3601 s ahead after reading 500, 2026-01-01 00:08:19") as no:
        read_traces(path)
    assert str(path) in str(no.value)
    assert "allowed steps of 3 times the 1 s between readings or of 5 s, or gaps=leave_out" in str(no.value)
    assert "\n" not in str(no.value)
    (whole,) = read_traces(path, gaps="leave_out")
    assert len(whole.t_ns) == 1000


def test_a_jump_that_is_left_out_is_told_with_the_load(tmp_path: Path) -> None:
    node = f"{{system: dgx_h100, units: 8, trace: {as_csv(tmp_path, JUMPED)}"
    with pytest.raises(ValueError, match="found a jump of 3601 s"):
        asked(f"fleet=[{node}}}]")
    ((entry, _),) = asked(f"fleet=[{node}, gaps: leave_out}}]")
    assert entry.load.seconds == pytest.approx(1000)
    assert "1 gap of 3600 s in all of 4600 s, the longest 3600 s, not bridged" in entry.load.notes


@pytest.mark.parametrize(
    ("period_s", "step_s", "refused"),
    [
        (1, 2, False),  # a lost reading
        (1, 5, False),
        (1, 6, True),
        (60, 180, False),  # two lost readings
        (60, 181, True),
        (900, 4500, True),  # summer time begins
        (0.01, 4.9, False),  # a stall
        (0.01, 5.1, True),
    ],
)
def test_a_jump_is_longer_than_three_periods_and_than_five_seconds(
    tmp_path: Path, period_s: float, step_s: float, refused: bool
) -> None:
    t_s = T0 + np.arange(200) * period_s + np.where(np.arange(200) < 100, 0, step_s - period_s)
    path = tmp_path / "node.csv"
    path.write_text("t_s,power_w\n" + "".join(f"{t:.3f},9000\n" for t in t_s.tolist()))
    if refused:
        with pytest.raises(ValueError, match="after reading 100, 2026"):
            read_traces(path)
    else:
        assert read_traces(path)


@pytest.mark.parametrize(
    ("path", "highest_w"),
    [
        ("mlperf_training_v5_0_lenovo_b200/llama2_70b_lora/node_0.txt.gz", 10_096.0),
        ("mlperf_inference_v4_1/h200x8_resnet50_offline/run_1/spl.txt", 5115.9),
    ],
)
def test_published_logs(data: Path, path: str, highest_w: float) -> None:
    ((entry, recorded),) = asked("system=sr780a_b200", "nodes=8", f"trace={data / 'power_traces' / path}")
    assert recorded is not None
    assert recorded[1].max() == pytest.approx(highest_w)
    # a second's mean reaches the reading, or half of it where the meter's period is that of the window
    assert entry.load.at(1.0, 1.0) == pytest.approx(highest_w, rel=0.02)


def test_columns_say_what_the_table_does_not(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("clock,watts\n" + "".join(f"{t},{w:g}\n" for t, w in zip(SECONDS, SWING_W, strict=True)))
    told = "columns={time: clock, power: watts, unit: t_s, start: '2026-01-31', accuracy: 0.01}"
    ((entry, _),) = asked(*NODE, f"trace={path}", told)
    assert entry.load.mean_w == pytest.approx(SWING_W.mean(), rel=0.002)
    assert entry.load.uncertainty == pytest.approx(0.01 / np.sqrt(3))
