"""The hidden share of a communication and the energy of both at once, from records whose answer is known."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest
from records import energy, measured, record

from perwatt.results.overlap import hidden, overlaps
from perwatt.results.record import Energy, Measured, Record, Work
from perwatt.results.reports import console, html_cases, text
from perwatt.results.reports.layout import groups

PRODUCT, MESSAGE = Work(10**9, 10**6, "flops"), Work(0, 10**6, "message", 10**6, 1.0)
BOTH = Work(10**9, 2 * 10**6, "flops", 10**6, 1.0)


def board(joules: float, **changes: object) -> Energy:
    known: dict[str, object] = {"instrument": "GPU-0", "terms": {"gain": 0.03, "resolution": 0.001}}
    return energy("nvml", joules, boundary="cpu_package", **{**known, **changes})


def taking(median_s: float, half_s: float, work: Work, *energies: Energy) -> Measured:
    m = measured(*energies, median=median_s, work=work)
    ends = {"ci_low": median_s - half_s, "ci_high": median_s + half_s}
    changed: Measured = msgspec.structs.replace(m, seconds=msgspec.structs.replace(m.seconds, **ends))
    return changed


def part(name: str, outcome: Measured, **changes: object) -> Record:
    params = {"part": name, "operation": "all_reduce", "m": 64, **changes}
    made = record(f"{name}-{sorted(changes.items())}", outcome, kernel="overlap", params=params, label=f"{name}: 64")
    whole: Record = msgspec.structs.replace(made, case=msgspec.structs.replace(made.case, collective=True, ranks=2))
    return whole


def three(
    seconds: tuple[float, float, float] = (0.010, 0.004, 0.011),
    half_s: float = 0.0,
    joules: tuple[float, float, float] | None = None,
    **changes: object,
) -> list[Record]:
    drawn = [[board(j)] for j in joules] if joules else [[], [], []]
    works = (PRODUCT, MESSAGE, BOTH)
    names = ("compute", "communication", "both")
    return [
        part(n, taking(s, half_s, w, *e), **changes) for n, s, w, e in zip(names, seconds, works, drawn, strict=True)
    ]


@pytest.mark.parametrize(
    ("seconds", "share"),
    [
        ((0.010, 0.004, 0.010), 1.0),
        ((0.010, 0.004, 0.014), 0.0),
        ((0.010, 0.004, 0.012), 0.5),
        ((0.004, 0.010, 0.012), 0.5),  # a communication that is longer than what hides it
        ((0.010, 0.004, 0.016), -0.5),
    ],
)
def test_the_hidden_share_is_what_both_save_of_the_shorter(seconds: tuple[float, float, float], share: float) -> None:
    assert hidden(seconds) == pytest.approx(share)
    (found,) = overlaps(three(seconds))
    assert found.hidden == pytest.approx(share)
    assert [r.case.params["part"] for r in (found.compute, found.communication, found.both)] == [
        "compute",
        "communication",
        "both",
    ]


def test_its_interval_is_that_of_the_three_medians() -> None:
    # h = (c + m - b) / m with m = 4 ms: each of c and b moves it by 0.1 ms / 4 ms, m by (b - c) / m**2 times 0.1 ms
    (found,) = overlaps(three((0.010, 0.004, 0.012), half_s=1e-4))
    arm = (2 * (1e-4 / 0.004) ** 2 + (0.002 / 0.004**2 * 1e-4) ** 2) ** 0.5
    assert found.hidden_low == pytest.approx(0.5 - arm, rel=0.02)
    assert found.hidden_high == pytest.approx(0.5 + arm, rel=0.02)


def test_a_single_sample_has_no_interval() -> None:
    parts = three()
    m = parts[0].measured
    assert m is not None
    lone = msgspec.structs.replace(m, seconds=msgspec.structs.replace(m.seconds, samples=1))
    (found,) = overlaps([msgspec.structs.replace(parts[0], outcome=lone), *parts[1:]])
    assert (found.hidden_low, found.hidden_high) == (None, None)


def test_energy_of_both_against_the_sum_of_the_two() -> None:
    (found,) = overlaps(three(joules=(300.0, 100.0, 360.0)))
    assert found.energy_j == pytest.approx((3.0, 1.0, 3.6))  # 100 launches a window
    assert found.saved == pytest.approx(0.1)
    assert found.saved_j == pytest.approx(0.4)
    # the gain of one sensor cancels: what is left is the resolution of each
    u = 0.001
    assert found.saved_expanded == pytest.approx(2 * 0.9 * (u**2 + (u * 0.75) ** 2 + (u * 0.25) ** 2) ** 0.5)


def test_the_gain_of_several_sensors_does_not_cancel() -> None:
    parts = three(joules=(300.0, 100.0, 360.0))
    other = part("both", taking(0.011, 0.0, BOTH, board(360.0, instrument="GPU-1")))
    (found,) = overlaps([*parts[:2], other])
    assert found.saved_expanded is not None
    assert found.saved_expanded > 2 * 0.9 * 0.03


def test_unlike_energies_are_not_compared() -> None:
    parts = three(joules=(300.0, 100.0, 360.0))
    for changes in ({"meter": "rapl"}, {"boundary": "node_ac"}):
        odd = energy(**{"meter": "nvml", "boundary": "cpu_package", "joules": 360.0, **changes})
        (found,) = overlaps([*parts[:2], part("both", taking(0.011, 0.0, BOTH, odd))])
        assert (found.energy_j, found.saved, found.saved_expanded, found.saved_j) == (None, None, None, None)


def test_only_parts_of_one_configuration_belong_together() -> None:
    assert overlaps(three()[:2]) == []
    a, b = three(), three(m=128)
    assert overlaps([a[0], a[1], b[2]]) == []
    found = overlaps([*a, *b])
    assert [o.both.case.params["m"] for o in found] == [64, 128]
    other_host = msgspec.structs.replace(a[2], host="other")
    assert overlaps([*a[:2], other_host]) == []
    other_kernel = msgspec.structs.replace(a[2], case=msgspec.structs.replace(a[2].case, kernel="matmul"))
    assert overlaps([*a[:2], other_kernel]) == []


def test_the_later_record_of_a_part_counts() -> None:
    again = part("both", taking(0.014, 0.0, BOTH))
    (found,) = overlaps([*three((0.010, 0.004, 0.010)), again])
    assert found.hidden == pytest.approx(0.0)


def test_every_report_tells_what_is_hidden() -> None:
    records = three((0.010, 0.004, 0.012), half_s=1e-4, joules=(300.0, 100.0, 360.0))
    said = console.render(records)
    assert "hidden" in said
    assert "50.0 ± 3.8" in said
    flat = " ".join(said.split())
    assert "both: 64: 400 mJ saved a launch, 10.00 ± 0.23 % of compute and communication apart, at 360 W" in flat
    assert "(apart 300 and 100 W)" in flat
    assert "50.0 ± 3.8" in text.markdown(records)
    assert "50.0" in html_cases.cases(groups(records))
    rows = list(csv.DictReader(io.StringIO(text.csv(records))))
    assert [row["hidden_ratio"] for row in rows][:2] == ["", ""]
    assert float(rows[2]["hidden_ratio"]) == pytest.approx(0.5)
    assert float(rows[2]["overlap_saved_ratio"]) == pytest.approx(0.1)
    assert float(rows[2]["overlap_saved_joule"]) == pytest.approx(0.4)
    derived = json.loads(text.json(records))[2]["derived"]["overlap"]
    assert derived["energy_j"] == pytest.approx({"compute": 3.0, "communication": 1.0, "both": 3.6})
    assert derived["hidden_ci95"][0] < 0.5 < derived["hidden_ci95"][1]


def test_without_energy_nothing_is_said_of_it() -> None:
    said = console.render(three())
    assert "a launch" not in said
    assert "hidden" in said


def test_a_hindrance_reads_as_a_loss() -> None:
    assert "500 mJ lost a launch, 12.5" in " ".join(console.render(three(joules=(300.0, 100.0, 450.0))).split())


def test_flop_per_joule_of_both_is_not_multiplied_by_the_bus_factor() -> None:
    both = part("both", taking(0.01, 0.0, msgspec.structs.replace(BOTH, bus_factor=1.75), board(100.0)))
    assert both.work_per_joule == pytest.approx(10**9)
    assert both.busbw is None
