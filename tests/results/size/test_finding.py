"""What holds at the likeliest and not in many draws is warned of, with the part of the draws: counted by hand."""

from __future__ import annotations

import msgspec
import numpy as np

from perwatt.results.size.finding import Finding, beyond, doubtful
from perwatt.results.size.model import size
from perwatt.results.size.request import Request
from tests.fleets_of import bins, changed_site, entry, figures, measured, over_draws, request

DRAWS = 400


def test_a_gap_is_told_where_there_is_one() -> None:
    def told(need: object, most: float | None) -> list[tuple[str, float]]:
        found = beyond("site", "the grid offers 3 W", need, most, lambda w: f"{w:g} W")  # type: ignore[arg-type]
        return [(finding.text, finding.share) for finding in found]

    assert told(4.0, 3.0) == [("site: the grid offers 3 W, short by 1 W", 1.0)]
    assert told(np.array([4.0, 5.0]), 3.0) == [("site: the grid offers 3 W, short by up to 2 W", 1.0)]
    some = "site: the grid offers 3 W, short by up to 2 W in 50 % of the draws"
    assert told(np.array([2.0, 3.0, 4.0, 5.0]), 3.0) == [(some, 0.5)]
    assert told(3.0, 3.0) == told(9.0, None) == []


def test_it_is_said_once_and_only_if_it_is_often_so() -> None:
    drawn = [Finding("site", "a", 0.9), Finding("h.rack", "b", 0.06), Finding("h.row", "c", 0.05)]
    assert doubtful([], drawn) == ("a", "b")
    assert doubtful([Finding("site", "d", 1.0)], drawn) == ("b",)


def asked(cooling: dict[str, object]) -> Request:
    site = changed_site(cooling=cooling)
    return request(entry("gb200_nvl72", units=16, load=measured(90e3, uncertainty=0.05)), site=site, draws=DRAWS)


def test_a_site_that_fits_at_the_likeliest_alone_is_warned_of() -> None:
    wanted = asked({"plant": "tower"})
    _, drawn = over_draws(wanted, DRAWS)
    keys = ("power.site.recommended", "cooling.rejected", "year.water")
    most = {key: float(np.quantile(np.asarray(drawn.sheet.values()[key]), 0.85)) for key in keys}
    likeliest = figures(wanted)
    assert all(likeliest[key] < most[key] for key in keys)
    cooling = {"plant": "tower", "heat_limit_w": most["cooling.rejected"], "water_limit_m3": most["year.water"]}
    site = changed_site(electrical={"available_w": most["power.site.recommended"]}, cooling=cooling)
    tight = msgspec.structs.replace(wanted, site=site)
    found = size(tight, bins(wanted.climate))
    assert found.failing == ()
    for start in ("site: the grid offers", "cooling: the plant may reject", "water: the site may use"):
        (told,) = (warning for warning in found.warnings if warning.startswith(start))
        assert told.endswith(" in 15 % of the draws")
        assert ", short by up to " in told
    undrawn = size(msgspec.structs.replace(tight, draws=0), bins(wanted.climate))
    assert not [warning for warning in undrawn.warnings if "short by" in warning]


def test_a_breaker_that_fits_at_the_likeliest_alone_is_warned_of() -> None:
    wanted = asked({})
    values, drawn = over_draws(wanted, DRAWS)
    # nothing but its current and how warm it is says what breaker would do
    needed_a = (
        np.asarray(drawn.sheet.values()["feeds.row.failover"]) / values["site.electrical.feed.temperature_factor"]
    )
    largest_a = float(np.quantile(needed_a, 0.8))
    assert figures(wanted)["feeds.row.failover"] < largest_a
    site = changed_site(electrical={"row_ratings_a": [160, largest_a]})
    found = size(msgspec.structs.replace(wanted, site=site), bins(wanted.climate))
    assert not [line for line in found.failing if "row:" in line]
    (told,) = (line for line in found.warnings if line.startswith("gb200_nvl72: row: no breaker is big enough"))
    assert "no breaker is big enough in 20 % of the draws, at worst: " in told
