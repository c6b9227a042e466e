"""What is to be sized: a fleet of systems with the load that each draws, at a site, in a climate; and when it grows."""

from __future__ import annotations

import msgspec

from perwatt.results.size.load import Load
from perwatt.results.size.parameter import Parameter
from perwatt.results.size.site import Climate, Site
from perwatt.results.size.system import System


class Entry(msgspec.Struct, frozen=True):
    """``units`` of one system. ``training``: the fraction of them that work in step (one job, peaks coincide); the rest
    serve independently of each other. ``utilisation``: fraction of the year in which a unit works, at ``load``; else it
    idles at ``idle_fraction`` of its vendor's maximum, unless the system states its own. ``support_fraction``: of
    network, storage and management beside them over their nameplates, the site's if None. Raises ValueError for counts
    below 1 and fractions that are none."""

    name: str
    system: System
    units: int
    per_rack: int
    load: Load
    training: float
    utilisation: Parameter
    idle_fraction: Parameter
    support_fraction: Parameter | None = None

    def __post_init__(self) -> None:
        for key in ("units", "per_rack"):
            if getattr(self, key) < 1:
                raise ValueError(f"{self.name}: {key}: found {getattr(self, key)}; allowed 1 or more")
        if not 0 <= self.training <= 1:
            raise ValueError(f"{self.name}: training: found {self.training}; allowed 0 to 1")


class Request(msgspec.Struct, frozen=True):
    """All of it. ``phases`` are (name, units by entry) of growth, in order, the last one whole; empty without any."""

    title: str
    site: Site
    climate: Climate
    fleet: tuple[Entry, ...]
    phases: tuple[tuple[str, dict[str, int]], ...] = ()
    draws: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.fleet:
            raise ValueError("fleet: found nothing; allowed system=NAME nodes=N, or a list of systems with their units")
        if self.draws < 0:
            raise ValueError(f"draws: found {self.draws}; allowed 0 or more")
