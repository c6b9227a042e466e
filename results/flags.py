"""Which cautions of a record take the weight of its figures: its windows are not what they are said to be."""

from __future__ import annotations

from perwatt.results.recheck import WRONG_OUTPUT

# Flags of a record whose times, or whose energies, are not those of the window that they are said to be of, or whose
# work is none: its output was wrong.
TIME_INVALID = {
    "interrupted", "clock_mismatch", "time_limit", "not_settled", "other_process", "launch_bound", WRONG_OUTPUT
}  # fmt: skip
ENERGY_INVALID = {
    "aliasing_risk", "counter_reset", "counter_vs_poll", "few_readings", "frozen", "gappy", "lost", "meter_lost",
    "meter_stalled", "modelled", "out_of_range", "scopes_disagree", "short_window", "stale", "uncovered",
}  # fmt: skip
ALL_INVALID = TIME_INVALID | ENERGY_INVALID
