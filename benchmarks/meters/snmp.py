"""Intelligent rack PDUs through SNMP: power or energy of inlets or outlets, asked by GET and never set.

What a PDU shows is coarse and slow. APC's rPDU2 gives power in steps of 10 W and energy in steps of 0.1 kWh (360 kJ,
which a rack at 10 kW takes 36 s to draw); PDU2-MIB gives W and Wh with the number of decimals in an object of its own.
Most PDUs renew their values every one to five seconds. The object identifiers stand in the YAML, so that another PDU
is a YAML more. Source: PowerNet-MIB (APC), PDU2-MIB (Raritan, Server Technology).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from perwatt.benchmarks.meters.facility import About, Answer, FacilityMeter, Found, choice, number, whole
from perwatt.benchmarks.meters.meter import Status, Unavailable
from perwatt.benchmarks.meters.snmp_get import AUTH, CREDENTIALS, PRIVACY, Snmp, Trouble

SYS_DESCR = "1.3.6.1.2.1.1.1.0"
TRUE = 1  # TruthValue of SNMPv2-TC


def _oid(key: str, found: object, index: bool = True) -> str | None:
    """An object identifier of digits, with ``{index}`` in it where ``index``; None stays None. Raises ValueError."""
    pattern = r"\d+(\.\d+)*\.\{index\}(\.\d+)*" if index else r"\d+(\.\d+)+"
    if found is not None and (not isinstance(found, str) or not re.fullmatch(pattern, found)):
        raise ValueError(
            f"meter.snmp.{key}: found {found!r}, allowed digits and dots{' with {index}' if index else ''}"
        )
    return found


class SnmpPdu(FacilityMeter):
    """Inlets or outlets of one PDU or several, summed.

    ``host``: name or address, or a list of them (a rack with an A and a B feed has two PDUs); ``indices``: what takes
    the place of ``{index}`` in each object identifier, one for each inlet or outlet, called ``part`` in the result.
    The value is the object times ``scale``, over ten to the power of what ``decimals_oid`` reads, in ``unit``.
    ``unit_oid`` must read ``unit_code``; ``available_oid`` must read true(1), since a sensor that is away reads 0.
    ``stamp_oid``: seconds since 1970 as the PDU counts them. ``facts``: named objects to keep; ``serial`` among them
    names the instrument. ``version`` v2c takes the community as password, v3 a user (``auth``, and ``privacy`` where a
    key is set). Times in s; the rest as in :class:`~perwatt.benchmarks.meters.facility.About`. Raises ValueError.
    """

    name = "snmp"

    def __init__(
        self,
        host: str | Sequence[str] | None = None,
        port: int = 161,
        version: str = "v2c",
        secret_file: str | None = None,
        privacy_file: str | None = None,
        auth: str = "sha256",
        privacy: str = "aes128",
        context: str = "",
        kind: str = "power",
        oid: str | None = None,
        indices: Sequence[str | int] = (1,),
        part: str = "inlet",
        scale: float = 1.0,
        unit: str = "W",
        quantum: float | None = None,
        decimals_oid: str | None = None,
        unit_oid: str | None = None,
        unit_code: int | None = None,
        available_oid: str | None = None,
        stamp_oid: str | None = None,
        facts: dict[str, str] | None = None,
        boundary: str = "rack",
        accuracy_class: str = "B",
        accuracy: float | None = None,
        accuracy_source: str = "",
        period_s: float = 5.0,
        poll_s: float = 1.0,
        averaging_s: float = 0.0,
        delay_s: float = 0.0,
        timeout_s: float = 2.0,
        instrument: str = "",
    ) -> None:
        super().__init__(
            About(
                where="meter.snmp",
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
        self.hosts = [host] if isinstance(host, str) else list(host or ())
        if any(not isinstance(h, str) or not h for h in self.hosts) or len(set(self.hosts)) < len(self.hosts):
            raise ValueError(f"meter.snmp.host: found {self.hosts}, allowed names or addresses, each once")
        self.indices = [str(i) for i in indices]
        numbers = all(re.fullmatch(r"\d+(\.\d+)*", i) for i in self.indices)
        if not numbers or not self.indices or len(set(self.indices)) < len(self.indices):
            raise ValueError(f"meter.snmp.indices: found {self.indices}, allowed numbers such as 1 or 1.2, each once")
        self.port = whole("meter.snmp.port", port, 1, 65535)
        self.version = choice("meter.snmp.version", version, ("v2c", "v3"))
        self.ways = choice("meter.snmp.auth", auth, tuple(AUTH)), choice("meter.snmp.privacy", privacy, tuple(PRIVACY))
        self.files, self.context, self.part = (secret_file, privacy_file), context, part
        self.scale = number("meter.snmp.scale", scale, 1e-9, 1e9)
        self.oid, self.decimals_oid = _oid("oid", oid), _oid("decimals_oid", decimals_oid)
        self.unit_oid, self.unit_code = _oid("unit_oid", unit_oid), unit_code
        if (unit_oid is None) != (unit_code is None):
            raise ValueError("meter.snmp.unit_code: found one without the other, allowed unit_oid with unit_code")
        self.available_oid, self.stamp_oid = _oid("available_oid", available_oid), _oid("stamp_oid", stamp_oid)
        self.fact_oids = {name: _oid(f"facts.{name}", text, False) or "" for name, text in (facts or {}).items()}
        self._snmp: Snmp | None = None
        self._factors: list[float] = []  # SI of one count, host by host and index by index

    # -- what is asked -------------------------------------------------------------------------------------------

    def _each(self, oid: str | None) -> list[str]:
        return [oid.replace("{index}", index) for index in self.indices] if oid else []

    def _get(self, *templates: str | None) -> list[list[Any]]:
        """Some objects of every index of every host: for each template one list, host by host."""
        assert self._snmp is not None
        asked = [oid for template in templates for oid in self._each(template)]
        answers = self._snmp.get([asked] * len(self.hosts))
        n = len(self.indices)
        found, at = [], 0
        for template in templates:
            width = n if template else 0
            found.append([value for answer in answers for value in answer[at : at + width]])
            at += width
        return found

    def _where(self) -> list[str]:
        port = "" if self.port == 161 else f":{self.port}"
        return [f"{host}{port}/{self.part} {index}" for host in self.hosts for index in self.indices]

    def _connect(self) -> Found:
        if not self.hosts:
            raise Unavailable("no PDU is named", "meter.NAME.host=pdu1 (NAME as the entry is called)")
        if self.oid is None:
            raise Unavailable("no object is named", "take a profile such as meter=snmp_apc, or set oid")
        self.close()
        self._snmp = Snmp(self.hosts, self.port, self.about.timeout_s)
        self._snmp.connect(self.version, self.files, self.ways, self.context)
        try:
            values, decimals, units = self._get(self.oid, self.decimals_oid, self.unit_oid)
            told = self._snmp.get([[SYS_DESCR, *self.fact_oids.values()]] * len(self.hosts))
        except Trouble as trouble:
            raise Unavailable(f"snmp: {trouble} ({trouble.status})", self._remedy(trouble.status)) from None
        for place, value in zip(self._where(), values, strict=True):
            if value is None:
                raise Unavailable(f"snmp: {place} has no object {self.oid} (unsupported)", self._remedy("unsupported"))
        self._factors = [self.scale * self.about.si] * len(values)
        for i, (place, digits) in enumerate(zip(self._where(), decimals, strict=False)):
            if digits is None or not 0 <= int(digits) <= 9:
                raise Unavailable(f"snmp: {place} does not tell its decimals", "set decimals_oid to null and scale")
            self._factors[i] /= 10 ** int(digits)
        for place, code in zip(self._where(), units, strict=False):
            if code is None or int(code) != self.unit_code:
                shown = "nothing" if code is None else int(code)
                raise Unavailable(
                    f"snmp: {place} tells unit {shown}, not {self.unit_code}", "correct unit and unit_code"
                )
        facts = self._facts(told)
        serials = [facts.get(f"serial {host}") or host for host in self.hosts]
        quantum = max(self._factors) if self.about.quantum is None else self.about.quantum * self.about.si
        return Found(tuple(self._where()), quantum, f"{','.join(serials)} {self.part} {','.join(self.indices)}", facts)

    def _facts(self, told: list[list[Any]]) -> dict[str, str]:
        """What the PDUs say of themselves, cut to a line."""
        names = ["description", *self.fact_oids]
        found = {
            f"{name} {host}": " ".join(value.prettyPrint().split())[:120]
            for host, answer in zip(self.hosts, told, strict=True)
            for name, value in zip(names, answer, strict=True)
            if value is not None
        }
        return {**found, "object": str(self.oid), "version": self.version}

    def _ask(self) -> Answer:
        try:
            values, present, stamps = self._get(self.oid, self.available_oid, self.stamp_oid)
        except Trouble as trouble:
            return Answer(status=trouble.status, reason=str(trouble))
        where = self._where()
        for i, place in enumerate(where):
            if values[i] is None or (present and (present[i] is None or int(present[i]) != TRUE)):
                return Answer(status="lost", reason=f"{place} is not available")
        try:
            found = tuple(float(str(v)) * factor for v, factor in zip(values, self._factors, strict=True))
        except ValueError:
            return Answer(status="out_of_range", reason=f"{where[0]} and the like: not a number")
        seconds = [int(s) for s in stamps if s is not None]
        whole_stamp = bool(seconds) and len(seconds) == len(stamps) and min(seconds) > 0
        return Answer(found, meter_ns=min(seconds) * 10**9 if whole_stamp else None)

    def _remedy(self, status: Status) -> str:
        if status == "unsupported":
            return "check indices and oid with: snmpwalk -v2c -c COMMUNITY HOST OID"
        return f"check host, port, the PDU's list of allowed clients, and the community or user: {CREDENTIALS}"

    def close(self) -> None:
        """Close the socket."""
        if self._snmp is not None:
            self._snmp.close()
            self._snmp = None
