from __future__ import annotations

import numpy as np
import pytest

from perwatt.results.size import spectrum as module
from perwatt.results.size.spectrum import spectrum


def tone(hz: float, rate_hz: float, seconds: float, amplitude_w: float = 100.0) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(0.0, seconds, 1 / rate_hz)
    return t, 1000 + amplitude_w * np.sin(2 * np.pi * hz * t)


def test_a_tone_is_found_with_its_power() -> None:
    found = spectrum(*tone(1.25, 100, 300))
    assert found.peak_hz == pytest.approx(1.25, abs=0.1)
    assert found.rms_w == pytest.approx(100 / np.sqrt(2), rel=0.01)
    assert found.observable_hz == (0.1, 20.0)
    assert found.reason == ""
    assert found.segments == 2


def test_the_density_of_white_noise_is_its_variance_over_the_band() -> None:
    p = 1000 + np.random.default_rng(0).normal(0, 50, 60_000)
    found = spectrum(np.arange(60_000) / 50, p)
    assert float(np.mean(found.density_w2_hz)) == pytest.approx(50**2 / 25, rel=0.03)


def test_a_meter_of_one_second_sees_up_to_half_a_hertz_and_says_so() -> None:
    found = spectrum(*tone(0.2, 1, 600))
    assert found.observable_hz == (0.1, 0.5)
    assert found.frequency_hz.max() <= 0.5
    assert found.peak_hz == pytest.approx(0.2, abs=0.01)
    assert found.reason == "not observable: above 0.5 Hz (one reading every 1 s)"


def test_a_meter_of_fifteen_seconds_sees_nothing_of_the_band() -> None:
    found = spectrum(np.arange(100) * 15.0, np.arange(100.0))
    assert (found.observable_hz, found.peak_hz, found.rms_w, len(found.frequency_hz)) == (None, None, None, 0)
    assert "one reading every 15 s shows up to 0.0333333 Hz" in found.reason


def test_a_short_trace_loses_the_low_end() -> None:
    found = spectrum(*tone(2.0, 100, 4))
    assert found.observable_hz is not None
    assert found.observable_hz[0] == pytest.approx(100 / 256)
    assert found.reason.startswith("not observable: below 0.391 Hz")


def test_segments_do_not_reach_across_a_gap() -> None:
    t, p = tone(1.25, 100, 300)
    keep = (t < 140) | (t > 160)
    found = spectrum(t[keep], np.where(t < 150, p, p + 5000)[keep])
    assert found.rms_w == pytest.approx(100 / np.sqrt(2), rel=0.01)  # the step of 5 kW lies in the gap


def test_too_few_readings() -> None:
    found = spectrum(np.arange(10) / 10, np.arange(10.0))
    assert found.observable_hz is None
    assert "no 16 readings" in found.reason


def test_in_batches_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    t, p = tone(1.25, 100, 300)
    whole = spectrum(t, p)
    monkeypatch.setattr(module, "BATCH", 3000)
    pieces = spectrum(t, p)
    assert pieces.segments == whole.segments
    assert np.allclose(pieces.density_w2_hz, whole.density_w2_hz)


def test_a_band_that_is_none() -> None:
    with pytest.raises(ValueError, match="band: found 2 to 1 Hz"):
        spectrum(*tone(1, 100, 10), 2, 1)
