"""The other way round: the largest number that fits, which limit binds, and what may be compared."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.size import limit
from perwatt.results.size.limit import Choice, choices, sized
from perwatt.results.size.request import Entry, Request
from tests.fleets_of import bins, changed_site, entry, figures, measured, over_draws, request

WET = changed_site(cooling={"plant": "tower", "water_limit_m3": 5000.0})


def found(asked: Request, limit_w: float) -> tuple[Choice, ...]:
    return choices(asked, bins(asked.climate), limit_w)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.floats(20e3, 50e6), st.sampled_from(("dgx_h100", "gb200_nvl72")))
def test_so_many_fit_and_one_more_does_not(limit_w: float, system: str) -> None:
    asked = request(entry(system, units=1))
    (best,) = found(asked, limit_w)
    if best.units:
        fits = figures(sized(asked, system, best.units))
        assert fits["power.site.recommended"] == pytest.approx(best.site_w)
        assert best.site_w <= limit_w
    assert figures(sized(asked, system, best.units + 1))["power.site.recommended"] > limit_w
    assert best.binding.name == "limit_mw"


@pytest.mark.parametrize("draws", [3, limit.FEW, 10 * limit.FEW])
def test_with_draws_the_limit_holds_in_95_of_100_of_those_that_are_reported(draws: int) -> None:
    plain = request(entry(units=1, load=measured(8000.0, uncertainty=0.05)))
    (likeliest,), (held,) = found(plain, 5e6), found(msgspec.structs.replace(plain, draws=draws), 5e6)
    assert 0 < held.units < likeliest.units
    assert held.site_w <= 5e6
    for more, within in ((0, True), (1, False)):
        _, drawn = over_draws(sized(plain, "dgx_h100", held.units + more), draws)
        site_w = np.asarray(drawn.sheet.values()["power.site.recommended"])
        assert (float(np.quantile(site_w, 0.95)) <= 5e6) == within
    told = limit.lines((held,), 5e6, draws=True)[0].basis
    assert "in 95 of 100 draws" in told


def test_not_one_fits() -> None:
    (best,) = found(request(entry("gb200_nvl72", units=1)), 50e3)
    assert (best.units, best.site_w, best.water_m3, best.work) == (0, 0, 0, 0)


def test_water_may_bind_before_power() -> None:
    asked = request(entry("gb200_nvl72", units=1), site=WET)
    (best,) = found(asked, 100e6)
    assert best.binding.what == "water"
    assert best.water_m3 <= 5000
    assert figures(sized(asked, "gb200_nvl72", best.units + 1))["year.water"] > 5000
    assert figures(sized(asked, "gb200_nvl72", best.units + 1))["power.site.recommended"] < 100e6


def test_a_larger_limit_never_holds_fewer() -> None:
    units = [found(request(entry(units=1)), watts)[0].units for watts in (1e6, 1.01e6, 2e6, 20e6)]
    assert units == sorted(units)
    assert units[-1] > 15 * units[0]


def test_a_proven_cap_that_saves_more_power_than_work_comes_first() -> None:
    full = entry(name="full", units=1, load=measured(8000.0, work_per_s=1.0, work_unit="token"))
    load = measured(5000.0, work_per_s=0.9, work_unit="token", cap_w=6300.0, cap_proof="enforced in the run")
    capped = entry(name="capped", units=1, load=load)
    first, second = found(request(full, capped), 5e6)
    assert (first.entry.name, second.entry.name) == ("capped", "full")
    assert first.work is not None
    assert second.work is not None
    assert first.work > second.work
    assert first.work == pytest.approx(first.units * 0.9 * 0.85 * 8760 * 3600)
    made = {line.key: line for line in limit.lines((first, second), 5e6, draws=False)}
    assert made["limit.capped.units"].value == first.units
    assert made["limit.capped.cap"].basis == "enforced in the run"
    assert "electrical binds (limit_mw)" in made["limit.full.units"].basis
    assert made["limit.capped.cap"].value == 6300
    assert made["limit.full.work_per_w"].value == pytest.approx(second.work / second.site_w)
    assert "limit.full.cap" not in made
    assert made["limit.capped.gpus"].value == 8 * first.units
    assert (made["limit.full.work"].unit, made["limit.full.work"].kind) == ("token", "measured")


def test_published_peaks_stand_in_for_work_and_say_so() -> None:
    first, second = found(request(entry(units=1), entry("gb200_nvl72", units=1)), 10e6)
    assert first.entry.name == "gb200_nvl72"
    assert {first.kind, second.kind} == {"published"}
    assert first.work_unit == "FLOP at the dense peak"


def silent() -> Entry:
    made = entry(name="silent", units=1, load=measured())
    return msgspec.structs.replace(made, system=msgspec.structs.replace(made.system, peak_flops=None))


def test_only_like_work_is_compared() -> None:
    tokens = entry(name="a", units=1, load=measured(work_per_s=1.0, work_unit="token"))
    flops = entry(name="b", units=1, load=measured(work_per_s=1.0, work_unit="FLOP"))
    with pytest.raises(ValueError, match="systems: found work in FLOP and token; allowed one unit"):
        found(request(tokens, flops), 5e6)
    with pytest.raises(ValueError, match="found work in nothing that is counted and token"):
        found(request(tokens, silent()), 5e6)


def test_without_any_work_the_units_are_still_found() -> None:
    (best,) = found(request(silent()), 5e6)
    assert best.units > 100
    assert best.work is None


@pytest.mark.parametrize("watts", [0.0, -1e6, float("nan")])
def test_a_limit_that_is_none_is_refused(watts: float) -> None:
    with pytest.raises(ValueError, match="limit_mw: found"):
        found(request(entry(units=1)), watts)


# -- caps --------------------------------------------------------------------------------------------------------------

CAPS = ((10_200.0, 9000.0, 1.0), (7_000.0, 6300.0, 0.85), (5_500.0, 5000.0, 0.5))


def capped(cap_w: float, mean_w: float, work_per_s: float, of: str = "unit") -> Entry:
    held = (
        {"cap_w": cap_w, "cap_proof": "its log"} if of == "unit" else {"device_cap_w": cap_w, "device_cap_proof": "x"}
    )
    load = measured(mean_w, work_per_s=work_per_s, work_unit="token", **held)
    return entry(name=f"{of}_{cap_w:.0f}", units=1, load=load)


LIMITS = {
    "limit_mw": {},
    "site.electrical.available_w": {"electrical": {"available_w": 150e3}},
    "site.cooling.heat_limit_w": {"cooling": {"plant": "tower", "heat_limit_w": 120e3}},
    "site.cooling.water_limit_m3": {"cooling": {"plant": "tower", "water_limit_m3": 900.0}},
}


@pytest.mark.slow
@pytest.mark.parametrize("binds", LIMITS)
def test_every_candidate_is_what_counting_up_one_by_one_finds(binds: str) -> None:
    limit_w = 200e3
    asked = request(*(capped(*cap) for cap in CAPS), site=changed_site(**LIMITS[binds]))
    electrical, cooling = asked.site.electrical, asked.site.cooling
    most = {
        "power.site.recommended": min(limit_w, electrical.available_w or limit_w),
        "cooling.rejected": cooling.heat_limit_w or 1e99,
        "year.water": cooling.water_limit_m3 or 1e99,
    }
    counted = {}
    for one in asked.fleet:
        alone = msgspec.structs.replace(asked, fleet=(one,))
        held = [all(figures(sized(alone, one.name, n))[key] <= most[key] for key in most) for n in range(1, 40)]
        assert held == sorted(held, reverse=True)
        counted[one.name] = sum(held)
    by_name = {choice.entry.name: choice for choice in found(asked, limit_w)}
    assert {name: choice.units for name, choice in by_name.items()} == counted
    assert {choice.binding.name for choice in by_name.values()} == {binds}
    best = max(asked.fleet, key=lambda one: counted[one.name] * (one.load.work_per_s or 0))
    assert next(iter(by_name)) == best.name


def test_the_best_cap_of_each_system_is_told_and_drawn() -> None:
    gpus = [capped(cap_w, mean_w, work, "GPU") for cap_w, mean_w, work in ((700.0, 9000.0, 1.0), (500.0, 7000.0, 0.9))]
    made = found(request(*(capped(*cap) for cap in CAPS), *gpus), 5e6)
    lines = {line.key: line for line in limit.lines(made, 5e6, draws=False)}
    best = {key: line for key, line in lines.items() if key.endswith(".best_cap")}
    work = {choice.entry.name: choice.work for choice in made}
    of_units = max((name for name in work if name.startswith("unit")), key=lambda name: work[name] or 0)
    assert best.keys() == {f"limit.{of_units}.best_cap", "limit.GPU_500.best_cap"}
    assert best[f"limit.{of_units}.best_cap"].value == float(of_units.partition("_")[2])
    assert "5.5 kW, 7 kW, 10.2 kW; nothing is known between them" in best[f"limit.{of_units}.best_cap"].basis
    assert lines["limit.GPU_500.units"].label == "NVIDIA DGX H100 with each GPU at 500 W: units"
    curves = {series.name: series for series in limit.series(made)}
    assert curves.keys() == {"caps_dgx_h100_unit", "caps_dgx_h100_gpu"}
    assert curves["caps_dgx_h100_unit"].x == (5500, 7000, 10_200)
    (told,) = curves["caps_dgx_h100_unit"].y.values()
    assert told == tuple(work[f"unit_{cap_w:.0f}"] for cap_w in (5500, 7000, 10_200))
    assert limit.series(found(request(capped(*CAPS[0]), gpus[0]), 5e6)) == ()


def test_work_at_a_cap_is_never_the_published_peak() -> None:
    one = entry(name="one", units=1, load=measured(cap_w=7000.0, cap_proof="its log"))
    two = entry(name="two", units=1, load=measured(5000.0, device_cap_w=500.0, device_cap_proof="its log"))
    with pytest.raises(ValueError, match="one: work_per_s: found nothing; allowed what a unit did at its cap"):
        found(request(one, entry(units=1)), 5e6)
    for capped_one in (one, two):
        assert found(request(capped_one), 5e6)[0].work is None


def test_no_water_at_all_is_a_limit_too() -> None:
    dry, tower = ({"plant": plant, "water_limit_m3": 0.0} for plant in ("dry", "tower"))
    assert found(request(entry(units=1), site=changed_site(cooling=dry)), 5e6)[0].units > 100
    (none,) = found(request(entry(units=1), site=changed_site(cooling=tower)), 5e6)
    assert (none.units, none.binding.what) == (0, "water")
