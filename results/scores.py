"""Two scores of matrix multiplication that vendors are compared by, from the records of a run.

* **MAF**, the maximum achievable FLOP/s: the best rate among all shapes that were searched. It flatters: one shape.
* **TAF**, the typical achievable FLOP/s: over ten shapes that were fixed before anybody tested, (N, K) of five layers
  with M of 32 and of 32768, each for 30 s: sum of the work over the sum of the times, sum F_i / sum (F_i / P_i). It is
  the harmonic mean weighted by FLOP, so a weak shape costs what it costs in service. Per joule it is the sum of the
  work over the sum of the energies.

Both are of one device, dtype and backend, with the same values; a TAF without all ten shapes is none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from perwatt.results.record import Record

LAYERS = ((2112, 7168), (3072, 1536), (7168, 2048), (4608, 7168), (7168, 256))
ROWS = (32, 32768)
TAF_SHAPES = tuple((m, n, k) for (n, k), m in itertools.product(LAYERS, ROWS))
TAF_SECONDS = 30.0
LEAST_SEARCHED = 8  # fewer shapes are no search for the best
_APART = ("dtype", "out_dtype", "backend", "fast_accum", "init", "seed", "batch")  # what makes another score


@dataclass(frozen=True)
class Score:
    """One score. ``value`` in FLOP/s, ``relative_u`` its relative standard uncertainty from the medians' intervals,
    ``per_joule`` in FLOP/J where every shape was metered at one boundary; ``what`` is dtype and backend.

    ``shapes`` were measured, ``missing`` are shapes of the ten that were not (then ``value`` is None), ``best`` is the
    label of the best shape, ``seconds`` the shortest time that any shape was measured for.
    """

    name: str
    host: str
    device: int
    what: str
    value: float | None
    relative_u: float | None
    per_joule: float | None
    shapes: int
    missing: tuple[tuple[int, int, int], ...]
    best: str
    seconds: float
    members: tuple[Record, ...]


def scores(records: Sequence[Record]) -> list[Score]:
    """Every TAF of which at least half of the shapes were measured, and every MAF over eight shapes or more."""
    apart: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        if record.case.kernel == "matmul" and record.flops_per_s and record.case.params.get("batch") == 1:
            key = [record.host, record.device.type, record.case.device_index, *record.case.held]
            apart.setdefault((*key, *(record.case.params.get(p) for p in _APART)), []).append(record)
    found = []
    for members in apart.values():
        by_shape = {_shape(r): r for r in members}  # measured again: the last counts
        fixed = [by_shape[s] for s in TAF_SHAPES if s in by_shape]
        if 2 * len(fixed) >= len(TAF_SHAPES):
            found.append(_taf(fixed))
        if len(by_shape) >= LEAST_SEARCHED and len(by_shape) > len(fixed):
            found.append(_maf(list(by_shape.values())))
    return found


def _shape(record: Record) -> tuple[int, int, int]:
    m, n, k = (record.case.params.get(d) for d in "mnk")
    return (m, n, k)  # type: ignore[return-value]


def _taf(members: list[Record]) -> Score:
    missing = tuple(s for s in TAF_SHAPES if s not in {_shape(r) for r in members})
    work = [r.amount for r in members]
    times = [r.amount / (r.rate or math.inf) for r in members]
    joules = [r.amount / r.work_per_joule if r.work_per_joule else None for r in members]
    same = len({e.boundary for r in members for _, e in r.energies}) == 1
    metered = [j for j in joules if j is not None] if same and None not in joules else []
    u = math.hypot(*(t * _relative_u(r) for t, r in zip(times, members, strict=True))) / sum(times)
    return _score(
        "TAF",
        members,
        value=None if missing else sum(work) / sum(times),
        relative_u=u,
        per_joule=sum(work) / sum(metered) if metered and not missing else None,
        missing=missing,
    )


def _maf(members: list[Record]) -> Score:
    best = max(members, key=lambda r: r.rate or 0.0)
    return _score("MAF", members, value=best.rate, relative_u=_relative_u(best), per_joule=best.work_per_joule)


def _score(
    name: str,
    members: list[Record],
    *,
    value: float | None,
    relative_u: float,
    per_joule: float | None,
    missing: tuple[tuple[int, int, int], ...] = (),
) -> Score:
    first = members[0]
    backend = str(first.case.params.get("backend", "torch"))
    init = str(first.case.params.get("init", "normal"))
    words = [str(first.case.params.get("dtype")), backend, *([init] if init != "normal" else [])]
    return Score(
        name=name,
        host=first.host,
        device=first.case.device_index,
        what=" ".join(words),
        value=value,
        relative_u=relative_u or None,
        per_joule=per_joule,
        shapes=len(members),
        missing=missing,
        best=max(members, key=lambda r: r.rate or 0.0).case.label,
        seconds=min(sum(p.window_s for p in m.repetitions) for r in members if (m := r.measured) is not None),
        members=tuple(members),
    )


def _relative_u(record: Record) -> float:
    """Standard uncertainty of the median time, from its 95 % interval, relative to it."""
    m = record.measured
    assert m is not None
    return (m.seconds.ci_high - m.seconds.ci_low) / (2 * 1.96) / m.seconds.median
