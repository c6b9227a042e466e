"""Clocks of nodes that are wrong, laid beside their leader's over real sockets; and an agreed start."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from records import measured, record

from perwatt.benchmarks.channel import connect
from perwatt.benchmarks.cluster import begin
from perwatt.benchmarks.cluster.clocks import Clocks, from_config
from perwatt.benchmarks.cluster.comparing import Comparer, asking, compare
from perwatt.benchmarks.cluster.reference import VARIABLE, Reference, reference
from perwatt.benchmarks.cluster.screening import judge
from perwatt.benchmarks.config import BadRequest
from perwatt.results.fleet import clocks, stated
from perwatt.results.fleet.clocks import Compared, Comparison

GIVEN: dict[str, Any] = {"name": "test", "messages": 16, "every_s": 60, "timeout_s": 5, "limit_s": 0.2}
GIVEN |= {"beyond": "fail", "unknown": "warn", "start_wait_s": 5, "lead_s": 0.05}
SETTINGS = Clocks(**GIVEN)
S = 10**9
HOSTS = ("localhost", "n1")  # the last is reached from here


@pytest.fixture(scope="module")
def leader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    made = Reference(tmp_path_factory.mktemp("leader") / "s", HOSTS[::-1], SETTINGS)
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("shift_s", [-18_000.0, -0.003, 0.0, 7.5])
def test_a_shifted_clock_is_found_within_its_uncertainty(leader: Reference, shift_s: float) -> None:
    with asking(leader.path, 5) as ask:
        found = compare(ask, 16, utc_ns=lambda: time.time_ns() + round(shift_s * S))
    assert 0 < found.uncertainty_s < 0.05
    # between the two looks at this machine's clock, in the thread and here, it is one clock
    assert abs(found.offset_s - shift_s) <= found.uncertainty_s + 5e-4
    assert abs(found.leader_ns - leader.utc_ns(found.mono_ns)) <= found.round_trip_ns / 2


def test_a_slow_and_lopsided_network_widens_the_uncertainty_and_no_more(leader: Reference) -> None:
    rng = random.Random(1)
    with asking(leader.path, 5) as ask:

        def late(what: str, **more: Any) -> Any:
            told = ask(what, **more)
            time.sleep(0.004 + rng.expovariate(1 / 0.002))  # on the way back only
            return told

        found = compare(late, 8)
    assert 0.002 < found.uncertainty_s < 0.1
    true_ns = leader.utc_ns(found.mono_ns)
    assert abs(found.leader_ns - true_ns) <= found.round_trip_ns / 2
    assert abs(found.leader_ns - true_ns) > 1e6  # lopsided: the bound is needed


def test_the_file_is_for_its_owner_and_nobody_without_the_secret_is_answered(leader: Reference) -> None:
    assert leader.path.stat().st_mode & 0o777 == 0o600
    line = connect(str(leader.path), 5)
    line.send({"ask": "time", "secret": "guessed"})
    assert line.receive() is None
    line = connect(str(leader.path), 5)
    line.connection.sendall(b"[1]\n\xff\n")
    assert line.receive() is None
    with asking(leader.path, 5) as ask:
        assert ask("time")["heard_ns"]


def test_a_node_keeps_what_it_found_before_and_after_its_run(leader: Reference, tmp_path: Path) -> None:
    node = tmp_path / "n1"
    node.mkdir()
    drift = {"ppm": 200.0}
    zero_ns = time.monotonic_ns()

    def mono_ns() -> int:  # an oscillator that is fast
        now_ns = time.monotonic_ns()
        return now_ns + round((now_ns - zero_ns) * drift["ppm"] * 1e-6) + 77 * S

    comparer = Comparer(node, leader.path, SETTINGS, mono_ns, lambda: time.time_ns() - 3 * S)
    comparer.start()
    while not (node / "clock.json").exists():
        time.sleep(0.01)
    killed = clocks.clock(node)  # here a kill would leave it
    assert killed is not None
    assert killed.uncertainty_s is not None
    assert killed.uncertainty_s > 60 * 500e-6
    time.sleep(0.3)
    comparer.end()
    whole = clocks.clock(node)
    assert whole is not None
    assert whole.uncertainty_s is not None
    assert whole.uncertainty_s < 0.025
    assert len(clocks.compared(node).comparisons) == 2
    assert clocks.compared(node).comparisons[1].offset_s == pytest.approx(-3, abs=0.02)
    before_ns, now_ns, after_ns = leader.now_ns(), mono_ns(), leader.now_ns()
    at = whole.utc(np.array([now_ns]))[0]
    doubt_ns = whole.uncertainty_s * S + 1e6  # it has drifted since
    assert before_ns - doubt_ns <= at <= after_ns + doubt_ns


def test_a_leader_that_is_gone_is_said(tmp_path: Path) -> None:
    gone = Reference(tmp_path / "s", ("localhost",), SETTINGS)
    gone.close()
    Comparer(tmp_path, gone.path, SETTINGS)._once(ended=True)
    assert "refused" in clocks.compared(tmp_path).error
    said: list[str] = []
    with reference(tmp_path, ("no-such-host.invalid",), SETTINGS, said.append) as made:
        assert made is None
    assert said[0].startswith("clocks are not compared: no-such-host.invalid: ")


@pytest.mark.parametrize(
    ("offset_s", "changes", "status", "said"),
    [
        (0.15, {}, "passed", ""),
        (0.21, {}, "passed", ""),  # what the doubt of 0.02 s may explain
        (7.0, {}, "failed", "no clock sync: 7 s ahead of the leader (± 0.02 s; allowed 0.2 s)"),
        (-7.0, {"beyond": "warn"}, "passed", "no clock sync: 7 s behind the leader (± 0.02 s; allowed 0.2 s)"),
        (None, {}, "passed", "no clock sync known: nothing compared (refused)"),
        (None, {"unknown": "fail"}, "failed", "no clock sync known: nothing compared (refused)"),
    ],
)
def test_a_node_without_clock_sync_is_named(
    tmp_path: Path, offset_s: float | None, changes: dict[str, str], status: str, said: str
) -> None:
    node = tmp_path / "nodes" / "n0"
    node.mkdir(parents=True)
    (node / "environment.json").write_text(json.dumps({"devices": [{"name": "H100"}]}))
    (node / "records.jsonl").write_bytes(msgspec.json.encode(record("a", measured())) + b"\n")
    each = () if offset_s is None else (Comparison(S, round((60 + offset_s) * S), 60 * S, S // 25),)
    (node / "clock.json").write_text(Compared(each, error="refused").text())
    found = judge(tmp_path, {"n0": ""}, Clocks(**{**GIVEN, **changes}))["n0"]
    assert (found.status, found.reason) == (status, said)


def test_a_wrong_setting_is_one_line() -> None:
    for key, value in (("limit_s", 0), ("beyond", "ignore"), ("lead_s", -1), ("messages", 1.5), ("limits", 1)):
        with pytest.raises(BadRequest, match=f"^clocks.{key}: .*allowed [^\n]*$"):
            from_config({**GIVEN, key: value})


def test_all_begin_at_one_moment_and_the_skew_is_told(
    leader: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(leader.path))
    found: dict[str, int | None] = {}

    def node(host: str, ready_s: float) -> None:
        where = tmp_path / "nodes" / host
        where.mkdir(parents=True)
        time.sleep(ready_s)
        Comparer(where, leader.path, SETTINGS)._once(ended=False)
        found[host] = at = begin.agree(where, SETTINGS, lambda: False)
        assert at is not None
        done = measured()
        late_ns = {"n1": 250_000_000, "localhost": 0}[host]
        window = msgspec.structs.replace(done.repetitions[0], start_ns=at + late_ns)
        done = msgspec.structs.replace(done, repetitions=(window,))
        (where / "records.jsonl").write_bytes(b"broken\n" + msgspec.json.encode(record("a", done)) + b"\n")

    threads = [threading.Thread(target=node, args=one) for one in zip(HOSTS, (0.0, 0.3), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = found["localhost"], found["n1"]
    assert first is not None
    assert second is not None
    assert abs(first - second) < 0.01 * S  # by one machine's clock the same
    (tmp_path / "merged").mkdir()
    (said, lost) = stated.began(tmp_path, [*HOSTS, "n9"])
    assert said.startswith("START first windows of 2 nodes within 0.25")
    assert said.endswith("(n1) after the agreed moment")
    assert lost == "START unknown, the node never wrote: n9"
    told = json.loads((tmp_path / "merged" / "start.json").read_text())
    assert told["skew_s"] == pytest.approx(0.25, abs=0.02)


def test_who_never_comes_is_not_waited_for_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Clocks(**{**GIVEN, "start_wait_s": 0.3})
    leader = Reference(tmp_path / "s", HOSTS[::-1], short)
    leader.start()
    monkeypatch.setenv(VARIABLE, str(leader.path))
    began = time.monotonic()
    at = begin.agree(tmp_path, short, lambda: False)
    assert at is not None
    assert time.monotonic() - began < 20
    assert begin.agree(tmp_path, Clocks(**{**GIVEN, "start_wait_s": 0}), lambda: False) is None
    leader.close()
    assert begin.agree(tmp_path, short, lambda: False) is None  # the leader has gone: at once
    assert VARIABLE in os.environ
