"""The readers of recorded traces: what they take, and the one line that they refuse the rest with."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perwatt.results.traces.mlperf import read_node, read_run
from perwatt.results.traces.spec import read_spl, read_window
from perwatt.results.traces.table import read_table
from perwatt.results.traces.trace import Clock, Trace

TAIL = "Volts,230.0,Amps,1.0,PF,0.99,Mark"
SPL = f"""\
Time,07-11-2024 23:00:00.500,Watts,100.0,{TAIL},s_ranging
Time,07-11-2024 23:00:01.500,Watts,-2.0,{TAIL},s_ranging
Time,07-11-2024 23:00:02.500,Watts,300.0,{TAIL},s_testing,Ch1,Watts,300.0,{TAIL.removesuffix(",Mark")}

"""
MERGED = "Time,07-11-2024 23:00:00.500,Watts,700.0,Volts,-1,Amps,-1,PF,-1,Mark,m,Analyzer1,Time,x,Watts,1\n"
T_2300 = 1_720_738_800_000_000_000  # 2024-07-11 23:00:00 UTC


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_an_analysers_log(tmp_path: Path) -> None:
    trace = read_spl(write(tmp_path / "spl.txt", SPL))
    assert trace.t_ns.tolist() == [T_2300 + 500_000_000, T_2300 + 2_500_000_000]
    assert trace.power_w.tolist() == [100.0, 300.0]
    assert trace.dropped == 1
    assert [(m.label, m.end_ns - m.start_ns) for m in trace.marks] == [("s_ranging", 10**9), ("s_testing", 0)]
    assert (trace.name, trace.boundary, trace.accuracy_class, trace.accuracy) == ("spl", "node_ac", "A", 0.01)


def test_merged_analysers_have_their_sum_first_and_a_log_may_be_in_local_time(tmp_path: Path) -> None:
    path = write(tmp_path / "spl.txt", MERGED + MERGED.replace("00.500", "01.500").replace("700", "800"))
    assert read_spl(path).power_w.tolist() == [700.0, 800.0]
    for zone in ("America/Los_Angeles", "-07:00"):
        assert read_spl(path, timezone=zone).t_ns[0] == T_2300 + 7 * 3600 * 10**9 + 500_000_000


def node(**changes: object) -> list[dict[str, object]]:
    start = 1_745_519_750_000
    events: list[dict[str, object]] = [
        {"key": "power_measurement_start", "value": None, "time_ms": start},
        {"key": "conversion_eff", "value": 0.5, "time_ms": start, "metadata": {"measurement_type": "AC"}},
    ]
    events += [{"key": "power_reading", "value": 100.0 * i, "time_ms": start + 1000 * i} for i in range(4)]
    events.append({"key": "power_measurement_stop", "value": None, "time_ms": start + 3000})
    for event in events:
        if event["key"] in changes:
            event["value"] = changes[str(event["key"])]
    return events


def mllog(path: Path, events: list[dict[str, object]]) -> Path:
    text = "a line of something else\n" + "".join(f"0: :::MLLOG {json.dumps(e)}\n" for e in events)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["node_0.txt", "node_0.txt.gz"])
def test_a_nodes_log_on_either_side_of_its_power_supply(tmp_path: Path, name: str) -> None:
    path = mllog(tmp_path / name, node())
    ac, dc = read_node(path), read_node(path, boundary="node_dc")
    assert ac.trace.power_w.tolist() == [100.0, 200.0, 300.0]  # the reading of 0 W was none
    assert ac.trace.dropped == 1
    assert dc.trace.power_w.tolist() == [50.0, 100.0, 150.0]
    assert (dc.efficiency, dc.measurement, dc.trace.accuracy_class) == (0.5, "AC", "C")
    assert ac.t_ns[0] == ac.start_ns == 1_745_519_750 * 10**9
    assert ac.trace.name == "node_0"


@pytest.mark.parametrize(
    ("text", "arguments", "seconds"),
    [
        ("t_s,power_w\n1700000000.000000001,5\n1700000000.5,6\n", {}, [1e-9, 0.5]),
        ("x,t_ms,power_w\na,1700000000000,5\nb,1700000000500.25,6\n", {}, [0.0, 0.50025]),
        ("t_us,power_w\n1700000000000000,5\n1700000000500000,6\n", {}, [0.0, 0.5]),
        ("t_ns,power_w\n1700000000000000000,5\n1700000000000000007,6\n", {}, [0.0, 7e-9]),
        (
            "# a comment\ntime,power_w\n2023-11-14T22:13:20Z,5\n2023-11-14T23:13:20.123456789+01:00,6\n",
            {},
            [0, 0.123456789],
        ),
        ("when,p\n2023/11/14 23:13:20.5,5 W\n2023/11/14 23:13:21,6\n", {"timezone": "Europe/Copenhagen"}, [0.5, 1.0]),
        ("t_s,power_w\n0,5\n0.25,6\n", {"start": "2023-11-14T22:13:20Z"}, [0.0, 0.25]),
    ],
)
def test_a_table_in_every_time_it_may_have(
    tmp_path: Path, text: str, arguments: dict[str, str], seconds: list[float]
) -> None:
    path = write(tmp_path / "pdu.csv", text)
    if text.startswith("when"):
        arguments = {**arguments, "time": "when", "power": "p"}
    trace = read_table(path, boundary="rack", accuracy_class="B", **arguments)  # type: ignore[arg-type]
    assert (trace.t_ns - 1_700_000_000 * 10**9).tolist() == [round(s * 1e9) for s in seconds]
    assert trace.power_w.tolist() == [5.0, 6.0]


def test_a_cell_without_a_reading_is_not_0(tmp_path: Path) -> None:
    text = "t_s,power_w\n1700000000,5\n1700000001,\n1700000002,[N/A]\n1700000003,nan\n1700000004,0\n"
    trace = read_table(write(tmp_path / "a.csv", text), boundary="rack", accuracy_class="B")
    assert trace.power_w.tolist() == [5.0, 0.0]
    assert trace.dropped == 3


def spl(path: Path) -> Trace:
    return read_spl(path)


def table(path: Path) -> Trace:
    return read_table(path, boundary="rack", accuracy_class="B")


def log(path: Path) -> Trace:
    return read_node(path).trace


BAD: list[tuple[Callable[[Path], object], str, str]] = [
    (spl, SPL + "Zeit,1\n", "line 5: found 'Zeit,1'; allowed Time,MM-DD-YYYY"),
    (
        spl,
        SPL.replace("07-11-2024 23:00:02", "17-11-2024 23:00:02"),
        "line 3: found '17-11-2024 23:00:02.500'; allowed MM",
    ),
    (spl, SPL.replace("300.0,V", "many,V"), "line 3: found Watts 'many'; allowed a number"),
    (
        spl,
        SPL.replace("23:00:02", "22:00:02"),
        "line 3: found a stamp 3599.000 s before the one above it; allowed stamps",
    ),
    (spl, SPL[:80], "found 1 readings; allowed 2 or more"),
    (spl, SPL[:60], "line 1: found 'Time,07-11-2024"),
    (spl, "", "found 0 readings; allowed 2 or more"),
    (table, "a,b\n1,2\n", "line 1: found the columns a, b; allowed one of t_s|"),
    (table, "# nothing\n", "found no header; allowed one of t_s|"),
    (table, "t_s,power_w\n1700000000,abc\n", "line 2: found power_w 'abc'; allowed a number of watts"),
    (table, "t_s,power_w\n1700000000,-3\n", "line 2: found power_w -3; allowed watts, 0 or more"),
    (table, "t_s,power_w\n1700000000\n", "line 2: found 1 cells; allowed at least 2"),
    (table, "t_s,power_w\n12.5,3\n", "line 2: found t_s 12.5; allowed a time since 1970, or start, the ISO time of 0"),
    (table, "t_s,power_w\nx,3\n", "line 2: found t_s 'x'; allowed a number"),
    (table, "t_s,power_w\n1e400,3\n", "line 2: found t_s 1e400; allowed a time since 1970"),
    (table, "time,power_w\nnoon,3\n", "line 2: found time 'noon'; allowed an ISO time"),
    (log, "hello\n", "found no :::MLLOG line"),
    (log, ":::MLLOG {\n", "line 1: found ':::MLLOG {'; allowed :::MLLOG {JSON"),
    (
        log,
        ':::MLLOG {"key": "power_reading", "value": "x", "time_ms": 1}\n',
        "line 1: found power_reading 'x'; allowed a n",
    ),
    (
        log,
        ':::MLLOG {"key": "conversion_eff", "value": 94, "time_ms": 1}\n',
        "line 1: found conversion_eff 94; allowed a f",
    ),
    (log, ':::MLLOG {"key": "conversion_eff", "value": 0.9, "time_ms": 1}\n', "found no power_measurement_start"),
    (
        read_window,
        ':::MLLOG {"key": "power_begin", "value": "now"}\n',
        "line 1: found power_begin 'now'; allowed MM-DD",
    ),
    (read_window, ':::MLLOG {"key": "x", "value": 1}\n', "found no power_begin and no power_end"),
    (
        read_run,
        ':::MLLOG {"key": "run_start", "value": 1, "time_ms": 5}\n',
        "found no run_start followed by a run_stop",
    ),
]


@pytest.mark.parametrize(("reader", "text", "says"), BAD)
def test_what_is_wrong_is_told_in_one_line(
    tmp_path: Path, reader: Callable[[Path], object], text: str, says: str
) -> None:
    path = write(tmp_path / "bad.txt", text)
    with pytest.raises(ValueError, match="bad") as caught:
        reader(path)
    message = str(caught.value)
    assert says in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "allowed" in message


def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        table(tmp_path / "none.csv")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not UTF-8"):
        table(tmp_path / "binary")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(SPL.encode() * 100)[:60])
    with pytest.raises(ValueError, match=r"cut\.gz: found"):
        spl(tmp_path / "cut.gz")


def test_a_boundary_that_the_log_cannot_give(tmp_path: Path) -> None:
    events = [e for e in node() if e["key"] != "conversion_eff"]
    with pytest.raises(ValueError, match="no conversion_eff in the log; allowed node_ac"):
        read_node(mllog(tmp_path / "a.txt", events), boundary="node_dc")
    events = node()
    events[1]["metadata"] = {"measurement_type": "DC"}
    with pytest.raises(ValueError, match="allowed node_dc"):
        read_node(mllog(tmp_path / "b.txt", events))
    assert read_node(tmp_path / "b.txt", boundary="node_dc").trace.power_w.tolist() == [100.0, 200.0, 300.0]


def test_time_zones() -> None:
    with pytest.raises(ValueError, match="timezone: found 'Mars/Base'; allowed UTC"):
        Clock("Mars/Base")
    for beyond in ("1969-12-31T23:59:59", "2262-05-01T00:00:00", "9999-12-31T23:59:59"):
        with pytest.raises(ValueError, match="not in the years 1970 to 2261"):
            read_text(beyond, "UTC")
    text = "2026-10-25T02:30:00"  # summer time ends in Copenhagen: the hour comes twice
    with pytest.raises(ValueError, match="twice"):
        read_text(text, "Europe/Copenhagen")
    assert read_text(text, "+02:00") + 3600 * 10**9 == read_text(text, "+01:00")


def read_text(text: str, zone: str) -> int:
    import datetime

    return Clock(zone).ns(datetime.datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"accuracy_class": "F"}, "class: found 'F'; allowed A, B, C, D, E"),
        ({"accuracy": 1.5}, "accuracy: found 1.5"),
        ({"boundary": ""}, "boundary: found nothing"),
        ({"power_w": np.array([1.0, np.nan])}, "not finite"),
        ({"t_ns": np.array([2, 1])}, "go back"),
        ({"t_ns": np.array([1])}, "found (1,) stamps"),
    ],
)
def test_a_trace_keeps_its_own_rules(changes: dict[str, object], says: str) -> None:
    good: dict[str, object] = {
        "name": "a",
        "t_ns": np.array([1, 2]),
        "power_w": np.array([1.0, 2.0]),
        "boundary": "rack",
        "accuracy_class": "B",
        "accuracy": None,
        "source": "a.csv",
    }
    Trace(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r".") as caught:
        Trace(**{**good, **changes})  # type: ignore[arg-type]
    assert says in str(caught.value)
