"""How thoroughly a case is measured: warm-up, windows, and what is done for the sake of its energy."""

from __future__ import annotations

from dataclasses import dataclass, fields

LEAST_SEGMENTS = 8  # fewer phases leave a part-time sensor's error at several per cent


@dataclass(frozen=True)
class Profile:
    """How thoroughly to measure. ``indicative`` marks per-watt figures of windows too short for a meter's class.

    ``meter_error``: a window goes on until renewals and steps leave no counter a larger relative uncertainty than this
    (0: not asked); at most ten times its length, as for ``min_readings``.

    What follows applies where something is metered. ``guard_s``: the load runs at most so long before and after each
    window, that meters with a delay speak of the load alone. ``warmup_max_s`` and ``block_s``: the warm-up goes on
    until power, temperature and rate stand still over three blocks, or to the maximum (0: not looked at).
    ``segments``: a load whose period beats with the sensor's is measured in so many evenly phased parts (0: it is
    flagged only). ``idle_s`` of idle power after ``idle_settle_s`` of rest. ``sampler_cost_s``: how long to compare
    the rates with and without sampling.

    ``recheck``: after every so many windows a kernel has its output compared with its reference again (0: never), of a
    collective by all ranks in step, and is then kept working for as long before the next window, at most ``warmup_s``.
    A kernel that offers no comparison has the reason in the note of its record.
    """

    name: str
    warmup_s: float
    repetitions: int
    window_s: float
    min_readings: int
    indicative: bool
    meter_error: float = 0.0
    guard_s: float = 0.0
    warmup_max_s: float = 0.0
    block_s: float = 10.0
    segments: int = 0
    idle_s: float = 0.0
    idle_settle_s: float = 0.0
    sampler_cost_s: float = 0.0
    recheck: int = 0

    def __post_init__(self) -> None:
        for key in (f.name for f in fields(self) if f.name not in ("name", "indicative")):
            value = getattr(self, key)
            whole = key in ("repetitions", "min_readings", "segments", "recheck")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or value < 0:
                raise ValueError(f"profile.{key}: {value!r} is not a {'whole ' if whole else ''}number, 0 or more")
        if self.repetitions < 1 or self.window_s <= 0 or self.block_s <= 0:
            raise ValueError("profile: needs at least one repetition and a window_s and block_s above 0")
        if 0 < self.segments < LEAST_SEGMENTS:
            raise ValueError(f"profile.segments: {self.segments} is neither 0 nor {LEAST_SEGMENTS} or more")
