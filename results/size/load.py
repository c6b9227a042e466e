"""What one unit draws at its AC input while it works: power by averaging window and quantile, with its evidence.

``statistics`` maps (window in s, quantile) to W: the quantile of the means over every window of that length. Windows
shorter than the trace's own period cannot be known and are absent. From one run or trace, or several of one kind.
"""

from __future__ import annotations

import msgspec

from perwatt.results.size.parameter import Kind

WINDOWS_S = (0.1, 1.0, 5.0, 10.0, 60.0, 900.0)
QUANTILES = (0.5, 0.95, 0.99, 0.999, 1.0)


class Load(msgspec.Struct, frozen=True):
    """``uncertainty``: relative standard uncertainty common to all its figures (the meter's gain, the lift from GPUs to
    the node). ``bands``: 5 and 95 % bounds of a statistic by bootstrap over runs, where there are several.
    ``correlation`` of two units in one job, None if not measured.
    ``cdf``: power at 0, 1, ..., 100 % of the time, for sums of independent units. ``work_per_s`` and ``work_unit``: the
    rate that went with it (FLOP or token per s), None if the source counts no work. ``evidence`` names the record, file
    or default behind every figure. ``cap_w``: enforced power cap of the unit, proven by ``cap_proof``.
    ``lifted_from_w``: mean DC power in W of the GPUs that all else was modelled round, None if a unit was metered."""

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
    notes: tuple[str, ...] = ()
    lifted_from_w: float | None = None

    @property
    def observed(self) -> bool:
        """Whether power was recorded at all; else the figures are a system's published ratios."""
        return self.seconds > 0

    def at(self, window_s: float, quantile: float) -> float | None:
        """The statistic in W, of the shortest known window that is at least ``window_s``; None if there is none."""
        known = sorted(w for w, q in self.statistics if q == quantile and w >= window_s * (1 - 1e-9))
        return self.statistics[known[0], quantile] if known else None
