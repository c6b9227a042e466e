"""What one unit draws at its AC input while it works: power by averaging window and quantile, with its evidence.

``statistics`` maps (window in s, quantile) to W: the quantile of the means over every window of that length. Windows
shorter than the trace's own period cannot be known and are absent. From one run or trace, or several of one kind.
"""

from __future__ import annotations

import msgspec

from perwatt.results.size.parameter import Kind

WINDOWS_S = (0.1, 1.0, 5.0, 10.0, 60.0, 900.0)
QUANTILES = (0.5, 0.95, 0.99, 0.999, 1.0)
NEAR = 0.1  # by which a window may differ from the one that was wanted and still stand for it
MOST_UNCERTAINTY = 1 / 6**0.5  # the standard deviation of a triangle about 1 that reaches down to 0: no power at all


class Load(msgspec.Struct, frozen=True):
    """``uncertainty``: relative standard uncertainty common to all its figures (the meter's gain, the lift from GPUs to
    the node). ``bands``: 5 and 95 % bounds of a statistic by bootstrap over runs, where there are several.
    ``correlation`` of two units in one job, None if not measured.
    ``cdf``: power at 0, 1, ..., 100 % of the time, for sums of independent units. ``work_per_s`` and ``work_unit``: the
    rate that went with it (FLOP or token per s), None if the source counts no work. ``evidence`` names the record, file
    or default behind every figure. ``cap_w``: enforced power cap of the unit, proven by ``cap_proof``.
    ``device_cap_w``, ``device_cap_proof``: the same of each of its GPUs alone. ``work_kind``: that of the work, where
    it is not the load's own.
    ``gpu``: what one GPU of the unit was metered at, where all else was modelled round it; None if a unit was metered.
    Raises ValueError for an ``uncertainty`` that would let power fall to 0 and below."""

    name: str
    kind: Kind
    evidence: str
    boundary: str
    period_s: float
    seconds: float
    mean_w: float
    statistics: dict[tuple[float, float], float]
    cdf: tuple[float, ...]
    uncertainty: float = 0.0
    bands: dict[tuple[float, float], tuple[float, float]] = {}
    correlation: float | None = None
    work_per_s: float | None = None
    work_unit: str = ""
    cap_w: float | None = None
    cap_proof: str = ""
    device_cap_w: float | None = None
    device_cap_proof: str = ""
    work_kind: Kind | None = None
    notes: tuple[str, ...] = ()
    gpu: Load | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.uncertainty < MOST_UNCERTAINTY:
            raise ValueError(
                f"{self.name}: uncertainty: found {self.uncertainty:.3g}; allowed 0 to {MOST_UNCERTAINTY:.3g} "
                f"(accuracy 0 to {3**0.5 * MOST_UNCERTAINTY:.3g}), beyond which power would be drawn below 0"
            )

    @property
    def observed(self) -> bool:
        """Whether power was recorded at all; else the figures are a system's published ratios."""
        return self.seconds > 0

    def at(self, window_s: float, quantile: float) -> float | None:
        """The statistic in W, of the shortest known window that is at least ``window_s``; None if there is none."""
        known = self.window(window_s, quantile)
        return None if known is None or known < window_s * (1 - 1e-9) else self.statistics[known, quantile]

    def window(self, window_s: float, quantile: float) -> float | None:
        """The shortest known window in s of at least ``window_s``, else the longest there is, over which power can only
        be higher; None if the quantile is known over none."""
        known = sorted(w for w, q in self.statistics if q == quantile)
        return next((w for w in known if w >= window_s * (1 - 1e-9)), known[-1] if known else None)

    def hides(self, window_s: float, quantile: float) -> bool:
        """Whether means over ``window_s`` are not observable: every known window is longer."""
        known = self.window(window_s, quantile)
        return known is not None and known > window_s * (1 + NEAR)

    def over(self, window_s: float, quantile: float, *, designed: bool = False) -> str:
        """In words, which means stand for those over ``window_s``, also where something is ``designed`` on them."""
        known = self.window(window_s, quantile)
        if known is None:
            return "the mean of the whole"
        if self.hides(window_s, quantile):
            raised = ", raised by the sampling rule" if designed else ""
            return f"means over {known:g} s{raised} ({window_s:g} s: not observable)"
        return f"means over {known:g} s" + (", the longest seen" if known < window_s * (1 - NEAR) else "")
