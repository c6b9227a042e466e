from __future__ import annotations

from typing import Any

import msgspec
import pytest

from perwatt.results.record import Failed, Skipped
from perwatt.results.reports.layout import groups, notes
from perwatt.results.reports.table import rows


def cell(records: list[Any], key: str, at: int = 0) -> tuple[str, str]:
    found = groups(records)[0].lines[at].cells[key]
    return found.mark, found.text


def test_numbers_worked_out_by_hand(made: Any) -> None:
    # 2 * 1000**3 FLOP in 4 us are 500 TFLOP/s, half of the peak of 1 PFLOP/s; at 250 W that is 2 TFLOP per joule
    record = made.matmul(1000, "bf16", 5e14, power_w=250.0)
    row = rows([record])[0]
    assert row.rate == pytest.approx(5e14)
    assert row.of_peak == pytest.approx(0.5)
    assert row.peak == pytest.approx(1e15)
    assert row.peak_kind == "datasheet"
    assert row.power_w == pytest.approx(250.0)
    assert row.per_joule == pytest.approx(2e12)
    assert row.spread == pytest.approx(0.04)  # 0.99 to 1.03 of the median
    assert row.ci == pytest.approx(0.002)  # the larger side of 0.999 to 1.002
    group = groups([record])[0]
    assert [c.unit for c in group.columns] == ["", "TFLOP/s", "% datasheet", "W", "GFLOP/s/W", "%", "± %", ""]
    texts = [group.lines[0].cells[c.key].text for c in group.columns]
    assert texts == ["bf16 1000x1000x1000", "500.0", "50.0", "250", "2000", "4.00", "0.20", ""]


def test_memory_is_in_gb_per_second_however_fast(made: Any) -> None:
    group = groups([made.copy(2**30, "copy", 3.2e12, power_w=400.0)])[0]
    texts = {c.key: (c.title, c.unit, group.lines[0].cells[c.key].text) for c in group.columns}
    assert texts["rate"] == ("bandwidth", "GB/s", "3200")
    assert texts["of_peak"] == ("of peak", "% datasheet", "80.0")
    assert texts["per_watt"] == ("per watt", "GB/s/W", "8.00")


def test_collective_has_algbw_busbw_and_ranks(made: Any) -> None:
    # factor of all-reduce over 8 ranks: 2 * 7 / 8
    record = made.all_reduce(2**30, 8, 2e11, power_w=1000.0)
    group = groups([record])[0]
    cells = group.lines[0].cells
    assert [c.key for c in group.columns[:4]] == ["case", "ranks", "rate", "busbw"]
    assert (cells["ranks"].text, cells["rate"].text, cells["busbw"].text) == ("8", "200.0", "350.0")
    assert rows([record])[0].per_joule == pytest.approx(350e9 / 1000)
    assert "of_peak" not in {c.key for c in group.columns}


def test_collective_of_one_rank_has_no_busbw(made: Any) -> None:
    records = [made.all_reduce(2**20, 1, 1e10)]
    assert rows(records)[0].busbw is None
    assert cell(records, "busbw") == ("", "\u2013")
    assert rows(records)[0].best == pytest.approx(1e10)


def test_a_value_far_below_its_column_has_a_unit_of_its_own(made: Any) -> None:
    records = [made.all_reduce(2**30, 8, 2e11), made.all_reduce(2**10, 8, 1e6), made.all_reduce(2**20, 8, 1.234e8)]
    assert [cell(records, "rate", i)[1] for i in range(3)] == ["200.0", "1.00 MB/s", "0.123"]


def test_without_a_datasheet_peak_the_measured_one_is_used_and_marked(made: Any) -> None:
    records = [made.matmul(1000, "fp32", 4e13), made.matmul(1000, "bf16", 5e14), made.spin("fp32", 5e13)]
    found = rows(records)
    assert (found[0].peak_kind, found[0].of_peak) == ("measured", pytest.approx(0.8))
    assert found[1].peak_kind == "datasheet"
    assert cell(records, "of_peak", 0) == ("*", "80.0")
    assert cell(records, "of_peak", 1) == ("", "50.0")
    assert groups(records)[0].columns[2].unit == "%"
    assert groups(records)[1].lines[0].cells["of_peak"].text == "is the peak"
    assert any(n.mark == "*" and "fma_spin" in n.text for n in notes(groups(records)))
    alone = [records[0], records[2]]
    assert groups(alone)[0].columns[2].unit == "% measured"
    assert cell(alone, "of_peak") == ("", "80.0")


def test_the_best_spin_is_the_peak(made: Any) -> None:
    records = [made.matmul(1000, "fp32", 4e13), made.spin("fp32", 4.5e13), made.spin("fp32", 5e13)]
    found = rows(records)
    assert found[0].of_peak == pytest.approx(0.8)
    assert [r.is_peak for r in found] == [False, False, True]
    assert found[1].of_peak == pytest.approx(0.9)


@pytest.mark.parametrize("other", [{"device_index": 1}, {"host": "node2"}])
def test_a_spin_elsewhere_is_no_peak_here(made: Any, other: dict[str, Any]) -> None:
    assert rows([made.matmul(1000, "fp32", 4e13), made.spin("fp32", 5e13, **other)])[0].of_peak is None


def test_a_spin_of_another_dtype_or_run_is_no_peak_here(made: Any) -> None:
    mine = made.matmul(1000, "fp32", 4e13)
    assert rows([mine, made.spin("tf32", 5e13)])[0].of_peak is None
    assert rows([mine, msgspec.structs.replace(made.spin("fp32", 5e13), run="another")])[0].of_peak is None
    # memory is never laid against arithmetic
    assert rows([made.copy(2**20, target=None), made.spin("fp32", 5e13)])[0].of_peak is None


def test_unmetered_never_shows_a_number(made: Any) -> None:
    records = [made.matmul(1000, "bf16", 5e14, power_w=None, unmetered="no counter\n is readable.")]
    row = rows(records)[0]
    assert row.power_w is None
    assert row.per_joule is None
    assert cell(records, "power") == cell(records, "per_watt") == ("", "not metered")
    assert [n.text for n in notes(groups(records))] == ["not metered: no counter is readable."]


def test_each_reason_appears_once_with_its_count(made: Any) -> None:
    records = [made.matmul(n, power_w=None, unmetered="first" if n < 3000 else "second") for n in (1000, 2000, 3000)]
    texts = [n.text for n in notes(groups([*records, made.matmul(4000)]))]
    assert texts == [
        "Power: meter example_counter, boundary gpu, class D, counter (1 of 4 measured cases).",
        "not metered: first (2 of 4 measured cases).",
        "not metered: second (1 of 4 measured cases).",
        "No ± stands where none can be stated: how true example_counter reads (its gain) was not recorded.",
    ]


def test_unmetered_without_a_stated_reason_still_has_one(made: Any) -> None:
    assert rows([made.matmul(1000, power_w=None)])[0].why == "no meter was read"
    elsewhere = made.matmul(1000, energy_changes={"boundary": "cpu_package"})
    assert rows([elsewhere])[0].why == "no meter that was read encloses this device"


def test_a_counter_that_stood_still_is_not_zero_watt(made: Any) -> None:
    records = [made.matmul(1000, power_w=0.0)]
    assert rows(records)[0].power_w is None
    assert cell(records, "power")[1] == cell(records, "per_watt")[1] == "not resolved"
    assert "did not advance" in notes(groups(records))[-1].text


def test_a_counter_that_stood_still_once_makes_the_figure_indicative(made: Any) -> None:
    record = made.matmul(1000, "bf16", 5e14, power_w=250.0)
    first, *rest = record.outcome.repetitions
    still = msgspec.structs.replace(first, energies=(made.energy(0.0),))
    outcome = msgspec.structs.replace(record.outcome, repetitions=(still, *rest))
    records = [msgspec.structs.replace(record, outcome=outcome)]
    assert cell(records, "per_watt") == ("~", "2000")
    assert cell(records, "flags")[1] == "meter stalled"


def test_indicative_and_replayed_are_marked_and_explained(made: Any) -> None:
    records = [
        made.matmul(1000, flags=("indicative", "noisy")),
        made.matmul(2000, energy_changes={"source": "replayed", "flags": ("sparse",)}),
        made.matmul(3000, energy_changes={"source": "modelled"}),
    ]
    assert [cell(records, "per_watt", i)[0] for i in range(3)] == ["~", "‡", "§"]
    assert [cell(records, "power", i)[0] for i in range(3)] == ["~", "‡", "§"]
    assert [cell(records, "rate", i)[0] for i in range(3)] == ["", "", ""]
    assert cell(records, "flags", 0)[1] == "indicative, noisy"
    assert cell(records, "flags", 1)[1] == "sparse"
    marks = {n.mark: n.text for n in notes(groups(records))}
    assert "replayed" in marks["‡"]
    assert "modelled" in marks["§"]
    assert "Indicative" in marks["~"]


def test_skipped_and_failed_have_a_reason_of_one_line_and_no_number(made: Any) -> None:
    records = [made.record(Skipped("a\n  b")), made.record(Failed("boom\n", rank=2))]
    found = rows(records)
    assert [(r.state, r.reason) for r in found] == [("skipped", "a b"), ("failed", "rank 2: boom")]
    for line in groups(records)[0].lines:
        assert "rate" not in line.cells
        assert "power" not in line.cells
    assert notes(groups(records)) == []


def test_device_column_only_where_there_are_several(made: Any) -> None:
    one = [made.matmul(1000), made.matmul(2000)]
    assert "device" not in {c.key for c in groups(one)[0].columns}
    two = [made.matmul(1000, device_index=0), made.matmul(1000, device_index=1)]
    assert [cell(two, "device", i)[1] for i in range(2)] == ["0", "1"]
    hosts = [made.matmul(1000, host="a"), made.matmul(1000, host="b")]
    assert [cell(hosts, "device", i)[1] for i in range(2)] == ["a/0", "b/0"]


def test_one_sample_has_no_spread(made: Any) -> None:
    records = [made.matmul(1000, seconds=made.seconds(4e-6, samples=1, p5=4e-6, p95=4e-6, ci_low=4e-6, ci_high=4e-6))]
    assert rows(records)[0].spread is None
    assert cell(records, "spread") == cell(records, "ci") == ("", "\u2013")


def test_order_is_as_given_and_kernels_are_grouped(made: Any) -> None:
    records = [made.matmul(2000), made.copy(2**20), made.matmul(1000)]
    found = groups(records)
    assert [g.kernel for g in found] == ["matmul", "memory"]
    assert [line.row.index for line in found[0].lines] == [0, 2]


def test_no_records() -> None:
    assert rows([]) == []
    assert groups([]) == []
    assert notes([]) == []
