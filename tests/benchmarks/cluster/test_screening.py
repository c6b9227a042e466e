"""Who passed, by what the nodes wrote: each that differs, failed or is missing is named with the reason."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from pathlib import Path

import msgspec
import pytest
import records
from clock import stands_still
from facility_servers import until
from known_meter import Known

from perwatt.benchmarks import environment, folder
from perwatt.benchmarks.cluster import node
from perwatt.benchmarks.cluster.node import TRY, SignOfLife
from perwatt.benchmarks.cluster.screening import ended, judge, watch
from perwatt.benchmarks.launch.job import Command, Job, Launcher
from perwatt.benchmarks.meters.meter import Capabilities, Part
from perwatt.results.accept.screened import Screened
from perwatt.results.fleet.layout import ALIVE
from perwatt.results.recheck import Rechecks, Wrong
from perwatt.results.record import Device, Failed, Outcome
from perwatt.results.rounds import Round
from perwatt.results.run import ENVIRONMENT
from perwatt.results.store import RECORDS


def wrote(
    run: Path, host: str, gpus: int = 8, outcome: Outcome | None = None, driver: str = "580.1", **more: str
) -> None:
    """What a node leaves that has so many GPUs and one record."""
    where = run / "nodes" / host
    where.mkdir(parents=True)
    devices = [{"name": "NVIDIA H100 80GB HBM3", "index": index} for index in range(gpus)]
    about = {"devices": devices, "kernel": "6.1", "packages": {"torch": "2.13.0"}}
    (where / ENVIRONMENT).write_text(json.dumps({**about, "meters": [{"name": "nvml", "driver": driver, **more}]}))
    (where / RECORDS).write_bytes(msgspec.json.encode(records.record(outcome=outcome)) + b"\n")


def test_another_firmware_is_named(tmp_path: Path) -> None:
    for host in ("n0", "n1", "n2"):
        wrote(tmp_path, host, vbios="96.1")
    wrote(tmp_path, "old", vbios="94.0")
    found = judge(tmp_path, dict.fromkeys(("n0", "n1", "n2", "old"), ""))
    assert found["old"].reason == "other software than most nodes: nvml vbios 94.0 (most: 96.1)"
    assert found["n0"].status == "passed"


def test_a_run_keeps_what_its_meters_say_of_driver_and_firmware(monkeypatch: pytest.MonkeyPatch) -> None:
    class Board(Known):
        def open(self, part: Part) -> Capabilities:
            return dataclasses.replace(super().open(part), facts={"driver": "580.1", "vbios": "96.1", "board": "B"})

    monkeypatch.setattr(environment, "build", lambda *_: Board("power", lambda _: 5.0))
    told = environment.probe("nvml", {}, Part("cuda"))
    assert (told["driver"], told["vbios"]) == ("580.1", "96.1")
    assert "board" not in told


def test_one_board_of_several_with_another_vbios_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Board(Known):
        def open(self, part: Part) -> Capabilities:
            vbios = {"vbios": "94.0" if part.index == 2 else "96.1"} if part.type == "cuda" else {}
            return dataclasses.replace(super().open(part), facts=vbios)

    monkeypatch.setattr(environment, "build", lambda *_: Board("power", lambda _: 5.0))
    monkeypatch.setattr(environment.devices, "count", lambda _: 4)
    monkeypatch.setattr(environment.devices, "describe", lambda kind, index: Device(kind, "test GPU", index))
    (meter,) = environment.describe("cuda", {"nvml": {}})["meters"]
    assert meter["vbios"] == "94.0, 96.1"
    assert "vbios" not in environment.describe("cpu", {"rapl": {}})["meters"][0]


def test_firmware_of_a_host_is_kept_as_far_as_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "BIOS", tmp_path / "bios_version")
    monkeypatch.setattr(environment, "NETWORK", tmp_path / "infiniband")
    assert environment.firmware() == {}
    (tmp_path / "bios_version").write_text("2.1.7\n")
    for card, board, version in (("mlx5_0", "MT_1", "28.40\n"), ("mlx5_1", "MT_1", "28.39\n"), ("bnxt_0", "", "227\n")):
        where = tmp_path / "infiniband" / card
        where.mkdir(parents=True)
        (where / "fw_ver").write_text(version)
        if board:
            (where / "board_id").write_text(board)
    assert environment.firmware() == {"bios": "2.1.7", "network MT_1": "28.39, 28.40", "network": "227"}


def test_seven_of_eight_gpus_another_driver_and_a_failed_case_are_named(tmp_path: Path) -> None:
    for host in ("n0", "n1", "n2"):
        wrote(tmp_path, host)
    wrote(tmp_path, "seven", gpus=7)
    wrote(tmp_path, "driver", driver="570.9")
    wrote(tmp_path, "failed", outcome=Failed("wrong result"))
    rechecks = Rechecks(3, 9, 0.1, "float64", None, 0.1, (Wrong(1, 70, "C[1, 2] is 6.5", 1, 0.5, (1, 2)),))
    wrote(tmp_path, "corrupt", outcome=msgspec.structs.replace(records.measured(), rechecks=rechecks))
    (tmp_path / "nodes" / "silent").mkdir()
    hosts = ("n0", "n1", "n2", "seven", "driver", "failed", "corrupt")
    found = judge(tmp_path, {**dict.fromkeys(hosts, ""), "silent": "it never said that it had started"})
    assert [found[host].status for host in hosts] == ["passed"] * 3 + ["failed"] * 4
    assert found["seven"].reason == "7 devices ({0}), most nodes have 8 devices ({0})".format("NVIDIA H100 80GB HBM3")
    assert found["driver"].reason == "other software than most nodes: nvml 570.9 (most: 580.1)"
    assert "wrong result" in found["failed"].reason
    assert found["corrupt"].reason == "matmul fp32 k0: wrong output: C[1, 2] is 6.5"
    assert found["silent"] == Screened("missing", "it never said that it had started")


def test_a_case_that_failed_in_an_early_round_is_named(tmp_path: Path) -> None:
    for host, first in (("well", records.measured()), ("ill", Failed("wrong result"))):
        wrote(tmp_path, host)
        rounds = [(1, first), (2, records.measured())]
        lines = [msgspec.structs.replace(records.record(outcome=o), round=Round(n, 1.0)) for n, o in rounds]
        path = tmp_path / "nodes" / host / RECORDS
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    found = judge(tmp_path, {"well": "", "ill": ""})
    assert found["well"].status == "passed"
    assert found["ill"] == Screened("failed", "matmul fp32 k0: wrong result (round 1)", "its records")


class Local(Launcher):
    """Starts a shell in place of the nodes."""

    name = "local"

    def __init__(self, script: str) -> None:
        super().__init__()
        self.script = script

    def command(self, job: Job) -> Command:
        return Command(["/bin/sh", "-c", self.script], dict(job.environment), {})


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    for host in ("a", "b"):
        (tmp_path / "nodes" / host).mkdir(parents=True)
    return tmp_path


SAYS = 'echo "{\\"beat\\": 1, \\"exit\\": %d}" > nodes/%s/alive.json'


def test_asked_to_stop_the_nodes_are_told_by_a_file_which_every_launcher_carries(
    nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(nodes)
    (nodes / f"{TRY}earlier").touch()
    asked = threading.Timer(0.3, lambda: None)
    asked.start()
    own = f'[ "$(echo $PWD/{TRY}*)" = "$PERWATT_TRY" ]'  # and no other
    script = f'{own} || exit; while [ -e "$PERWATT_TRY" ]; do sleep 0.05; done; {SAYS % (130, "a")}; {SAYS % (0, "b")}'
    found = watch(Local(script), nodes, ("a", "b"), 20, lambda _: None, lambda: not asked.is_alive())
    assert found == {"a": "it was interrupted", "b": ""}
    assert not ended(nodes / "nodes" / "a")
    assert ended(nodes / "nodes" / "b")


def test_the_last_words_of_a_node_that_an_earlier_try_gave_up_are_not_this_tries(
    nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(nodes)
    late = 'echo "{\\"try\\": \\"earlier\\", \\"exit\\": 1}" > nodes/a/alive.json'
    script = f"{late}; {SAYS % (0, 'b')}; sleep 1; {SAYS % (130, 'a')}"
    found = watch(Local(script), nodes, ("a", "b"), 20, lambda _: None)
    assert found == {"a": "it was interrupted", "b": ""}


def test_a_file_system_that_answers_nobody_for_a_while_makes_no_node_silent(
    nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(nodes)
    clock, read = stands_still(monkeypatch), Path.read_text

    def stalls(path: Path) -> str:
        if path.name == ALIVE and not clock.ahead_s:
            clock.ahead_s = 60
            (nodes / "on").touch()
        return read(path)

    monkeypatch.setattr(Path, "read_text", stalls)
    # what they could not write then they write a little later
    script = f"until [ -e on ]; do sleep 0.05; done; sleep 1; {SAYS % (0, 'a')}; {SAYS % (0, 'b')}"
    assert watch(Local(script), nodes, ("a", "b"), 20, lambda _: None) == {"a": "", "b": ""}


def test_nodes_that_cannot_write_are_named_with_what_keeps_them(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(nodes)
    monkeypatch.setattr("perwatt.benchmarks.cluster.screening.LAST_WORDS_S", 0.0)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    found = watch(Local(SAYS % (0, "a")), nodes, ("a", "b"), 20, lambda _: None)
    assert found["a"] == ""
    assert found["b"].startswith("it never said that it had started; nothing can be written in ")
    assert found["b"].endswith("No space left on device")


def test_a_node_stops_once_its_leader_asks_or_has_begun_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "BEAT_S", 0.02)
    stopped: list[int] = []  # no lock, which a handler might find held
    own = tmp_path / f"{TRY}own"
    life = SignOfLife(tmp_path / ALIVE, own)
    before = signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))

    def gone(_: Path) -> bytes:
        raise OSError(107, "Transport endpoint is not connected")

    try:
        own.touch()
        with monkeypatch.context() as lost:
            lost.setattr(Path, "read_bytes", gone)
            life.start()
            assert not until(lambda: stopped, 0.2)  # nothing is known
        assert not until(lambda: stopped, 0.2)
        own.unlink()
        assert until(lambda: stopped)
    finally:
        life.end(130)
        signal.signal(signal.SIGTERM, before)
    assert json.loads((tmp_path / ALIVE).read_text())["exit"] == 130


def test_a_node_that_is_asked_to_stop_before_its_run_or_after_it_has_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "BEAT_S", 0.02)
    stopped: list[int] = []
    life = SignOfLife(tmp_path / ALIVE, tmp_path / f"{TRY}gone")
    before = signal.signal(signal.SIGTERM, life.ask)
    try:
        life.start()
        os.kill(os.getpid(), signal.SIGTERM)
        assert not until(lambda: stopped, 0.2)
        signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))  # the run has begun
        assert until(lambda: stopped)
    finally:
        life.end(130)
        signal.signal(signal.SIGTERM, before)
    assert json.loads((tmp_path / ALIVE).read_text())["exit"] == 130


def test_a_wrong_request_removes_no_run_whose_nodes_have_measured(tmp_path: Path) -> None:
    wrote(tmp_path / "run", "n0")
    (tmp_path / "run" / RECORDS).touch()
    folder.discard(tmp_path / "run")
    assert (tmp_path / "run" / "nodes" / "n0" / RECORDS).exists()
