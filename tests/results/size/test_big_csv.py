from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perwatt.results.size import big_csv
from perwatt.results.size.big_csv import read_big
from perwatt.results.size.prometheus_json import read_prometheus
from perwatt.results.traces.table import read_table

METER: dict[str, Any] = {"boundary": "node_ac", "accuracy_class": "C", "accuracy": 0.05}
T0 = 1_764_000_000


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "t_s,power_w\n1764000000.000000001,100\n1764000001.5,200.5\n1764000002,nan\n1764000003,300\n",
        "# a meter\n\nhost,t_ms,power_w\na,1764000000000.25,100\n# a,b\na,1764000001500,\n\na,1764000002000,300 W\n",
        "time,power_w\n2025-11-24T16:00:00.123456789Z,1\n2025-11-24T16:00:01+00:00,2\n",
        "time,power_w\n2025/11/24 16:00:00.5,1\n2025/11/24 16:00:01.5,N/A\n2025/11/24 16:00:02.5,2\n",
        "t_us,other,power_w\n1764000000000000.5, x,1\n1764000000000001, x,2\n",
        "\ufefft_ns,power_w\n1764000000000000001,1\n1764000000000000003,2\n",
        "power_w, t_ms_epoch\n 1, 1764000000000\n 2 , 1764000000001\n",
        "t_s,power_w\n1.764e9,1\n1764000001,2e3\n",
        "t_s,power_w\n#1764000000,3\n1764000000,1\n1764000001,2\n",
    ],
)
def test_what_the_reader_of_small_tables_reads_it_reads_alike(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "node.csv", text)
    small, big = read_table(path, **METER), read_big(path, **METER)
    assert big.t_ns.tolist() == small.t_ns.tolist()
    assert big.power_w.tolist() == small.power_w.tolist()
    assert (big.dropped, big.name, big.source) == (small.dropped, small.name, small.source)
    assert (big.boundary, big.accuracy_class, big.accuracy) == ("node_ac", "C", 0.05)


@pytest.mark.parametrize("timezone", ["Europe/Copenhagen", "+02:00"])
def test_times_of_a_named_zone(tmp_path: Path, timezone: str) -> None:
    path = write(tmp_path / "a.csv", "time,power_w\n2026-01-31 12:00:00,1\n2026-07-31 12:00:00.25,2\n")
    assert read_big(path, timezone=timezone, **METER).t_ns.tolist() == (
        read_table(path, timezone=timezone, **METER).t_ns.tolist()
    )


def test_times_from_the_start_of_the_trace(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "seconds,node_w\n-1,5\n0,6\n1.5,7\n")
    about = {"time": "seconds", "power": "node_w", "unit": "t_s", "start": "2026-01-01T00:00:00Z"}
    assert np.diff(read_big(path, **about, **METER).t_ns).tolist() == [1_000_000_000, 1_500_000_000]
    assert read_big(path, **about, **METER).t_ns.tolist() == read_table(path, **about, **METER).t_ns.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "t_s,power_w\n1764000000,1\n1764000002,2\n1764000001,3\n",
        "# c\nt_s,power_w\n\n1764000000,1\n# 1,2\n1764000002,-2\n",
        "t_s,power_w\n1764000000,1\n1764000002,x\n",
        "t_s,power_w\n1764000000,1\n1764000002,inf\n",
        "t_s,power_w\n1764000000,1\nabc,2\n",
        "t_s,power_w\n0,1\n1,2\n",
        "time,power_w\n2026-01-01T00:00:00,1\nyesterday,2\n",
        "t,watts\n1,1\n",
        "",
        "t_s,power_w\n",
        "t_s,power_w\n1764000000,1\n",
        "t_s,power_w\n1764000000,1\n1764000001\n",
    ],
)
def test_what_the_reader_of_small_tables_refuses_it_refuses_alike(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "node.csv", text)
    with pytest.raises(ValueError, match=r"node\.csv") as small:
        read_table(path, **METER)
    with pytest.raises(ValueError, match=r"node\.csv") as big:
        read_big(path, **METER)
    assert "\n" not in str(big.value)
    assert str(big.value).split(";")[0].split(": found")[0] == str(small.value).split(";")[0].split(": found")[0]


def test_an_hour_that_a_zone_has_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "time,power_w\n2026-10-25 01:30:00,1\n2026-10-25 02:30:00,2\n")
    with pytest.raises(ValueError, match=r"line 3: found .* twice or not at all"):
        read_big(path, timezone="Europe/Copenhagen", **METER)


def test_a_line_with_too_many_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "t_s,power_w\n1764000000,1\n1764000001,2,3\n")
    with pytest.raises(ValueError, match="line 3: found 3 cells; allowed 2, as in the header"):
        read_big(path, **METER)


def test_clocks_that_go_back_between_two_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(big_csv, "BLOCK", 200)
    rows = [f"{T0 + i},{i}" for i in range(100)]
    path = write(tmp_path / "a.csv", "t_s,power_w\n" + "\n".join(rows) + "\n")
    whole = read_big(path, **METER)
    assert whole.power_w.tolist() == list(range(100))
    for at in range(1, 100, 7):
        broken = [*rows[:at], f"{T0 - 5},1", *rows[at:]]
        write(path, "t_s,power_w\n" + "\n".join(broken) + "\n")
        with pytest.raises(ValueError, match=rf"line {at + 2}: found a stamp {at + 4}.000 s before"):
            read_big(path, **METER)


def test_gzip_and_other_bytes(tmp_path: Path) -> None:
    text = "t_s,power_w\n1764000000,1\n1764000001,2\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert read_big(tmp_path / "a.csv.gz", **METER).power_w.tolist() == [1.0, 2.0]
    (tmp_path / "b.csv").write_bytes(b"t_s,power_w\n1764000000,1\n\xff\xfe,2\n")
    with pytest.raises(ValueError, match=r"b\.csv: found .*UTF"):
        read_big(tmp_path / "b.csv", **METER)
    with pytest.raises(ValueError, match=r"c\.csv: found No such file"):
        read_big(tmp_path / "c.csv", **METER)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("t_ns", pa.array([T0 * 10**9, T0 * 10**9 + 5], pa.int64())),
        ("t_s", pa.array([float(T0), T0 + 0.5], pa.float64())),
        ("time", pa.array([T0 * 1000, T0 * 1000 + 500], pa.timestamp("ms"))),
        ("time", pa.array([T0 * 1000, T0 * 1000 + 500], pa.timestamp("ms", "Europe/Copenhagen"))),
        ("time", pa.array(["2025-11-24T16:00:00Z", "2025-11-24T16:00:01Z"])),
    ],
)
def test_parquet(tmp_path: Path, name: str, column: pa.Array) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": ["a", "b"], name: column, "power_w": pa.array([5, 6])}), path)
    found = read_big(path, **METER)
    assert found.power_w.tolist() == [5.0, 6.0]
    assert int(found.t_ns[0]) == T0 * 10**9
    assert found.t_ns[1] > found.t_ns[0]


def test_parquet_without_readings_and_with_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    t = pa.array([T0 + i for i in range(4)])
    pq.write_table(pa.table({"t_s": t, "power_w": pa.array([1.0, None, float("nan"), 4.0])}), path)
    found = read_big(path, **METER)
    assert (found.power_w.tolist(), found.dropped) == ([1.0, 4.0], 2)
    pq.write_table(pa.table({"t_s": t, "power_w": pa.array([1.0, 2.0, -3.0, 4.0])}), path)
    with pytest.raises(ValueError, match=r"line 3: found power_w -3"):
        read_big(path, **METER)
    pq.write_table(pa.table({"t_s": t[::-1], "power_w": pa.array([1.0, 2.0, 3.0, 4.0])}), path)
    with pytest.raises(ValueError, match=r"line 2: found a stamp 1\.000 s before"):
        read_big(path, **METER)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"a\.parquet: found") as caught:
        read_big(path, **METER)
    assert "\n" not in str(caught.value)


def answer(*values: tuple[Any, Any], **metric: str) -> dict[str, Any]:
    return {"metric": {"__name__": "node_w", **metric}, "values": [list(v) for v in values]}


def prometheus(path: Path, *series: dict[str, Any]) -> Path:
    return write(path, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": list(series)}}))


def test_a_range_query_of_prometheus(tmp_path: Path) -> None:
    a = answer((T0, "100"), (T0 + 15.001, "NaN"), (T0 + 30, "200.5"), host="a", job="x")
    b = answer((T0, "1"), (T0 + 15, "2"), host="b", job="x")
    found = read_prometheus(prometheus(tmp_path / "q.json", a, b), **METER)
    assert [t.name for t in found] == ["node_w:a", "node_w:b"]
    assert found[0].power_w.tolist() == [100.0, 200.5]
    assert (found[0].dropped, found[0].t_ns.tolist()) == (1, [T0 * 10**9, (T0 + 30) * 10**9])


@pytest.mark.parametrize(
    ("series", "found"),
    [
        ([], "found no series"),
        ([answer((T0, "1"), (T0 + 1, "-2"))], "series 1 value 2: found -2; allowed watts, 0 or more"),
        ([answer((T0, "1"), (T0 + 1, "+Inf"))], r"series 1 value 2: found \+Inf"),
        ([answer((T0, "1"), (T0 - 1, "2"))], "series 1 value 2: found a stamp before the one above it"),
        ([answer((T0, "1"), (T0 + 1, "x"))], "series 1 value 2: found 'x'"),
        ([answer((T0, "1"))], "series 1: found 1 readings"),
    ],
)
def test_answers_that_are_refused(tmp_path: Path, series: list[dict[str, Any]], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        read_prometheus(prometheus(tmp_path / "q.json", *series), **METER)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[1]", "allowed the answer to a range query"),
        ("{", "allowed the answer to a range query"),
        ('{"status": "error", "error": "timed out"}', "found the error timed out"),
        ('{"data": {"result": [{"values": [[1]]}]}}', r"result\[0\]\.values\[0\]"),
    ],
)
def test_files_that_are_no_answer(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(ValueError, match=found) as caught:
        read_prometheus(write(tmp_path / "q.json", text), **METER)
    assert "\n" not in str(caught.value)
