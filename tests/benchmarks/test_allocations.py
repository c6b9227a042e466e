"""A run that goes on in another allocation: each coordinator's clocks are kept, and two clocks never make one pair."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from perwatt.benchmarks import folder
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.importing import _clock
from perwatt.results.fleet.clocks import clock


def stamped(run: Path, *whens: str) -> Any:
    for when in whens:
        folder.stamp_clock(run, when)  # type: ignore[arg-type]
    return folder.read_environment(run)["clock"]


def test_on_the_same_clock_the_end_is_the_last_ones(tmp_path: Path) -> None:
    before = stamped(tmp_path, "start", "end")
    after = stamped(tmp_path, "start", "end")
    first, second = after["allocations"]
    assert first == before["allocations"][0]
    assert (after["start"], after["end"]) == (first["start"], second["end"])
    assert (found := clock(tmp_path)) is not None
    assert found.jumped == ""


def test_on_another_machine_the_pair_that_the_run_began_by_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stamped(tmp_path, "start", "end")
    monkeypatch.setattr(folder, "_boot", lambda: "another")
    monkeypatch.setattr(folder.socket, "gethostname", lambda: "n7")
    after = stamped(tmp_path, "start", "end")
    assert (after["start"], after["end"]) == (before["start"], before["end"])
    assert after["allocations"][1]["host"] == "n7"
    assert after["allocations"][1]["end"]["utc_ns"] >= after["allocations"][1]["start"]["utc_ns"]
    says = r"measured under 2 monotonic clocks \(.*, n7\), as it was resumed"
    with pytest.raises(BadRequest, match=says):
        _clock(folder.read_environment(tmp_path), tmp_path)
    assert (found := clock(tmp_path)) is not None
    assert re.match(says, found.jumped)


def test_one_that_ends_before_it_began_leaves_the_others_end_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stamped(tmp_path, "start", "end")
    monkeypatch.setattr(folder.os, "getpid", lambda: 1)
    assert stamped(tmp_path, "end") == before


def test_an_older_run_has_one_pair_and_no_list(tmp_path: Path) -> None:
    pair = {"mono_ns": 5, "utc_ns": 10**18}
    (tmp_path / "environment.json").write_text(json.dumps({"clock": {"start": pair, "end": pair}}))
    assert clock(tmp_path) is not None
    after = stamped(tmp_path, "start", "end")
    assert after["start"] == pair
    assert len(after["allocations"]) == 1
