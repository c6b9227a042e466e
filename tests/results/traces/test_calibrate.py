"""Gain and offset of a sensor against a reference, where the truth is known."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from perwatt.results.traces.calibrate import Level, fit, levels, step_gain
from perwatt.results.traces.trace import Trace

S = 1_000_000_000
T0 = 1_780_000_000 * S
STEPS_W = (100.0, 250.0, 400.0, 550.0, 700.0, 100.0)


def trace(name: str, t_s: np.ndarray, power_w: np.ndarray) -> Trace:
    return Trace(name, T0 + np.round(t_s * 1e9).astype(np.int64), power_w, "gpu", "A", 0.005, name)


def pair(gain: float, offset_w: float, noise_w: float = 1.0, seed: int = 0) -> tuple[Trace, Trace, list[int]]:
    """A sensor that is a 1 s trailing average, P_true = gain * P_sensor + offset, and the reference; 20 s a level."""
    rng = np.random.default_rng(seed)
    t_s = np.arange(0.0, 120.0, 0.01)
    true_w = np.repeat(STEPS_W, 2000)
    smooth = np.convolve(np.concatenate([np.full(99, true_w[0]), true_w]), np.ones(100) / 100, "valid")
    sensor_w = (smooth - offset_w) / gain + rng.normal(0, noise_w, len(t_s))
    reference_w = true_w + rng.normal(0, noise_w, len(t_s))
    edges = [T0 + 20 * i * S for i in range(1, 6)]
    return trace("sensor", t_s[::10], sensor_w[::10]), trace("reference", t_s, reference_w), edges


def test_gain_and_offset_come_back() -> None:
    sensor, reference, edges = pair(1.055, 8.0)
    found = levels(sensor, reference, edges, settle_s=2.0, averaging_s=1.0)
    assert len(found) == 6
    line = fit(found, accuracy=0.005, reference="WT333E 5 A")
    assert line.gain == pytest.approx(1.055, abs=0.001)
    assert line.offset_w == pytest.approx(8.0, abs=0.5)
    assert line.true_w(400.0) == pytest.approx(430.0, abs=0.5)
    assert line.worst_w < 1.0
    # nothing but the reference's own gain is left
    assert line.u_relative(600.0) == pytest.approx(0.005 / np.sqrt(3), rel=0.1)
    assert (line.low_w, line.high_w) == (pytest.approx(92 / 1.055, abs=1), pytest.approx(692 / 1.055, abs=1))
    assert json.loads(json.dumps(asdict(line)))["reference"] == "WT333E 5 A"


def test_the_stated_uncertainty_covers_the_truth() -> None:
    """Levels of much noise, 200 times: the truth lies within k = 2 about as often as it should."""
    rng = np.random.default_rng(5)
    x = np.array([100.0, 250.0, 400.0, 550.0, 700.0])
    inside = 0
    for _ in range(200):
        y = 1.05 * x + 5.0 + rng.normal(0, 4.0, 5)
        line = fit([Level(float(a), float(b), 0.0, 4.0) for a, b in zip(x, y, strict=True)])
        inside += abs(line.gain - 1.05) < 2 * line.u_gain
    assert 185 <= inside <= 200


def test_levels_off_the_line_widen_the_uncertainty() -> None:
    straight = [Level(w, 1.05 * w, 0.1, 0.1) for w in STEPS_W[:5]]
    bent = [Level(w, 1.05 * w + (15.0 if i == 2 else 0.0), 0.1, 0.1) for i, w in enumerate(STEPS_W[:5])]
    assert fit(bent).u_gain > 10 * fit(straight).u_gain
    assert fit(bent).worst_w > 10


def test_the_gain_over_a_whole_step_does_not_see_the_delay() -> None:
    sensor, reference, _ = pair(1.05, 0.0)
    whole = step_gain(sensor, reference, T0 + 10 * S, T0 + 118 * S)
    assert whole == pytest.approx(1 / 1.05 - 1, abs=1e-3)
    # ending just after the fall, before the average has followed, it does
    assert abs(step_gain(sensor, reference, T0 + 98 * S, T0 + 100 * S + S // 2) - whole) > 0.01


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match="found 1 steady levels; allowed 2 or more"):
        fit([Level(100.0, 100.0, 1.0, 1.0)])
    with pytest.raises(ValueError, match="differ by 10 % or more"):
        fit([Level(100.0, 100.0, 1.0, 1.0), Level(101.0, 101.0, 1.0, 1.0)])
    sensor, reference, _ = pair(1.0, 0.0)
    with pytest.raises(ValueError, match="found the step uncovered"):
        step_gain(sensor, reference, T0 + 100 * S, T0 + 200 * S)


def test_parts_that_are_too_short_to_settle_are_passed_over() -> None:
    sensor, reference, edges = pair(1.0, 0.0)
    close = sorted([*edges, edges[0] + S])
    assert len(levels(sensor, reference, close, settle_s=2.0)) == 6
