"""What characterising finds of simulated sensors whose truth is known, on a load that drives them."""

from __future__ import annotations

import dataclasses
import math
import time

import pytest
from known_meter import Known

from perwatt.benchmarks.characterise import Characteriser, Durations
from perwatt.benchmarks.meters.meter import Capabilities, Part, Reading
from perwatt.benchmarks.sampler import open_meters

ON_W, OFF_W = 400.0, 100.0


class Switched:
    """A load whose true power is known at every moment."""

    def __init__(self) -> None:
        self.edges: list[tuple[int, float]] = [(0, OFF_W)]

    def on(self, share: float = 1.0) -> None:
        self.edges.append((time.monotonic_ns(), OFF_W + share * (ON_W - OFF_W)))

    def off(self) -> None:
        self.edges.append((time.monotonic_ns(), OFF_W))

    def close(self) -> None:
        self.off()

    def joules(self, at_ns: float) -> float:
        total = 0.0
        ends = [t for t, _ in self.edges[1:]] + [math.inf]
        begin = self.edges[max(0, len(self.edges) - 2000)][0]
        for (start, watts), end in zip(self.edges, ends, strict=True):
            if at_ns > start and end > begin:
                total += watts * (min(end, at_ns) - start) * 1e-9
        return total


class Sensor(Known):
    """Sees the load's power over the last ``window_s`` of every ``period``, ``late_s`` ago, and shows it until the
    next."""

    def __init__(
        self, load: Switched, period_s: float, window_s: float, gain: float = 1.0, noise: float = 0.2, late_s: float = 0
    ) -> None:
        super().__init__("power", lambda _: 0.0)
        self.load, self.period, self.window, self.gain, self.noise = load, period_s, window_s, gain, noise
        self.late = late_s
        self._seen = (-1, 0.0)

    def open(self, part: Part) -> Capabilities:
        return dataclasses.replace(
            super().open(part),
            period_s=self.period,
            packages=("GPU-sim",),
            boundary="gpu",
            remote=self.late > 0,
            poll_s=self.period if self.late else 0.01,
        )

    def read(self) -> Reading:
        now = time.monotonic_ns()
        tick = int(now * 1e-9 / self.period)
        if tick != self._seen[0]:
            at = (tick * self.period - self.late) * 1e9
            watts = (self.load.joules(at) - self.load.joules(at - self.window * 1e9)) / self.window
            self._seen = (tick, self.gain * watts + self.noise * math.sin(tick))
        return Reading(now, 0, self._seen[1])


class Counter(Sensor):
    """Counts all of the load's energy, renewed once a period."""

    def open(self, part: Part) -> Capabilities:
        return dataclasses.replace(super().open(part), kind="energy")

    def read(self) -> Reading:
        now = time.monotonic_ns()
        at = int(now * 1e-9 / self.period) * self.period * 1e9
        return Reading(now, 0, self.gain * self.load.joules(at))


@pytest.mark.slow
@pytest.mark.alone
def test_a_sensor_is_found_out() -> None:
    """A part-time sensor: 15 ms of every 60 ms, 5 % low, a counter that sees all; a wattmeter to calibrate them by."""
    load = Switched()
    meters = {
        "sensor": Sensor(load, 0.06, 0.015, gain=0.95),
        "counter": Counter(load, 0.06, 0.06, gain=0.97),
        "wall": Sensor(load, 0.05, 0.05, noise=0.01),
    }
    channels, _ = open_meters(meters, Part("cuda"), host=True)  # type: ignore[arg-type]
    wall = channels[2]
    work = Characteriser(channels, load, Durations(steady_s=1.5, step_s=1.0, steps=2, wave_s=3.5))
    told = work.run()
    found = told["sensor"]
    assert found.u["period_s"] < 0.001
    assert abs(found.period_s - 0.06) < 3 * found.u["period_s"] + 1e-4  # type: ignore[operator]
    # on a steady load and over whole steps the two differ by their gains, in step with the sensor by anything
    assert set(found.counter_vs_poll) == {"steady", "steps", *(f"wave of {ms} ms" for ms in (59, 61, 60, 30, 90))}
    assert found.counter_vs_poll["steady"] == pytest.approx(0.97 / 0.95 - 1, abs=0.01)
    assert found.counter_vs_poll["steps"] == pytest.approx(0.97 / 0.95 - 1, abs=0.02)
    assert max(abs(v) for v in found.counter_vs_poll.values()) > 0.05
    assert found.period_s == pytest.approx(0.06, rel=0.05)
    assert found.step is not None
    assert found.step.averaging_s == 0
    assert found.step.swing_w == pytest.approx(0.95 * 300, rel=0.03)
    assert found.attention == pytest.approx(0.25, abs=0.12)
    lines = work.against(wall, told)
    assert set(lines) == {"sensor", "counter"}
    for name, gain in (("sensor", 0.95), ("counter", 0.97)):
        assert lines[name].gain == pytest.approx(1 / gain, rel=0.01)
        assert lines[name].u_gain < 0.01


@pytest.mark.slow
@pytest.mark.alone
def test_a_wave_that_a_pause_spoiled_is_tried_again() -> None:
    """Nothing is read for a second and a half of the first wave, as where a machine is halted."""

    class Halting(Switched):
        def on(self, share: float = 1.0) -> None:
            super().on(share)
            if len(self.edges) == 20:
                time.sleep(1.5)

    meters = {"sensor": Sensor(load := Halting(), 0.06, 0.06), "counter": Counter(load, 0.06, 0.06)}
    channels, _ = open_meters(meters, Part("cuda"), host=True)  # type: ignore[arg-type]
    said: list[str] = []
    durations = Durations(steady_s=1.5, step_s=0.5, steps=1, wave_s=1.0)
    told = Characteriser(channels, load, durations, said.append).run()["sensor"]
    waves = [line for line in said if line.startswith("wave")]
    assert len(waves) == len(set(waves)) + 1
    assert waves[0] == waves[1]
    assert set(told.counter_vs_poll) == {"steady", "steps", *(f"wave of {ms} ms" for ms in (59, 61, 60, 30, 90))}


@pytest.mark.slow
@pytest.mark.alone
def test_how_late_a_remote_meter_is() -> None:
    load = Switched()
    meters = {"bmc": Sensor(load, 0.5, 0.5, late_s=1.7), "flat": Known("power", lambda _: 640.0)}
    channels, _ = open_meters(meters, Part("cpu"), host=True)  # type: ignore[arg-type]
    channels[1].capabilities = dataclasses.replace(channels[1].capabilities, remote=True)
    said: list[str] = []
    work = Characteriser(channels, load, Durations(pulse_s=3.0), said.append)
    found = work.run()
    # half a window and on average half a renewal later than what it sees
    assert found["bmc"].lag_s == pytest.approx(1.7 + 0.25 + 0.25, abs=0.3)
    assert 0.05 < found["bmc"].u["delay_s"] < 0.3
    assert found["flat"].lag_s is None
    assert any(line.startswith("flat: how late it is could not be told") for line in said)
