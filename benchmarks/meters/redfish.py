"""Power through Redfish, in the shapes that controllers offer it, by DMTF's own client library. It only ever GETs.

``environment``: ``EnvironmentMetrics`` of a chassis or of a processor, with ``PowerWatts.Reading`` (and ``EnergykWh``).
``supplies``: ``InputPowerWatts`` of each power supply, summed; if one is silent there is no sum. ``power``: the older
``PowerControl[].PowerConsumedWatts``. ``report``: a metric report, whose values carry the time at which they were
taken. ``auto`` takes the first that answers. A controller's sensor is of class C: its accuracy is seldom stated and its
age is told by reports alone.

A login makes a session with a POST, so each request carries the password (basic authentication), and TLS certificates
are verified unless that is switched off. Source: DMTF DSP0266, DSP2046.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from perwatt.benchmarks.meters.meter import Capabilities, Kind, Meter, Part, Reading, Status, Unavailable
from perwatt.benchmarks.meters.secret import secret
from perwatt.benchmarks.meters.sysfs import number

INSTALL = "pip install 'perwatt[redfish]'"
SHAPES = ("environment", "supplies", "power", "report")
KWH_J = 3.6e6
ROOT = "/redfish/v1"

Sources = dict[str, Callable[[], tuple[float, int | None]]]  # by resource: its value, and when it was taken


class _NotThere(Exception):
    """The resource or the property does not exist, or says null; ``status`` is what that means for a reading."""

    def __init__(self, reason: str, status: Status = "unsupported") -> None:
        super().__init__(reason)
        self.status = status


class Redfish(Meter):
    """Power (or with ``energy`` the counter of ``environment``) of ``chassis``, or of the resource at ``path``."""

    scope = "host"

    def __init__(
        self,
        url: str | None = None,
        shape: str = "auto",
        chassis: str | None = None,
        path: str | None = None,
        energy: bool = False,
        boundary: str = "node_ac",
        credentials: str | None = None,
        verify: bool = True,
        ca_file: str | None = None,
        max_age_s: float = 10.0,
        poll_s: float = 1.0,
        timeout_s: float = 5.0,
    ) -> None:
        if shape not in ("auto", *SHAPES):
            raise ValueError(f"meter.redfish.shape: found {shape!r}, allowed auto, {', '.join(SHAPES)}")
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError(f"meter.redfish.url: found {url!r}, allowed https://HOST or http://HOST")
        if url is not None and "@" in url:
            raise ValueError("meter.redfish.url: found a user in it, allowed none: see credentials")
        if energy and shape not in ("auto", "environment"):
            raise ValueError(f"meter.redfish.energy: only environment has a counter, found shape {shape!r}")
        if shape == "report" and path is None:
            raise ValueError("meter.redfish.path: found null, allowed the path of a metric report")
        for key, value in (("max_age_s", max_age_s), ("poll_s", poll_s), ("timeout_s", timeout_s)):
            number("redfish", key, value, 0.05, 3600)
        self.url, self.shape, self.chassis, self.path, self.energy = url, shape, chassis, path, energy
        self.boundary, self.credentials, self.verify, self.ca_file = boundary, credentials, verify, ca_file
        self.max_age_s, self.poll_s, self.timeout_s = max_age_s, poll_s, timeout_s
        self.kind: Kind = "energy" if energy else "power"

    # -- finding -------------------------------------------------------------------------------------------------

    def open(self, part: Part) -> Capabilities:
        """Connect, find the first shape that answers, and read it once. Raises :class:`Unavailable`."""
        if self.url is None:
            raise Unavailable("no controller was named", "meter=redfish meter.redfish.url=https://bmc-of-this-node")
        self._client = self._connect(self.url)
        self._zero = self._last = 0.0
        shapes = ("environment",) if self.energy else SHAPES[:3] if self.shape == "auto" else (self.shape,)
        reasons = []
        for shape in shapes:
            try:
                self._sources = getattr(self, f"_find_{shape}")()
                value, _ = self._value()
                break
            except _NotThere as reason:
                reasons.append(f"{shape}: {reason}")
        else:
            raise Unavailable(
                f"{self.url}: {'; '.join(reasons)}", "meter.redfish.path=/redfish/v1/... names a resource"
            )
        self._last = value
        self._zero = value if self.energy else 0.0
        packages = tuple(self._sources)
        return Capabilities(
            name="redfish",
            kind=self.kind,
            boundary=self.boundary,
            packages=tuple(f"{self.url}{name}" for name in packages),
            period_s=1.0,
            poll_s=self.poll_s,
            quantum=None,
            accuracy_class="C",
            remote=True,
            instrument=f"redfish:{self.url}{'+'.join(packages)}",
            facts={"shape": shape, "resources": " ".join(packages), "verified": str(self.verify).lower()},
        )

    def _connect(self, url: str) -> Any:
        try:
            import redfish
        except ImportError:
            raise Unavailable("the redfish client is not installed", INSTALL) from None
        found = secret("redfish", self.credentials)
        if found and url.startswith("http://"):
            raise Unavailable(f"{url}: a password would travel in the clear", "use https://")
        # the client verifies certificates only where it is told by which authorities
        authorities = self.ca_file or ssl.get_default_verify_paths().cafile or _bundled()
        try:
            client = redfish.redfish_client(
                base_url=url,
                username=found.user if found else None,
                password=found.password if found else None,
                timeout=self.timeout_s,
                max_retry=0,
                cafile=authorities if self.verify else None,
                check_connectivity=False,
            )
            if found:
                client.login(auth="basic")
        except Exception as error:
            raise Unavailable(f"{url}: {_why(error)}", _REMEDIES.get(type(error).__name__, "")) from None
        return client

    def _get(self, path: str) -> dict[str, Any]:
        """One resource. Raises :class:`_NotThere`, with the status of a reading that met it."""
        try:
            response = self._client.get(path)
        except Exception as error:
            raise _NotThere(_why(error), "lost") from None
        if response.status in (401, 403):
            raise _NotThere(f"{path}: HTTP {response.status}", "no_permission")
        if response.status == 404:
            raise _NotThere(f"{path}: not there")
        if response.status != 200:
            raise _NotThere(f"{path}: HTTP {response.status}", "lost")
        try:
            found = response.dict
        except Exception:
            found = None
        if not isinstance(found, dict):
            raise _NotThere(f"{path}: not a resource", "out_of_range")
        return found

    def _members(self, path: str) -> list[str]:
        return [str(m.get("@odata.id", "")) for m in self._get(path).get("Members", [])]

    def _chassis(self) -> list[str]:
        """The chassis asked for, or all: a rack's drawers are chassis, too, and each speaks for itself."""
        return [f"{ROOT}/Chassis/{self.chassis}"] if self.chassis else self._members(f"{ROOT}/Chassis")

    def _find_environment(self) -> Sources:
        keys = ("EnergykWh", "Reading") if self.energy else ("PowerWatts", "Reading")
        scale = KWH_J if self.energy else 1.0
        path = self._first("EnvironmentMetrics", lambda found: _number(found, *keys))
        return {path: lambda: (scale * _number(self._get(path), *keys), None)}

    def _first(self, name: str, told: Callable[[dict[str, Any]], object]) -> str:
        """The path asked for, or the first chassis' resource of this name that tells what is wanted."""
        for path in [self.path] if self.path else [f"{c}/{name}" for c in self._chassis()]:
            try:
                told(self._get(path))
                return path
            except _NotThere:
                if self.path:
                    raise
            except (KeyError, IndexError, TypeError):
                continue
        raise _NotThere(f"no chassis with {name}")

    def _find_supplies(self) -> Sources:
        path = self._first("PowerSubsystem/PowerSupplies", lambda found: found["Members"][0])
        return {supply: self._supply(f"{supply}/Metrics") for supply in self._members(path)}

    def _supply(self, path: str) -> Callable[[], tuple[float, int | None]]:
        return lambda: (_number(self._get(path), "InputPowerWatts", "Reading"), None)

    def _find_power(self) -> Sources:
        # the first control is the chassis; others, where there are any, are parts of it
        path = self._first("Power", lambda found: _number(found["PowerControl"][0], "PowerConsumedWatts"))
        return {path: lambda: (_number(self._get(path)["PowerControl"][0], "PowerConsumedWatts"), None)}

    def _find_report(self) -> Sources:
        path = str(self.path)
        return {path: lambda: self._reported(self._get(path))}

    def _reported(self, report: dict[str, Any]) -> tuple[float, int | None]:
        """The newest power of a report, and when it was taken. An old one is stale."""
        found = []
        for metric in report.get("MetricValues") or []:
            named = f"{metric.get('MetricId', '')} {metric.get('MetricProperty', '')}"
            if "Power" in named and metric.get("MetricValue") is not None:
                stamp = datetime.fromisoformat(str(metric.get("Timestamp", "")).replace("Z", "+00:00"))
                found.append((round(stamp.timestamp() * 1e9), _number(metric, "MetricValue")))
        if not found:
            raise _NotThere("a report without power")
        at_ns, value = max(found)
        if time.time_ns() - at_ns > self.max_age_s * 1e9:
            raise _NotThere(f"the newest value is of {datetime.fromtimestamp(at_ns * 1e-9)}", "stale")
        return value, at_ns

    # -- reading -------------------------------------------------------------------------------------------------

    def _value(self) -> tuple[float, int | None]:
        """The sum over the packages; an exception if one of them is silent."""
        try:
            said = [source() for source in self._sources.values()]
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise _NotThere(f"not as the schema has it ({type(error).__name__})", "out_of_range") from None
        return sum(v for v, _ in said), min((t for _, t in said if t is not None), default=None)

    def read(self) -> Reading:
        """One GET for each resource."""
        start = time.monotonic_ns()
        status: Status = "ok"
        value: float | None = None
        stamp: int | None = None
        try:
            raw, stamp = self._value()
            value = raw - self._zero
            if self.energy and raw < self._last:  # the controller began to count anew
                value, status = None, "lost"
            elif not 0 <= value < 1e9 * (KWH_J if self.energy else 1):
                value, status = None, "out_of_range"
            else:
                self._last = raw
        except _NotThere as reason:
            status = reason.status
        end = time.monotonic_ns()
        return Reading((start + end) // 2, end - start, value, status, stamp)


def _number(resource: Any, *keys: str) -> float:
    """A property, deep in. Null is no number, and neither is a word."""
    for key in keys:
        if not isinstance(resource, dict) or resource.get(key) is None:
            raise _NotThere(f"{key} is absent or null")
        resource = resource[key]
    try:
        return float(resource)
    except (TypeError, ValueError):
        raise _NotThere(f"{keys[-1]} is not a number", "out_of_range") from None


def _bundled() -> str:
    import certifi  # comes with the client

    return str(certifi.where())


_REMEDIES = {
    "InvalidCredentialsError": "set PERWATT_REDFISH_USER and PERWATT_REDFISH_PASSWORD",
    "RetriesExhaustedError": "check the address; a certificate of your own: meter.redfish.ca_file=ca.pem",
}


def _why(error: BaseException) -> str:
    """The innermost complaint, in one line: the client wraps what it met."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
