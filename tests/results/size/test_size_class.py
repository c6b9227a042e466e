"""Size classes of the defaults: midsize halls beside LBNL's, what is told of a small site, whose words stay above."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import msgspec
import numpy as np
import pytest

from perwatt.benchmarks.sites import site_named
from perwatt.results.size.model import size
from perwatt.results.size.site import Site
from tests.fleets_of import bins, entry, figures, request

# The figure's names of midsize halls, by what stands outside.
SYSTEMS = {
    "dry": "Midsize | Dry cooler (ACC)",
    "tower": "Midsize | Waterside economizer (WCC)",
    "chiller": "Midsize | Air-cooled chiller",
}
PLACES = ("copenhagen", "helsinki", "granada", "phoenix")
midsize = functools.cache(functools.partial(site_named, size_class="midsize"))


def with_plant(site: Site, plant: str) -> Site:
    return msgspec.structs.replace(site, cooling=msgspec.structs.replace(site.cooling, plant=plant))


@pytest.mark.parametrize("plant", SYSTEMS)
def test_the_years_pue_of_midsize_halls_lies_between_lbnls_quartiles(plant: str, data: Path) -> None:
    with (data / "lbnl2024_fig4_4_pue_digitised.csv").open() as file:
        rows = {row["system"]: (float(row["q1"]), float(row["q3"])) for row in csv.DictReader(file)}
    low, high = rows[SYSTEMS[plant]]
    made = entry("dgx_h100", units=60)
    found = [
        figures(request(made, site=with_plant(midsize(name), plant)), utilisation=1.0)["year.pue_it"] for name in PLACES
    ]
    assert low <= found[0] <= high
    assert low <= np.mean(found) <= high


def test_what_cools_the_condenser_decides_what_a_midsize_hall_asks_of_the_grid() -> None:
    def site_w(plant: str) -> float:
        asked = request(entry("dgx_h100", units=40), site=with_plant(midsize("copenhagen"), plant))
        return figures(asked)["power.site.recommended"]

    tower, pads, dry, chiller = map(site_w, ("tower", "adiabatic", "dry", "chiller"))
    assert 1.05 * tower < pads < 0.98 * dry
    assert dry == pytest.approx(chiller, rel=1e-9)  # in the hottest hour dry coolers carry nothing


def test_the_class_lies_beneath_what_the_sites_file_states() -> None:
    site = midsize("phoenix")
    assert (site.size_class, site.cooling.plant, site.electrical.feed.standard) == ("midsize", "tower", "NEC")
    assert site.cooling.warming_k.mode == site_named("phoenix").cooling.warming_k.mode
    assert site.electrical.ups_efficiency.high == 0.94


def test_a_small_site_on_hyperscale_figures_is_told_and_a_midsize_or_a_large_one_is_not() -> None:
    def told(units: int, site: Site) -> list[str]:
        asked = request(entry("dgx_h100", units=units), site=site)
        return [line for line in size(asked, bins(asked.climate)).warnings if line.startswith("size class")]

    large = site_named("copenhagen")
    assert large.hyperscale_from_w is not None
    units = int(large.hyperscale_from_w.mode / entry("dgx_h100").system.nameplate_w.mode) + 1
    (line,) = told(units - 1, large)
    assert "stands for a hyperscale hall" in line
    assert "size_class=midsize" in line
    assert told(units, large) == told(units - 1, midsize("copenhagen")) == []
    assert told(1, msgspec.structs.replace(large, size_class="", hyperscale_from_w=None)) == []


@pytest.mark.parametrize("size_class", ["hyperscale", "midsize"])
def test_every_pue_says_which_class_it_stands_for(size_class: str) -> None:
    asked = request(site=site_named("copenhagen", size_class=size_class))
    found = size(asked, bins(asked.climate))
    for key in ("kpi.pue", "year.pue_it", "cooling.pue_peak"):
        assert found.line(key).basis.endswith(f"defaults of size class {size_class}")
    assert found.request["size_class"] == size_class
