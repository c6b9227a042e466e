"""Estimating a sensor's behaviour from what it said, on simulated sensors of known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sensors import Floats, Truth, gauge

from perwatt.results import calibration
from perwatt.results.calibration import Calibration, Characteristic
from perwatt.results.sensor import attention, period, phase, renewals, step_response
from perwatt.results.traces.table import read_table

S = 10**9
STEP_S = 3.0
RNG = np.random.default_rng(0)


def on(t: Floats) -> Floats:
    return np.where((t / STEP_S).astype(int) % 2 == 0, 100.0, 400.0)


def heard(
    truth: Truth, period_s: float, window_s: float, noise: float = 0.0, poll_s: float = 0.004
) -> tuple[Floats, Floats]:
    polls = np.arange(1.5, truth.t[-1], poll_s) + RNG.uniform(0, 1e-3, len(np.arange(1.5, truth.t[-1], poll_s)))
    readings = gauge(truth, polls, period_s, window_s, phase_s=0.0137)
    value = np.array([r.value for r in readings])
    seen = np.floor((polls - 0.0137) / period_s)
    value += noise * np.random.default_rng(1).normal(size=int(seen.max()) + 2)[seen.astype(int)]
    return np.array([r.mono_ns for r in readings]), value


@pytest.mark.parametrize(("period_s", "window_s"), [(0.1, 0.025), (0.1, 0.1), (0.02, 0.01), (0.104, 0.025), (0.1, 1.0)])
def test_period_delay_and_averaging(period_s: float, window_s: float) -> None:
    truth = Truth(on, 33)
    t, v = heard(truth, period_s, window_s, noise=0.3)
    found = period(t, v)
    assert found is not None
    assert found.value == pytest.approx(period_s, rel=1e-3)
    edges = [(round(k * STEP_S * S), k % 2 == 1) for k in range(1, 11)]
    step = step_response(t, v, edges, period_s)
    assert step is not None
    assert step.swing_w == pytest.approx(300, rel=0.02)
    if window_s > 2 * period_s:
        assert step.averaging_s == pytest.approx(window_s, rel=0.02)
        assert step.u_averaging_s < 0.02 * window_s
        assert step.rise_s == pytest.approx(0.8 * window_s, rel=0.2)
    else:
        assert step.averaging_s == 0
    assert step.delay_s < period_s / 2


def test_a_delay_is_found() -> None:
    truth = Truth(on, 33)
    t, v = heard(truth, 0.1, 0.025)
    edges = [(round(k * STEP_S * S), k % 2 == 1) for k in range(1, 11)]
    step = step_response(t + S // 2, v, edges, 0.1)
    assert step is not None
    assert step.delay_s == pytest.approx(0.5, abs=2 * step.u_delay_s)


@pytest.mark.parametrize("missed", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("step_w", [0.0, 1.0])
@pytest.mark.parametrize("period_s", [0.05, 0.0531, 0.1, 0.104])
def test_the_period_in_spite_of_missed_polls_and_whole_watts(period_s: float, step_w: float, missed: float) -> None:
    """Readings in whole watts hide more than a third of the renewals; the median time between changes is then wrong."""
    truth = Truth(lambda t: np.full_like(t, 400.2), 22)
    t, v = heard(truth, period_s, period_s, noise=0.5)
    keep = np.random.default_rng(2).random(len(t)) >= missed
    t, v = t[keep], np.round(v[keep] / step_w) * step_w if step_w else v[keep]
    found = period(t, v)
    assert found is not None
    assert found.value == pytest.approx(period_s, abs=max(4 * found.u, 1e-9))
    assert found.u < 1e-3 * period_s
    when = phase(t, v, period_s)
    assert when is not None
    assert abs((when.value - 0.0137 + period_s / 2) % period_s - period_s / 2) < 4 * when.u
    assert when.u < period_s / 10


def test_a_sensor_that_is_faster_than_the_polls_has_no_period() -> None:
    t, v = heard(Truth(lambda t: 400 + t, 12), 0.001, 0.001, noise=0.3)
    assert period(t, v) is None


@pytest.mark.parametrize("window_s", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("missed", [0.0, 0.4])
def test_averaging_and_delay_lie_within_their_uncertainties(window_s: float, missed: float) -> None:
    t, v = heard(Truth(on, 33), 0.1, window_s, noise=3.0)
    keep = np.random.default_rng(3).random(len(t)) >= missed
    edges = [(round(k * STEP_S * S), k % 2 == 1) for k in range(1, 11)]
    step = step_response((t + S // 5)[keep], v[keep], edges, 0.1)
    assert step is not None
    assert step.averaging_s == pytest.approx(window_s, abs=4 * step.u_averaging_s)
    assert step.delay_s == pytest.approx(0.2, abs=4 * step.u_delay_s)
    assert step.u_averaging_s < 0.05 * window_s


def test_a_level_that_is_never_reached_is_no_step() -> None:
    """A mean of 1.5 s on steps of 50 ms: there are no levels to go between."""
    t, v = heard(Truth(on, 33), 0.1, 1.5)
    assert step_response(t, v, [(round(k * 0.05 * S), k % 2 == 1) for k in range(40, 60)], 0.1) is None


def test_the_sensors_of_a_real_rtx_3090(data: Path) -> None:
    """Polled every 7 ms with gaps of 50: renewed every 100 ms; ``power.draw`` is a mean of a second, and the instant
    reading one of its period."""
    folder = data / "power_traces/gpu_sensor_vs_shunt/rtx3090_step_6s"
    loads = sorted({int(line) * 1000 for line in (folder / "timestamps.csv").read_text().split()[1:]})
    found = {}
    for field in ("", ".instant"):
        said = read_table(
            folder / "gpudata.csv",
            boundary="gpu",
            accuracy_class="D",
            time="timestamp",
            power=f"power.draw{field} [W]",
            timezone="+01:00",
        )
        renewed = period(said.t_ns, said.power_w)
        assert renewed is not None
        assert renewed.value == pytest.approx(0.1, rel=2e-3)
        edges = [(int(said.t_ns[0]), False), (loads[0], True), (loads[1], False), (int(said.t_ns[-1]), True)]
        found[field] = step_response(said.t_ns, said.power_w, edges, renewed.value)
    mean, instant = found[""], found[".instant"]
    assert mean is not None
    assert instant is not None
    assert mean.averaging_s == pytest.approx(1.0, abs=0.15)
    assert mean.rise_s == pytest.approx(0.9, abs=0.15)
    assert instant.averaging_s == 0
    assert mean.delay_s < 0.1
    assert instant.delay_s < 0.1


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.6, 0.8, 1.0])
def test_attention(share: float) -> None:
    found = []
    for off in (0.98, 1.02):
        truth = Truth(lambda t, o=off: np.where((t / (0.1 * o)) % 1 < 0.5, 400.0, 100.0), 42, step_s=5e-5)
        t, v = heard(truth, 0.1, 0.1 * share, noise=0.5, poll_s=0.01)
        found.append(attention(renewals(t, v, 0.1), 300.0))
    assert np.mean(found) == pytest.approx(share, abs=0.06)


def test_what_cannot_be_told_is_none() -> None:
    t = np.arange(0, 1000) * 10**7
    assert period(t, np.ones(1000)) is None
    assert step_response(t, np.ones(1000), [(0, True), (S, False), (2 * S, True), (3 * S, False)], 0.1) is None
    assert step_response(t, np.ones(1000), [], 0.1) is None
    assert attention([1.0, 2.0], 300.0) is None
    assert attention(np.ones(100), 0.0) is None


def test_a_characteristic_is_kept_and_a_bad_file_is_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("PERWATT_METERS_DIR", str(tmp_path / "meters"))
    assert calibration.load("GPU-1", "nvml_energy") is None
    fitted = Calibration(1.05, 2.0, 0.006, "wt310", 0.01, 60, 350, "2026-01-01")
    kept = Characteristic("GPU-1", "nvml_energy", "2026-01-01", "0.1.0", "host", {}, 0.1, calibration=fitted)
    file = calibration.store(kept)
    assert calibration.load("GPU-1", "nvml_energy") == kept
    file.write_text(file.read_text().replace("1.05", "10.5"))
    with pytest.raises(ValueError, match=r"GPU-1.nvml_energy.json: calibration: gain 10.5"):
        calibration.load("GPU-1", "nvml_energy")
    file.write_text("{")
    with pytest.raises(ValueError, match="not a characteristic"):
        calibration.load("GPU-1", "nvml_energy")


def test_a_board_is_known_on_any_host_and_a_socket_on_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes of a cluster share their home folders, and each has a package-0."""
    monkeypatch.setenv("PERWATT_METERS_DIR", str(tmp_path))
    board, place = "GPU-7f3c1c5e-0a4b-4a52-9d3c-2b8f6f1d2e3a", "0000:11:00"
    monkeypatch.setattr("socket.gethostname", lambda: "n1")
    for package in (board, place):
        calibration.store(Characteristic(package, "amd_power", "2026-01-01", "0.1.0", "n1", {}, 0.1))
        assert calibration.load(package, "amd_power") is not None
    monkeypatch.setattr("socket.gethostname", lambda: "n2")
    assert calibration.load(board, "amd_power") is not None
    assert calibration.load(place, "amd_power") is None
