from __future__ import annotations

import msgspec
import pytest
import sizings
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.reports import sizing_tables as tables
from perwatt.results.reports import sizing_values as values
from perwatt.results.size.sizing import Line


@pytest.mark.parametrize(
    ("value", "unit", "key", "told"),
    [
        (1_999_685.2, "W", "", "2.000 MW"),
        (48_000.0, "W", "", "48.00 kW"),
        (782.1, "W", "", "782.1 W"),
        (4.1e6, "J", "", "4.100 MJ"),
        (4.3528e13, "J", "", "12.09 GWh"),
        (0.0, "J", "", "0 J"),
        (191, "", "", "191"),
        (100_000, "", "", "100\u202f000"),
        (1.0938, "1", "", "1.094"),
        (0.6371, "1", "", "0.637"),
        (2.5e-4, "m3/s", "cooling.liquid_flow", "15 L/min"),
        (3.1e25, "FLOP", "", "3.1e25 FLOP"),
        (5.1e11, "FLOP/J", "", "510 GFLOP/J"),
        (8.2e21, "token/m3", "", "8.2e21 token/m\u00b3"),
        (6.205e26, "FLOP at the dense peak", "", "6.205e26 FLOP at the dense peak"),
        (42.1, "m3/s", "cooling.air_flow", "151\u202f600 m\u00b3/h"),
        (2048.0, "m3/s", "cooling.air_flow", "2048 m\u00b3/s"),
        (0.15, "m", "", "150 mm"),
        (31.0, "degC", "", "31 \u00b0C"),
        (1.36e6, "kg", "", "1360 t"),
        (-2500.0, "W", "", "\u22122.500 kW"),
        (125.0, "A", "", "125 A"),
        (None, "W", "", "\u2013"),
        (float("nan"), "W", "", "\u2013"),
    ],
)
def test_values_are_told_in_the_unit_that_people_read(value: float | None, unit: str, key: str, told: str) -> None:
    assert values.shown(value, unit, key) == told
    assert values.text(Line(key, "power", "", "", value, unit, "given", "")).whole == told


def test_a_band_is_in_the_unit_and_to_the_place_of_its_value() -> None:
    line = Line("k", "power", "", "", 2.0e6, "W", "modelled", "", 9.6e5, 2.4e6)
    assert values.text(line).band == "0.960 \u2013 2.400"


def test_a_line_that_no_input_moves_has_no_band() -> None:
    assert values.text(Line("k", "power", "", "", 5.0, "A", "given", "", 5.0, 5.0)).band == ""


@settings(max_examples=200)
@given(st.floats(1e-3, 1e15), st.sampled_from(["W", "J", "1", "m3/s", "kg", "m", "A", "g/kWh", "FLOP/J"]))
def test_what_is_told_is_the_value_to_three_digits(value: float, unit: str) -> None:
    divisor, _ = values.scale(value, unit)
    told = values.shown(value, unit).replace("\u202f", "").split(" ")[0]
    assert float(told) * divisor == pytest.approx(value, rel=6e-3)


def test_levels_stand_from_the_chip_up_with_what_each_has() -> None:
    columns, rows = tables.levels(sizings.whole())
    assert list(columns) == ["nameplate", "vendor_max", "p50", "p99", "max", "recommended"]
    assert [row.name for row in rows] == ["GPU", "one unit", "one rack", "one row", "UPS", "transformer", "site"]
    assert "p50" not in rows[-1].lines


def test_parts_of_a_fleet_have_rows_of_their_own() -> None:
    made = (
        sizings.line("power.h100.rack.recommended", 4e4, "W"),
        sizings.line("power.nvl72.rack.recommended", 1.3e5, "W"),
    )
    sizing = msgspec.structs.replace(sizings.bare(), lines=made)
    assert [row.name for row in tables.levels(sizing)[1]] == ["one rack h100", "one rack nvl72"]
    assert [caption for caption, _ in tables.headlines(sizing)] == ["one rack, h100", "one rack, nvl72"]


def test_decision_says_what_to_provide_and_what_nameplates_would_ask_for() -> None:
    said = tables.decision(sizings.whole())
    assert said.startswith("Provide 2.12 MW at the grid connection, enough in 95 of 100 draws")
    assert "2.00 MW with every input at its likeliest" in said
    assert "nameplates would ask for 2.80 MW, 684 kW more than is needed" in said
    assert "nameplate" not in tables.decision(sizings.bare())
    assert tables.UNMEASURED not in said
    assert tables.UNMEASURED in tables.decision(sizings.bare())
    assert tables.decision(msgspec.structs.replace(sizings.bare(), lines=())) == ""


def test_headlines_leave_out_what_is_absent_or_nothing() -> None:
    captions = [caption for caption, _ in tables.headlines(sizings.whole())]
    assert captions[0] == "grid connection"
    assert "coolant" not in captions
    assert "heat for a network" not in captions


def test_every_line_is_in_a_section_once() -> None:
    whole = sizings.whole()
    listed = [line.key for _, _, lines in tables.sections(whole) for line in lines]
    assert sorted(listed) == sorted(line.key for line in whole.lines)


def test_inputs_are_spoken_without_their_unit() -> None:
    assert values.spoken("site.electrical.ups_module_w") == "UPS module"
    assert values.spoken("site.electrical.feed.voltage_v") == "voltage"
    assert values.spoken("site.cooling.carnot_fraction") == "carnot fraction"
    assert values.exact(0.05) == "0.05"
    assert values.exact(400.0) == "400"
