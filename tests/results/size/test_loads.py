from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest

from perwatt.results.size.electrical import psu_input_w
from perwatt.results.size.load import Load
from perwatt.results.size.loads import from_traces, lift, lift_dc, published
from perwatt.results.size.parameter import Parameter
from perwatt.results.size.system import Psu, System
from perwatt.results.traces.mlperf import read_node, read_run
from perwatt.results.traces.trace import Trace

T0 = 1_764_000_000_000_000_000


def trace(power_w: np.ndarray, name: str = "node", start_s: float = 0.0, **changes: object) -> Trace:
    t_ns = T0 + round(start_s * 1e9) + np.arange(len(power_w), dtype=np.int64) * 10**9
    about: dict[str, object] = {"boundary": "node_ac", "accuracy_class": "C", "accuracy": 0.05, "source": f"{name}.csv"}
    return Trace(name, t_ns, np.asarray(power_w, dtype=np.float64), **{**about, **changes})  # type: ignore[arg-type]


def exact(value: float, unit: str = "W", kind: str = "published") -> Parameter:
    return Parameter(value, unit, "a data sheet", kind=kind)  # type: ignore[arg-type]


PSU = Psu(6, 4, exact(3300.0), ((0.1, 0.90), (0.2, 0.94), (0.5, 0.96), (1.0, 0.91)), "the regulation's minimum")


def system(**changes: object) -> System:
    about = {
        "name": "node8",
        "title": "A node of eight",
        "vendor": "somebody",
        "target": "",
        "gpus": 8,
        "form": "node",
        "per_rack": 4,
        "nameplate_w": exact(13_200.0),
        "vendor_max_w": exact(10_200.0),
        "gpu_max_w": exact(700.0),
        "host_w": exact(1500.0),
        "liquid_fraction": exact(0.0, "1"),
        "mean_fraction": exact(0.7, "1"),
        "peak_over_mean": exact(1.1, "1"),
    }
    return System(**{**about, **changes})  # type: ignore[arg-type]


def test_one_trace_is_a_measured_load() -> None:
    found = from_traces([trace(np.tile([800.0, 1000.0], 100))], "train", work_per_s=5.0, work_unit="token")
    assert (found.kind, found.boundary, found.evidence) == ("measured", "node_ac", "node.csv")
    assert found.mean_w == pytest.approx(900)
    assert found.at(1.0, 1.0) == 1000
    assert found.at(0.1, 1.0) == 1000  # the shortest that is known
    assert found.at(900.0, 1.0) is None
    assert (found.seconds, found.period_s) == (pytest.approx(200), 1.0)
    assert found.uncertainty == pytest.approx(0.05 / np.sqrt(3))
    assert (found.bands, found.correlation) == ({}, None)  # of one run nobody knows how the next differs
    assert (found.work_per_s, found.work_unit) == (5.0, "token")
    assert len(found.cdf) == 101


def test_runs_are_pooled_by_time_and_banded_by_run() -> None:
    rng = np.random.default_rng(0)
    runs = [trace(rng.normal(level, 1, 300), f"r{i}", 1000.0 * i) for i, level in enumerate((900, 950, 1000, 1050))]
    found = from_traces(runs, "train")
    assert found.mean_w == pytest.approx(975, abs=1)
    low, high = found.bands[60.0, 0.5]
    assert low < 950
    assert high > 1000
    assert found.bands[60.0, 0.5] == from_traces(runs, "train").bands[60.0, 0.5]  # one seed
    for key, (low, high) in found.bands.items():
        assert low <= high
        assert low <= found.statistics[key] * (1 + 1e-3)
        assert found.statistics[key] <= high * (1 + 1e-3)
    # readings, not runs, would make it fifty times narrower
    assert found.bands[1.0, 0.5][1] - found.bands[1.0, 0.5][0] > 30
    assert found.evidence == "r0.csv, r1.csv, r2.csv and 1 more"


def test_a_longer_run_weighs_more() -> None:
    runs = [trace(np.full(900, 1000.0) + np.arange(900) % 2, "a"), trace(np.full(100, 500.0), "b", 5000.0)]
    assert from_traces(runs, "x").mean_w == pytest.approx(950.45, abs=0.01)


def test_units_read_at_the_same_time_are_correlated() -> None:
    rng = np.random.default_rng(1)
    job = rng.normal(0, 80, 2000)
    units = [trace(1000 + job + rng.normal(0, 60, 2000), f"n{i}") for i in range(4)]
    assert from_traces(units, "x").correlation == pytest.approx(80**2 / (80**2 + 60**2), abs=0.05)
    late = [trace(1000 + rng.normal(0, 60, 2000), f"n{i}", 4000.0 * i) for i in range(2)]
    assert from_traces(late, "x").correlation is None


def test_gaps_and_lost_samples_are_told() -> None:
    one = trace(np.full(200, 100.0))
    keep = np.r_[0:80, 150:200]
    broken = Trace("node", one.t_ns[keep], one.power_w[keep], "node_ac", "C", 0.05, "node.csv", dropped=3)
    broken.t_ns[1] = broken.t_ns[0]
    notes = from_traces([broken], "x").notes
    assert notes == (
        "1 gap of 70 s in all of 200 s, the longest 70 s, not bridged",
        "3 samples without a reading left out",
        "readings at the time of the one before, which share what it stands for: 1",
    )


@pytest.mark.parametrize(
    ("traces", "options", "found"),
    [
        ([], {}, "found no trace"),
        ([trace(np.ones(3)), trace(np.ones(3), boundary="gpu")], {}, "found node_ac and gpu; allowed traces of one"),
        ([trace(np.ones(3), accuracy_class="E")], {}, "found E, whose error nobody knows"),
        ([trace(np.ones(3))], {"cap_w": 900.0}, "found 900 W without proof"),
        ([trace(np.ones(3))], {"uncertainty": -0.1}, r"uncertainty: found -0\.1"),
        (
            [trace(np.ones(3))],
            {"uncertainty": 0.42},
            r"uncertainty: found 0\.42; allowed 0 to 0\.408 \(accuracy 0 to 0\.7",
        ),
        ([trace(np.ones(3), accuracy=0.75)], {}, r"uncertainty: found 0\.433; allowed 0 to 0\.408"),
    ],
)
def test_what_is_refused(traces: list[Trace], options: dict[str, float], found: str) -> None:
    with pytest.raises(ValueError, match=found) as caught:
        from_traces(traces, "x", **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_an_estimate_is_modelled_even_with_an_uncertainty() -> None:
    found = from_traces([trace(np.arange(1.0, 50.0), accuracy_class="E")], "x", uncertainty=0.2)
    assert (found.kind, found.uncertainty) == ("modelled", 0.2)


def test_published_is_the_mean_and_the_highest_second() -> None:
    found = published(system())
    assert (found.kind, found.boundary) == ("published", "node_ac")
    assert found.mean_w == pytest.approx(7140)
    assert found.at(1.0, 1.0) == pytest.approx(7854)
    assert found.at(0.1, 1.0) == found.at(900.0, 1.0) == found.at(1.0, 1.0)
    assert found.cdf[100] == pytest.approx(7854)
    assert float(np.trapezoid(found.cdf)) / 100 == pytest.approx(7140)
    assert "mean_fraction 0.7 (a data sheet)" in found.evidence
    assert found.work_per_s is None
    assert published(system(), {"mean_fraction": 0.5}).mean_w == pytest.approx(5100)
    assert "mean_fraction 0.5 (the request)" in published(system(), {"mean_fraction": 0.5}).evidence


def test_published_with_peaks_far_above_the_mean_keeps_the_mean() -> None:
    found = published(system(mean_fraction=exact(0.2, "1"), peak_over_mean=exact(4.0, "1")))
    assert found.cdf[0] >= 0
    assert float(np.trapezoid(found.cdf)) / 100 == pytest.approx(2040, rel=0.001)
    assert found.cdf[100] == pytest.approx(8160)


def test_an_assumed_figure_makes_the_load_assumed() -> None:
    assert published(system(mean_fraction=exact(0.7, "1", "assumed"))).kind == "assumed"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"mean": 0.5}, "found mean; allowed vendor_max_w, mean_fraction, peak_over_mean"),
        ({"mean_fraction": 0.0}, "mean_fraction: found a mean of 0 W"),
        ({"peak_over_mean": 0.9}, r"peak_over_mean: found 0\.9; allowed 1 or more"),
    ],
)
def test_published_figures_that_cannot_be(values: dict[str, float], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        published(system(), values)


def gpu_load(**changes: object) -> Load:
    found = from_traces([trace(np.tile([500.0, 650.0], 200), boundary="gpu", accuracy_class="D")], "step")
    return msgspec.structs.replace(found, work_per_s=10.0, work_unit="token", **changes)


def test_gpus_lifted_to_the_node() -> None:
    load = gpu_load(cap_w=650.0, cap_proof="a run", bands={(1.0, 1.0): (640.0, 650.0)})
    found = lift(load, 8, 1500.0, PSU)
    dc_w = 8 * 650 + 1500
    share = dc_w / (6 * 3300)  # 0.338, between 20 % and 50 %
    eta = 0.94 + (share - 0.2) / 0.3 * 0.02
    assert found.at(1.0, 1.0) == pytest.approx(dc_w / eta)
    assert found.bands[1.0, 1.0][1] == pytest.approx(dc_w / eta)
    assert (found.kind, found.boundary) == ("modelled", "node_ac")
    assert found.work_per_s == 80.0
    assert found.cap_w is None  # GPUs are held, the node is not
    assert "the cap of 650 W on each GPU is none on the unit" in found.notes[-1]
    assert found.uncertainty == pytest.approx(load.uncertainty * 4600 / 6100)
    assert all(a <= b for a, b in zip(found.cdf, found.cdf[1:], strict=False))
    assert "by a model" in found.evidence


@pytest.mark.parametrize(
    ("gpus", "host_w", "boundary", "found"),
    [
        (0, 100.0, "gpu", "gpus: found 0"),
        (8, -1.0, "gpu", "host_w: found -1 W"),
        (8, 100.0, "node_ac", "boundary: found node_ac"),
    ],
)
def test_what_cannot_be_lifted(gpus: int, host_w: float, boundary: str, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        lift(gpu_load(boundary=boundary), gpus, host_w, PSU)


def test_power_behind_the_supplies_is_lifted_to_the_input_and_marked() -> None:
    load = from_traces([trace(np.tile([5000.0, 6700.0], 200), boundary="node_dc", accuracy_class="C")], "node")
    found = lift_dc(msgspec.structs.replace(load, cap_w=6700.0, cap_proof="a run"), PSU)
    for dc_w, ac_w in ((6700.0, found.at(1.0, 1.0)), (load.mean_w, found.mean_w), (load.cdf[50], found.cdf[50])):
        assert ac_w == pytest.approx(float(psu_input_w(dc_w, PSU, 0.0)))
        assert ac_w is not None
        assert ac_w > dc_w * 1.04
    assert (found.kind, found.boundary, found.cap_w, found.gpu) == ("modelled", "node_ac", None, None)
    assert "behind its supplies" in found.evidence
    assert found.uncertainty >= load.uncertainty
    wide = msgspec.structs.replace(PSU, efficiency_offset=Parameter(0.0, "1", "test", -0.01, 0.02))
    # a triangle of -0.01, 0 and 0.02 has a standard deviation of 0.0062, of an efficiency of 0.95
    assert lift_dc(load, wide).uncertainty == pytest.approx(np.hypot(load.uncertainty, 0.0062 / 0.95), rel=0.02)
    with pytest.raises(ValueError, match="boundary: found node_ac; allowed node_dc"):
        lift_dc(found, PSU)


def test_published_b200_logs_as_one_load(data: Path) -> None:
    folder = data / "mlperf_lenovo_b200"
    traces = []
    for i, bench in enumerate(("bert", "llama2_70b_lora", "retinanet", "stable_diffusion")):
        t, p = np.loadtxt(folder / f"{bench}_result_0.csv", delimiter=",", skiprows=1, unpack=True)
        t_ns = T0 + i * 10**13 + np.round((t - t[0]) * 1e9).astype(np.int64)
        traces.append(Trace(bench, t_ns, p, "node_ac", "C", 0.05, bench))
    found = from_traces(traces, "b200")
    rows = {r["bench"]: r for r in csv.DictReader((folder / "summary.csv").open()) if r["run"] == "0"}
    assert found.at(1.0, 1.0) == pytest.approx(max(float(r["max"]) for r in rows.values()), rel=0.02)
    seconds = {b: float(r["dur"]) for b, r in rows.items()}
    mean = sum(float(r["mean"]) * seconds[b] for b, r in rows.items()) / sum(seconds.values())
    assert found.mean_w == pytest.approx(mean, rel=0.01)
    assert found.notes == ("2 of 4 stretches hold no window of 900 s",)
    # the pool's maximum is the highest; its band says that a draw may miss that run
    assert found.bands[1.0, 1.0][1] == found.at(1.0, 1.0)


def test_a_training_log_as_it_was_submitted(data: Path) -> None:
    folder = data / "power_traces/mlperf_training_v5_0_lenovo_b200/bert"
    start, stop = read_run(folder / "result_0.markers.txt")
    log = read_node(folder / "node_0.txt.gz").trace
    inside = (log.t_ns >= start) & (log.t_ns <= stop)
    during = Trace("bert", log.t_ns[inside], log.power_w[inside], "node_ac", "C", 0.05, "bert")
    found = from_traces([during], "bert")
    assert found.at(1.0, 1.0) == pytest.approx(10_143, rel=0.02)
    energy_j = log.integral(start, stop).energy_j
    assert energy_j is not None
    assert found.mean_w == pytest.approx(energy_j / ((stop - start) * 1e-9), rel=0.005)


def test_the_even_spread_bounds_what_published_logs_say_of_p95_and_p99(data: Path) -> None:
    rows = list(csv.DictReader((data / "mlperf_lenovo_b200/summary.csv").open()))
    assert len(rows) == 35
    for row in rows:
        mean, high = float(row["mean"]), float(row["max"])
        found = published(
            system(vendor_max_w=exact(mean), mean_fraction=exact(1.0, "1")), {"peak_over_mean": high / mean}
        )
        for q in ("p95", "p99"):
            assert (found.at(1.0, float(f"0.{q[1:]}")) or 0) >= float(row[q])
