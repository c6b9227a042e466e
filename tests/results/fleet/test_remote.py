"""Meters that the leader reads beside the nodes said to hang behind them: on series whose truth is known."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pages import Page
from power_files import UTC_NS, write_node

from perwatt.results.fleet import remote
from perwatt.results.fleet.following import Step, correlations, followed, step
from perwatt.results.fleet.remote import Meter
from perwatt.results.reports.html_remote import meters
from perwatt.results.telemetry import fold, write_part

START_S = 40.0  # of the load, after the moment at which all series begin
PERIOD_S = 1.0


def load(seed: int, length_s: float = 240.0) -> np.ndarray:
    """A node's power at 10 Hz from the start of its load on: phases of its own between 400 and 700 W."""
    random = np.random.default_rng(seed)
    n = round(length_s * 10)
    ends = np.cumsum(random.uniform(4, 15, 100))
    return 400 + 300 * (np.searchsorted(ends, np.arange(n) / 10) % 2) + random.normal(0, 8, n)


def wall(of: list[np.ndarray], delay_s: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What a meter says at each second of nodes that idle at 150 W each before: late, with losses and noise."""
    whole = np.concatenate([np.full(round(START_S * 10), 150.0 * len(of)), np.sum(of, axis=0)])
    at_s = np.arange(0, START_S + len(of[0]) / 10, PERIOD_S) + np.random.default_rng(seed).uniform(0, 0.05)
    power_w = np.interp(at_s - delay_s, np.arange(len(whole)) / 10, whole)
    return at_s, 1.1 * power_w + 60 + np.random.default_rng(seed + 1).normal(0, 5, len(at_s))


def write(
    run: Path, loads: dict[str, np.ndarray], meters: dict[str, tuple[tuple[np.ndarray, np.ndarray], Meter]]
) -> None:
    for host, power_w in loads.items():
        node = write_node(run, host, [power_w], begins_s=START_S)
        mono_ns = json.loads((node / "environment.json").read_text())["clock"]["start"]["mono_ns"]
        agreed = [[mono_ns + round(START_S * 1e9), UTC_NS + round(START_S * 1e9)]]
        (node / "start.json").write_text(json.dumps(agreed))
    for rank, ((t_s, power_w), about) in enumerate(meters.values()):
        columns = {"t_ns": UTC_NS + np.round(t_s * 1e9).astype(np.int64), "value": power_w}
        none = np.full(len(t_s), -1)
        write_part(run / "remote", "c", rank, {about.series: {**columns, "repetition": none, "n": none}})
    fold(run / "remote")
    remote.keep(run, [about for _, about in meters.values()])
    (run / "merged").mkdir(exist_ok=True)


def about(name: str, rank: int, *nodes: str, delay_s: float | None = 0.5) -> Meter:
    return Meter(name, nodes, f"power_w:{name}", rank, "node_ac", PERIOD_S, delay_s, 0.05)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()


def test_meters_that_follow_late_early_and_others_are_told_apart(tmp_path: Path) -> None:
    loads = {f"n{i}": load(i) for i in range(6)}
    of = list(loads.values())
    found = {
        "right": (wall([of[0]], 0.8), about("right", 0, "n0")),
        "late": (wall([of[1]], 6.0), about("late", 1, "n1")),
        "early": (wall([of[2]], -3.0), about("early", 2, "n2")),
        "swapped": (wall([of[4]], 0.5), about("swapped", 3, "n3")),
        "flat": ((np.arange(0, 280, 1.0), np.full(280, 320.0)), about("flat", 4, "n4")),
        "new": (wall([of[5]], 2.0), about("new", 5, "n5", delay_s=None)),
        "rack": (wall(of[:3], 0.5), about("rack", 6, "n0", "n1", "n2")),
        "gone": ((np.array([0.0, 1.0]), np.array([1.0, 1.0])), Meter("gone", ("n0",), reason="no answer in 2 s")),
    }
    write(tmp_path, loads, found)
    lines = remote.state(tmp_path)
    told = {one["meter"]: one for one in json.loads((tmp_path / "merged" / "remote.json").read_text())}
    verdicts = {name: one["verdict"] for name, one in told.items()}
    assert verdicts == {
        "right": "ok", "late": "late", "early": "early", "swapped": "other", "flat": "no_step", "new": "unknown",
        "rack": "ok", "gone": "unknown",
    }  # fmt: skip
    assert told["right"]["delay_s"] == pytest.approx(0.8, abs=0.3)
    assert told["late"]["delay_s"] == pytest.approx(6.0, abs=0.5)
    assert told["early"]["delay_s"] == pytest.approx(-3.0, abs=0.5)
    assert told["swapped"]["instead"] == ["n4"]
    assert told["rack"]["match"] > 0.95
    assert lines[3].startswith("METER FOLLOWS ANOTHER swapped of n3: goes along with n4 instead: correlation 0.9")
    assert lines[1].startswith("METER LATE late of n1: steps 5")
    assert lines[4] == "METER DOES NOT FOLLOW flat of n4: it does not step with the load"
    assert "never characterised" in lines[5]
    assert lines[7] == "METER UNDECIDED gone of n0: no answer in 2 s"
    text = Page(meters(tmp_path)).text
    assert "4 of 8 do not." in text
    assert re.search(r"swapped follows another n3 .* goes along with n4; correlation 0\.9", text)
    assert re.search(r"late late n1 [56]\.?\d* s 500 ms ± ", text)
    assert re.search(r"gone undecided n0 .* no answer in 2 s", text)
    assert text.index("swapped") < text.index("gone") < text.index("right")


def test_of_nodes_that_do_all_the_same_nobody_is_accused(tmp_path: Path) -> None:
    same = load(1)
    loads = {f"n{i}": same + np.random.default_rng(i).normal(0, 8, len(same)) for i in range(6)}
    wired = [1, 0, 2, 3, 4, 5]  # two are swapped, which nobody can see here
    found = {f"m{i}": (wall([loads[f"n{k}"]], 0.5, i), about(f"m{i}", i, f"n{i}")) for i, k in enumerate(wired)}
    write(tmp_path, loads, found)
    remote.state(tmp_path)
    told = json.loads((tmp_path / "merged" / "remote.json").read_text())
    assert {one["verdict"] for one in told} == {"ok"}


def test_a_meter_of_a_node_that_never_began_follows_whom_it_follows(tmp_path: Path) -> None:
    loads = {f"n{i}": load(i) for i in range(3)}
    found = {
        "a": (wall([loads["n2"]], 0.5), about("a", 0, "n9")),
        "b": ((np.arange(0, 280, 1.0), np.full(280, 150.0)), about("b", 1, "n8")),
    }
    write(tmp_path, loads, found)
    one, two = remote.check(tmp_path, remote.meters(tmp_path))
    assert (one.verdict, one.instead) == ("other", ("n2",))
    assert (two.verdict, two.reason) == ("ok", "it does not step with the load, nor did its nodes begin a load")


def test_without_meters_of_the_nodes_the_step_is_seen_all_the_same(tmp_path: Path) -> None:
    loads = {"n0": load(0)}
    write(tmp_path, loads, {"a": (wall([loads["n0"]], 0.7), about("a", 0, "n0"))})
    (tmp_path / "nodes/n0/telemetry.parquet").unlink()
    (one,) = remote.check(tmp_path, remote.meters(tmp_path))
    assert (one.verdict, one.match) == ("ok", None)
    assert one.delay_s == pytest.approx(0.7, abs=0.3)


def test_no_meters_no_file_and_a_bad_one_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()
    assert meters(tmp_path) == ""
    (tmp_path / "merged" / "remote.json").write_text("[{}]")
    with pytest.raises(ValueError, match=r"remote.json: not readable as meters .*; perwatt merge run="):
        meters(tmp_path)
    (tmp_path / "merged" / "remote.json").write_text("[]")
    assert remote.state(tmp_path) == []
    assert not (tmp_path / "merged" / "remote.json").exists()
    (tmp_path / "remote" / "meters.json").write_text('[{"name": 1}]')
    with pytest.raises(ValueError, match=r"meters.json: found no meters .*; allowed what perwatt wrote"):
        remote.state(tmp_path)


@pytest.mark.parametrize("seed", range(30))
def test_a_step_is_found_to_a_fraction_of_the_period(seed: int) -> None:
    random = np.random.default_rng(seed)
    delay_s, period_s = random.uniform(-4, 8), random.uniform(0.5, 3)
    t_s = np.arange(-25, 40, period_s) + random.uniform(0, period_s)
    power_w = 300 + 700 * (t_s >= delay_s) + random.normal(0, 10, len(t_s))
    course = np.array([0.0, 35.0]), np.ones(2)
    found = step(t_s, power_w, *course, 25.0)
    assert isinstance(found, Step)
    assert abs(found.delay_s - delay_s) <= period_s
    assert step(t_s, 300 + random.normal(0, 10, len(t_s)), *course, 25.0) == "no step"
    assert "readings" in str(step(t_s[t_s > -2 * period_s], power_w[t_s > -2 * period_s], *course, 25.0))


def test_correlations_are_numpy_s_over_what_both_have_seen() -> None:
    random = np.random.default_rng(3)
    a, b = random.normal(1e5, 1, (3, 50)), random.normal(0, 1, (4, 50))
    seen_a, seen_b = random.random((3, 50)) > 0.2, random.random((4, 50)) > 0.2
    found = correlations((a, seen_a), (b, seen_b))
    for i in range(3):
        for j in range(4):
            both = seen_a[i] & seen_b[j]
            assert found[i, j] == pytest.approx(np.corrcoef(a[i, both], b[j, both])[0, 1], abs=1e-6)
    assert np.isnan(correlations((np.ones((1, 50)), np.ones((1, 50), bool)), (b, seen_b))).all()


def test_wrong_wiring_is_found_and_right_wiring_is_not_accused() -> None:
    """100 fleets of 20 nodes; in half of them two are swapped."""
    accused = missed = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        nodes = np.array([load(1000 * seed + i, 120.0)[::10] for i in range(20)])
        order = np.arange(20)
        if swapped := seed % 2:
            order[[3, 7]] = 7, 3
        said = 1.1 * nodes[order] + random.normal(0, 30, nodes.shape)
        all_of_them = np.ones(nodes.shape, dtype=bool)
        match = correlations((said, all_of_them), (nodes, all_of_them))
        found = [followed(row, own) for own, row in enumerate(match)]
        wanted = {3: 7, 7: 3} if swapped else {}
        accused += sum(one is not None and own not in wanted for own, one in enumerate(found))
        missed += sum(found[own] != other for own, other in wanted.items())
    assert (accused, missed) == (0, 0)
