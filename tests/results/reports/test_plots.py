from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perwatt.results.reports import plots, series, svg, timeline
from perwatt.results.reports.layout import groups
from perwatt.results.run import Run


def drawing(records: list[Any], what: Any = "rate", group: int = 0) -> Any:
    return plots.by_size(groups(records)[group], what, "x")


def panel(run: Run) -> str:
    return next(iter(timeline.panels(run, {})))[1].markup


def numbers(markup: str) -> list[float]:
    return [float(n) for d in re.findall(r' d="([^"]*)"', markup) for n in re.findall(r"-?\d+\.?\d*", d)]


def test_one_line_a_series_with_its_peak(made: Any) -> None:
    made_ = drawing([made.matmul(n, d) for n in (1000, 2000, 4000) for d in ("bf16", "fp8")])
    assert made_.remark == "dashed: datasheet peak"
    for text in (">mean dimension<", ">bf16<", ">fp8<", ">1000<", ">2000<", ">4000<", ">TFLOP/s<"):
        assert text in made_.markup
    assert "stroke-dasharray" in made_.markup
    assert 'aria-label="matmul: rate in TFLOP/s, against mean dimension; 6 cases' in made_.markup


def test_rate_per_watt_only_of_what_was_metered(made: Any) -> None:
    records = [made.matmul(n, power_w=None) for n in (1000, 2000)]
    assert drawing(records, "per_watt") is None
    assert drawing([*records, made.matmul(3000), made.matmul(4000)], "per_watt") is not None


def test_a_single_point_has_no_figure(made: Any) -> None:
    assert drawing([made.matmul(1000)]) is None


def test_one_size_only_stands_side_by_side(made: Any) -> None:
    found = drawing([made.spin("fp32"), made.spin("bf16", 1e14)])
    assert ">fp32<" in found.markup
    assert ">bf16<" in found.markup
    assert "by series" in found.markup


@pytest.mark.parametrize("ranks", [1, 8])
def test_collectives_are_drawn_on_logarithmic_axes(made: Any, ranks: int) -> None:
    found = drawing([made.all_reduce(2**p, ranks, 1e11 / (1 + 2.0 ** (20 - p))) for p in range(10, 31, 4)])
    assert found.title == ("all_reduce: busbw" if ranks > 1 else "all_reduce: algbw")
    assert ">1<" in found.markup
    assert ">10<" in found.markup
    assert ">100<" in found.markup
    assert ">message bytes<" in found.markup
    assert ">1 KiB<" in found.markup
    assert ">1 GiB<" in found.markup


def test_labels_of_sizes_do_not_overlap(made: Any) -> None:
    found = drawing([made.matmul(n) for n in (512, 640, 641, 642, 1010, 1024, 16384)])
    assert ">16384<" in found.markup
    assert ">1024<" in found.markup
    assert ">1010<" not in found.markup
    assert sum(f">{n}<" in found.markup for n in (640, 641, 642)) == 1


@pytest.mark.parametrize("rates", [(1.3e11, 1.3e11), (1e11, 1.9e11), (1e10, 4e11)])
def test_a_narrow_logarithmic_range_still_has_labels(made: Any, rates: tuple[float, float]) -> None:
    found = drawing([made.all_reduce(2 ** (20 + i), 8, rate) for i, rate in enumerate(rates)])
    labels = re.findall(r">(\d+\.?\d*)</text>", found.markup)
    assert len(labels) >= 2


def test_energy_that_was_not_metered_here_is_said_so_in_the_picture(made: Any) -> None:
    changes = {"source": "replayed"}
    records = [made.matmul(n, energy_changes=changes, flags=("indicative",)) for n in (1000, 2000)]
    assert "energy replayed; indicative" in drawing(records, "per_watt").remark
    assert "replayed" not in drawing(records).remark
    some = [made.matmul(1000, flags=("indicative",)), made.matmul(2000)]
    assert "1 of 2 points indicative" in drawing(some, "per_watt").remark
    run = Run(Path("r"), records, telemetry=made.samples(records, 40))
    assert ">example_counter (replayed)</text>" in panel(run)


def test_sizes_that_are_not_positive_and_equal_rates(made: Any) -> None:
    records = [made.record(made.measured(made.flops(10**9)), size=size, label=str(size)) for size in (0.0, 5.0)]
    assert drawing(records) is not None


def test_several_devices_are_one_line_and_dots(made: Any) -> None:
    found = drawing([made.matmul(n, device_index=d) for n in (1000, 2000) for d in range(4)])
    assert "lines: medians of the dots" in found.remark


def test_many_series_with_long_names(made: Any) -> None:
    records = [made.matmul(n, f"dtype_with_a_long_name_{i}") for n in (1000, 2000) for i in range(12)]
    found = drawing(records)
    assert all(f"dtype_with_a_long_name_{i}<" in found.markup for i in range(12))


def test_ids_have_the_prefix_and_lead_somewhere(made: Any) -> None:
    markup = drawing([made.matmul(n) for n in (1000, 2000)]).markup
    ids = set(re.findall(r' id="([^"]+)"', markup))
    assert ids
    assert all(i.startswith("x-") for i in ids)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', markup)) == ids


def test_panel_shows_each_sample_once(made: Any) -> None:
    records = [made.matmul(1000)]
    run = Run(Path("r"), records, telemetry=made.samples(records, 100, power=False))
    dots = [d for d in re.findall(r' d="([^"]*)"', panel(run)) if d.startswith("m")]
    assert sum(d.count("v0") for d in dots) == 100


def test_dots_land_where_the_samples_are(made: Any) -> None:
    frame = samples_of(made, np.full(50, 1e-3), np.arange(50) * 10**9)
    run = Run(Path("r"), [made.matmul(1000)], telemetry=frame)
    path = next(d for d in re.findall(r' d="([^"]*)"', panel(run)) if d.startswith("m"))
    moves = [tuple(map(float, m)) for m in re.findall(r"m(-?[\d.]+) (-?[\d.]+)v0", path)]
    x, y = np.cumsum(moves, axis=0).T
    # equal steps over the width of the axes, within the tenth of a pixel of the coordinates
    assert np.abs(np.diff(x) - np.diff(x).mean()).max() <= 0.11
    assert x[0] > timeline.LEFT
    assert x[-1] < timeline.WIDTH - timeline.RIGHT
    assert np.ptp(y) == 0


def samples_of(made: Any, value: Any, t_ns: Any, **columns: Any) -> pd.DataFrame:
    defaults = {"case": made.matmul(1000).case.key, "series": "seconds", "rank": 0, "repetition": 0, "n": 1}
    return pd.DataFrame({**defaults, **columns, "t_ns": t_ns, "value": value})


def test_envelope_keeps_outliers_and_says_so(made: Any) -> None:
    value = np.full(20_000, 1e-3)
    value[12_345] = 2e-3
    run = Run(Path("r"), [made.matmul(1000)], telemetry=samples_of(made, value, np.arange(20_000) * 10**6))
    _, found = next(iter(timeline.panels(run, {})))
    assert found.remark == "envelope of 20,000 samples"
    assert len(found.markup) < 40_000
    bars = [d for d in re.findall(r' d="([^"]*)"', found.markup) if d.startswith("m")]
    lengths = [abs(float(v)) for d in bars for v in re.findall(r"v(-?[\d.]+)", d)]
    assert sum(length > 10 for length in lengths) == 1


def test_envelope_of_few_and_of_equal_times() -> None:
    at, least, median, greatest = series.envelope(np.array([1.0, 1.0, 1.0]), np.array([3.0, 1.0, 2.0]), (1.0, 1.0))
    assert (least.tolist(), median.tolist(), greatest.tolist()) == ([1.0], [2.0], [3.0])
    assert at.size == 1


def test_power_is_drawn_or_taken_from_the_slope_of_a_counter(made: Any) -> None:
    t_ns = np.array([0, 1, 2, 2, 3]) * 10**9
    energy_j = np.array([0.0, 100.0, 300.0, 300.0, 50.0])
    frames = {"energy_j:meter": samples_of(made, energy_j, t_ns)}
    found = series.power(frames, "meter", 0)
    # 100 W, then 200 W; two readings at once and a counter that was reset say nothing
    assert found[0].value.tolist() == [100.0, 200.0]
    assert found[0].t_s.tolist() == [1.0, 2.0]
    frames["power_w:meter"] = samples_of(made, np.array([90.0, np.nan]), t_ns[:2])
    assert series.power(frames, "meter", 0)[0].value.tolist() == [90.0]


def test_the_meter_of_the_record_comes_first(made: Any) -> None:
    frames = {f"power_w:{name}": samples_of(made, [1.0], [0]) for name in ("a", "b", "c", "d")}
    assert [s.name for s in series.power(frames, "c", 0)] == ["c", "a", "b"]


def test_ranks_on_other_hosts_are_brought_to_one_clock(made: Any) -> None:
    near = samples_of(made, [1e-3] * 3, np.array([0, 1, 2]) * 10**9)
    far = samples_of(made, [1e-3] * 3, np.array([0, 1, 2]) * 10**9 + 10**15, rank=1)
    late = samples_of(made, [1e-3] * 3, np.array([0, 1, 2]) * 10**9 + 5 * 10**8, rank=2)
    frame = series.one_clock(pd.concat([near, far, late], ignore_index=True))
    assert frame["t_ns"].max() == 2.5e9
    assert frame[frame["rank"] == 1]["t_ns"].tolist() == [0, 10**9, 2 * 10**9]


@pytest.mark.parametrize("bad", [[np.nan, np.inf], [0.0, -1.0]])
def test_samples_that_are_no_times_are_no_panel(made: Any, bad: list[float]) -> None:
    run = Run(Path("r"), [made.matmul(1000)], telemetry=samples_of(made, bad, [0, 1]))
    assert list(timeline.panels(run, {})) == []


def test_one_sample_warmups_only_and_unknown_cases(made: Any) -> None:
    one = samples_of(made, [1e-3], [5])
    assert "NaN" not in panel(Run(Path("r"), [made.matmul(1000)], telemetry=one))
    warm = samples_of(made, [1e-3, 2e-3], [0, 10**9], repetition=-1)
    assert panel(Run(Path("r"), [made.matmul(1000)], telemetry=warm))
    unknown = samples_of(made, [1e-3], [0], case="nobody")
    assert list(timeline.panels(Run(Path("r"), [made.matmul(1000)], telemetry=unknown), {})) == []
    assert list(timeline.panels(Run(Path("r"), [made.matmul(1000)], telemetry=unknown.iloc[:0]), {})) == []


def test_a_warmup_beyond_the_scale_sits_on_the_edge(made: Any) -> None:
    value = np.r_[np.full(5, 1.0), np.full(50, 1e-3)]
    repetition = np.r_[np.full(5, -1), np.zeros(50)]
    frame = samples_of(made, value, np.arange(55) * 10**9, repetition=repetition)
    markup = panel(Run(Path("r"), [made.matmul(1000)], telemetry=frame))
    assert max(numbers(markup)) <= timeline.WIDTH
    labels = [float(t) for t in re.findall(r">(\d+\.?\d*)</text>", markup)]
    assert 2000 in labels  # 2e9 FLOP in 1 ms, in GFLOP/s: the scale is that of the measured samples


def test_a_sheet_is_clean_for_the_next_case(made: Any) -> None:
    records = [made.matmul(1000), made.matmul(2000)]
    run = Run(Path("r"), records, telemetry=made.samples(records, 60))
    first, second = (d.markup for _, d in timeline.panels(run, {}))
    alone = Run(Path("r"), records[1:], telemetry=run.telemetry)
    assert len(second) == pytest.approx(len(panel(alone)), rel=0.02)
    assert first.count("<path") == second.count("<path")


def test_path_data_is_short_and_true() -> None:
    assert svg._path("M 1.23456 7 \nL 8.00001 -0.000001") == "M 1.23 7 L 8 0"
    dots = "".join(f"M {i} {i / 3:.6f} L {i} {i / 3:.6f} " for i in range(100))
    found = svg._path(dots)
    assert found.startswith("m0 0v0m1 0.3v0m1 0.4v0")
    total = sum(float(dy) for dy in re.findall(r"m\S+ (\S+?)v", found))
    assert total == pytest.approx(33.0, abs=0.05)


def test_several_meters_are_named_in_the_colours_of_their_lines(made: Any) -> None:
    record = made.matmul(1000)
    extra = [samples_of(made, [400.0, 410.0], [0, 10**9], series=f"power_w:{name}") for name in ("gpu", "node")]
    run = Run(Path("r"), [record], telemetry=pd.concat([made.samples([record], 40), *extra]))
    markup = panel(run)
    for name, ink in (("example_counter", "c1"), ("gpu", "c2"), ("node", "c3")):
        assert re.search(rf"var\(--plot-{ink}\)[^>]*>{name}</text>", markup)
