"""Samples in parts and folded: readable at every moment, newest part first."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from perwatt.results.telemetry import PARTS, TELEMETRY, fold, load, write_part


def columns(*values: float) -> dict[str, list[float]]:
    n = len(values)
    return {"t_ns": [10 * i for i in range(n)], "value": list(values), "repetition": [-1] * n, "n": [1] * n}


def values(run: Path, case: str) -> list[float]:
    frame = load(run)
    assert frame is not None
    return list(frame[frame.case == case].value)


def test_parts_are_read_before_and_after_folding(tmp_path: Path) -> None:
    write_part(tmp_path, "b", 0, {"seconds": columns(1.0, 2.0), "power_w:x": columns(100.0)})
    write_part(tmp_path, "a", 1, {"seconds": columns(3.0)})
    before = load(tmp_path)
    assert fold(tmp_path) == tmp_path / TELEMETRY
    after = pd.read_parquet(tmp_path / TELEMETRY)
    assert not (tmp_path / PARTS).exists()
    assert before is not None
    assert sorted(before.value) == sorted(after.value) == [1.0, 2.0, 3.0, 100.0]
    assert list(after.columns) == ["case", "series", "rank", "repetition", "t_ns", "value", "n"]
    assert list(after.case) == ["b", "b", "b", "a"]


def test_what_a_meter_said_of_a_device_lies_together_in_order_of_time(tmp_path: Path) -> None:
    later = columns(1.0, 2.0) | {"t_ns": [110, 100]}
    for rank in (1, 0):
        write_part(tmp_path, "a", rank, {"power_w:x": later, "seconds": later})  # type: ignore[dict-item]
        write_part(tmp_path, "b", rank, {"power_w:x": columns(3.0, 4.0), "seconds": columns(1.0)})
    fold(tmp_path)
    found = pd.read_parquet(tmp_path / TELEMETRY)
    assert found.equals(found.sort_values(["rank", "series", "t_ns"], kind="stable"))
    assert list(found[(found["rank"] == 1) & (found.series == "power_w:x")].value) == [3.0, 4.0, 2.0, 1.0]


def test_a_newer_part_replaces_what_was_folded(tmp_path: Path) -> None:
    for case in ("a", "b"):
        write_part(tmp_path, case, 0, {"seconds": columns(1.0)})
    fold(tmp_path)
    write_part(tmp_path, "a", 0, {"seconds": columns(5.0, 6.0)})
    assert values(tmp_path, "a") == [5.0, 6.0]
    fold(tmp_path)
    assert values(tmp_path, "a") == [5.0, 6.0]
    assert values(tmp_path, "b") == [1.0]


def test_a_run_without_samples_has_no_telemetry(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    assert fold(tmp_path) is None


def test_a_part_that_could_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / PARTS).mkdir()
    (tmp_path / PARTS / "a.0.parquet").mkdir()
    with pytest.raises(OSError, match=r"a\.0\.parquet"):
        write_part(tmp_path, "a", 0, {"seconds": columns(1.0)})
    assert [p.name for p in (tmp_path / PARTS).iterdir()] == ["a.0.parquet"]
