"""Which experts a token is sent to: seeded, the same on every rank, and known without torch.

Each token draws ``top_k`` different experts. With ``skew`` 0 all are alike, as a router that balances its load makes
them; the counts then scatter only by chance. With skew s the i-th most popular expert is drawn in proportion to i**-s
(Zipf's law), and the same ones are popular on all ranks; which they are is drawn from the seed. Experts lie on the
ranks in even blocks, in their order: expert e of E on rank floor(e n / E).
"""

from __future__ import annotations

import bisect
import functools
import itertools
import random

from perwatt.kernels.data import substream

MOST_SKEW = 2.0  # beyond it one expert takes nearly everything, and the last of the top_k are hardly ever drawn

Counts = tuple[tuple[int, ...], ...]


@functools.lru_cache(maxsize=16)
def counts(ranks: int, tokens: int, experts: int, top_k: int, skew: float, seed: int) -> Counts:
    """``counts[source][destination]``: how many (token, expert) pairs ``source`` sends to the experts of
    ``destination``, of ``tokens`` tokens on each rank."""
    order = list(range(experts))
    random.Random(substream(seed, "popularity")).shuffle(order)
    weights = [0.0] * experts
    for place, expert in enumerate(order, 1):
        weights[expert] = place**-skew
    bounds = list(itertools.accumulate(weights))
    home = [expert * ranks // experts for expert in range(experts)]
    return tuple(_of(source, ranks, tokens, top_k, bounds, home, seed) for source in range(ranks))


def _of(
    source: int, ranks: int, tokens: int, top_k: int, bounds: list[float], home: list[int], seed: int
) -> tuple[int, ...]:
    draw, last = random.Random(substream(seed, "route", source)).random, len(bounds) - 1
    sent = [0] * ranks
    for _ in range(tokens):
        chosen: set[int] = set()
        while len(chosen) < top_k:
            # no further than the last one, where rounding would lead beyond it
            chosen.add(min(bisect.bisect(bounds, draw() * bounds[-1]), last))
        for expert in chosen:
            sent[home[expert]] += 1
    return tuple(sent)
