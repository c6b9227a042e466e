"""The meter against a real Prometheus that scrapes an exporter of known power."""

from __future__ import annotations

import importlib.util
import math
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import require
from facility_servers import TcpProxy, free_port, running, until
from pytest_benchmark.fixture import BenchmarkFixture

from perwatt.benchmarks.meters.meter import Part, Unavailable
from perwatt.benchmarks.meters.prometheus import Prometheus

PART = Part("cpu")
POWER = "pdu_power_watts"
# bcrypt of known-only-here
HASH = "$2y$04$perwattperwattperwatt.JSbetuZpL9n23B5oNHGJMc/5Fr6QLHC"


class Exporter:
    """Serves ``power`` in W and ``energy`` in Wh by inlet, and one series with time stamps of its own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, start_http_server

        self.reset()
        registry = CollectorRegistry()
        registry.register(self)
        self.port = free_port()
        self._server, self._thread = start_http_server(self.port, "127.0.0.1", registry)

    def reset(self) -> None:
        self.power = {"A": 1500.0, "B": 2000.5}
        self.energy = {"A": 100.0, "B": 200.0}
        self.stamp_s: float | None = None  # of the stamped series; None: now

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        for name, values, stamp_s in (
            (POWER, self.power, None),
            ("pdu_energy_wh", self.energy, None),
            ("stamped_watts", {"A": 300.0}, self.stamp_s or time.time()),
        ):
            family = GaugeMetricFamily(name, "of an inlet", labels=["inlet"])
            for inlet, value in values.items():
                family.add_metric([inlet], value, timestamp=stamp_s)
            yield family

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def exporting() -> Iterator[Exporter]:
    modules = importlib.util.find_spec("prometheus_client") is not None
    require("prometheus", modules and bool(shutil.which("prometheus")) and bool(shutil.which("openssl")))
    found = Exporter()
    yield found
    found.close()


@pytest.fixture(scope="module")
def ports(exporting: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, str]]:
    """The ports of a Prometheus without and of one with TLS and a password, and its certificate."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "scrape.yml").write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: pdu, static_configs: [{{targets: ['127.0.0.1:{exporting.port}']}}]}}]\n"
    )
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    argv += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    subprocess.run(argv, check=True, capture_output=True)
    (folder / "web.yml").write_text(
        f"tls_server_config: {{cert_file: {folder / 'cert'}, key_file: {folder / 'key'}}}\n"
        f"basic_auth_users: {{reader: '{HASH}'}}\n"
    )

    def command(port: int, data: str, *more: str) -> list[str]:
        where = [f"--config.file={folder / 'scrape.yml'}", f"--storage.tsdb.path={folder / data}"]
        # it looks for its targets 5 s after its start; the (hidden) flag spares another 5 s
        soon = "--scrape.discovery-reload-interval=100ms"
        return ["prometheus", *where, f"--web.listen-address=127.0.0.1:{port}", soon, *more]

    plain, safe = free_port(), free_port()
    with (
        running(command(plain, "plain")),
        running(command(safe, "safe", f"--web.config.file={folder / 'web.yml'}")),
    ):
        assert until(lambda: _answers(f"http://127.0.0.1:{plain}")), "prometheus did not start"
        yield plain, safe, str(folder / "cert")


def _answers(url: str) -> bool:
    try:
        Prometheus(url, POWER, "inlet").open(PART)
    except Unavailable:
        return False
    return True


@pytest.fixture
def exporter(exporting: Exporter, ports: tuple[int, int, str]) -> Exporter:
    """The exporter with its values as they were at first, and scraped."""
    exporting.reset()
    assert until(lambda: _answers(f"http://127.0.0.1:{ports[0]}"))
    return exporting


@pytest.fixture
def opened(ports: tuple[int, int, str]) -> Iterator[Any]:
    meters: list[Prometheus] = []

    def one(query: str = POWER, port: int = ports[0], **more: Any) -> tuple[Prometheus, Any]:
        meter = Prometheus(**{"url": f"http://127.0.0.1:{port}", "query": query, "package_label": "inlet", **more})
        meters.append(meter)
        end = time.monotonic() + 60
        while True:
            try:
                return meter, meter.open(PART)
            except Unavailable as why:
                # a scrape that took too long leaves its series out until the next
                if query == "no_such_series" or "has no series" not in str(why) or time.monotonic() > end:
                    raise
                time.sleep(0.1)

    yield one
    for meter in meters:
        meter.close()


def test_series_are_summed_and_carry_the_time_of_their_scrape(exporter: Exporter, opened: Any) -> None:
    meter, about = opened(boundary="rack", accuracy=0.02, accuracy_source="data sheet")
    readings = [meter.read()]
    assert until(lambda: readings.append(meter.read()) or readings[-1].value == 3500.5)
    reading = readings[-1]
    assert reading.meter_ns is not None
    assert 0 <= time.time_ns() - reading.meter_ns < 1.5e9
    assert (about.kind, about.boundary, about.packages) == ("power", "rack", ("A", "B"))
    assert (about.accuracy_class, about.accuracy, about.remote) == ("C", 0.02, True)
    assert abs(float(about.facts["clock_offset_s"])) < 0.1
    exporter.power["A"] = 1600.0
    assert until(lambda: meter.read().value == 3600.5)


def test_a_counter_gives_joules_since_it_was_opened_and_is_lost_when_it_goes_back(
    exporter: Exporter, opened: Any
) -> None:
    assert until(lambda: opened("pdu_energy_wh", kind="energy", unit="Wh")[0].read().value == 0)
    meter, about = opened("pdu_energy_wh", kind="energy", unit="Wh", quantum=1)
    assert about.quantum == pytest.approx(3600 * 2**0.5)
    exporter.energy["B"] = 201.0
    assert until(lambda: meter.read().value == 3600.0)
    seen, _ = opened('pdu_energy_wh{inlet="A"}')
    exporter.energy["A"] = 0.0
    # between two looks that see the 0: a scrape that fails loses the meter as well, but for a moment
    assert until(lambda: [seen.read().value, meter.read().status, seen.read().value] == [0.0, "lost", 0.0])
    exporter.energy["A"] = 500.0
    time.sleep(0.5)
    assert (meter.read().value, meter.read().status) == (None, "lost")


def test_a_series_that_vanishes_is_lost_and_never_a_smaller_sum(exporter: Exporter, opened: Any) -> None:
    meter, _ = opened()
    assert until(lambda: meter.read().value == 3500.5)
    del exporter.power["B"]
    seen = set()

    def lost() -> bool:
        reading = meter.read()
        seen.add(reading.value)
        return reading.status == "lost"

    assert until(lost)
    assert seen == {3500.5, None}
    assert "B has vanished" in meter.trouble
    exporter.power["B"] = 2000.5
    assert until(lambda: meter.read().value == 3500.5)
    exporter.power["C"] = 1.0  # not of the parts that were opened
    time.sleep(0.5)
    seen.clear()
    assert until(lambda: not lost())
    assert seen - {None} == {3500.5}


def test_an_old_sample_is_stale_by_its_own_time(exporter: Exporter, opened: Any) -> None:
    meter, _ = opened("stamped_watts", max_age_s=1)
    assert until(lambda: meter.read().value == 300.0)
    exporter.stamp_s = time.time()  # the exporter goes on to tell what it knew at this moment
    assert until(lambda: meter.read().status == "stale")
    assert meter.read().value is None
    exporter.stamp_s = None
    assert until(lambda: meter.read().value == 300.0)


def test_not_a_number_is_out_of_range(exporter: Exporter, opened: Any) -> None:
    meter, _ = opened()
    exporter.power["A"] = math.nan
    assert until(lambda: meter.read().status == "out_of_range")
    assert meter.read().value is None


@pytest.mark.parametrize(
    ("query", "changes", "message"),
    [
        ("sum by (inlet) (pdu_power_watts)", {}, "is computed"),
        ("rate(pdu_energy_wh[10s])", {"unit": "kW"}, "is computed"),
        ("pdu_power_watts * 2", {}, "is computed"),
        ("no_such_series", {}, "has no series"),
        (POWER, {"package_label": "job"}, "two series say job=pdu"),
        (POWER, {"package_label": "rack"}, "no label rack"),
        ("pdu_power_watts{", {}, "HTTP 400"),
        (POWER, {"url": "http://127.0.0.1:1"}, "refused"),
        (POWER, {"url": "http://no-such-host.invalid"}, "lost"),
        (POWER, {"url": None}, "no Prometheus"),
    ],
)
def test_what_cannot_be_metered_is_refused_when_it_is_opened(
    exporter: Exporter, opened: Any, query: str, changes: dict[str, Any], message: str
) -> None:
    assert until(lambda: _answers(f"http://127.0.0.1:{opened()[0].parts.port}"))
    with pytest.raises(Unavailable, match=message) as refused:
        opened(query, **changes)
    assert refused.value.remedy


def test_tls_and_the_password_are_checked(
    exporter: Exporter, ports: tuple[int, int, str], opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, port, certificate = ports
    url = f"https://localhost:{port}"
    monkeypatch.setenv("PERWATT_PROMETHEUS_USER", "reader")
    monkeypatch.setenv("PERWATT_PROMETHEUS_PASSWORD", "known-only-here")
    with pytest.raises(Unavailable, match="certificate not trusted"):
        opened(url=url)
    meter, about = opened(url=url, ca_file=certificate)
    assert until(lambda: meter.read().value == 3500.5)
    assert "known-only-here" not in repr(about) + meter.trouble
    monkeypatch.setenv("PERWATT_PROMETHEUS_PASSWORD", "another")
    with pytest.raises(Unavailable, match="no_permission") as refused:
        opened(url=url, ca_file=certificate)
    assert "another" not in str(refused.value) + refused.value.remedy


def test_a_token_is_sent_in_clear_only_where_that_was_asked_for(
    exporter: Exporter, ports: tuple[int, int, str], opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERWATT_PROMETHEUS_PASSWORD", "a-token")
    with TcpProxy(ports[0], slow_s=0) as proxy:
        with pytest.raises(Unavailable, match="in clear"):
            opened(port=proxy.port)
        assert not proxy.asked
        opened(port=proxy.port, plain=True)
        assert b"Authorization: Bearer a-token\r\n" in proxy.asked[0]


@pytest.mark.slow
@pytest.mark.alone
def test_a_server_that_fails_loses_readings_and_may_come_back(
    exporter: Exporter, ports: tuple[int, int, str], opened: Any
) -> None:
    with TcpProxy(ports[0], slow_s=0.6) as proxy:
        meter, _ = opened(port=proxy.port, timeout_s=0.3)
        assert until(lambda: meter.read().value == 3500.5)
        for fault in ("silent", "slow", "garbage", "closed"):
            proxy.fault = fault
            reading = meter.read()
            assert (reading.value, reading.status) == (None, "lost"), fault
            assert reading.call_ns < 0.8e9
            proxy.fault = "none"
            assert until(lambda: meter.read().value == 3500.5), fault
        proxy.kick()
        assert (meter.read().value, meter.trouble) == (3500.5, "")  # an idle connection that was closed costs nothing
        assert all(request.startswith(b"GET /api/v1/query?") for request in proxy.asked)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "ftp://host"),
        ("url", "https://user:word@host"),
        ("url", "host:9090"),
        ("package_label", "two words"),
        ("kind", "heat"),
        ("unit", "Wh"),
        ("max_age_s", 0),
        ("timeout_s", 30),
        ("scale", -1),
        ("accuracy_class", "b"),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"meter\.prometheus\.{key}: found") as wrong:
        Prometheus(**{key: value})
    assert "word@" not in str(wrong.value)


def test_cost_of_a_read(exporter: Exporter, opened: Any, benchmark: BenchmarkFixture) -> None:
    meter, _ = opened()
    assert until(lambda: meter.read().value == 3500.5)
    assert benchmark.pedantic(meter.read, rounds=50, warmup_rounds=2).value == 3500.5
