"""Criteria as data: what is refused, in one line that says where and what instead."""

from __future__ import annotations

from typing import Any

import pytest
from acceptances import SOURCED, criteria, criterion, limit

from perwatt.results.accept import health
from perwatt.results.accept.criteria import METRICS, Limit, from_plain, si
from perwatt.results.accept.falling import FALL


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (criterion(at_least=limit(1, "TFLOPS")), "at_least: unit: found 'TFLOPS'; allowed for rate: FLOP/s"),
        (criterion("power", at_most=limit(1, "J")), "unit: found 'J'; allowed for power: W"),
        (criterion("temperature", at_most=limit(9, "mdegC")), "without a prefix"),
        (criterion("temperature", at_most=limit(900, "degC")), "at_most: found 900 degC; allowed -40 to 150"),
        (criterion("throttled", at_most=limit(-1, "%")), "allowed 0 to 1"),
        (criterion(at_least=limit(2, "TFLOP/s"), at_most=limit(1, "TFLOP/s")), "nothing can pass"),
        (criterion(at_least=limit(2, "TFLOP/s"), plausible_max=limit(2, "TFLOP/s")), "nothing can pass"),
        (criterion(at_lest=limit(1, "W")), "criteria[0]: found the unknown key 'at_lest'; allowed name, cases, metric"),
        (criterion(at_least={**limit(1, "FLOP/s"), "x": 1}), "at_least: found the unknown key 'x'; allowed value"),
        (criterion("speed"), "criteria[0].metric: found 'speed'; allowed busbw, ecc, "),
        (criterion(scope="rack"), "criteria[0].scope: found 'rack'; allowed device, fleet, group, node"),
        (criterion(scopes=["node", "hall"]), "criteria[0].scopes[1]: found 'hall'; allowed device, "),
        (criterion(severity=3), "criteria[0].severity: found 3; allowed fail, warn"),
        (criterion(at_least=3), "criteria[0].at_least: found 3; allowed the keys value, unit, source, date"),
        (criterion(at_least={"value": 1, "unit": "FLOP/s", "date": "2026-01-31"}),
         "criteria[0].at_least.source: found nothing; allowed text"),
        (criterion(at_least={**limit(1, "FLOP/s"), "source": " "}), "source: found none"),
        (criterion(at_least={**limit(1, "FLOP/s"), "date": "today"}), "date: found 'today'; allowed a day as"),
        (criterion(within_fleet={"effect": 3, "unit": "K", **SOURCED}), "unit: found 'K'; allowed for rate: %"),
        (criterion(within_fleet={"effect": 0, "unit": "%", **SOURCED}), "effect: found 0 %"),
        (criterion(scope="fleet"), "within_fleet: found scope fleet"),
        ({"name": "a", "cases": "*", "metric": "rate"}, "a: found no limit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(found: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=r"^test\.yaml: ") as error:
        criteria(found)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_the_set_itself_is_checked() -> None:
    waiver = {"subject": "*", "criterion": "*", "who": "w", "why": "y", "until": "soon"}
    for plain, told in (
        ({"name": "a", "criteria": []}, "found none"),
        ({"name": "a", "criteria": [criterion(), criterion()]}, "found 'rate of all' twice"),
        ({"name": "a", "criteria": [criterion()], "false_alarms": 2}, "false_alarms: found 2"),
        ({"name": "a", "criteria": [criterion()], "waivers": [waiver]}, "until: found 'soon'"),
        ({"name": "a", "criteria": [criterion()], "waiver": []}, "found the unknown key 'waiver'"),
        ({"name": "a", "criteria": [criterion()], 3: "x"}, "found the key 3; allowed keys that are text"),
        (
            {"name": "a", "criteria": [criterion(scope="node", scopes=["device"])]},
            "found scope and scopes; allowed one",
        ),
        (["a"], "test.yaml: found a list; allowed the keys name, criteria, status"),
        ({"name": "a", "criteria": {"name": "b"}}, "criteria: found keys; allowed a list, each with the keys name, "),
        (
            {"name": "a", "criteria": [criterion()], "same": [{"name": "v", "of": ["bios"]}]},
            "same[0].of[0]: found 'bios'",
        ),
    ):
        with pytest.raises(ValueError, match=r"^test\.yaml: ") as error:
            from_plain(plain, "test.yaml")
        assert told in str(error.value)


def test_units_are_brought_to_si_and_say_what_they_count() -> None:
    def of(metric: str, unit: str) -> tuple[float, str]:
        return si(metric, Limit(2.0, unit, "s", "2026-01-31"), "x")

    assert of("rate", "TFLOP/s") == (2e12, "flops")
    assert of("rate", "GB/s") == (2e9, "bytes")
    assert of("rate_per_watt", "TFLOP/s/W") == of("rate_per_watt", "TFLOP/J") == (2e12, "flops")
    assert of("power", "kW") == (2000.0, "")
    assert of("spread", "%") == (0.02, "")
    assert of("rate_fall", "%") == (0.02, "")
    others = {"rate", "rate_per_watt", "power", "busbw", "temperature", "throttled", "ecc", "spread", FALL}
    assert set(METRICS) == others | set(health.METRICS)
