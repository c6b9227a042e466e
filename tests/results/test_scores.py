from __future__ import annotations

import msgspec
import pytest
from records import energy, measured, record

from perwatt.results.record import Record, Work
from perwatt.results.reports.layout import groups, notes
from perwatt.results.scores import TAF_SHAPES, scores


def product(shape: tuple[int, int, int], rate: float, watts: float | None = 500.0, **params: object) -> Record:
    """A product of ``shape`` at ``rate`` FLOP/s and ``watts``, in two windows of a second."""
    m, n, k = shape
    flops = 2 * m * n * k
    launches = 100
    seconds = flops / rate
    energies = () if watts is None else (energy(joules=watts * launches * seconds),)
    outcome = measured(*energies, median=seconds, work=Work(flops, 1, "flops"))
    windows = tuple(msgspec.structs.replace(w, window_s=15.0, iterations=launches) for w in outcome.repetitions)
    base = {"m": m, "n": n, "k": k, "batch": 1, "dtype": "bf16", "backend": "torch"}
    label = f"bf16 {m}x{n}x{k}"
    return record(label, msgspec.structs.replace(outcome, repetitions=windows), label=label, params=base | params)


def ten(fast: float = 800e12, slow: float = 20e12) -> list[Record]:
    return [product(s, slow if s[0] == 32 else fast) for s in TAF_SHAPES]


def test_the_ten_shapes_are_five_layers_at_two_row_counts() -> None:
    assert len(set(TAF_SHAPES)) == 10
    assert {m for m, _, _ in TAF_SHAPES} == {32, 32768}
    assert (32768, 7168, 256) in TAF_SHAPES


def test_taf_is_all_work_over_all_time_and_over_all_energy() -> None:
    (score,) = scores(ten())
    work = {s: 2 * s[0] * s[1] * s[2] for s in TAF_SHAPES}
    time = {s: work[s] / (20e12 if s[0] == 32 else 800e12) for s in TAF_SHAPES}
    assert score.name == "TAF"
    assert score.value == pytest.approx(sum(work.values()) / sum(time.values()))
    assert score.value < 800e12 * 0.98  # the weak shapes cost what they cost
    assert score.per_joule == pytest.approx(sum(work.values()) / (500.0 * sum(time.values())))
    assert score.seconds == 30.0
    (note,) = [n.text for n in notes(groups(ten())) if n.text.startswith("TAF")]
    assert note.startswith("TAF of matmul bf16 torch: 7")
    assert "indicative" not in note


def test_a_taf_without_all_ten_shapes_is_none_and_names_them() -> None:
    (score,) = scores(ten()[1:])
    assert score.value is None
    assert score.per_joule is None
    assert score.missing == (TAF_SHAPES[0],)
    (note,) = [n.text for n in notes(groups(ten()[1:])) if n.text.startswith("TAF")]
    assert "none, 1 of the 10 fixed shapes were not measured (32x2112x7168)" in note
    assert scores(ten()[:4]) == []


def test_one_shape_without_a_meter_leaves_no_figure_per_joule() -> None:
    records = [*ten()[:9], product(TAF_SHAPES[9], 800e12, watts=None)]
    (score,) = scores(records)
    assert score.value is not None
    assert score.per_joule is None


def test_what_differs_in_backend_dtype_or_values_is_another_score() -> None:
    records = ten() + [product(s, 400e12, backend="triton") for s in TAF_SHAPES]
    assert sorted(s.value or 0 for s in scores(records))[0] == pytest.approx(400e12)
    assert {s.what for s in scores(records)} == {"bf16 torch", "bf16 triton"}
    mixed = ten()[:5] + [product(s, 400e12, init="zeros") for s in TAF_SHAPES[5:]]
    assert all(s.value is None for s in scores(mixed))


def test_maf_is_the_best_of_many_shapes() -> None:
    searched = [product((2048 * i, 4096, 4096), 1e12 * (10 - abs(i - 5))) for i in range(1, 10)]
    (score,) = scores(searched)
    assert (score.name, score.value, score.shapes) == ("MAF", 10e12, 9)
    assert score.best == "bf16 10240x4096x4096"
    assert score.per_joule == pytest.approx(10e12 / 500)
    assert scores(searched[:5]) == []


def test_a_shape_that_was_measured_again_counts_once() -> None:
    again = product(TAF_SHAPES[0], 40e12)
    (score,) = scores([*ten(), again])
    assert len(score.members) == 10
    assert again in score.members
