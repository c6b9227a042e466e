"""Value ± U wherever a work per watt is shown, and nowhere that none can be stated."""

from __future__ import annotations

import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from perwatt.results.record import Conditions, Idle, Record
from perwatt.results.reports import console, html, text, units
from perwatt.results.reports.layout import groups, notes
from perwatt.results.reports.legend import FLAGS, small
from perwatt.results.reports.table import rows
from perwatt.results.run import Run

# U of 2000 GFLOP/J: gain 2.89 %, scatter of 0.4 % over three windows, and small terms
SCATTER = 1.3213 * 0.004 / math.sqrt(3)
RELATIVE = 2 * math.hypot(0.0289, 0.0001, 0.0007, 0.002, SCATTER)

CARRIED = (
    "aliasing_risk",
    "clock_mismatch",
    "counter_reset",
    "counter_vs_poll",
    "few_readings",
    "frozen",
    "gappy",
    "interrupted",
    "launch_bound",
    "meter_lost",
    "modelled",
    "noisy",
    "not_settled",
    "not_steady",
    "other_process",
    "out_of_range",
    "sampler_cost",
    "short_window",
    "slow_meter",
    "throttled_thermal",
    "time_limit",
    "uncovered",
)


def page_of(records: list[Any]) -> str:
    return html.render(Run(Path("r"), records))


def plain(page: str) -> str:
    """The text of a page as a reader sees it."""
    found: list[str] = []

    class Text(HTMLParser):
        def handle_data(self, data: str) -> None:
            found.append(data)

    Text().feed(page[page.index("</style>") :])
    return " ".join(" ".join(found).replace("\u2007", " ").replace("\u2008", " ").split())


@pytest.mark.parametrize(
    ("value", "u", "expected"),
    [
        (1571.4, 91.2, ("1571", "91")),
        (1571.4, 9.12, ("1571.4", "9.1")),
        (1571.4, 99.6, ("1570", "100")),  # 99.6 rounds to 1.0e2: its second digit is the ten
        (123456, 2345, ("123500", "2300")),
        (0.012343, 0.00071, ("0.01234", "0.00071")),
        (8.0, 0.46, ("8.00", "0.46")),
        (2.0, 3.14, ("2.0", "3.1")),
        (5.0, 0.0, ("5.000", "0")),
    ],
)
def test_u_has_two_digits_and_the_value_its_place(value: float, u: float, expected: tuple[str, str]) -> None:
    assert units.stated(value, u) == expected


def test_with_few_decimals_u_is_rounded_up_and_never_to_nothing() -> None:
    assert units.stated(0.0123, 0.00071, 3) == ("0.012", "0.001")
    assert units.stated(0.0123, 0.00201, 3) == ("0.012", "0.003")
    assert units.stated(0.5, 0.03, 3) == ("0.500", "0.030")


def test_value_and_u_worked_out_by_hand(made: Any) -> None:
    record = made.matmul(1000, "bf16", 5e14, power_w=250.0, **made.known())
    row = rows([record])[0]
    assert row.budget is not None
    assert row.budget.relative == pytest.approx(RELATIVE, rel=1e-3)
    cell = groups([record])[0].lines[0].cells["per_watt"]
    assert (cell.text, cell.u, cell.whole) == ("2000", "120", "2000 ± 120")
    for shown in (console.render([record]), text.markdown([record]), plain(page_of([record]))):
        assert "2000 ± 120" in shown
        assert "k = 2" in shown
        assert "largest term: gain" in shown


def test_csv_has_the_budget_in_full(made: Any) -> None:
    frame = pd.read_csv(io.StringIO(text.csv([made.matmul(1000, "bf16", 5e14, power_w=250.0, **made.known())])))
    row = frame.iloc[0]
    assert row["work_per_joule_expanded_ratio"] == pytest.approx(RELATIVE, rel=1e-3)
    assert row["u_gain_ratio"] == 0.0289
    assert row["u_repeatability_ratio"] == pytest.approx(SCATTER, rel=1e-3)
    assert (row["idle_power_w"], row["net_power_w"]) == (70, pytest.approx(180))
    assert json.loads(row["throttled_ratio"]) == {"hw_thermal": 0, "sw_power_cap": 0.25}
    assert bool(row["steady"]) is True
    assert row["sampler_cost_ratio"] == 0.0012
    assert row["unexplained_node_w"] == pytest.approx(550)
    assert row["unexplained_node_expanded_w"] == pytest.approx(2 * math.hypot(250 * 0.029, 200 * 0.029, 5.8), rel=0.01)
    assert pd.isna(row["no_uncertainty_reason"])


def test_terms_of_other_names_are_not_lost(made: Any) -> None:
    terms = {**made.TERMS, "offset": 0.03, "drift": 0.04}
    records = [made.matmul(1000, energy_changes={"terms": terms})]
    assert pd.read_csv(io.StringIO(text.csv(records))).iloc[0]["u_other_ratio"] == pytest.approx(0.05)
    assert "drift % offset %" in plain(page_of(records))


def test_json_has_the_records_and_what_follows_from_them(made: Any) -> None:
    records = [made.matmul(1000, "bf16", 5e14, power_w=250.0, **made.known()), made.matmul(2000, power_w=None)]
    found = json.loads(text.json(records))
    assert msgspec.json.decode(text.json(records), type=list[Record]) == records
    derived = found[0]["derived"]
    assert derived["work_per_joule"] == pytest.approx(2e12, rel=1e-4)
    assert derived["expanded_uncertainty"] == pytest.approx(2e12 * RELATIVE, rel=1e-3)
    assert derived["uncertainty"]["dominant"] == "gain"
    assert [line["name"] for line in derived["boundaries"]] == ["GPUs", "CPU packages", "node, AC", "unexplained"]
    assert found[1]["derived"]["expanded_uncertainty"] is None
    assert found[1]["derived"]["power_w"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "replayed"},
        {"source": "modelled", "flags": ("modelled",)},
        {"accuracy_class": "E"},
        {"terms": {"staleness": 0.001}},
    ],
)
def test_what_has_no_uncertainty_shows_none_and_says_why(made: Any, changes: dict[str, Any]) -> None:
    record = made.matmul(
        1000, "bf16", 5e14, power_w=250.0, **made.known(energy_changes={"terms": made.TERMS} | changes)
    )
    cell = groups([record])[0].lines[0].cells["per_watt"]
    assert (cell.text, cell.u) == ("2000", "")
    assert not any(note.mark == "±" for note in notes(groups([record])))
    assert any(note.text.startswith("No ± stands where none can be stated: ") for note in notes(groups([record])))
    for shown in (console.render([record]), text.markdown([record]), plain(page_of([record]))):
        assert "2000 ±" not in shown
    row = pd.read_csv(io.StringIO(text.csv([record]))).iloc[0]
    assert pd.isna(row["work_per_joule_expanded_ratio"])
    assert isinstance(row["no_uncertainty_reason"], str)
    assert "not stated: " in plain(page_of([record]))


def test_a_replayed_or_modelled_energy_keeps_its_mark_everywhere(made: Any) -> None:
    for source, mark in (("replayed", "‡"), ("modelled", "§")):
        record = made.matmul(1000, "bf16", 5e14, power_w=250.0, energy_changes={"source": source, "terms": made.TERMS})
        page = plain(page_of([record]))
        assert f"{mark} 2000" in page or f"{mark}2000" in page
        section = page[page.index("Energy and its uncertainty") :]
        assert f"{mark}2000" in section
        assert f"{mark}2000" in console.render([record])
        assert f"{mark}2000" in text.markdown([record])


@pytest.mark.parametrize("width", [80, 100, 120])
def test_it_fits_however_narrow(made: Any, width: int) -> None:
    known = made.known(steady=False)
    records = [
        made.matmul(1000, "bf16", 5e14, flags=("indicative", "throttled_thermal"), **known),
        made.matmul(2000, "fp8", 1.2e15, power_w=None),
        *(
            made.all_reduce(2**p, 8, 2e11 / (1 + 2.0 ** (24 - p)), power_w=500.0, flags=("indicative",), **known)
            for p in (10, 20, 30)
        ),
    ]
    shown = console.render(records, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "\u2026" not in shown
    for group in groups(records):
        for line in group.lines:
            cell = line.cells["per_watt"]
            assert cell.text in shown
            assert not cell.u or re.search(rf"{re.escape(cell.text)} +± +{re.escape(cell.u)}", shown)


def test_uncertainties_stand_in_line(made: Any) -> None:
    records = [
        made.matmul(n, rate=rate, power_w=250.0, energy_changes={"terms": {"gain": gain}})
        for n, rate, gain in ((1000, 5e14, 0.0289), (2000, 5e13, 0.0058), (3000, 2.5e14, 0.05))
    ]
    lines = [line for line in console.render(records).splitlines() if line.startswith("bf16")]
    assert len({line.index("±") for line in lines}) == 1
    assert [re.search(r"\S+ +± +\S+", line)[0].split() for line in lines] == [  # type: ignore[index]
        ["2000", "±", "120"],
        ["200.0", "±", "2.3"],
        ["1000", "±", "100"],
    ]


def test_far_below_its_column_u_is_in_percent(made: Any) -> None:
    terms = {"energy_changes": {"terms": {"gain": 0.03}}}
    records = [made.all_reduce(2**30, 8, 2e11, **terms), made.all_reduce(2**10, 8, 1e6, **terms)]
    assert groups(records)[0].lines[1].cells["per_watt"].whole == "3.50 kB/s/W ± 6.0 %"


def test_a_terminal_without_the_sign_gets_another(made: Any) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console.show([made.matmul(1000, "bf16", 5e14, power_w=250.0, **made.known())], stream)
    stream.flush()
    assert "2000 +/- 120" in raw.getvalue().decode("ascii")


def test_every_flag_that_a_measurement_can_carry_has_its_meaning(made: Any) -> None:
    assert set(CARRIED) <= set(FLAGS)
    shown = [note.text for note in notes(groups([made.matmul(1000, flags=CARRIED)]))]
    for flag in CARRIED:
        assert f"{flag.replace('_', ' ')}: {FLAGS[flag]}." in shown
    shown = [note.text for note in notes(groups([made.matmul(1000, flags=CARRIED[:1])]))]
    assert not any("meter lost" in line for line in shown)
    # a flag of a later version is shown as it is
    assert "brand new" in console.render([made.matmul(1000, flags=("brand_new",))])


def test_state_of_the_device_is_said_below_the_tables(made: Any) -> None:
    records = [
        made.matmul(1000, "bf16", 5e14, power_w=250.0, **made.known()),
        made.matmul(2000, "bf16", 5e14, power_w=400.0, **made.known(steady=False)),
    ]
    shown = {note.text for note in notes(groups(records))}
    assert (
        "Idle: 70.0 W (example_counter, gpu), so that net power is 180 to 330 W; power and per watt are gross." in shown
    )
    assert "Throttled: sw power cap up to 25.0 % of the time (2 cases)." in shown
    assert "Steady before the first window: 1 of 2 cases." in shown
    assert "Reading the meters costs at most 0.12 ± 0.08 % of the rate." in shown
    assert (
        "Unexplained: 400 to 550 W, 40.0 to 55.0 %: node, AC - (GPUs + CPU packages). "
        "Packages metered inside: GPUs 1, CPU packages 2." in shown
    )
    page = plain(page_of(records))
    for fact in ("sw power cap 25.0", "gpu 60 to 64, memory 70", "sm 1980 to 1755", "700 enforced", "0.12 ± 0.08"):
        assert fact in page


def test_idle_of_something_else_is_not_taken_off(made: Any) -> None:
    elsewhere = Idle("wall", "node_ac", ("node1",), 400.0, 1.0, 60.0)
    row = rows([made.matmul(1000, **made.known(idle=(elsewhere,)))])[0]
    assert (row.idle, row.net_power_w) == (None, None)
    polled = Idle("polled", "gpu", ("gpu0",), 69.0, 1.0, 60.0)
    row = rows([made.matmul(1000, power_w=250.0, **made.known(idle=(elsewhere, polled)))])[0]
    assert row.net_power_w == pytest.approx(181)
    assert rows([made.matmul(1000, power_w=None, idle=(polled,))])[0].idle is None


def test_throttling_is_a_share_of_all_time_that_is_known(made: Any) -> None:
    outcome = made.measured(made.flops(10**12))
    states = (Conditions(throttled={"sw_power_cap": 0.5}), Conditions(throttled={"hw_thermal": 0.1}), None)
    lengths = (10.0, 30.0, 60.0)
    windows = tuple(
        msgspec.structs.replace(r, conditions=c, window_s=s)
        for r, c, s in zip(outcome.repetitions, states, lengths, strict=True)
    )
    row = rows([made.record(msgspec.structs.replace(outcome, repetitions=windows))])[0]
    assert row.throttled == {"sw_power_cap": pytest.approx(0.125), "hw_thermal": pytest.approx(0.075)}


def test_a_little_throttling_never_reads_as_none() -> None:
    assert [small(s) for s in (0.0, 1e-5, 0.034, 0.99999, 1.0)] == ["0.0", "<0.1", "3.4", ">99.9", "100"]


def test_parts_above_the_whole_flag_the_case(made: Any) -> None:
    record = made.matmul(1000, "bf16", 5e14, power_w=2000.0, **made.known())
    assert "scopes_disagree" in rows([record])[0].flags
    page = plain(page_of([record]))
    assert "scopes disagree" in page
    assert "a meter does not enclose what it says" in page


def test_boundaries_are_laid_beside_each_other_only_where_there_are_several(made: Any) -> None:
    several = page_of([made.matmul(1000, "bf16", 5e14, power_w=250.0, **made.known())])
    assert "unexplained 550 ± 22 W" in plain(several)
    assert "boundaries" not in plain(page_of([made.matmul(1000, energy_changes={"terms": made.TERMS})]))


def test_no_section_on_energy_where_nothing_was_metered(made: Any) -> None:
    assert "Energy and its uncertainty" not in page_of([made.matmul(1000, power_w=None)])


def test_the_bar_shows_the_shares_of_the_variance(made: Any) -> None:
    terms = {"gain": 0.03, "aliasing": 0.04}
    page = page_of([made.matmul(1000, energy_changes={"terms": terms})])
    widths = re.findall(r'<i class="s\d" style="width:([\d.]+)%"></i>', page)
    assert [float(w) for w in widths] == [pytest.approx(64.0), pytest.approx(36.0)]


def test_names_from_outside_are_escaped(made: Any) -> None:
    evil = "<script>alert('x')</script>&\""
    changes = {"terms": {evil: 0.1}, "meter": evil, "packages": (evil,), "flags": (evil,), "boundary": "gpu"}
    conditions = Conditions(throttled={evil: 0.5}, temperature_c={evil: (1.0, 2.0)}, clock_hz={evil: (1e9, 2e9)})
    beside = (made.energy(1000.0, meter=evil, boundary=evil), made.energy(1000.0, meter="wall", boundary="node_ac"))
    known = made.known(energy_changes=changes, conditions=conditions, beside=beside)
    page = page_of([made.matmul(1000, **known)])
    assert "<script" not in page
    assert evil in plain(page)


def test_old_records_are_shown_as_they_were(made: Any) -> None:
    record = msgspec.structs.replace(made.matmul(1000, "bf16", 5e14, power_w=250.0), schema=1)
    cell = groups([record])[0].lines[0].cells["per_watt"]
    assert cell.whole == "2000"
    assert "its gain) was not recorded" in console.render([record])
