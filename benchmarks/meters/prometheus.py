"""A site's own power monitoring through the HTTP API of Prometheus: instant queries by GET, with the samples' own time.

Prometheus answers an instant query with the last sample that it has scraped, up to five minutes old, under the time of
the question. So each question asks for the values and, by ``timestamp()``, for the moments they were scraped, evaluated
together. That works for a plain selector alone, which is why ``rate()`` and ``sum()`` are refused: the harness sums and
differentiates itself, and sees when a part of a sum is missing. Source: Prometheus, "HTTP API" and "Query functions".
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from perwatt.benchmarks.meters.facility import About, Answer, FacilityMeter, Found, number
from perwatt.benchmarks.meters.meter import Status, Unavailable
from perwatt.benchmarks.meters.secret import Secret, secret

MARK = "perwatt_answer"  # a label that tells values from time stamps in one answer
LARGEST = 1 << 20  # bytes of an answer: a few thousand series, while a reading needs a few
HTTP_STATUS: dict[int, Status] = {401: "no_permission", 403: "no_permission", 400: "unsupported", 404: "unsupported"}


class _Trouble(Exception):
    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status


class Prometheus(FacilityMeter):
    """Series of one Prometheus (or what speaks its API), summed.

    ``url``: where it is, without /api; ``query``: a selector such as ``pdu_power_watts{rack="r12"}``; each series names
    its physical part by the label ``package_label``. ``max_age_s``: older samples are stale, by the server's own clock.
    ``ca_file``: certificates to trust instead of the system's. ``secret_file``: as :func:`secret`; with a user it is
    basic authentication, without one a bearer token. ``plain``: allow to send it without TLS. Value in W or J is the
    sample times ``scale`` in ``unit``. Times in s; the rest as in
    :class:`~perwatt.benchmarks.meters.facility.About`. Raises ValueError.
    """

    name = "prometheus"

    def __init__(
        self,
        url: str | None = None,
        query: str | None = None,
        package_label: str = "instance",
        max_age_s: float = 30.0,
        secret_file: str | None = None,
        ca_file: str | None = None,
        plain: bool = False,
        kind: str = "power",
        scale: float = 1.0,
        unit: str = "W",
        quantum: float | None = None,
        boundary: str = "rack",
        accuracy_class: str = "C",
        accuracy: float | None = None,
        accuracy_source: str = "",
        period_s: float = 15.0,
        poll_s: float = 5.0,
        averaging_s: float = 0.0,
        delay_s: float = 0.0,
        timeout_s: float = 2.0,
        instrument: str = "",
    ) -> None:
        super().__init__(
            About(
                where="meter.prometheus",
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
        where = "meter.prometheus"
        self.scale = number(f"{where}.scale", scale, 1e-9, 1e9)
        self.max_age_s = number(f"{where}.max_age_s", max_age_s, 0.1, 3600)
        if not isinstance(package_label, str) or not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", package_label):
            raise ValueError(f"{where}.package_label: found {package_label!r}, allowed the name of a label")
        if url is not None:
            parts = urllib.parse.urlsplit(url if isinstance(url, str) else "")
            if "@" in parts.netloc:  # not shown: it would be a password in a message
                raise ValueError(f"{where}.url: found a user in it, allowed only in the environment or secret_file")
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(f"{where}.url: found {url!r}, allowed http(s)://HOST[:PORT][/PATH]")
            self.parts = parts
        self.url, self.query, self.package_label = url, query, package_label
        self.secret_file, self.ca_file, self.plain = secret_file, ca_file, plain
        self._packages: tuple[str, ...] = ()
        self._connection: http.client.HTTPConnection | None = None
        self._headers: dict[str, str] = {}
        self._path = ""

    # -- HTTP ----------------------------------------------------------------------------------------------------

    def _call(self) -> dict[str, Any]:
        """The server's answer to the question as JSON. Raises :class:`_Trouble`."""
        assert self._connection is not None
        try:
            fresh = self._connection.sock is None
            try:
                status, body = self._exchange(self._connection)
            except ConnectionError:
                if fresh:
                    raise
                self._connection.close()  # servers close connections that were idle: ask again on a new one
                status, body = self._exchange(self._connection)
            found = json.loads(body)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            what = "certificate not trusted" if isinstance(error, ssl.SSLCertVerificationError) else str(error)
            raise _Trouble("lost", f"{self.url}: {what or type(error).__name__}") from None
        except ValueError:
            self._connection.close()
            if status == 200:
                raise _Trouble("lost", f"{self.url}: the answer is not JSON") from None
            found = {}
        if not isinstance(found, dict):
            found = {}
        if status != 200 or found.get("status") != "success":
            said = str(found.get("error", ""))[:200]
            raise _Trouble(HTTP_STATUS.get(status, "lost"), f"{self.url}: HTTP {status} {said}".rstrip())
        return found

    def _exchange(self, connection: http.client.HTTPConnection) -> tuple[int, bytes]:
        end = time.monotonic() + self.about.timeout_s
        connection.request("GET", self._path, headers=self._headers)
        response = connection.getresponse()
        body = b""
        while chunk := response.read1(1 << 16):
            body += chunk
            if len(body) > LARGEST:
                raise http.client.HTTPException(f"more than {LARGEST} bytes")
            if time.monotonic() > end:  # the socket's own timeout starts anew with every byte
                raise TimeoutError("timed out")
        response.close()  # the connection stays open for the next question
        return response.status, body

    def _authorization(self, found: Secret | None) -> dict[str, str]:
        if found is None:
            return {}
        if self.parts.scheme == "http" and not self.plain:
            raise Unavailable("prometheus: the password would travel in clear", "an https url, or plain: true")
        if found.user:
            pair = base64.b64encode(f"{found.user}:{found.password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {"Authorization": f"Bearer {found.password}"}

    # -- the meter -----------------------------------------------------------------------------------------------

    def _connect(self) -> Found:
        if self.url is None or not self.query:
            raise Unavailable(
                "no Prometheus and no query is named",
                "meter=prometheus meter.prometheus.url=https://HOST 'meter.prometheus.query=pdu_power_watts'",
            )
        self._headers = {"Accept": "application/json", **self._authorization(secret("prometheus", self.secret_file))}
        both = " or ".join(
            f'label_replace({expression}, "{MARK}", "{mark}", "__name__", ".*")'
            for mark, expression in (("value", self.query), ("stamp", f"timestamp({self.query})"))
        )
        self._path = f"{self.parts.path.rstrip('/')}/api/v1/query?{urllib.parse.urlencode({'query': both})}"
        host, port = str(self.parts.hostname), self.parts.port
        if self.parts.scheme == "https":
            try:
                context = ssl.create_default_context(cafile=self.ca_file)
            except OSError as error:
                raise Unavailable(f"meter.prometheus.ca_file: {error}", "a file of PEM certificates") from None
            self._connection = http.client.HTTPSConnection(host, port, timeout=self.about.timeout_s, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=self.about.timeout_s)
        try:
            before_s = time.time()
            answer = self._call()
            after_s = time.time()
            found = self._series(answer)
            offset_s = _evaluated(answer) - (before_s + after_s) / 2
            if all(stamp == _evaluated(answer) for _, stamp in found.values()):
                # a scrape at this very millisecond is possible, twice in a row it is not
                answer = self._call()
                found = self._series(answer)
        except _Trouble as trouble:
            raise Unavailable(f"prometheus: {trouble} ({trouble.status})", self._remedy(trouble.status)) from None
        if all(stamp == _evaluated(answer) for _, stamp in found.values()):
            raise Unavailable(
                f"prometheus: {self.query} is computed: when its parts were measured is not known",
                "query the series itself, without rate(), sum() or arithmetic, and give scale and unit",
            )
        self._packages = tuple(sorted(found))
        facts = {"query": self.query, "server": f"{host}{self.parts.path}", "clock_offset_s": f"{offset_s:.3f}"}
        quantum = None if self.about.quantum is None else self.about.quantum * self.about.si
        return Found(self._packages, quantum, f"{host} {','.join(self._packages)}", facts)

    def _series(self, answer: dict[str, Any]) -> dict[str, tuple[float, float]]:
        """Value in W or J and time of scraping in s of each package. Raises :class:`_Trouble`."""
        halves: dict[str, dict[str, float]] = {"value": {}, "stamp": {}}
        try:
            for series in answer["data"]["result"]:
                labels: Mapping[str, str] = series["metric"]
                package, half = labels.get(self.package_label), halves[labels[MARK]]
                if not package:
                    raise _Trouble("unsupported", f"a series has no label {self.package_label}")
                if package in half:
                    raise _Trouble("unsupported", f"two series say {self.package_label}={package}: narrow the query")
                half[package] = float(series["value"][1])
        except (KeyError, TypeError, ValueError, IndexError):
            raise _Trouble("lost", f"{self.url}: not an answer of Prometheus") from None
        if not halves["value"] or halves["value"].keys() != halves["stamp"].keys():
            raise _Trouble("lost", f"{self.query} has no series")
        factor = self.scale * self.about.si
        return {package: (value * factor, halves["stamp"][package]) for package, value in halves["value"].items()}

    def _ask(self) -> Answer:
        try:
            answer = self._call()
            found = self._series(answer)
            now = _evaluated(answer)
        except _Trouble as trouble:
            return Answer(status=trouble.status, reason=str(trouble))
        if gone := [package for package in self._packages if package not in found]:
            return Answer(status="lost", reason=f"{self.query}: {', '.join(gone)} has vanished")
        oldest = min(found[package][1] for package in self._packages)
        if now - oldest > self.max_age_s:
            return Answer(status="stale", reason=f"{self.query}: a sample is {now - oldest:.0f} s old")
        return Answer(tuple(found[package][0] for package in self._packages), meter_ns=round(oldest * 1e9))

    def _remedy(self, status: Status) -> str:
        if status == "no_permission":
            return "set PERWATT_PROMETHEUS_PASSWORD to a token (and PERWATT_PROMETHEUS_USER for basic authentication)"
        if status == "stale":
            return "see the target's state under /targets of the server, and max_age_s"
        return "try the query in the server's own browser page; check url, package_label and ca_file"

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


def _evaluated(answer: dict[str, Any]) -> float:
    """When the server evaluated the question, in s since 1970 by its clock. Raises :class:`_Trouble`."""
    try:
        return float(answer["data"]["result"][0]["value"][0])
    except (KeyError, TypeError, ValueError, IndexError):
        raise _Trouble("lost", "no series") from None
