"""What a comparison came to: everything that its reports show, and nothing that they would have to work out."""

from __future__ import annotations

import msgspec

from perwatt.results.compare.caps import Limit
from perwatt.results.compare.history import Course
from perwatt.results.compare.inputs import InputRatio
from perwatt.results.compare.pairing import Refused
from perwatt.results.compare.prices import Bought
from perwatt.results.compare.ratio import Ratio
from perwatt.results.compare.scores import ScoreRatio


class Member(msgspec.Struct, frozen=True):
    """One run: ``letter`` in tables, ``name`` is its id, ``devices`` what it measured on, ``software`` by package."""

    letter: str
    name: str
    path: str
    devices: tuple[str, ...]
    hosts: int
    time_utc: str
    cases: int
    software: dict[str, str] = {}


class Pair(msgspec.Struct, frozen=True):
    """One case of ``run`` over the same case of the reference. ``ratios`` by quantity, those that are known;
    ``boundary`` and ``accuracy_class`` of the energies, empty without; ``unit`` of the work; ``notes`` for the
    reader; ``cap_w`` the power limits of run and reference, None where unknown."""

    run: str
    key: str
    kernel: str
    label: str
    unit: str
    ratios: dict[str, Ratio]
    boundary: str = ""
    accuracy_class: str = ""
    devices: tuple[int, int] = (1, 1)
    cap_w: tuple[float | None, float | None] = (None, None)
    notes: tuple[str, ...] = ()


class Mean(msgspec.Struct, frozen=True):
    """The geometric mean of the ratios of ``kernel`` (empty: of all cases), or why there is none."""

    run: str
    kernel: str
    cases: int
    ratios: dict[str, Ratio]
    reason: str = ""


class Beside(msgspec.Struct, frozen=True):
    """A case at boundaries that differ: figures beside each other, by run, and no ratio. In SI units."""

    kernel: str
    label: str
    run: str
    boundary: str
    accuracy_class: str
    power_w: float
    work_per_joule: float | None
    unit: str


class Comparison(msgspec.Struct, frozen=True):
    """All of it. ``effect``: the least relative effect that matters, with ``effect_source``."""

    members: tuple[Member, ...]
    effect: float
    effect_source: str
    pairs: tuple[Pair, ...]
    refused: tuple[Refused, ...]
    means: tuple[Mean, ...] = ()
    scores: tuple[ScoreRatio, ...] = ()
    inputs: tuple[InputRatio, ...] = ()
    history: tuple[Course, ...] = ()
    limit: Limit | None = None
    bought: Bought | None = None
    beside: tuple[Beside, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def letters(self) -> dict[str, str]:
        """The letter of each run by its name."""
        return {member.name: member.letter for member in self.members}

    @property
    def reference(self) -> Member:
        """The run that all others are laid over."""
        return self.members[0]
