"""In which frequencies power swings: the power spectral density of readings, by Welch's method, as far as it is seen.

Grids and generators have bands that must not be excited (torsion of shafts, modes between areas, flicker), roughly 0.1
to 20 Hz (Choukse et al., arXiv 2508.14318). Readings ``fs`` times a second show frequencies up to ``fs / 2`` (Nyquist);
what lies above is not observable, and it is folded down into what is seen where the meter does not average. No figure
is given for it. Welch (1967): the mean of the periodograms of half overlapping segments, each without its mean and
under a Hann window; one-sided, so that its integral over frequency is the variance. Readings of uneven spacing are read
off linearly at even ones, which damps the highest frequencies. Segments never reach across a gap.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from perwatt.results.size.parameter import Floats
from perwatt.results.size.windows import Cells, cells

LOW_HZ, HIGH_HZ = 0.1, 20.0
CYCLES = 10.0  # of the lowest frequency that a segment holds, or it cannot be told from the next
LEAST = 16  # readings that a segment has
BATCH = 1 << 20  # readings that are transformed at a time


class Spectrum(NamedTuple):
    """Density in W^2/Hz at ``frequency_hz``, shape (f,), inside the asked band as far as it is observable.

    ``observable_hz``: that part of the band, None where it has none; ``peak_hz``: where the density is highest;
    ``rms_w``: of the swings inside it; ``segments`` averaged. ``reason`` says what is not observable, and why.
    """

    frequency_hz: Floats
    density_w2_hz: Floats
    observable_hz: tuple[float, float] | None
    peak_hz: float | None
    rms_w: float | None
    segments: int
    reason: str = ""


def spectrum(
    t_s: Floats, power_w: Floats, low_hz: float = LOW_HZ, high_hz: float = HIGH_HZ, made: Cells | None = None
) -> Spectrum:
    """Of readings in W at ``t_s`` in s (growing), shape (n,), between ``low_hz`` and ``high_hz``.

    ``made``: their cells, where known. Raises ValueError as :func:`perwatt.results.size.windows.cells` does, and for a
    band that is none.
    """
    if not 0 < low_hz < high_hz < math.inf:
        raise ValueError(f"band: found {low_hz} to {high_hz} Hz; allowed a lower and a higher frequency above 0 Hz")
    whole = made or cells(t_s, power_w)
    period_s = whole.period_s
    top_hz = min(high_hz, 0.5 / period_s)
    if top_hz <= low_hz:
        return _none(
            f"{low_hz:g} to {high_hz:g} Hz not observable: one reading every {period_s:g} s shows up to {top_hz:g} Hz"
        )
    longest_s = float(np.max(whole.ends_s - whole.starts_s))
    size = 1 << max(math.ceil(math.log2(CYCLES / low_hz / period_s)), 4)
    while size > LEAST and size * period_s > longest_s:
        size //= 2
    bottom_hz = max(low_hz, 1 / (size * period_s))
    if size * period_s > longest_s or bottom_hz >= top_hz:
        return _none(f"{low_hz:g} to {high_hz:g} Hz not observable: no {LEAST} readings without a gap between them")
    total, segments = _welch(t_s, power_w, whole, size)
    frequency_hz = np.asarray(np.fft.rfftfreq(size, period_s), dtype=np.float64)
    density = total / segments
    inside = (frequency_hz >= bottom_hz * (1 - 1e-9)) & (frequency_hz <= top_hz * (1 + 1e-9))
    lacking = []
    if bottom_hz > low_hz * (1 + 1e-9):
        lacking.append(f"below {bottom_hz:.3g} Hz (the longest stretch is {longest_s:.3g} s)")
    if top_hz < high_hz * (1 - 1e-9):
        lacking.append(f"above {top_hz:.3g} Hz (one reading every {period_s:g} s)")
    frequency_hz, density = frequency_hz[inside], density[inside]
    return Spectrum(
        frequency_hz,
        density,
        (bottom_hz, top_hz),
        float(frequency_hz[np.argmax(density)]),
        float(np.sqrt(np.sum(density) / (size * period_s))),
        segments,
        "not observable: " + " and ".join(lacking) if lacking else "",
    )


def _none(reason: str) -> Spectrum:
    return Spectrum(np.zeros(0), np.zeros(0), None, None, None, 0, reason)


def _welch(t_s: Floats, power_w: Floats, whole: Cells, size: int) -> tuple[Floats, int]:
    """The sum of the segments' periodograms in W^2/Hz, one-sided, and how many there are."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    scale = 2 * whole.period_s / float(np.sum(window**2))
    total, segments = np.zeros(size // 2 + 1), 0
    hop = size // 2
    many = max(BATCH // hop, 2)
    for start_s, end_s in zip(whole.starts_s, whole.ends_s, strict=True):
        # as many even moments as there are periods; the first reading lies half a period after the edge of its cell
        count = int((end_s - start_s) / whole.period_s + 1e-6)
        pieces = (count - size) // hop + 1 if count >= size else 0
        for i in range(0, pieces, many):
            rows = min(many, pieces - i)
            at = np.arange(i * hop, (i + rows - 1) * hop + size)
            even_s = t_s[0] + start_s + (at + 0.5) * whole.period_s
            first = max(int(np.searchsorted(t_s, even_s[0])) - 1, 0)
            last = int(np.searchsorted(t_s, even_s[-1])) + 1
            even_w = np.interp(even_s, t_s[first:last], power_w[first:last])
            blocks = np.lib.stride_tricks.sliding_window_view(even_w, size)[::hop]
            blocks = (blocks - blocks.mean(axis=1, keepdims=True)) * window
            total += np.sum(np.abs(np.fft.rfft(blocks, axis=1)) ** 2, axis=0) * scale
            segments += rows
    total[0] /= 2
    total[-1] /= 2
    return total, segments
