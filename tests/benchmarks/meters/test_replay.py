"""A replayed trace gives back what was recorded, says that it was recorded, and refuses a bad file by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.benchmarks.meters.replay import Replay


def trace(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def at(meter: Replay, seconds: float, monkeypatch: pytest.MonkeyPatch) -> tuple[float | None, str]:
    monkeypatch.setattr("time.monotonic_ns", lambda: meter._start_ns + round(seconds * 1e9))
    reading = meter.read()
    return reading.value, reading.status


def test_power_holds_its_value_and_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Replay(trace(tmp_path / "t.csv", "t_s,power_w\n10,100\n11,200\n12,300\n"))
    about = meter.open(Part("cpu"))
    assert (about.kind, about.replayed, about.period_s) == ("power", True, 1.0)
    assert [at(meter, s, monkeypatch)[0] for s in (0.0, 0.5, 1.5, 2.5)] == [100, 100, 200, 100]


def test_energy_grows_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Replay(trace(tmp_path / "t.csv", "t_s,energy_j\n0,50\n2,250\n"))
    assert meter.open(Part("cpu")).kind == "energy"
    assert at(meter, 1.0, monkeypatch) == (100.0, "ok")
    assert at(meter, 2.5, monkeypatch) == (None, "out_of_range")


def test_without_a_trace_it_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no trace"):
        Replay().open(Part("cpu"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t_s,volts\n0,1\n1,1\n", "needs the columns"),
        ("t_s,power_w\n0,1\n1,x\n", "line 3"),
        ("t_s,power_w\n0,1\n0,1\n", "growing"),
        ("t_s,power_w\n0,1\n", "two rows"),
        ("t_s,power_w\n0,1\n1,nan\n", "finite"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Replay(trace(tmp_path / "t.csv", text))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"meter\.replay\.path: /no/such: No such file"):
        Replay("/no/such")
