"""Meters that the leader reads for its nodes: what is asked, what is kept, and controllers that are wired wrongly."""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import require
from omegaconf import OmegaConf
from redfish_server import Service
from simulated_fleet import Fleet, configuration

from perwatt import conf
from perwatt.benchmarks.cluster.collecting import asked, checked, collecting
from perwatt.benchmarks.cluster.reference import utc_clock
from perwatt.benchmarks.config import BadRequest
from perwatt.results import calibration
from perwatt.results.fleet import remote
from perwatt.results.fleet.clocks import Compared, Comparison
from perwatt.results.telemetry import fold, write_part

CONSTANT = {"_target_": "perwatt.benchmarks.meters.constant.Constant", "power_w": 300.0, "poll_s": 0.02}
REDFISH = "perwatt.benchmarks.meters.redfish.Redfish"
POWER = "/redfish/v1/Chassis/1/EnvironmentMetrics"
BEFORE_S, LOAD_S = 5.0, 13.0


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"metres": {}}, "remote.metres: unknown; allowed name, meters, perhaps meters"),
        ({"meters": {"a": CONSTANT}}, "remote.meters.a.nodes: found nothing; allowed the hosts behind this meter"),
        ({"meters": {"a": {"nodes": ["n0"]}}}, "remote.meters.a._target_: None does not lie in"),
        ({"meters": {"a": {**CONSTANT, "nodes": ["n0"], "speed": 1}}}, "remote.meters.a.speed: no such key"),
        (
            {"meters": {"a": {**CONSTANT, "nodes": ["n7"]}}},
            "remote.meters.a.nodes: found 'n7'; allowed hosts of the run",
        ),
    ],
)
def test_what_is_wrong_with_the_request_is_said_in_one_line(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="remote") as refused:
        checked(config, ["n0"])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("file", sorted((Path(conf.__file__).parent / "remote").glob("*.yaml")), ids=lambda p: p.stem)
def test_each_file_that_is_shipped_can_be_built(file: Path) -> None:
    given = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    assert isinstance(given, dict)
    assert given["name"] == file.stem
    assert len(asked(given)) == len(given["meters"])  # type: ignore[arg-type]


def test_what_is_read_is_kept_on_the_leaders_clock_and_what_is_not_is_named(tmp_path: Path) -> None:
    away = {"_target_": REDFISH, "url": None, "nodes": ["n1"]}
    found = asked({"name": "x", "meters": {"a": {**CONSTANT, "nodes": "n[0-1]"}, "b": away}})
    told: list[str] = []
    began_ns = time.time_ns()
    with collecting(tmp_path, found, utc_clock(), told.append):
        time.sleep(0.2)
    assert len(told) == 1
    assert told[0].startswith("WARNING remote meter b: ")
    one, two = remote.meters(tmp_path)
    assert (one.name, one.nodes, one.series, one.delay_s) == ("a", ("n0", "n1"), "power_w:a", None)
    assert (two.name, two.series, bool(two.reason)) == ("b", "", True)
    t_ns, power_w = remote._heard(tmp_path, one) or (np.zeros(0), np.zeros(0))
    assert set(power_w) == {300.0}
    assert began_ns - 10**7 <= t_ns[0] < t_ns[-1] <= time.time_ns() + 10**7
    with collecting(tmp_path, {}, utc_clock(), told.append):
        pass
    assert len(told) == 1


def test_a_request_refuses_a_bad_meter_before_anything_is_measured() -> None:
    from perwatt.benchmarks.config import composed
    from perwatt.benchmarks.plan import check

    plain = composed(["suite=smoke", "device=cpu", "meter=none", "launcher=mpi", "launcher.hosts=[n0,n1]"])
    plain["remote"] = {"meters": {"a": CONSTANT}}
    with pytest.raises(BadRequest, match=r"remote.meters.a.nodes: found nothing"):
        check(plain)


def test_a_fleets_run_reads_them_and_lays_them_beside_its_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Fleet(tmp_path, monkeypatch, 2, lambda _: 1e9)
    monkeypatch.setitem(configuration(), "remote", {"meters": {"a": {**CONSTANT, "nodes": ["n1"]}}})
    played.lead(pairs=False, all=False)
    assert [one.name for one in remote.meters(played.run)] == ["a"]
    (told,) = json.loads((played.run / "merged" / "remote.json").read_text())
    assert (told["verdict"], told["nodes"]) == ("unknown", ["n1"])
    assert "remote" not in (played.run / "nodes" / "n0" / "config.yaml").read_text().replace("remote: {}", "")


@pytest.fixture
def controllers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Service]]:
    """Three controllers, each with what it reads in its resource."""
    require("redfish", bool(importlib.util.find_spec("redfish")))
    monkeypatch.setenv("PERWATT_REDFISH_USER", "reader")
    monkeypatch.setenv("PERWATT_REDFISH_PASSWORD", "correct-horse")
    monkeypatch.setenv("PERWATT_METERS_DIR", str(tmp_path / "meters"))
    found = []
    for n in range(3):
        (tmp_path / f"bmc{n}").mkdir()
        found.append(Service(tmp_path / f"bmc{n}", {POWER: reading(100.0)}, "reader", "correct-horse"))
    yield found
    for one in found:
        one.close()


def reading(power_w: float) -> dict[str, Any]:
    return {"PowerWatts": {"Reading": round(power_w, 1)}}


def drawn(node: int, t_s: np.ndarray) -> np.ndarray:
    """Power of a node in W, ``t_s`` after all began: phases of its own, 500 W before."""
    ends = np.cumsum(np.random.default_rng(node).uniform(1.2, 3.0, 40))
    return np.where(t_s < 0, 100.0, 500 + 300 * (np.searchsorted(ends, t_s) % 2))


@pytest.mark.slow
def test_controllers_that_are_wired_wrongly_or_late_are_found(tmp_path: Path, controllers: list[Service]) -> None:
    """Of three, the second reads the third node and not its own, and the third is 3 s late."""
    meters = {}
    for n, service in enumerate(controllers):
        about = {"_target_": REDFISH, "url": service.url, "path": POWER, "ca_file": str(service.cert), "poll_s": 0.2}
        meters[f"bmc{n}"] = {**about, "nodes": [f"n{n}"]}
        package = f"{service.url}{POWER}"
        # found on the node itself, under the name of the meter there
        known = calibration.Characteristic(package, "redfish", "2026-01-01", "0", f"n{n}", delay_s=0.1)
        calibration.store(known)
    clock = utc_clock()
    start_ns = time.monotonic_ns() + round(BEFORE_S * 1e9)
    over = threading.Event()

    def play() -> None:
        while not over.wait(0.02):
            for service, (node, late_s) in zip(controllers, ((0, 0.0), (2, 0.0), (2, 3.0)), strict=True):
                at_s = (time.monotonic_ns() - start_ns) * 1e-9 - late_s
                service.resources[POWER] = reading(60 + 1.1 * float(drawn(node, np.array([at_s]))[0]))

    player = threading.Thread(target=play)
    player.start()
    run = tmp_path / "run"
    (run / "merged").mkdir(parents=True)
    try:
        with collecting(run, asked({"meters": meters}), clock, print):
            time.sleep(BEFORE_S + LOAD_S)
    finally:
        over.set()
        player.join()
    for node in range(3):
        folder = run / "nodes" / f"n{node}"
        folder.mkdir(parents=True)
        t_s = np.arange(0, LOAD_S, 0.1)
        none = np.full(len(t_s), -1)
        columns = {"t_ns": start_ns + np.round(t_s * 1e9).astype(np.int64), "value": drawn(node, t_s)}
        write_part(folder, "c", 0, {"power_w:nvml": {**columns, "repetition": none, "n": none}})
        fold(folder)
        (folder / "start.json").write_text(json.dumps([[start_ns, clock(start_ns)]]))
        compared = Compared((Comparison(start_ns, clock(start_ns), clock(start_ns), 10**6),))
        (folder / "clock.json").write_text(compared.text())
    for line in remote.state(run):
        print(line)
    told = {one["meter"]: one for one in json.loads((run / "merged" / "remote.json").read_text())}
    assert {name: one["verdict"] for name, one in told.items()} == {"bmc0": "ok", "bmc1": "other", "bmc2": "late"}
    assert told["bmc1"]["instead"] == ["n2"]
    assert told["bmc2"]["delay_s"] == pytest.approx(3.0, abs=0.6)
    assert told["bmc0"]["delay_s"] == pytest.approx(0.1, abs=0.4)
