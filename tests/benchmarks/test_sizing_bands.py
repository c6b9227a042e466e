"""What a sizing says first lies within its own band: in every preset, and where nothing but the machines is named."""

from __future__ import annotations

import pytest
from sizing_calls import Size

HEADLINES = ("power.site.recommended", "kpi.pue", "year.edc", "feeds.rack.rating", "feeds.row.rating")


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    ["preset=gefion", "preset=gigafactory", "system=dgx_h100 nodes=64", "system=dgx_b200 nodes=64 site=phoenix"],
)
def test_no_headline_lies_outside_its_own_band(asked: str, size: Size) -> None:
    lines = {line["key"]: line for line in size(*asked.split(), "draws=300").sizing["lines"]}
    outside = {
        key: lines[key] for key in HEADLINES if not lines[key]["low"] <= lines[key]["value"] <= lines[key]["high"]
    }
    assert not outside
