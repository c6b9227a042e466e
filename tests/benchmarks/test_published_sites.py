"""Centres whose PUE is published, asked for as a user would: what the model says of them, within tolerances stated
before. Both the whole path from overrides to the line that is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from perwatt.benchmarks.fleets import fleet
from perwatt.benchmarks.sites import climate_named, site_from
from perwatt.benchmarks.size_request import asked
from perwatt.results.size import model, weather
from perwatt.results.size.request import Request
from perwatt.results.size.sizing import Sizing

SITES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "published_sites.yaml").read_text())


def sized(overrides: list[str], draws: int) -> Sizing:
    plain, directories = asked(overrides)
    site = site_from(plain["site"])
    climate = climate_named(site.climate, directories)
    entries = tuple(member.entry for member in fleet(plain, directories))
    return model.size(Request("test", site, climate, entries, draws=draws), weather.of(climate))


@pytest.mark.slow
@pytest.mark.parametrize("name", SITES)
def test_the_published_pue_is_met_within_what_was_stated_before(name: str) -> None:
    case = SITES[name]
    line = sized(case["asked"], 500).line("kpi.pue")
    assert line.value is not None
    assert line.low is not None
    assert line.high is not None
    if case.get("in_band"):
        assert line.low <= case["pue"] <= line.high
    else:
        assert line.value == pytest.approx(case["pue"], abs=case["within"])
        # and the band is not so wide that it would hold anything
        assert line.high - line.low < 0.1
