"""Who passed, by what the nodes wrote: each that differs, failed or is missing is named with the reason."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
from pathlib import Path

import msgspec
import pytest
import records
from known_meter import Known

from perwatt.benchmarks import environment, folder
from perwatt.benchmarks.cluster import node
from perwatt.benchmarks.cluster.node import STOP, SignOfLife
from perwatt.benchmarks.cluster.screening import Screened, ended, judge, watch
from perwatt.benchmarks.launch.job import Command, Job, Launcher
from perwatt.benchmarks.meters.meter import Capabilities, Part
from perwatt.results.fleet.layout import ALIVE
from perwatt.results.record import Failed, Outcome
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


def test_seven_of_eight_gpus_another_driver_and_a_failed_case_are_named(tmp_path: Path) -> None:
    for host in ("n0", "n1", "n2"):
        wrote(tmp_path, host)
    wrote(tmp_path, "seven", gpus=7)
    wrote(tmp_path, "driver", driver="570.9")
    wrote(tmp_path, "failed", outcome=Failed("wrong result"))
    (tmp_path / "nodes" / "silent").mkdir()
    hosts = ("n0", "n1", "n2", "seven", "driver", "failed")
    found = judge(tmp_path, {**dict.fromkeys(hosts, ""), "silent": "it never said that it had started"})
    assert [found[host].status for host in hosts] == ["passed"] * 3 + ["failed"] * 3
    assert found["seven"].reason == "7 devices (NVIDIA H100 80GB HBM3), most nodes have 8"
    assert found["driver"].reason == "other software than most nodes: nvml 570.9 (most: 580.1)"
    assert "wrong result" in found["failed"].reason
    assert found["silent"] == Screened("missing", "it never said that it had started")


class Local(Launcher):
    """Starts a shell in place of the nodes."""

    name = "local"

    def __init__(self, script: str) -> None:
        super().__init__()
        self.script = script

    def command(self, job: Job) -> Command:
        return Command(["/bin/sh", "-c", self.script], {}, {})


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
    (nodes / STOP).touch()  # an earlier try's
    asked = threading.Timer(0.3, lambda: None)
    asked.start()
    script = f"sleep 0.1; until [ -e {STOP} ]; do sleep 0.05; done; {SAYS % (130, 'a')}; {SAYS % (0, 'b')}"
    found = watch(Local(script), nodes, ("a", "b"), 20, lambda _: None, lambda: not asked.is_alive())
    assert found == {"a": "it was interrupted", "b": ""}
    assert not ended(nodes / "nodes" / "a")
    assert ended(nodes / "nodes" / "b")


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


def test_a_node_passes_on_that_the_leader_asks_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "BEAT_S", 0.02)
    stopped = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    life = SignOfLife(tmp_path / ALIVE, tmp_path / STOP)
    try:
        life.start()
        (tmp_path / STOP).touch()
        assert stopped.wait(5)
    finally:
        life.end(130)
        signal.signal(signal.SIGTERM, before)
    assert json.loads((tmp_path / ALIVE).read_text())["exit"] == 130


def test_a_wrong_request_removes_no_run_whose_nodes_have_measured(tmp_path: Path) -> None:
    wrote(tmp_path / "run", "n0")
    (tmp_path / "run" / RECORDS).touch()
    folder.discard(tmp_path / "run")
    assert (tmp_path / "run" / "nodes" / "n0" / RECORDS).exists()
