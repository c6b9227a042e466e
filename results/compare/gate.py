"""What a comparison is worth to a CI: 1 for anything WORSE, 4 for what is not decided, else 0.

Absence is no pass: a case of the baseline that the run did not measure, or did not meter, is not decided.
"""

from __future__ import annotations

from perwatt.results.compare.comparison import Comparison
from perwatt.results.compare.ratio import worst

GATED = ("rate", "rate_per_watt")


def gate(found: Comparison) -> tuple[int, str]:
    """The exit code, and why in one line."""
    verdicts = [p.ratios[name].verdict for p in found.pairs for name in GATED if name in p.ratios]
    reference = found.reference.name
    lost = [r for r in found.refused if r.run == reference or r.what != "case"]
    told = worst(verdicts)
    if told == "WORSE":
        return 1, f"{verdicts.count('WORSE')} of {len(verdicts)} figures are WORSE"
    if lost:
        return 4, f"{len(lost)} cases of the baseline were not compared in full: {lost[0].label}: {lost[0].why}"
    if told == "AMBIGUOUS":
        return 4, f"{verdicts.count('AMBIGUOUS')} of {len(verdicts)} figures are AMBIGUOUS"
    return 0, f"none of {len(verdicts)} figures is WORSE"
