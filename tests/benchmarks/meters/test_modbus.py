"""The meter against pymodbus' own server: types and orders of the map, sums, sentinels, and a server that fails."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import math
import os
import select
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import require
from facility_servers import TcpProxy, free_port, until
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pytest_benchmark.fixture import BenchmarkFixture

from perwatt.benchmarks.build import build
from perwatt.benchmarks.config import compose
from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.benchmarks.meters.modbus import Modbus
from perwatt.benchmarks.meters.modbus_map import TYPES, Register

PART = Part("cpu")


class Server:
    """A Modbus server, TCP or on a serial line, with the devices 1 and 2; ``words`` are their registers."""

    def __init__(self, line: str = "") -> None:
        self.port, self.line = free_port(), line
        self.words: dict[tuple[int, int], dict[int, int]] = {(d, f): {} for d in (1, 2) for f in (3, 4)}
        self.functions: set[int] = set()
        self.error = 0
        self.delay_s = 0.0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def put(self, address: int, code: str, value: float, device: int = 1, function: int = 4, swap: str = "") -> None:
        """Write a number as its registers; ``swap`` holds w to reverse the words and b to reverse their bytes."""
        raw = struct.pack(code, value)
        words = [raw[i : i + 2] for i in range(0, len(raw), 2)]
        words = words[::-1] if "w" in swap else words
        for i, word in enumerate(words):
            self.words[device, function][address + i] = int.from_bytes(word[::-1] if "b" in swap else word)

    async def _serve(self) -> None:
        from pymodbus.constants import ExcCodes
        from pymodbus.server import ModbusSerialServer, ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        def action(device: int) -> Any:
            async def answer(
                function: int, start: int, address: int, count: int, registers: list[int], values: Any
            ) -> Any:
                self.functions.add(function)
                words = [self.words[device, function].get(address + i, 0) for i in range(count)]
                await asyncio.sleep(self.delay_s)
                for i in range(count):
                    registers[address - start + i] = words[i]
                return ExcCodes(self.error) if self.error else None

            return answer

        def block() -> list[Any]:
            return [SimData(0, values=0, count=1400, datatype=DataType.REGISTERS)]

        devices = [SimDevice(d, simdata=block(), action=action(d)) for d in (1, 2)]
        if self.line:
            self._server: Any = ModbusSerialServer(devices, port=self.line, baudrate=9600)
        else:
            self._server = ModbusTcpServer(devices, address=("127.0.0.1", self.port))
        self._loop = asyncio.get_running_loop()
        await self._server.serve_forever(background=True)
        self._ready.set()
        await self._server.serving

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(60)
        self._thread.join(60)


@pytest.fixture(scope="module")
def running_server() -> Iterator[Server]:
    require("modbus", importlib.util.find_spec("pymodbus") is not None)
    with Server() as found:
        yield found


@pytest.fixture
def server(running_server: Server) -> Server:
    for words in running_server.words.values():
        words.clear()
    running_server.error = 0
    return running_server


@functools.cache
def entries(profile: str) -> dict[str, Any]:
    """What the YAML of this name says."""
    found = OmegaConf.to_container(compose([f"meter={profile}"]), resolve=True)
    assert isinstance(found, dict)
    return dict(found["meter"])


@pytest.fixture
def opened() -> Iterator[Any]:
    """Build from a profile, open, and close at the end."""
    meters: list[Modbus] = []

    def one(profile: str, port: int, kind: str = "", **more: object) -> tuple[Modbus, Any]:
        nodes = entries(profile)
        node = nodes[profile + (f"_{kind}" if kind else "")]
        meter = build({**node, "host": "127.0.0.1", "port": port, **more}, "perwatt.benchmarks.meters", "meter.modbus")
        meters.append(meter)
        return meter, meter.open(PART)

    yield one
    for meter in meters:
        meter.close()


@pytest.mark.parametrize(
    ("profile", "power", "energy"),
    [("modbus_sdm630", 52, 72), ("modbus_sdm72d", 52, 72), ("modbus_sdm230", 12, 72)],
)
def test_a_profile_reads_power_and_energy(server: Server, opened: Any, profile: str, power: int, energy: int) -> None:
    server.put(power, ">f", 5123.5)
    server.put(energy, ">f", 1234.5)
    meter, about = opened(profile, server.port, "power")
    assert meter.read().value == 5123.5
    assert (about.kind, about.boundary, about.accuracy_class, about.remote) == ("power", "rack", "B", True)
    counter, counts = opened(profile, server.port, "energy")
    assert counter.read().value == 0.0
    assert counts.packages == about.packages == (f"127.0.0.1:{server.port}/1 total",)
    assert counts.instrument == about.instrument
    assert counts.quantum == pytest.approx(36e3)  # 0.01 kWh
    server.put(energy, ">f", 1234.75)
    assert counter.read().value == pytest.approx(0.25 * 3.6e6)
    server.put(energy, ">f", 1.0)  # exchanged
    assert [counter.read().status for _ in range(2)] == ["lost", "lost"]
    assert server.functions == {4}


def test_a_float_of_kilowatt_hours_is_as_coarse_as_its_last_bit(server: Server, opened: Any) -> None:
    server.put(72, ">f", 10_000.0)
    _, about = opened("modbus_sdm630", server.port, "energy", quantum=None)
    assert about.quantum == pytest.approx(2**-10 * 3.6e6)  # 3.5 kJ


@pytest.mark.parametrize("swap", ["", "w", "b", "wb"])
@pytest.mark.parametrize(
    ("name", "count"),
    [("float32", 12.5), ("float64", 12.5), *((n, 125) for n in TYPES if "int" in n)],
)
def test_each_type_in_each_order(server: Server, opened: Any, name: str, count: float, swap: str) -> None:
    server.put(100, TYPES[name][0], count, function=3, swap=swap)
    orders = {
        "word_order": "little" if "w" in swap else "big",
        "byte_order": "little" if "b" in swap else "big",
    }
    meter, about = opened(
        "modbus", server.port, registers=[{"address": 100}], type=name, function=3, scale=10, unit="kW", **orders
    )
    assert meter.read().value == count * 1e4
    if "int" in name:
        assert about.quantum == 1e4


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False), words=st.booleans(), swapped=st.booleans())
def test_a_float_comes_back_whatever_the_order(value: float, words: bool, swapped: bool) -> None:
    raw = struct.pack(">f", value)
    parts = [raw[:2], raw[2:]][:: -1 if words else 1]
    registers = [int.from_bytes(p, "little" if swapped else "big") for p in parts]
    orders = ("little" if words else "big", "little" if swapped else "big")
    assert Register("x", 0, 1, 4, "float32", *orders, 1.0).decode(registers) == value


@given(value=st.floats(min_value=2**-10, max_value=2**30, width=32))
def test_the_step_of_a_float_is_the_way_to_the_next(value: float) -> None:
    following = struct.unpack(">f", (int.from_bytes(struct.pack(">f", value)) + 1).to_bytes(4))[0]
    assert Register("x", 0, 1, 4, "float32", "big", "big", 1.0).quantum(value) == following - value


def test_the_meters_of_one_bus_are_summed_and_one_missing_loses_the_sum(server: Server, opened: Any) -> None:
    server.put(10, ">f", 100.0)
    server.put(20, ">H", 250, device=2, function=3)
    registers = [
        {"name": "feed A", "address": 10},
        {"name": "feed B", "address": 20, "device_id": 2, "function": 3, "type": "uint16"},
    ]
    meter, about = opened("modbus", server.port, registers=registers)
    assert meter.read().value == 350.0
    assert about.packages == tuple(f"127.0.0.1:{server.port}/{n}" for n in ("1 feed A", "2 feed B"))
    server.put(20, ">H", 65535, device=2, function=3)
    reading = meter.read()
    assert (reading.value, reading.status) == (None, "out_of_range")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -5.0])
def test_no_number_and_negative_power_are_out_of_range(server: Server, opened: Any, value: float) -> None:
    server.put(10, ">f", 100.0)
    meter, _ = opened("modbus", server.port, registers=[{"address": 10}])
    server.put(10, ">f", value)
    assert (meter.read().value, meter.read().status) == (None, "out_of_range")
    server.put(10, ">f", 100.0)
    assert meter.read().value == 100.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"registers": [{"address": 5000}]}, "Modbus exception 2 .unsupported"),
        ({"device_id": 9}, "lost|unsupported"),
        ({"port": 1}, "lost"),
        ({"host": "no-such-host.invalid"}, "lost"),
        ({"registers": []}, "no register"),
        ({"host": None}, "no Modbus meter is named"),
        ({"host": None, "serial_port": "/dev/no-such-port"}, "lost"),
    ],
)
def test_what_is_not_there_is_refused_when_it_is_opened(
    server: Server, opened: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Unavailable, match=message) as refused:
        opened("modbus", **{"port": server.port, "registers": [{"address": 10}], "timeout_s": 0.3, **changes})
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("code", "status"), [(1, "unsupported"), (2, "unsupported"), (4, "lost"), (6, "stale"), (11, "lost")]
)
def test_an_exception_of_the_device_has_its_status(server: Server, opened: Any, code: int, status: str) -> None:
    server.put(10, ">f", 100.0)
    meter, _ = opened("modbus", server.port, registers=[{"address": 10}])
    server.error = code
    assert (meter.read().value, meter.read().status) == (None, status)
    server.error = 0
    assert meter.read().value == 100.0


@pytest.mark.slow
@pytest.mark.alone
def test_a_server_that_fails_loses_readings_and_may_come_back(server: Server, opened: Any) -> None:
    server.put(10, ">f", 100.0)
    with TcpProxy(server.port, slow_s=0.5) as proxy:
        meter, _ = opened("modbus", proxy.port, registers=[{"address": 10}], timeout_s=0.2)
        for fault in ("silent", "slow", "garbage", "closed"):
            proxy.fault = fault
            reading = meter.read()
            assert (reading.value, reading.status) == (None, "lost"), fault
            assert reading.call_ns < 0.6e9
            proxy.fault = "none"
            server.put(10, ">f", 200.0)  # a late answer to the old question would say 100
            assert until(lambda: meter.read().status == "ok")
            assert meter.read().value == 200.0
            server.put(10, ">f", 100.0)
    assert server.functions <= {3, 4}


def test_a_connection_that_the_gateway_closed_costs_no_reading(server: Server, opened: Any) -> None:
    server.put(10, ">f", 100.0)
    with TcpProxy(server.port, slow_s=0) as proxy:
        meter, _ = opened("modbus", proxy.port, registers=[{"address": 10}], timeout_s=0.5)
        proxy.kick()
        assert (meter.read().value, meter.trouble) == (100.0, "")


@pytest.fixture
def line() -> Iterator[tuple[str, str]]:
    """The two ends of a serial line."""
    import pty
    import tty

    pairs = [pty.openpty() for _ in range(2)]
    for _, end in pairs:
        tty.setraw(end)
    masters = [master for master, _ in pairs]
    stop = threading.Event()

    def pump() -> None:
        while not stop.is_set():
            for source in select.select(masters, [], [], 0.05)[0]:
                os.write(masters[1 - masters.index(source)], os.read(source, 256))

    thread = threading.Thread(target=pump)
    thread.start()
    yield os.ttyname(pairs[0][1]), os.ttyname(pairs[1][1])
    stop.set()
    thread.join()
    for pair in pairs:
        for end in pair:
            os.close(end)


def test_a_serial_line(line: tuple[str, str]) -> None:
    modules = all(importlib.util.find_spec(name) for name in ("pymodbus", "serial"))
    require("modbus", modules)
    with Server(line[0]) as server:
        server.put(12, ">f", 230.5)
        meter = Modbus(serial_port=line[1], registers=[{"name": "total", "address": 12}], timeout_s=0.5)
        about = meter.open(PART)
        assert about.packages == (f"{line[1]}/1 total",)
        assert meter.read().value == 230.5
        server.error = 4
        assert meter.read().status == "lost"
        server.error = 0
        assert until(lambda: meter.read().value == 230.5)
        meter.close()


def test_a_late_answer_on_a_serial_line_is_not_taken_for_the_next(line: tuple[str, str]) -> None:
    require("modbus", all(importlib.util.find_spec(name) for name in ("pymodbus", "serial")))
    with Server(line[0]) as server:
        server.put(12, ">f", 100.0)
        meter = Modbus(serial_port=line[1], registers=[{"address": 12}], timeout_s=0.3)
        meter.open(PART)
        server.delay_s = 0.45
        assert meter.read().status == "lost"
        server.delay_s = 0.0
        server.put(12, ">f", 200.0)
        found = [meter.read()]
        while found[-1].status != "ok" and len(found) < 200:
            time.sleep(0.02)
            found.append(meter.read())
        assert {reading.value for reading in found} == {None, 200.0}
        meter.close()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "volts"),
        ("unit", "kWh"),
        ("function", 6),
        ("device_id", 300),
        ("type", "float16"),
        ("word_order", "middle"),
        ("byte_order", 1),
        ("scale", "ten"),
        ("parity", "X"),
        ("timeout_s", 6),
        ("registers", [{"address": -1}]),
        ("registers", [{"address": 1, "adress": 2}]),
        ("registers", [{"address": 1}, {"address": 1}]),
        ("registers", ["52"]),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"meter\.modbus\.{key}.*: found"):
        Modbus(**{key: value})


def test_cost_of_a_read(server: Server, opened: Any, benchmark: BenchmarkFixture) -> None:
    server.put(52, ">f", 640.0)
    meter, _ = opened("modbus_sdm630", server.port, "power")
    assert benchmark.pedantic(meter.read, rounds=50, warmup_rounds=2).value == 640.0
