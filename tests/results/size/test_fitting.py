"""What does not fit is told in one line each, by hand-worked cases; what ships fits where it is meant to stand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from perwatt.benchmarks.sites import choices
from perwatt.results.size.fitting import voltages, warnings
from perwatt.results.size.site import Site
from tests.fleets_of import changed_site, climate_named_once, site_named_once, system_named_once

H100, GB200, GB300 = (system_named_once(name) for name in ("dgx_h100", "gb200_nvl72", "gb300_nvl72"))


def fed(volts: float, **feed: Any) -> Site:
    return changed_site("phoenix", electrical={"feed": {"voltage_v": volts, **feed}})


def cooled(**cooling: Any) -> Site:
    return changed_site(cooling=cooling)


@pytest.mark.parametrize("name", choices("site"))
def test_what_ships_fits_every_site_that_ships(name: str) -> None:
    site = site_named_once(name)
    height_m = climate_named_once(site.climate).altitude_m
    for system in map(system_named_once, choices("system")):
        for line in warnings(system, site, altitude_m=height_m):
            # of some racks and nodes it is not known how warm their coolant may be
            assert line.endswith("to be settled with the vendor")
            assert system.name in ("gb200_nvl72", "mi355x_node")


@pytest.mark.parametrize(
    ("volts", "fits"), [(400, True), (415, True), (380, True), (208, True), (240, True), (480, False)]
)
def test_single_phase_supplies_of_200_to_240_v_stand_between_a_line_and_neutral_or_two_lines(
    volts: float, fits: bool
) -> None:
    assert (warnings(H100, fed(volts)) == []) is fits


def test_what_480_v_does_to_supplies_for_200_to_240_v_and_what_would_fit() -> None:
    (line,) = warnings(H100, fed(480.0))
    assert line.startswith("voltage: a feed of 480 V gives 277 V line to neutral and 480 V between two lines")
    assert "take 200 to 240 V" in line
    assert line.endswith("site.electrical.feed.voltage_v from 346 to 416 fits")
    assert voltages(fed(480.0).electrical.feed, 1)["line to neutral"] == pytest.approx(277.1, abs=0.05)


def test_shelves_for_three_phases_are_checked_between_lines() -> None:
    assert warnings(GB300, fed(480.0)) == []
    (line,) = warnings(GB300, fed(208.0))
    assert "gives 208 V between lines" in line
    assert "from 346 to 480 fits" in line
    assert warnings(msgspec.structs.replace(GB300, supply_v=None), fed(208.0)) == []


def test_coolant_warmer_than_the_machine_stands() -> None:
    (line,) = warnings(GB300, cooled(supply_liquid_c=48, water_class="W45"))
    assert line.startswith("coolant: supplied at 48 degrees C, 3 K warmer than NVIDIA GB300 NVL72 stands (45: ")
    assert warnings(GB300, cooled(supply_liquid_c=44, water_class="W40")) == []
    assert warnings(H100, cooled(supply_liquid_c=48)) == []  # has no liquid
    (line,) = warnings(GB200, cooled(supply_liquid_c=40, water_class="W40"))
    assert "stands 32 to 45" in line
    assert warnings(GB200, cooled(supply_liquid_c=30)) == []


def test_air_warmer_than_the_machine_stands_or_than_the_class_of_most_servers() -> None:
    (line,) = warnings(H100, cooled(supply_air_c=32))
    assert line.startswith("air: supplied at 32 degrees C, 2 K warmer than NVIDIA DGX H100 stands (30: NVIDIA DGX H100")
    for system in (GB200, GB300):
        line = warnings(system, cooled(supply_air_c=60))[-1]
        assert line.startswith(f"air: supplied at 60 degrees C, 25 K warmer than {system.title} stands (35: ASHRAE")
        assert "for want of the vendor's figure" in line
        assert not any(line.startswith("air") for line in warnings(system, cooled(supply_air_c=34)))


def test_the_class_of_the_water_and_the_coolant_agree_on_both_sides_of_the_cdu() -> None:
    (line,) = warnings(GB300, cooled(supply_liquid_c=40))
    assert line == (
        "water: coolant of 40 degrees C means facility water of 36 behind a CDU of 4 K, class W32 ends at 32"
    )
    (line,) = warnings(GB300, cooled(water_class="W45"))
    assert line.startswith("water: class W45 allows water of 45 degrees C, NVIDIA GB300 NVL72 stands 41 behind a CDU")
    assert "allows any water" in warnings(GB300, cooled(water_class="W+"))[0]
    assert warnings(GB300, cooled(water_class="W40")) == []


def test_a_machine_for_liquid_needs_a_loop() -> None:
    dry = cooled(liquid_loop=False, supply_liquid_c=60)
    assert warnings(GB300, dry) == [
        "liquid: NVIDIA GB300 NVL72 gives 90 % of its heat to a liquid, and the site has no loop for it"
    ]
    assert warnings(H100, dry) == []


def test_more_units_in_a_rack_than_the_vendor_allows() -> None:
    site = site_named_once("copenhagen")
    assert warnings(H100, site, per_rack=4) == []
    assert warnings(H100, site, per_rack=5) == [
        "rack: found 5 units a rack; NVIDIA DGX H100, cooled by air, is allowed 4"
    ]
    assert "is a rack of its own" in warnings(GB300, site, per_rack=2)[0]


def test_supplies_that_do_not_divide_over_the_paths() -> None:
    assert warnings(H100, fed(415, paths=3)) == []
    (line,) = warnings(H100, fed(415, paths=4))
    assert "6 in a unit do not divide over 4 paths" in line
    assert "in turn over the 4 units" in line
    (line,) = warnings(H100, fed(415, paths=5))
    assert line.endswith("one carries more than it is sized on")


def test_altitude_takes_off_the_warmest_air_of_what_is_cooled_by_air() -> None:
    high = msgspec.structs.replace(site_named_once("copenhagen"), altitude_m=1800.0)
    (line,) = warnings(H100, high)
    assert line.startswith("altitude: 1800 m is 900 m above what servers are rated for")
    assert "falls by 3 K" in line
    assert warnings(H100, high, altitude_m=0.0) == [line]  # the site's own word counts
    assert warnings(H100, site_named_once("copenhagen"), altitude_m=1800.0) == [line]
    wet = msgspec.structs.replace(H100.liquid_fraction, mode=1.0)
    assert warnings(msgspec.structs.replace(H100, liquid_fraction=wet), high) == []


def test_each_warning_is_one_line() -> None:
    site = fed(690.0, paths=5)
    found = warnings(GB200, site, per_rack=3, altitude_m=3000.0)
    assert [line.split(":")[0] for line in found] == ["voltage", "supplies", "rack", "coolant", "altitude"]
    assert not any("\n" in line for line in found)
