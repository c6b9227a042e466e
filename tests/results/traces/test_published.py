"""Published recordings: their own figures are met by their own rules, and ours stand beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perwatt.results.traces import mlperf, spec
from perwatt.results.traces.calibrate import Level, fit, levels, step_gain
from perwatt.results.traces.table import read_table
from perwatt.results.traces.trace import Trace

H200 = "power_traces/mlperf_inference_v4_1/h200x8_resnet50_offline"
UNTETHER = "power_traces/mlperf_inference_v4_1/untether_u3_resnet50_offline"
B200 = "power_traces/mlperf_training_v5_0_lenovo_b200"
SHUNT = "power_traces/gpu_sensor_vs_shunt/rtx3090_step_6s"


def analyser(folder: Path) -> tuple[Trace, spec.LoadWindow]:
    return spec.read_spl(folder / "spl.txt"), spec.read_window(folder / "mlperf_log_detail.power_lines.txt")


def test_eight_h200_by_mlperfs_rule_and_by_ours(data: Path) -> None:
    trace, window = analyser(data / H200 / "run_1")
    found = spec.compare(trace, window)
    assert found.samples == 653
    assert found.published_power_w == pytest.approx(4954.032, abs=5e-4)
    assert found.published_samples_per_j == pytest.approx(112.279, abs=5e-4)
    assert found.seconds == pytest.approx(652.603)
    assert trace.dropped == 0
    assert trace.period_s == pytest.approx(1.0, abs=0.01)
    # the integral over the very window differs by the partial second at each edge
    assert found.integral.flags == ()
    assert found.power_w == pytest.approx(found.published_power_w, rel=2e-3)
    assert found.power_w != found.published_power_w
    assert found.samples_per_j == pytest.approx(556234 / (found.power_w or 0))


def test_two_samples_of_the_ranging_run_are_no_readings(data: Path) -> None:
    trace, window = analyser(data / H200 / "ranging")
    assert trace.dropped == 2
    assert len(trace.t_ns) == 759
    assert spec.compare(trace, window).samples == 650
    assert [m.label for m in trace.marks] == ["2024-07-11_16-21-36_ranging"]


def test_a_single_phase_host(data: Path) -> None:
    found = spec.compare(*analyser(data / UNTETHER / "run_1"))
    assert (found.samples, round(found.published_power_w, 3)) == (657, 398.330)
    assert found.power_w == pytest.approx(found.published_power_w, rel=2e-3)


def test_a_log_that_ends_before_the_run_does(data: Path) -> None:
    trace, window = analyser(data / H200 / "run_1")
    keep = trace.t_ns < window.begin_ns + 500 * 10**9
    cut = Trace("cut", trace.t_ns[keep], trace.power_w[keep], "node_ac", "A", 0.01, "cut")
    found = spec.compare(cut, window)
    assert found.integral.energy_j is None
    assert found.integral.flags == ("uncovered",)
    assert found.power_w is None
    assert found.published_power_w > 0  # the published rule does not notice


@pytest.mark.parametrize(
    ("suite", "seconds", "published_j", "ours_j"),
    [("llama2_70b_lora", 655.908, 5_901_931, 5_908_051), ("bert", 220.176, 2_000_355, None)],
)
def test_a_training_node_by_the_published_rule_and_by_ours(
    data: Path, suite: str, seconds: float, published_j: float, ours_j: float | None
) -> None:
    folder = data / B200 / suite
    start, stop = mlperf.read_run(folder / "result_0.markers.txt")
    log = mlperf.read_node(folder / "node_0.txt.gz", boundary="node_dc")
    found = mlperf.compare(log, start, stop)
    assert found.seconds == pytest.approx(seconds, abs=1e-9)
    assert found.published_j == pytest.approx(published_j, abs=0.5)
    assert found.integral.flags == ()
    assert found.integral.energy_j is not None
    if ours_j:
        assert found.integral.energy_j == pytest.approx(ours_j, abs=0.5)
    assert 0.001 < 1 - found.published_j / found.integral.energy_j < 0.007
    assert log.trace.integral(start, stop).energy_j == pytest.approx(found.integral.energy_j)
    ac = mlperf.read_node(folder / "node_0.txt.gz").trace.integral(start, stop).energy_j or 0.0
    assert ac * 0.94 == pytest.approx(found.integral.energy_j)


def test_a_training_log_that_ends_before_the_run_does(data: Path) -> None:
    folder = data / B200 / "llama2_70b_lora"
    start, stop = mlperf.read_run(folder / "result_0.markers.txt")
    log = mlperf.read_node(folder / "node_0.txt.gz")
    assert mlperf.compare(log, start + 100 * 10**9, stop + 100 * 10**9).integral.flags == ("uncovered",)


@pytest.fixture
def step(data: Path) -> tuple[dict[str, Trace], Trace, list[int]]:
    """An RTX 3090's own readings, the shunt in its supply lines, and when its load was switched."""
    folder = data / SHUNT
    about = {"boundary": "gpu", "accuracy_class": "D", "time": "timestamp", "unit": "iso", "timezone": "+01:00"}
    sensors = {
        field: read_table(folder / "gpudata.csv", power=f"power.draw{field} [W]", **about)  # type: ignore[arg-type]
        for field in ("", ".instant")
    }
    shunt = read_table(folder / "pmd_1ms.csv.gz", boundary="gpu", accuracy_class="A", accuracy=0.01)
    edges = sorted({int(line) * 1000 for line in (folder / "timestamps.csv").read_text().split()[1:]})
    return sensors, shunt, edges


def test_the_gain_of_an_rtx_3090_over_a_step(step: tuple[dict[str, Trace], Trace, list[int]]) -> None:
    sensors, shunt, edges = step
    assert step_gain(sensors[""], shunt, edges[0], edges[2]) == pytest.approx(-0.049, abs=0.002)
    assert step_gain(sensors[".instant"], shunt, edges[0], edges[2]) == pytest.approx(-0.052, abs=0.002)
    # a window that ends under load shows the delay of the one second average, not its gain
    assert step_gain(sensors[""], shunt, edges[0], edges[1]) < -0.10


def test_the_line_through_the_levels_of_an_rtx_3090(step: tuple[dict[str, Trace], Trace, list[int]]) -> None:
    sensors, shunt, edges = step
    for field, averaging_s in (("", 1.0), (".instant", 0.1)):
        found = levels(sensors[field], shunt, edges, settle_s=3.5, averaging_s=averaging_s)
        line = fit(found, accuracy=0.01, reference="shunt")
        assert len(found) == 3  # at rest, under load, at rest again
        assert 1 / line.gain - 1 == pytest.approx(-0.05, abs=0.004)
        assert line.u_reference == pytest.approx(0.01 / np.sqrt(3))
        assert 0.005 < line.u_gain / line.gain < 0.02
        for level in found:
            assert isinstance(level, Level)
            assert abs(line.true_w(level.sensor_w) - level.reference_w) < 0.01 * level.reference_w
