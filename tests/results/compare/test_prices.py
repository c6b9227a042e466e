"""Work per euro, against the sum on paper; and files of prices that cannot be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from compared_runs import MI300, cases, made, members

from perwatt.results.compare.compare import compare
from perwatt.results.compare.prices import from_plain
from perwatt.results.reports.comparison import sections

FILE: dict[str, Any] = {
    "currency": "EUR",
    "electricity": {"mode": 0.10, "unit": "EUR/kWh", "source": "a tariff"},
    "pue": {"mode": 1.25, "unit": "1", "source": "a hall"},
    "at_work": {"mode": 0.5, "unit": "1", "source": "a fleet"},
    "systems": [
        {
            "device": "NVIDIA*",
            "price": {"mode": 240000, "unit": "EUR", "source": "a quote"},
            "devices": 8,
            "lifetime": {"mode": 4, "unit": "year", "source": "a policy"},
            "rest_w": {"mode": 300, "unit": "W", "source": "a node"},
        },
        {
            "device": "AMD*",
            "price": {"mode": 20000, "unit": "EUR", "source": "a quote"},
            "lifetime": {"mode": 4, "unit": "year", "source": "a policy"},
        },
    ],
}


def changed(path: str, value: object) -> dict[str, Any]:
    plain = copy.deepcopy(FILE)
    node: Any = plain
    *way, last = path.split(".")
    for key in way:
        node = node[int(key) if key.isdigit() else key]
    node[last] = value
    return plain


def laid(plain: dict[str, Any], **about: Any) -> Any:
    a, b = cases("a", made("a", scatter=0.0)), cases("b", made("b", scatter=0.0, device=MI300, rate=6e14, **about))
    return compare(members(a, b), (a, b), effect=0.01, prices=from_plain(plain, "prices.yaml")).bought


def test_the_sum_on_paper() -> None:
    (value,) = laid(FILE).values
    hours = 4 * 8766
    cost_a = 240000 / 8 + (600 * 0.5 + 300) / 1e3 * 1.25 * hours * 0.10
    cost_b = 20000 + 600 * 0.5 / 1e3 * 1.25 * hours * 0.10
    seconds = hours * 3600 * 0.5
    assert value.ratio.reference_value == pytest.approx(5e14 * seconds / cost_a, rel=1e-9)
    assert value.ratio.run_value == pytest.approx(6e14 * seconds / cost_b, rel=1e-9)
    assert value.ratio.verdict == "BETTER"
    assert value.energy_part == pytest.approx((1 - 20000 / cost_b, 1 - 30000 / cost_a))
    assert not value.idle


def test_a_tariff_that_nobody_knows_moves_both_alike_and_a_price_does_not() -> None:
    def half(plain: dict[str, Any]) -> float:
        return float(laid(plain).values[0].ratio.half)

    alone = half(FILE)
    tariff = half(changed("electricity", {"mode": 0.1, "min": 0.05, "max": 0.2, "unit": "EUR/kWh", "source": "x"}))
    price = half(changed("systems.1.price", {"mode": 2e4, "min": 1.5e4, "max": 3e4, "unit": "EUR", "source": "x"}))
    assert tariff < 0.1 < price
    assert alone < tariff


def test_what_it_rests_on_is_told_and_what_is_not_metered_left_out() -> None:
    found = laid(FILE)
    assert "electricity: 0.1 EUR/kWh, assumed: a tariff" in found.basis
    assert not any("AMD* rest_w" in line for line in found.basis)
    without = laid(FILE, metered=False)
    assert without.values == ()
    assert without.left_out == ("matmul bf16 4096x4096x4096: not metered alike in b",)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("electricity", {"mode": 0.1, "unit": "EUR/MWh", "source": "x"},
         "electricity: unit: found 'EUR/MWh'; allowed 'EUR/kWh'"),
        ("electricity", {"mode": 0.1, "unit": "EUR/kWh"}, "electricity.source: found nothing; allowed text"),
        ("electricity", {"mode": 0.1, "unit": "EUR/kWh", "source": "x", "kind": "guess"},
         "electricity.kind: found 'guess'; allowed assumed, given, measured, modelled, published"),
        ("electricity", {"mode": 0.1, "unit": "EUR/kWh", "source": "x", "med": 1},
         "electricity: found the unknown key 'med'; allowed mode, unit, source, min, max, kind"),
        ("electricity", {"mode": 0.1, "unit": "EUR/kWh", "source": " "}, "electricity: source: found nothing"),
        ("pue", {"mode": 0.9, "unit": "1", "source": "x"}, "pue: found 0.9 to 0.9; allowed 1 to 10"),
        ("at_work", {"mode": 0, "unit": "1", "source": "x"}, "at_work: found 0 to 0; allowed"),
        ("systems", [], "systems: found none; allowed one or more"),
        ("systems.0.price", 3, "systems[0].price: found 3; allowed the keys mode, unit, source, min, "),
        ("systems.0.devices", 0, "systems[0].devices: found 0; allowed 1 or more"),
        ("systems.1.lifetime", {"mode": 5, "unit": "month", "source": "x"}, "systems[1].lifetime: unit: found 'month'"),
        ("tarif", 1, "found the unknown key 'tarif'; allowed currency, electricity, pue, at_work, systems"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be(path: str, value: object, said: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the words are compared below
        from_plain(changed(path, value), "prices.yaml")
    assert str(raised.value).startswith(f"prices.yaml: {said}")
    assert "\n" not in str(raised.value)


def test_a_device_without_a_price_is_named() -> None:
    plain = copy.deepcopy(FILE)
    del plain["systems"][1]
    with pytest.raises(ValueError, match=r"prices: found none for 'AMD MI300X'; systems there: NVIDIA\*"):
        laid(plain)


def test_where_no_case_can_be_priced_it_is_told_why() -> None:
    a, b = cases("a", made("a")), cases("b", made("b", device=MI300, metered=False))
    found = compare(members(a, b), (a, b), effect=0.01, prices=from_plain(FILE, "prices.yaml"))
    (section,) = [one for one in sections(found) if "EUR" in one.title]
    assert section.rows[0][0] == "none of the cases"
    assert any("not metered alike in b" in remark for remark in section.remarks)
