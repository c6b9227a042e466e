"""The scores of a run in words, for the notes below its tables."""

from __future__ import annotations

from collections.abc import Sequence

from perwatt.results.record import Record
from perwatt.results.reports.table import Note, device_name, several_devices
from perwatt.results.reports.units import quantity
from perwatt.results.scores import TAF_SECONDS, TAF_SHAPES, Score, scores


def score_notes(records: Sequence[Record]) -> list[Note]:
    """``TAF of bf16 torch: 612 TFLOP/s, 0.98 TFLOP/J, over the ten fixed shapes, at least 30 s each``."""
    several = several_devices(records)
    return [Note("", _words(score, records if several else ())) for score in scores(records)]


def _words(score: Score, several: Sequence[Record]) -> str:
    on = f" on device {device_name(score.members[0], several)}" if several else ""
    name = f"{score.name} of matmul {score.what}{on}"
    if score.value is None:
        absent = ", ".join("x".join(map(str, shape)) for shape in score.missing)
        return f"{name}: none, {len(score.missing)} of the {len(TAF_SHAPES)} fixed shapes were not measured ({absent})."
    rate = quantity(score.value, "FLOP/s", 4)
    if score.relative_u:
        rate += f" ± {196 * score.relative_u:.2g} %"
    energy = f", {quantity(score.per_joule, 'FLOP/J', 4)}" if score.per_joule else ""
    if score.name == "MAF":
        return f"{name}: {rate}{energy}, the best of {score.shapes} shapes, {score.best}."
    short = "" if score.seconds >= TAF_SECONDS else f", indicative: {score.seconds:.3g} s a shape in place of 30"
    return f"{name}: {rate}{energy}, over the {len(TAF_SHAPES)} fixed shapes{short}."
