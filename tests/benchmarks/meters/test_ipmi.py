"""IPMI through the real ipmitool and OpenIPMI's ipmi_sim, whose watts come from a file."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import require
from facility_servers import until
from pytest_benchmark.fixture import BenchmarkFixture

from perwatt.benchmarks.meters.ipmi import Ipmi
from perwatt.benchmarks.meters.meter import Part, Unavailable

SOURCE = Path(__file__).with_name("ipmi_dcmi.c")
CPU = Part("cpu")
PASSWORD = "hunter-two"


@pytest.fixture(scope="module")
def bmc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A controller on a port of its own, and the file with its watts."""
    tools = all(shutil.which(t) for t in ("ipmi_sim", "ipmitool", "gcc"))
    require("ipmi", tools and Path("/usr/include/OpenIPMI/serv.h").exists())
    folder = tmp_path_factory.mktemp("ipmi")
    watts = folder / "watts"
    watts.write_text("640 1")
    module = folder / "dcmi.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(module), str(SOURCE)], check=True, capture_output=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    levels = "".join(
        f"    allowed_auths_{who} none md2 md5 straight\n" for who in ("callback", "user", "operator", "admin")
    )
    (folder / "lan.conf").write_text(
        f'name "bmc"\nloadlib "{module}" "{watts}"\nset_working_mc 0x20\n  startlan 1\n    addr 127.0.0.1 {port}\n'
        f"    priv_limit admin\n{levels}    guid a123456789abcdefa123456789abcdef\n  endlan\n"
        f'  user 2 true  "admin"   "{PASSWORD}"   admin    10       none md2 md5 straight\n'
    )
    (folder / "bmc.emu").write_text(
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n"
    )
    argv = ["ipmi_sim", "-c", "lan.conf", "-f", "bmc.emu", "-s", str(folder), "-n"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            assert until(lambda: _answers(port) or process.poll() is not None), "ipmi_sim did not start"
            assert process.poll() is None, (folder / "log").read_text()
            yield port, watts
        finally:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERWATT_IPMI_USER", "admin")
        patch.setenv("PERWATT_IPMI_PASSWORD", PASSWORD)
        try:
            Ipmi("127.0.0.1", port).open(CPU)
        except Unavailable:
            return False
        return True


@pytest.fixture
def meter(bmc: tuple[int, Path], monkeypatch: pytest.MonkeyPatch) -> Ipmi:
    monkeypatch.setenv("PERWATT_IPMI_USER", "admin")
    monkeypatch.setenv("PERWATT_IPMI_PASSWORD", PASSWORD)
    bmc[1].write_text("640 1")
    return Ipmi("127.0.0.1", bmc[0])


def test_the_controllers_watts(meter: Ipmi, bmc: tuple[int, Path]) -> None:
    about = meter.open(CPU)
    assert (about.boundary, about.kind, about.accuracy_class, about.remote) == ("node_ac", "power", "C", True)
    assert PASSWORD not in repr(about)
    assert PASSWORD not in " ".join(meter._argv)
    assert meter.read().value == 640
    bmc[1].write_text("777 1")
    assert meter.read().value == 777


def test_a_reading_that_is_switched_off_is_not_zero(meter: Ipmi, bmc: tuple[int, Path]) -> None:
    meter.open(CPU)
    bmc[1].write_text("0 0")
    assert (meter.read().value, meter.read().status) == (None, "unsupported")
    bmc[1].write_text("")
    assert (meter.read().value, meter.read().status) == (None, "lost")
    bmc[1].write_text("500 1")
    assert meter.read().value == 500  # it comes back


def test_cost_of_a_read(meter: Ipmi, benchmark: BenchmarkFixture) -> None:
    meter.open(CPU)
    benchmark.pedantic(meter.read, rounds=10)
    if benchmark.stats is not None:  # None where benchmarks are disabled
        assert benchmark.stats.stats.median < 0.5


def test_a_wrong_password_and_a_dead_host_say_so(
    meter: Ipmi, bmc: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERWATT_IPMI_PASSWORD", "wrong-one")
    with pytest.raises(Unavailable) as refused:
        meter.open(CPU)
    assert "wrong-one" not in str(refused.value)
    with pytest.raises(Unavailable, match=r"no answer in 0\.3 s"):
        Ipmi("127.0.0.1", 9, timeout_s=0.3).open(CPU)


def test_without_a_password_or_a_device_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    require("ipmi", shutil.which("ipmitool") is not None)
    monkeypatch.delenv("PERWATT_IPMI_PASSWORD", raising=False)
    with pytest.raises(Unavailable) as missing:
        Ipmi("10.0.0.1").open(CPU)
    assert "PERWATT_IPMI_PASSWORD" in missing.value.remedy
    if not Path("/dev/ipmi0").exists():
        with pytest.raises(Unavailable) as missing:
            Ipmi().open(CPU)
        assert "udev" in missing.value.remedy


@pytest.mark.parametrize("setting", [{"port": 0}, {"poll_s": "x"}, {"timeout_s": 0}])
def test_a_wrong_setting_is_named(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"meter.ipmi.{next(iter(setting))}"):
        Ipmi(**setting)  # type: ignore[arg-type]
