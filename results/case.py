"""What was run: the case, and the machines that a collective ran over."""

from __future__ import annotations

import msgspec


class Over(msgspec.Struct, frozen=True):
    """The machines that a collective ran over, its ranks in blocks of as many on each, in this order. ``kind``: ``all``
    of a run, a ``leaf``, ``rack``, ``rail`` or another level of a topology, a ``pair``, a ``retest`` of a suspect, a
    ``bisection`` of a group that failed; ``name`` tells those of one kind apart."""

    kind: str
    name: str
    hosts: tuple[str, ...]


class Case(msgspec.Struct, frozen=True):
    """What was run. ``key`` is a hash of everything that makes the case itself and not another; ``over`` None: on one
    machine; ``cap_w``: the power limit that was set for it, None: none was."""

    key: str
    kernel: str
    entry: str
    label: str
    series: str
    size_name: str
    size: float
    params: dict[str, object]
    ranks: int = 1
    device_index: int = 0
    cache: str = "rotate"
    collective: bool = False
    over: Over | None = None
    cap_w: float | None = None

    @property
    def held(self) -> tuple[str, float | None]:
        """What it was held at besides its parameters: the state of the cache, the power limit in W."""
        return self.cache, self.cap_w
