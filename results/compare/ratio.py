"""One figure of a run over the same figure of the reference, with its interval and what may be said of it.

BETTER and WORSE are said where the whole 95 % interval lies beyond the least effect that matters; SAME where it lies
within; everything else is AMBIGUOUS, as is what has no interval. So a claim of an effect is wrong in at most one case
of forty, and in far fewer where nothing changed at all. Read the other way round, each verdict is its own mirror.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from perwatt.results.compare.draws import interval
from perwatt.results.compare.sample import Estimate
from perwatt.results.stats import CONFIDENCE

Verdict = Literal["BETTER", "WORSE", "SAME", "AMBIGUOUS", ""]
VERDICTS: tuple[Verdict, ...] = ("WORSE", "AMBIGUOUS", "SAME", "BETTER")  # what speaks first for many


class Ratio(msgspec.Struct, frozen=True):
    """``value`` is the run's figure over the reference's, which are ``run_value`` and ``reference_value`` in SI units;
    ``low`` and ``high`` bound it at 95 %, None where ``reason`` says why. ``verdict`` is empty for power alone, of
    which neither more nor less is better."""

    quantity: str
    value: float
    low: float | None
    high: float | None
    verdict: Verdict
    run_value: float
    reference_value: float
    reason: str = ""

    @property
    def half(self) -> float | None:
        """Half the width of the interval, relative to the ratio."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2 / self.value


def ratio(quantity: str, direction: int, run: Estimate, reference: Estimate, effect: float, doubts: str = "") -> Ratio:
    """``run`` over ``reference``. ``direction``: 1 if more is better, -1 if less is, 0 if neither; ``effect``: the
    least relative effect that matters; ``doubts``: why no verdict but AMBIGUOUS can be given, empty if one can."""
    value = run.value / reference.value
    reason = run.reason or reference.reason
    low = high = None
    if run.log_draws is not None and reference.log_draws is not None:
        below, above = interval(run.log_draws - reference.log_draws, CONFIDENCE)
        low, high = value * below, value * above
    verdict = verdict_of(low, high, direction, effect) if direction else ""
    if doubts and verdict:
        verdict = "AMBIGUOUS"
    told = "; ".join(filter(None, (reason, doubts)))
    return Ratio(quantity, value, low, high, verdict, run.value, reference.value, told)


def verdict_of(low: float | None, high: float | None, direction: int, effect: float) -> Verdict:
    """What an interval of a ratio says, where more (``direction`` 1) or less (-1) is better."""
    if low is None or high is None:
        return "AMBIGUOUS"
    margin = math.log1p(effect)
    least, most = math.log(low), math.log(high)
    if -margin < least and most < margin:
        return "SAME"
    if least >= margin:
        return "BETTER" if direction > 0 else "WORSE"
    if most <= -margin:
        return "WORSE" if direction > 0 else "BETTER"
    return "AMBIGUOUS"


def worst(verdicts: Sequence[str]) -> Verdict:
    """Of many verdicts the one that speaks: WORSE, then AMBIGUOUS, SAME, BETTER; empty for none."""
    return next((v for v in VERDICTS if v in verdicts), "")
