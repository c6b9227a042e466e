"""Redfish: sushy-tools' static service for the shapes, and a service of our own for passwords, TLS and faults."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import require
from pytest_benchmark.fixture import BenchmarkFixture
from redfish_server import Service

from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.benchmarks.meters.redfish import Redfish

CPU = Part("cpu")
CHASSIS = "/redfish/v1/Chassis"
PASSWORD = "correct-horse"


class Tree:
    """sushy-static over a folder: each resource is a file that is read anew for every GET."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        tool = Path(sys.executable).with_name("sushy-static")
        self.put("/redfish/v1", {"@odata.id": "/redfish/v1"})
        argv = [str(tool), "-i", "127.0.0.1", "-p", str(port), "-m", str(folder)]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("sushy-static did not start")

    def put(self, path: str, resource: Any) -> None:
        file = self.folder / path.removeprefix("/redfish/v1").strip("/") / "index.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(resource))

    def clear(self) -> None:
        for part in self.folder.iterdir():
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        self.put("/redfish/v1", {"@odata.id": "/redfish/v1"})
        self.put(CHASSIS, {"Members": [{"@odata.id": f"{CHASSIS}/1"}]})

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    require("redfish", importlib.util.find_spec("sushy_tools") is not None)
    tree = Tree(tmp_path_factory.mktemp("redfish"))
    yield tree
    tree.close()


@pytest.fixture
def tree(served: Tree) -> Tree:
    served.clear()
    return served


def test_environment_metrics(tree: Tree) -> None:
    path = f"{CHASSIS}/1/EnvironmentMetrics"
    tree.put(path, {"PowerWatts": {"Reading": 5123.5}, "EnergykWh": {"Reading": 10.0}})
    meter = Redfish(tree.url)
    about = meter.open(CPU)
    assert (about.facts["shape"], about.boundary, about.accuracy_class) == ("environment", "node_ac", "C")
    assert meter.read().value == 5123.5
    counter = Redfish(tree.url, energy=True)
    assert counter.open(CPU).kind == "energy"
    tree.put(path, {"PowerWatts": {"Reading": None}, "EnergykWh": {"Reading": 10.5}})
    assert counter.read().value == pytest.approx(0.5 * 3.6e6)
    # null is not 0
    assert (meter.read().value, meter.read().status) == (None, "unsupported")
    tree.put(path, {"EnergykWh": {"Reading": 2.0}})
    assert counter.read().status == "lost"


def test_a_processor_by_its_path(tree: Tree) -> None:
    path = "/redfish/v1/Systems/HGX_Baseboard_0/Processors/GPU_SXM_1/EnvironmentMetrics"
    tree.put(path, {"PowerWatts": {"Reading": 698}})
    meter = Redfish(tree.url, "environment", path=path, boundary="gpu")
    assert meter.open(CPU).boundary == "gpu"
    assert meter.read().value == 698


def test_supplies_are_summed_and_a_silent_one_leaves_no_sum(tree: Tree) -> None:
    base = f"{CHASSIS}/1/PowerSubsystem/PowerSupplies"
    tree.put(base, {"Members": [{"@odata.id": f"{base}/{n}"} for n in range(3)]})
    for n in range(3):
        tree.put(
            f"{base}/{n}/Metrics", {"InputPowerWatts": {"Reading": 1000 + n}, "OutputPowerWatts": {"Reading": 900}}
        )
    meter = Redfish(tree.url)
    about = meter.open(CPU)
    assert about.facts["shape"] == "supplies"
    assert len(about.packages) == 3
    assert meter.read().value == 3003
    tree.put(f"{base}/1/Metrics", {})
    assert (meter.read().value, meter.read().status) == (None, "unsupported")


def test_the_older_power(tree: Tree) -> None:
    controls = [{"PowerConsumedWatts": 812}, {"PowerConsumedWatts": 300, "Name": "CPU part"}]
    tree.put(f"{CHASSIS}/1/Power", {"PowerControl": controls})
    meter = Redfish(tree.url)
    assert meter.open(CPU).facts["shape"] == "power"
    assert meter.read().value == 812
    tree.put(f"{CHASSIS}/1/Power", {"PowerControl": []})
    assert meter.read().status == "out_of_range"


def test_a_report_tells_when_and_an_old_one_is_stale(tree: Tree) -> None:
    path = "/redfish/v1/TelemetryService/MetricReports/Power"

    def report(age_s: float) -> None:
        stamp = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
        values = [{"MetricId": "PowerConsumedWatts", "MetricValue": "640", "Timestamp": stamp}]
        tree.put(path, {"MetricValues": [{"MetricId": "Temp", "MetricValue": "40", "Timestamp": stamp}, *values]})

    report(1)
    meter = Redfish(tree.url, "report", path=path)
    meter.open(CPU)
    reading = meter.read()
    assert reading.value == 640
    assert reading.meter_ns is not None
    assert abs(time.time_ns() - reading.meter_ns) < 5e9
    report(60)
    assert (meter.read().value, meter.read().status) == (None, "stale")


def test_nothing_there_says_what_was_tried(tree: Tree) -> None:
    with pytest.raises(Unavailable, match=r"environment: no chassis.*supplies: no chassis.*power: no chassis"):
        Redfish(tree.url).open(CPU)


def test_cost_of_a_read(tree: Tree, benchmark: BenchmarkFixture) -> None:
    tree.put(f"{CHASSIS}/1/EnvironmentMetrics", {"PowerWatts": {"Reading": 5}})
    meter = Redfish(tree.url)
    meter.open(CPU)
    benchmark.pedantic(meter.read, rounds=20)
    if benchmark.stats is not None:  # None where benchmarks are disabled
        assert benchmark.stats.stats.median < 0.1


# -- passwords, certificates, faults -------------------------------------------------------------------------------


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    require("redfish", importlib.util.find_spec("redfish") is not None and shutil.which("openssl") is not None)
    monkeypatch.setenv("PERWATT_REDFISH_USER", "admin")
    monkeypatch.setenv("PERWATT_REDFISH_PASSWORD", PASSWORD)
    resources = {
        CHASSIS: {"Members": [{"@odata.id": f"{CHASSIS}/1"}]},
        f"{CHASSIS}/1/EnvironmentMetrics": {"PowerWatts": {"Reading": 640}},
    }
    found = Service(tmp_path, resources, "admin", PASSWORD)
    yield found
    found.close()


def test_a_password_over_a_verified_connection_and_nothing_but_get(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    meter = Redfish(service.url, ca_file=str(service.cert))
    about = meter.open(CPU)
    assert meter.read().value == 640
    assert set(service.asked) == {"GET"}
    assert PASSWORD not in repr(about)
    assert PASSWORD not in caplog.text


def test_an_unknown_certificate_is_refused_unless_told_otherwise(service: Service) -> None:
    with pytest.raises(Unavailable, match=r"(?i)certificate"):
        Redfish(service.url).open(CPU)
    unverified = Redfish(service.url, verify=False)
    assert unverified.open(CPU).facts["verified"] == "false"


def test_a_wrong_password_is_told_without_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERWATT_REDFISH_PASSWORD", "wrong-horse")
    with pytest.raises(Unavailable) as refused:
        Redfish(service.url, ca_file=str(service.cert)).open(CPU)
    assert "401" in str(refused.value)
    assert "wrong-horse" not in str(refused.value) + refused.value.remedy
    with pytest.raises(Unavailable, match="in the clear"):
        Redfish(service.url.replace("https", "http")).open(CPU)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(("fault", "status"), [("busy", "lost"), ("garbage", "out_of_range"), ("slow", "lost")])
def test_a_fault_is_a_status_and_the_meter_comes_back(service: Service, fault: str, status: str) -> None:
    meter = Redfish(service.url, ca_file=str(service.cert), timeout_s=0.5)
    meter.open(CPU)
    service.fault = fault
    reading = meter.read()
    assert (reading.value, reading.status) == (None, status)
    assert reading.call_ns < 3e9
    service.fault = ""
    assert meter.read().value == 640


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shape": "x"}, r"meter\.redfish\.shape: found 'x', allowed auto, environment"),
        ({"url": "bmc1"}, r"meter\.redfish\.url: found 'bmc1', allowed https"),
        ({"url": "https://a:b@bmc1"}, r"meter\.redfish\.url: found a user in it"),
        ({"shape": "report"}, r"meter\.redfish\.path"),
        ({"energy": True, "shape": "power"}, r"meter\.redfish\.energy"),
        ({"timeout_s": 0}, r"meter\.redfish\.timeout_s"),
    ],
)
def test_a_wrong_setting_is_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Redfish(**setting)


def test_without_an_address_the_remedy_is_told() -> None:
    with pytest.raises(Unavailable, match="no controller was named"):
        Redfish().open(CPU)
