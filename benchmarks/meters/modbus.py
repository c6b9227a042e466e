"""Power and energy meters through Modbus: registers are read (functions 03 and 04) and never written.

Modbus knows 16-bit registers and nothing of numbers: which registers, which type, which order of words and bytes and
which scale is each maker's choice, hence a register map in the YAML. A float32 holds 24 bits: at 10 000 kWh its step is
about 1 Wh (3.5 kJ), so that a counter of kWh says little about a short window and the power register more.
Source: Modbus Application Protocol Specification V1.1b3; Eastron's SDM protocol documents for the profiles.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from perwatt.benchmarks.meters.facility import About, Answer, FacilityMeter, Found, choice, whole
from perwatt.benchmarks.meters.meter import Status, Unavailable
from perwatt.benchmarks.meters.modbus_map import TYPES, Register, read_map

INSTALL = "pip install 'perwatt[modbus]'"
# exception codes: illegal function, address or value; acknowledge and busy; everything else is a fault of the device
STATUS: dict[int, Status] = {1: "unsupported", 2: "unsupported", 3: "unsupported", 5: "stale", 6: "stale"}


class Modbus(FacilityMeter):
    """Registers of the meters behind one address, summed.

    ``host`` and ``port`` for Modbus TCP (a gateway, or the meter itself), or ``serial_port`` with ``baud_rate``,
    ``parity`` (N, E or O) and ``stop_bits`` for Modbus RTU. Each of ``registers`` has a ``name`` and an ``address`` as
    it travels (30053 in a manual is function 4, address 52) and may have its own ``device_id``, ``function``, ``type``,
    ``word_order``, ``byte_order``, ``scale`` and ``unit``. Times in s; the rest as in
    :class:`~perwatt.benchmarks.meters.facility.About`. Raises ValueError.
    """

    name = "modbus"

    def __init__(
        self,
        host: str | None = None,
        port: int = 502,
        serial_port: str | None = None,
        baud_rate: int = 9600,
        parity: str = "N",
        stop_bits: int = 1,
        device_id: int = 1,
        function: int = 4,
        registers: Sequence[Mapping[str, Any]] = (),
        type: str = "float32",
        word_order: str = "big",
        byte_order: str = "big",
        kind: str = "power",
        scale: float = 1.0,
        unit: str = "W",
        quantum: float | None = None,
        boundary: str = "rack",
        accuracy_class: str = "B",
        accuracy: float | None = None,
        accuracy_source: str = "",
        period_s: float = 1.0,
        poll_s: float = 1.0,
        averaging_s: float = 0.0,
        delay_s: float = 0.0,
        timeout_s: float = 2.0,
        instrument: str = "",
    ) -> None:
        super().__init__(
            About(
                where="meter.modbus",
                kind=kind,
                unit=unit,
                boundary=boundary,
                accuracy_class=accuracy_class,
                accuracy=accuracy,
                accuracy_source=accuracy_source,
                period_s=period_s,
                poll_s=poll_s,
                averaging_s=averaging_s,
                delay_s=delay_s,
                timeout_s=timeout_s,
                instrument=instrument,
                quantum=quantum,
            )
        )
        if host is not None and serial_port is not None:
            raise ValueError(f"meter.modbus.host: found {host!r} and serial_port {serial_port!r}, allowed one of them")
        self.host, self.port = host, whole("meter.modbus.port", port, 1, 65535)
        self.serial_port, self.baud_rate = serial_port, whole("meter.modbus.baud_rate", baud_rate, 300, 921600)
        self.parity = choice("meter.modbus.parity", parity, ("N", "E", "O"))
        self.stop_bits = whole("meter.modbus.stop_bits", stop_bits, 1, 2)
        common = {
            "device_id": device_id,
            "function": function,
            "type": type,
            "word_order": word_order,
            "byte_order": byte_order,
            "scale": scale,
            "unit": unit,
        }
        read_map("meter.modbus", {"address": 0}, common, self.about.the_kind)
        self.registers = [
            read_map(f"meter.modbus.registers[{i}]", node, common, self.about.the_kind)
            for i, node in enumerate(registers)
        ]
        if len({(r.device_id, r.function, r.address) for r in self.registers}) < len(self.registers):
            raise ValueError("meter.modbus.registers: found one twice, allowed each once")
        self._client: Any = None
        self._quiet_until = 0.0

    def _where(self) -> str:
        return self.serial_port or (str(self.host) if self.port == 502 else f"{self.host}:{self.port}")

    def _connect(self) -> Found:
        if self.host is None and self.serial_port is None:
            raise Unavailable("no Modbus meter is named", "meter.NAME.host=gateway1 (NAME as the entry is called)")
        if not self.registers:
            raise Unavailable("no register is named", "take a profile such as meter=modbus_sdm630, or set registers")
        try:
            from pymodbus.client import ModbusSerialClient, ModbusTcpClient

            logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)  # a lost reading has its status and reason
            if self.serial_port is None:
                self._client = ModbusTcpClient(str(self.host), port=self.port, timeout=self.about.timeout_s, retries=0)
            else:
                self._client = ModbusSerialClient(
                    self.serial_port,
                    baudrate=self.baud_rate,
                    parity=self.parity,
                    stopbits=self.stop_bits,
                    timeout=self.about.timeout_s,
                    retries=0,
                )
        except (ImportError, RuntimeError):  # the serial client raises RuntimeError where pyserial is missing
            raise Unavailable("pymodbus (with pyserial, for a serial port) is not installed", INSTALL) from None
        first = self._ask()
        quantum: float | None = None
        if first.status == "ok":
            quantum = max(r.quantum(v) for r, v in zip(self.registers, first.values, strict=True))
        if self.about.quantum is not None:
            quantum = max(quantum or 0.0, self.about.quantum * self.about.si)
        packages = tuple(f"{self._where()}/{r.device_id} {r.name}" for r in self.registers)
        ids = sorted({r.device_id for r in self.registers})
        facts = {
            "registers": ", ".join(f"{r.name}: {r.device_id}/{r.function}/{r.address:#06x}" for r in self.registers),
            "types": ", ".join(f"{r.type} {r.word_order}/{r.byte_order}" for r in self.registers),
        }
        return Found(packages, quantum, f"{self._where()}/{','.join(map(str, ids))}", facts)

    def _ask(self) -> Answer:
        if time.monotonic() < self._quiet_until:
            return Answer(status="lost", reason=f"{self._where()}: waits for a late answer to pass")
        found = []
        for register in self.registers:
            answer = self._one(register)
            if isinstance(answer, Answer):
                # what is still under way would be taken for the answer to the next question: a new connection leaves
                # it behind, but a serial line has no question's number, so that the line must first fall silent
                self._client.close()
                if self.serial_port is not None and answer.status == "lost":
                    self._quiet_until = time.monotonic() + self.about.timeout_s
                return answer
            found.append(answer)
        return Answer(tuple(found))

    def _one(self, register: Register) -> float | Answer:
        from pymodbus.exceptions import ConnectionException, ModbusException

        place = f"{self._where()}/{register.device_id} {register.name}"
        call = self._client.read_holding_registers if register.function == 3 else self._client.read_input_registers
        ask = functools.partial(call, register.address, count=TYPES[register.type][1], device_id=register.device_id)
        try:
            try:
                fresh = not self._client.connected
                response = ask()
            except ConnectionException:
                if fresh:
                    raise
                self._client.close()  # gateways close connections that were idle: ask again on a new one
                response = ask()
        except (ModbusException, OSError) as error:
            return Answer(status="lost", reason=f"{place}: {error}")
        if response.isError():
            code = getattr(response, "exception_code", 0)
            return Answer(status=STATUS.get(code, "lost"), reason=f"{place}: Modbus exception {code}")
        try:
            value = register.decode(response.registers)
        except ValueError as error:
            return Answer(status="lost", reason=f"{place}: {error}")
        if value is None:
            return Answer(status="out_of_range", reason=f"{place}: the meter says that it has no value")
        return value

    def _remedy(self, status: Status) -> str:
        if status in ("unsupported", "out_of_range"):
            return "check address, function, type, word_order and byte_order against the manual of the meter"
        return "check host or serial_port, device_id, and that no other client holds the meter's only connection"

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
