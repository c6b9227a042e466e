"""The meter against a simulated SNMP agent: scales, decimals, sums, credentials, an agent that fails and returns."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import shutil
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import require
from facility_servers import UdpProxy, free_port, running, until
from omegaconf import OmegaConf
from pytest_benchmark.fixture import BenchmarkFixture

from perwatt.benchmarks.build import build
from perwatt.benchmarks.config import compose
from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.benchmarks.meters.snmp import SnmpPdu
from perwatt.benchmarks.meters.snmp_get import _NAMES

PART = Part("cpu")
APC = "1.3.6.1.4.1.318.1.1.26.4.3.1"
PDU2 = "1.3.6.1.4.1.13742.6"
AGENT = f"""\
1.3.6.1.2.1.1.1.0|4|A simulated PDU
1.3.6.1.4.1.318.1.1.26.2.1.8.1|4|AP8841
1.3.6.1.4.1.318.1.1.26.2.1.9.1|4|5A1234E00001
{APC}.5.1|2:writecache|value=64
{APC}.5.2|2:writecache|value=31
{APC}.5.3|2|-1
{APC}.6.1|2|99999
{APC}.9.1|2:writecache|value=12345
{PDU2}.3.2.1.1.4.1|4|QFC0000001
{PDU2}.3.3.4.1.6.1.1.5|2|3
{PDU2}.3.3.4.1.6.1.1.8|2|5
{PDU2}.3.3.4.1.6.1.2.5|2|4
{PDU2}.3.3.4.1.7.1.1.5|66|1
{PDU2}.3.3.4.1.7.1.1.8|66|0
{PDU2}.3.3.4.1.7.1.2.5|66|0
{PDU2}.5.2.3.1.2.1.1.5|2:writecache|value=1
{PDU2}.5.2.3.1.2.1.1.8|2|1
{PDU2}.5.2.3.1.4.1.1.5|66|51235
{PDU2}.5.2.3.1.4.1.1.8|66|7000001
{PDU2}.5.2.3.1.4.1.2.5|66|10
{PDU2}.5.2.3.1.5.1.1.5|66|1700000000
{PDU2}.5.2.3.1.5.1.1.8|66|1700000000
1.3.6.1.4.1.99999.1.1|4|12.5 W
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a simulated agent with the community ``lab`` and the v3 users ``signer`` and ``coder``."""
    simulator = shutil.which("snmpsim-command-responder", path=str(Path(sys.executable).parent))
    modules = all(importlib.util.find_spec(name) for name in ("pysnmp", "snmpsim", "pysmi", "cryptography"))
    require("snmp", bool(simulator) and modules)
    folder = tmp_path_factory.mktemp("snmp")
    (folder / "data").mkdir()
    (folder / "data" / "lab.snmprec").write_text("\n".join(sorted(AGENT.splitlines(), key=_by_oid)) + "\n")
    port = free_port(socket.SOCK_DGRAM)
    argv = [str(simulator), f"--cache-dir={folder / 'cache'}", "--process-user=root", "--process-group=root"]
    argv += ["--logging-method=null", "--v3-engine-id=auto", f"--data-dir={folder / 'data'}"]
    argv += ["--v3-user=signer", "--v3-auth-key=signing-key", "--v3-auth-proto=SHA256"]
    argv += ["--v3-user=coder", "--v3-auth-key=signing-key", "--v3-auth-proto=SHA256"]
    argv += ["--v3-priv-key=hiding-key", "--v3-priv-proto=AES", f"--agent-udpv4-endpoint=127.0.0.1:{port}"]
    with running(argv), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERWATT_SNMP_PASSWORD", "lab")
        assert until(lambda: _answers(port)), "the simulator did not start"
        yield port


def _by_oid(line: str) -> list[int]:
    return [int(n) for n in line.partition("|")[0].split(".")]


def _answers(port: int) -> bool:
    meter = SnmpPdu("127.0.0.1", port, oid=APC + ".5.{index}", timeout_s=0.2)
    try:
        meter.open(PART)
    except Unavailable:
        return False
    meter.close()
    return True


def _operation(request: bytes) -> str:
    """What a message of v2c asks for. Its bytes are decoded: the number of a request may hold any of them."""
    from pyasn1.codec.ber import decoder
    from pysnmp.proto.api import v2c

    message, rest = decoder.decode(request, asn1Spec=v2c.Message())
    assert not rest
    return type(v2c.apiMessage.get_pdu(message)).__name__


@pytest.fixture(autouse=True)
def community(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERWATT_SNMP_PASSWORD", "lab")


@functools.cache
def entries(profile: str) -> dict[str, Any]:
    """What the YAML of this name says."""
    found = OmegaConf.to_container(compose([f"meter={profile}"]), resolve=True)
    assert isinstance(found, dict)
    return dict(found["meter"])


@pytest.fixture
def opened() -> Iterator[Any]:
    """Build from a profile, open, and close at the end: ``opened("snmp_apc", "power", port)``."""
    meters: list[SnmpPdu] = []

    def one(profile: str, kind: str, port: int, **more: object) -> tuple[SnmpPdu, Any]:
        nodes = entries(profile)
        meter = build(
            {**nodes[f"{profile}_{kind}"], "host": "127.0.0.1", "port": port, **more}, "perwatt.benchmarks.meters", kind
        )
        meters.append(meter)
        return meter, meter.open(PART)

    yield one
    for meter in meters:
        meter.close()


def put(port: int, oid: str, value: int) -> None:
    """Change a value of the simulated agent."""
    from pysnmp.hlapi.v3arch import asyncio as api
    from pysnmp.proto.rfc1902 import Integer32

    async def set_it() -> None:
        engine = api.SnmpEngine()
        engine.cache.update(_NAMES)
        target = await api.UdpTransportTarget.create(("127.0.0.1", port))
        what = api.ObjectType(api.ObjectIdentity(oid), Integer32(value))
        wrong, status, *_ = await api.set_cmd(engine, api.CommunityData("lab"), target, api.ContextData(), what)
        engine.close_dispatcher()
        assert not wrong
        assert not int(status)

    asyncio.run(set_it())


def test_apc_power_is_in_hundredths_of_a_kilowatt(agent: int, opened: Any) -> None:
    meter, about = opened("snmp_apc", "power", agent)
    assert meter.read().value == pytest.approx(640.0)
    assert (about.boundary, about.accuracy_class, about.quantum, about.remote) == ("rack", "B", 10.0, True)
    assert about.instrument == "5A1234E00001 module 1"
    assert about.facts["model 127.0.0.1"] == "AP8841"
    put(agent, f"{APC}.5.1", 71)
    assert meter.read().value == pytest.approx(710.0)
    put(agent, f"{APC}.5.1", 64)


def test_apc_energy_counts_tenths_of_a_kilowatt_hour_since_it_was_opened(agent: int, opened: Any) -> None:
    meter, about = opened("snmp_apc", "energy", agent)
    assert meter.read().value == 0.0
    assert about.quantum == pytest.approx(360e3)
    put(agent, f"{APC}.9.1", 12348)
    assert meter.read().value == pytest.approx(3 * 360e3)
    power, _ = opened("snmp_apc", "power", agent)
    assert power.hosts == meter.hosts
    put(agent, f"{APC}.9.1", 12300)  # reset: what it counted meanwhile is not known
    assert (meter.read().value, meter.read().status) == (None, "lost")
    put(agent, f"{APC}.9.1", 12400)
    assert (meter.read().value, meter.read().status) == (None, "lost")
    put(agent, f"{APC}.9.1", 12345)


def test_modules_are_summed_and_their_rounding_adds_up_as_a_root(agent: int, opened: Any) -> None:
    meter, about = opened("snmp_apc", "power", agent, indices=[1, 2])
    assert meter.read().value == pytest.approx(950.0)
    assert about.packages == (f"127.0.0.1:{agent}/module 1", f"127.0.0.1:{agent}/module 2")
    assert about.quantum == pytest.approx(10 * 2**0.5)


def test_two_pdus_of_a_rack_are_one_reading(agent: int, opened: Any) -> None:
    meter, about = opened("snmp_apc", "power", agent, host=["127.0.0.1", "localhost"])
    assert meter.read().value == pytest.approx(1280.0)
    assert len(about.packages) == 2


@pytest.mark.parametrize("profile", ["snmp_raritan", "snmp_servertech"])
def test_pdu2_scales_by_the_decimals_that_the_pdu_tells(agent: int, opened: Any, profile: str) -> None:
    meter, about = opened(profile, "power", agent)
    reading = meter.read()
    assert reading.value == pytest.approx(5123.5)
    assert reading.meter_ns == 1_700_000_000 * 10**9
    assert about.quantum == pytest.approx(0.1)
    _, energy = opened(profile, "energy", agent)
    assert (energy.kind, energy.quantum, energy.packages) == ("energy", 3600.0, about.packages)


def test_a_sensor_that_is_away_is_lost_and_not_zero(agent: int, opened: Any) -> None:
    meter, _ = opened("snmp_raritan", "power", agent)
    put(agent, f"{PDU2}.5.2.3.1.2.1.1.5", 2)
    reading = meter.read()
    put(agent, f"{PDU2}.5.2.3.1.2.1.1.5", 1)
    assert (reading.value, reading.status) == (None, "lost")
    assert meter.read().value == pytest.approx(5123.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": [4]}, "no object .*unsupported"),
        ({"indices": [1, 4]}, "module 4 has no object"),
        ({"indices": [3]}, "out_of_range"),
        ({"oid": "1.3.6.1.4.1.99999.1.{index}"}, "out_of_range"),
        ({"port": 1}, "does not answer"),
        ({"host": "no-such-host.invalid"}, "no-such-host"),
    ],
)
def test_what_is_not_there_is_refused_when_it_is_opened(
    agent: int, opened: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Unavailable, match=message) as refused:
        opened("snmp_apc", "power", **{"port": agent, "timeout_s": 0.3, **changes})
    assert refused.value.remedy
    assert "lab" not in str(refused.value) + refused.value.remedy


def test_a_unit_other_than_expected_is_refused(agent: int, opened: Any) -> None:
    with pytest.raises(Unavailable, match="tells unit 4, not 3"):
        opened("snmp_raritan", "power", agent, indices=["1.2"])


def test_without_a_community_or_a_host_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pysnmp")
    with pytest.raises(Unavailable) as refused:
        SnmpPdu(oid="1.3.{index}").open(PART)
    assert "host" in refused.value.remedy
    monkeypatch.delenv("PERWATT_SNMP_PASSWORD")
    with pytest.raises(Unavailable, match="no SNMP community") as refused:
        SnmpPdu("127.0.0.1", oid="1.3.{index}").open(PART)
    assert "PERWATT_SNMP_PASSWORD" in refused.value.remedy


@pytest.mark.parametrize("user", ["signer", "coder"])
def test_version_3_signs_and_encrypts(agent: int, opened: Any, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    monkeypatch.setenv("PERWATT_SNMP_USER", user)
    monkeypatch.setenv("PERWATT_SNMP_PASSWORD", "signing-key")
    if user == "coder":
        monkeypatch.setenv("PERWATT_SNMP_PRIVACY_PASSWORD", "hiding-key")
    with UdpProxy(agent, 0) as proxy:
        meter, about = opened("snmp_apc", "power", proxy.port, version="v3", context="lab")
        assert meter.read().value == pytest.approx(640.0)
        oid = bytes((26, 4, 3, 1, 5, 1))  # the end of the object identifier as it travels
        assert (oid in proxy.asked[-1]) == (user == "signer")
    assert "-key" not in repr(about) + repr(vars(meter))


def test_a_wrong_v3_password_is_no_permission(agent: int, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERWATT_SNMP_USER", "signer")
    monkeypatch.setenv("PERWATT_SNMP_PASSWORD", "another-key")
    with pytest.raises(Unavailable, match="no_permission") as refused:
        opened("snmp_apc", "power", agent, version="v3", context="lab")
    assert "another-key" not in str(refused.value) + refused.value.remedy


@pytest.mark.slow
@pytest.mark.alone
def test_an_agent_that_fails_loses_readings_and_may_come_back(agent: int, opened: Any) -> None:
    with UdpProxy(agent, slow_s=1.2) as proxy:
        meter, _ = opened("snmp_apc", "power", proxy.port, timeout_s=0.5)
        for fault in ("silent", "slow", "garbage"):
            proxy.fault = fault
            reading = meter.read()
            assert (reading.value, reading.status) == (None, "lost"), fault
            assert 0.4e9 < reading.call_ns < 1.1e9
            proxy.fault = "none"
            assert until(lambda: meter.read().status == "ok")
            assert meter.read().value == pytest.approx(640.0)
        assert proxy.asked
        assert {_operation(request) for request in proxy.asked} == {"GetRequestPDU"}  # never a SET


def test_it_can_be_read_from_one_thread_after_another(agent: int, opened: Any) -> None:
    meter, _ = opened("snmp_apc", "power", agent)
    for _ in range(3):
        with ThreadPoolExecutor(1) as other:
            assert other.submit(meter.read).result(60).value == pytest.approx(640.0)
        assert meter.read().value == pytest.approx(640.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "current"),
        ("unit", "kWh"),
        ("oid", "enterprises.318"),
        ("oid", "1.3.6.1"),
        ("indices", []),
        ("indices", ["1", 1]),
        ("port", 0),
        ("version", "v1"),
        ("auth", "crc"),
        ("scale", 0),
        ("timeout_s", 60),
        ("period_s", -1),
        ("accuracy_class", "S"),
        ("accuracy", 0.01),
        ("boundary", "The Rack"),
        ("host", ["a", "a"]),
        ("unit_oid", "1.3.{index}"),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"meter\.snmp\.{'unit_code' if key == 'unit_oid' else key}.*: found"):
        SnmpPdu(**{key: value})


def test_cost_of_a_read(agent: int, opened: Any, benchmark: BenchmarkFixture) -> None:
    meter, _ = opened("snmp_apc", "power", agent)
    assert benchmark.pedantic(meter.read, rounds=50, warmup_rounds=2).value == pytest.approx(640.0)
