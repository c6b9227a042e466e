"""Indicators of a data centre against the definitions that they are from."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size import kpi
from perwatt.results.size.indicator import INDICATORS
from perwatt.results.size.kpi import J_PER_KWH, J_PER_MWH, Annual, indicators

shares = st.floats(0, 1)
energies = st.floats(1e3, 1e18)


def year() -> Annual:
    """12 GWh in, 10 GWh of IT, 2,000 m3, a quarter reused, three quarters renewable, 114.4 g/kWh."""
    return Annual(
        edc_j=12e3 * J_PER_MWH,
        eit_j=10e3 * J_PER_MWH,
        win_m3=2e3,
        ereuse_j=3e3 * J_PER_MWH,
        eres_tot_j=kpi.eres_tot_j(5e3 * J_PER_MWH, 3e3 * J_PER_MWH, 1e3 * J_PER_MWH),
        co2_kg=kpi.co2_kg(12e3 * J_PER_MWH, 114.4),
        heat_removed_j=12e3 * J_PER_MWH,
        cooling_j=1.5e3 * J_PER_MWH,
    )


def test_each_indicator_of_a_year_worked_out_by_hand() -> None:
    expected = {"pue": 1.2, "wue": 0.2, "erf": 0.25, "ref": 0.75, "ere": 0.9, "cue": 0.13728, "cer": 8.0}
    assert indicators(year()) == pytest.approx(expected)


def test_the_table_and_the_arithmetic_have_the_same_indicators() -> None:
    assert [item.key for item in INDICATORS] == list(indicators(year()))


def test_the_regulation_asks_for_four_in_the_order_of_annex_iii() -> None:
    asked = [(item.symbol, item.regulation) for item in INDICATORS if item.regulation]
    assert asked == [
        ("PUE", "Annex III(a)"),
        ("WUE", "Annex III(b)"),
        ("ERF", "Annex III(c)"),
        ("REF", "Annex III(d)"),
    ]


def test_both_standards_have_the_same_part_number() -> None:
    parts = {item.symbol: item.iso.rpartition("-")[2] for item in INDICATORS if item.iso}
    assert parts == {"PUE": "2", "REF": "3", "ERF": "6", "CER": "7", "CUE": "8", "WUE": "9"}
    assert all(item.en.rpartition("-")[2] == item.iso.rpartition("-")[2] for item in INDICATORS)


def test_a_basis_names_the_regulation_or_who_else_defines_it() -> None:
    bases = {item.symbol: item.basis for item in INDICATORS}
    assert bases["WUE"].startswith("WUE = WIN / EIT, EIT in MWh (Delegated Regulation (EU) 2024/1364 Annex III(b)")
    assert "The Green Grid" in bases["ERE"]


def test_what_is_not_known_is_none_and_what_is_zero_is_zero() -> None:
    bare = indicators(Annual(12.0, 10.0))
    assert bare == {"pue": 1.2, "wue": None, "erf": None, "ref": None, "cue": None, "ere": None, "cer": None}
    dry = indicators(Annual(12.0, 10.0, win_m3=0.0, ereuse_j=0.0))
    assert (dry["wue"], dry["erf"], dry["ere"]) == (0.0, 0.0, 1.2)


def test_water_per_energy_of_the_first_round_of_reports(data: Path) -> None:
    with (data / "eed_first_round_totals.csv").open() as file:
        union = next(csv.DictReader(file))
    # 6.22 million m3 on 14.1 TWh: litres, kWh, MWh and m3 mixed up would be off by thousands
    assert kpi.wue_m3_mwh(float(union["water_m3"]), float(union["energy_GWh"]) * 1e6 * J_PER_KWH) == pytest.approx(
        0.4418, rel=1e-3
    )


@settings(max_examples=60)
@given(energies, shares, shares)
def test_ere_is_pue_times_what_is_not_reused(edc_j: float, it_share: float, reused: float) -> None:
    eit_j = edc_j * max(it_share, 1e-6)
    found = indicators(Annual(edc_j, eit_j, ereuse_j=edc_j * reused))
    pue, erf, ere = found["pue"], found["erf"], found["ere"]
    assert pue is not None
    assert erf is not None
    assert ere is not None
    assert ere == pytest.approx((edc_j - edc_j * reused) / eit_j, rel=1e-9, abs=1e-9 * pue)
    assert pue >= 1 - 1e-9
    assert 0 <= erf <= 1 + 1e-9


@settings(max_examples=40)
@given(energies, st.floats(0.01, 1), st.floats(1e-3, 1e3))
def test_ratios_do_not_depend_on_the_unit_of_energy(edc_j: float, it_share: float, factor: float) -> None:
    one = indicators(Annual(edc_j, edc_j * it_share, ereuse_j=0.2 * edc_j, eres_tot_j=0.5 * edc_j))
    other = indicators(
        Annual(
            factor * edc_j, factor * edc_j * it_share, ereuse_j=0.2 * factor * edc_j, eres_tot_j=0.5 * factor * edc_j
        )
    )
    assert other == pytest.approx(one)


def test_draws_give_what_single_numbers_give() -> None:
    edc_j, eit_j, win_m3 = np.array([12.0, 15.0]), np.array([10.0, 10.0]), np.array([0.0, 3.0])
    found = indicators(Annual(edc_j, eit_j, win_m3, ereuse_j=3.0))
    singly = [indicators(Annual(e, i, w, ereuse_j=3.0)) for e, i, w in zip(edc_j, eit_j, win_m3, strict=True)]
    for key in ("pue", "wue", "erf", "ere"):
        assert found[key] == pytest.approx([one[key] for one in singly])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Annual(12.0, 0.0), "eit_j: found 0; allowed a finite number above 0"),
        (Annual(9.0, 10.0), "eit_j: found 10; allowed 9 at most, which edc_j is"),
        (Annual(np.array([12.0, 9.0]), 10.0), "eit_j: found 10; allowed 9 at most"),
        (Annual(12.0, 10.0, win_m3=-1.0), "win_m3: found -1; allowed a finite number of 0 or more"),
        (Annual(12.0, 10.0, ereuse_j=13.0), "ereuse_j: found 13; allowed 12 at most, which edc_j is"),
        (Annual(12.0, 10.0, eres_tot_j=12.1), "eres_tot_j: found 12.1; allowed 12 at most"),
        (Annual(12.0, 10.0, co2_kg=float("nan")), "co2_kg: found nan"),
        (Annual(12.0, 10.0, heat_removed_j=12.0, cooling_j=0.0), "cooling_j: found 0; allowed a finite number above 0"),
    ],
)
def test_terms_that_contradict_each_other_are_refused_in_one_line(wrong: Annual, words: str) -> None:
    with pytest.raises(ValueError, match=f"^[^\n]*{re.escape(words)}[^\n]*$"):
        indicators(wrong)


def test_degree_days_count_from_21_but_only_on_days_that_reach_the_threshold() -> None:
    # the example that Eurostat gives: 26 C counts 5, 22 C counts nothing
    days = [26.0, 22.0, 24.0, 21.0, 10.0]
    assert kpi.cdd(days, 21, 24) == pytest.approx(5 + 3)
    assert kpi.cdd(days, 21, 21) == pytest.approx(5 + 1 + 3)
    assert kpi.cdd([days, [0.0] * 5], 21, 24) == pytest.approx([8.0, 0.0])
    with pytest.raises(ValueError, match="threshold_c: found 18; allowed 21"):
        kpi.cdd(days, 21, 18)
    with pytest.raises(ValueError, match="daily_mean_c: found a day without a mean"):
        kpi.cdd([20.0, float("nan")], 21, 24)


def test_work_per_joule_per_mwh_and_per_m3() -> None:
    rates = kpi.work_rates(7.2e15, 2 * J_PER_MWH, 4.0)
    assert rates == pytest.approx({"per_joule": 1e6, "per_mwh": 3.6e15, "per_m3": 1.8e15})
    assert kpi.work_rates(None, 1.0, 1.0) == {"per_joule": None, "per_mwh": None, "per_m3": None}


def test_work_per_water_is_none_where_none_is_used() -> None:
    assert kpi.work_rates(1.0, 1.0, 0.0)["per_m3"] is None
    assert kpi.work_rates(1.0, 1.0, None)["per_m3"] is None
    some = kpi.work_rates(6.0, 1.0, np.array([0.0, 3.0]))["per_m3"]
    assert some == pytest.approx([float("nan"), 2.0], nan_ok=True)


def test_degree_days_are_of_daily_means_above_21() -> None:
    days = [20.0, 22.0, 25.0]
    assert kpi.cdd(days, 21, 21) == pytest.approx(5.0)
    assert kpi.cdd(days, 21, 24) == pytest.approx(4.0)
