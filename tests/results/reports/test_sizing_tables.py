from __future__ import annotations

import msgspec
import pytest
import sizings
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.reports import sizing_beside as beside
from perwatt.results.reports import sizing_tables as tables
from perwatt.results.reports import sizing_values as values
from perwatt.results.size.sizing import Line, Sizing


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


def limited() -> Sizing:
    basis = "under 20 MW from the grid at the design hour; power binds"
    made = [
        Line(f"limit.{name}.{key}", "work", "site", f"{title}: {key}", value, unit, "modelled", basis)
        for name, title, units, flop in (("h100", "DGX H100", 1704.0, 3.6e26), ("b200", "DGX B200", 1283.0, 6.19e26))
        for key, value, unit in (("units", units, ""), ("gpus", 8 * units, ""), ("work", flop, "FLOP"))
    ]
    return msgspec.structs.replace(sizings.whole(), lines=(*sizings.whole().lines, *made))


def test_under_a_limit_the_first_sentence_says_what_does_the_most_work() -> None:
    said = tables.decision(limited())
    assert said.startswith(
        "1283 DGX B200 (10\u202f264 GPUs) do the most work under 20 MW, 6.19e26 FLOP a year; 1704 DGX H100 would do "
        "3.6e26 FLOP. Provide 2.12 MW"
    )


def test_under_a_limit_work_that_is_not_counted_is_not_ranked() -> None:
    uncounted = tuple(i for i in limited().lines if "h100.w" not in i.key and i.key != "limit.b200.work")
    said = tables.decision(msgspec.structs.replace(limited(), lines=uncounted))
    assert "1704 DGX H100 (13\u202f632 GPUs) fit under 20 MW; their work is not counted. Provide" in said


def test_a_band_of_great_work_has_its_own_powers_of_ten() -> None:
    line = Line("k", "work", "", "", 6.2e26, "FLOP", "modelled", "", 5.9e26, 1.1e27, 6.3e26)
    assert values.text(line).band == "5.9e26 \u2013 6.3e26 \u2013 1.1e27"


def test_the_power_of_gpus_was_measured_only_where_a_load_was_lifted() -> None:
    lines = (
        *(i for i in sizings.whole().lines if i.kind != "measured"),
        Line("power.gpu.max", "power", "gpu", "one GPU", 700.0, "W", "measured", "gpu.csv"),
    )
    for load, said in (
        ("not measured: published", tables.UNMEASURED),
        ("trace; lifted by a model", tables.LIFTED),
        ("trace; metered behind its supplies, whose losses are a model", tables.LIFTED_DC),
    ):
        fleet = {"fleet": [{"kind": "modelled", "load": load}]}
        assert tables.decision(msgspec.structs.replace(sizings.whole(), lines=lines, request=fleet)).endswith(said)


def test_sites_beside_each_other_say_plant_weather_and_nothing_as_0() -> None:
    whole = sizings.whole()
    other = msgspec.structs.replace(whole, title="elsewhere", request={"plant": "tower", "station": "USA_Phoenix"})
    rows = {row.caption: row for row in beside.compared([whole, other])}
    assert rows["plant"].words == ["dry", "tower"]
    assert rows["weather of"].words == ["Copenhagen 061800 IWEC", "USA_Phoenix"]
    assert [line.value for line in rows["ERF"].lines if line] == [0, 0]
    assert {"CO2 of the year", "WUE", "water of the year (WIN)", "PUE of the year", "CUE"} <= rows.keys()
    assert [(line.value, line.low, line.high) for line in rows["carbon of the grid"].lines if line] == [
        (114.4, 90, 131.8)
    ] * 2
    # no heat is handed over in either: no row of it
    assert "heat handed over (EREUSE)" not in rows


def test_a_site_that_hands_over_no_heat_hands_over_0_beside_one_that_does() -> None:
    whole = sizings.whole()
    handed = sizings.line("kpi.heat.handed_over", 3.6e12, "J")
    other = msgspec.structs.replace(whole, lines=(handed, sizings.line("kpi.erf", 0.1, "1")))
    silent = msgspec.structs.replace(whole, lines=tuple(i for i in whole.lines if i.key != handed.key))
    row = next(row for row in beside.compared([silent, other]) if row.key == "kpi.heat.handed_over")
    assert [line.value for line in row.lines if line] == [0, 3.6e12]


def test_headlines_leave_out_what_is_absent_or_nothing() -> None:
    captions = [caption for caption, _ in tables.headlines(sizings.whole())]
    assert captions[0] == "grid connection"
    assert "coolant" not in captions
    assert "heat handed over" not in captions


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
