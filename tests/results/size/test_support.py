"""Network, storage and management: steady, over the nameplates, in air, and part of all that is built for IT."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from perwatt.benchmarks.config import BadRequest
from perwatt.results.size import limit, support
from perwatt.results.size.parameter import Parameter
from perwatt.results.size.request import Request
from tests.fleets_of import asked, bins, changed_site, entry, figures, measured, over_draws, point, request

COLUMNS = ("nameplate", "vendor_max", "p50", "p99", "max", "recommended")
FRACTION = Parameter(0.12, "1", "test")


def test_a_scalable_unit_of_eight_nvl72_is_near_the_12_mw_that_nvidia_states() -> None:
    made = request(entry("gb200_nvl72", units=8))
    assert point(made).demand.site_w["nameplate"] == pytest.approx(1.2e6, rel=0.06)
    values, found = over_draws(made, 400)
    assert values[support.SITES].min() < values[support.SITES].max()  # type: ignore[union-attr]
    nameplates_w = np.asarray(found.demand.site_w["nameplate"])
    assert nameplates_w.min() < 1.12e6
    assert nameplates_w.max() == pytest.approx(1.2e6, rel=0.01)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_it_is_the_same_in_every_column_whatever_the_units_do(share: float) -> None:
    made = request(entry(units=64, load=measured(), training=share))
    with_, without = (point(made, support_fraction=f).demand for f in (0.1, 0.0))
    steady_w = 0.1 * 64 * 10_200
    for totals, bare in ((with_.site_w, without.site_w), (with_.ups_w, without.ups_w)):
        for column in COLUMNS:
            assert totals[column] - bare[column] == pytest.approx(steady_w), column
    assert with_.entry_w == without.entry_w
    assert with_.liquid_w == without.liquid_w
    grown = [point(made, support_fraction=f, growth=0.5).demand.site_w["recommended"] for f in (0.1, 0.0)]
    assert grown[0] - grown[1] == pytest.approx(1.5 * steady_w)


def test_no_rack_row_or_breaker_of_the_units_holds_it_and_every_level_above_does() -> None:
    more, none = (figures(request(entry(units=64)), support_fraction=f) for f in (0.1, 0.0))
    for key, value in none.items():
        if key.startswith(("power.gpu", "power.unit", "power.rack", "power.row", "feeds.", "savings.fleet", "fleet.")):
            assert more[key] == value, key
    above = ("power.ups.recommended", "power.transformer.recommended", "power.site.recommended", "power.site.nameplate",
             "power.site.max", "cooling.air_heat", "cooling.rejected", "year.it_power", "year.eit", "year.edc",
             "kpi.heat.air", "kpi.co2")  # fmt: skip
    assert all(more[key] > 1.05 * none[key] for key in above)


def test_its_heat_goes_into_the_air_alone() -> None:
    made = request(entry("gb200_nvl72", units=100))
    more, none = (figures(made, support_fraction=f) for f in (0.1, 0.0))
    assert more["cooling.liquid_heat"] == pytest.approx(none["cooling.liquid_heat"])
    assert more["kpi.heat.liquid"] == pytest.approx(none["kpi.heat.liquid"])
    assert more["cooling.air_heat"] - none["cooling.air_heat"] > 0.1 * 100 * 132_000


def test_what_was_measured_of_units_is_not_said_of_it() -> None:
    lines = point(request(entry(units=64, load=measured()))).sheet.entries
    for column in ("vendor_max", "p50", "p99", "max"):
        line = lines[f"power.support.{column}"]
        assert (line.value, line.kind) == (None, "assumed")
        assert line.basis.startswith("nobody stated or measured it; steady")
    for column in ("nameplate", "recommended"):
        assert lines[f"power.support.{column}"].kind == "assumed"
    assert "network, storage, management steady beside them" in lines["power.ups.max"].basis


def test_a_fraction_of_none_leaves_no_line_of_it() -> None:
    made = request(entry(units=64), site=changed_site(electrical={"support_fraction": 0.0}))
    assert not [key for key in point(made).sheet.entries if "support" in key]
    assert "beside" not in point(made).sheet.entries["power.ups.max"].basis


def test_a_part_of_the_fleet_may_state_its_own() -> None:
    h100, gb200 = entry(units=64, support_fraction=FRACTION), entry("gb200_nvl72", units=10)
    found = point(request(h100, gb200))
    assert found.demand.support_w == pytest.approx(0.12 * 64 * 10_200 + 0.08 * 10 * 132_000)
    told = found.sheet.entries["power.support.nameplate"].basis
    assert told.startswith("dgx_h100: 0.12 of the units' nameplates, test; gb200_nvl72: 0.08 of")
    assert support.installed_w(request(h100, gb200)) == pytest.approx(1.12 * 64 * 10_200 + 1.08 * 10 * 132_000)


def test_a_request_states_it_for_the_site_or_for_one_entry() -> None:
    fleet = asked("fleet=[{system: dgx_h100, units: 4, support_fraction: 0.2}, {system: dgx_b200, units: 4}]")
    own = [member.entry.support_fraction for member in fleet]
    assert (own[0].mode if own[0] else None, own[1]) == (0.2, None)
    with pytest.raises(BadRequest, match=r"fleet\[0\]\.support_fraction: found 1.5; allowed 0 to 1"):
        asked("fleet=[{system: dgx_h100, units: 4, support_fraction: 1.5}]")


@pytest.mark.slow
def test_under_a_limit_there_is_room_for_fewer_units() -> None:
    def most(fraction: float) -> int:
        site = changed_site(electrical={"support_fraction": fraction})
        made: Request = request(entry(units=1), site=site)
        (best,) = limit.choices(made, bins(made.climate), 20e6)
        assert best.site_w <= 20e6
        return best.units

    none, some = most(0.0), most(0.14)
    assert 0.8 * none < some < 0.93 * none


def test_growth_in_phases_has_as_much_of_it_as_stands_by_then() -> None:
    made = msgspec.structs.replace(request(entry(units=64)), phases=())
    half = msgspec.structs.replace(made, fleet=(entry(units=32),))
    found = [point(one).demand.support_w for one in (half, made)]
    assert found[1] == pytest.approx(2 * found[0])  # type: ignore[operator]
