"""Energies of one case at several boundaries, laid beside each other: what is inside what, and what is left over.

Watts are added over physical packages of one boundary only. A module contains its GPU and its CPU, a node everything in
it, a rack its nodes: of nested boundaries the outer minus the inner is looked at, never their sum. What is left over is
fans, network, storage, power supplies and whatever was not metered inside; below zero by more than the uncertainty it
means that two meters do not enclose what they say (``scopes_disagree``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from perwatt.results.record import Energy, Record, Repetition
from perwatt.results.uncertainty import K

NAMES = {
    "gpu": "GPUs",
    "cpu_package": "CPU packages",
    "dram": "DRAM",
    "module": "modules",
    "node_dc": "node, DC",
    "node_ac": "node, AC",
    "rack": "rack",
    "facility": "facility",
}
# From the inside out; those of one level lie beside each other. DRAM is outside the CPU package's boundary.
LEVELS = (("gpu", "cpu_package", "dram"), ("module",), ("node_dc",), ("node_ac",), ("rack",), ("facility",))
INNERMOST = LEVELS[0]
REST = {"rack": "rest of the rack", "facility": "rest of the facility"}
METERED = ("counter", "integrated")
# A counter is preferred to the polled power of the same packages, and what was metered to what was not.
PREFERRED = ("counter", "integrated", "replayed", "modelled")


@dataclass(frozen=True)
class Line:
    """Mean power (W) and energy (J) over the metered repetitions at one boundary, or what one boundary leaves
    unexplained (``boundary`` is empty). ``packages``: how many physical ones were summed; ``accuracy_class``: the least
    of the meters'; ``expanded_w``: U of k = 2 from the terms that no repetition removes, None if not all meters state
    theirs; ``share``: of the enclosing boundary's power, for a difference. ``note`` is for people."""

    name: str
    boundary: str
    meters: tuple[str, ...]
    packages: int
    accuracy_class: str
    source: str
    power_w: float
    energy_j: float
    expanded_w: float | None
    share: float | None = None
    flags: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class _Sum:
    """The energies of one boundary that are added, each with its window, by repetition."""

    boundary: str
    parts: dict[int, list[tuple[Repetition, Energy]]]

    @property
    def energies(self) -> list[Energy]:
        return [e for parts in self.parts.values() for _, e in parts]

    def over(self, repetitions: Sequence[int]) -> tuple[float, float, float | None]:
        """Energy in J, time in s, and the standard uncertainty of the energy in J, over some of the repetitions."""
        chosen = [self.parts[i] for i in repetitions]
        energy_j = math.fsum(e.energy_j for parts in chosen for _, e in parts)
        seconds = math.fsum(parts[0][0].window_s for parts in chosen)
        energies = [e for parts in chosen for _, e in parts]
        if any("gain" not in e.terms or e.source not in METERED for e in energies):
            return energy_j, seconds, None
        # sensors of one kind may share a bias, so that their gains add up plainly; so do the repetitions of each
        gain = math.fsum(e.energy_j * e.terms["gain"] for e in energies)
        others = (e.energy_j * u for e in energies for name, u in e.terms.items() if name != "gain")
        return energy_j, seconds, math.hypot(gain, *others)


def reconcile(record: Record) -> list[Line]:
    """A line for each boundary that was metered, from the inside out, then what each leaves unexplained; empty if
    nothing was metered."""
    sums = _sums(record)
    lines = [_line(s) for s in sums.values()]
    # estimates and traces are never laid against what was metered
    metered = {b: s for b, s in sums.items() if all(e.source in METERED for e in s.energies)}
    levels = [[metered[b] for b in level if b in metered] for level in LEVELS]
    for inner, outer in itertools.pairwise(level for level in levels if level):
        if (line := _difference(inner, outer[0], metered)) is not None:
            lines.append(line)
    return lines


def _sums(record: Record) -> dict[str, _Sum]:
    if (m := record.measured) is None:
        return {}
    boundaries = {e.boundary for r in m.repetitions for e in r.energies}
    ordered = [b for b in NAMES if b in boundaries] + sorted(boundaries - set(NAMES))
    found = {}
    for boundary in ordered:
        meters = _chosen([e for r in m.repetitions for e in r.energies if e.boundary == boundary])
        parts = {}
        for i, r in enumerate(m.repetitions):
            here = [(r, e) for e in r.energies if e.boundary == boundary and (e.meter, e.packages) in meters]
            # a repetition in which one of the meters was lost is no sum of them all
            if len(here) == len(meters):
                parts[i] = here
        if parts:
            found[boundary] = _Sum(boundary, parts)
    return found


def _chosen(energies: Sequence[Energy]) -> set[tuple[str, tuple[str, ...]]]:
    """The meters of one boundary to add up: the best first, and each only if none of its packages is in the sum yet."""
    seen = {(e.meter, e.packages): e for e in energies}
    often = {key: sum((e.meter, e.packages) == key for e in energies) for key in seen}
    best = sorted(
        seen, key=lambda key: (PREFERRED.index(seen[key].source), -often[key], seen[key].accuracy_class, -len(key[1]))
    )
    taken: set[str] = set()
    chosen: set[tuple[str, tuple[str, ...]]] = set()
    sources: set[bool] = set()
    for key in best:
        packages = set(key[1]) or {key[0]}
        metered = seen[key].source in METERED
        if not packages & taken and sources <= {metered}:
            chosen.add(key)
            taken |= packages
            sources.add(metered)
    return chosen


def _line(found: _Sum) -> Line:
    energy_j, seconds, u_j = found.over(list(found.parts))
    energies = found.energies
    sources = [source for source in PREFERRED if any(e.source == source for e in energies)]
    return Line(
        name=NAMES.get(found.boundary, found.boundary.replace("_", " ")),
        boundary=found.boundary,
        meters=tuple(dict.fromkeys(e.meter for e in energies)),
        packages=_packages(found),
        accuracy_class=max(e.accuracy_class for e in energies),
        source=", ".join(sources),
        power_w=energy_j / seconds,
        energy_j=energy_j,
        expanded_w=None if u_j is None else K * u_j / seconds,
        flags=tuple(sorted({f for e in energies for f in e.flags})),
    )


def _packages(found: _Sum) -> int:
    return len({p for e in found.energies for p in (e.packages or (e.meter,))})


def _difference(inner: Sequence[_Sum], outer: _Sum, sums: dict[str, _Sum]) -> Line | None:
    common = sorted(set(outer.parts).intersection(*(s.parts for s in inner)))
    if not common:
        return None
    whole_j, seconds, u_whole = outer.over(common)
    inside = [s.over(common) for s in inner]
    rest_j = whole_j - math.fsum(j for j, _, _ in inside)
    known = [u for u in (u_whole, *(u for _, _, u in inside)) if u is not None]
    expanded_w = K * math.hypot(*known) / seconds if len(known) == 1 + len(inside) else None
    power_w = rest_j / seconds
    within = {s.boundary for s in inner}
    if outer.boundary in REST:
        name = REST[outer.boundary]
    elif outer.boundary == "node_ac" and within == {"node_dc"}:
        name = "power supplies"
    else:
        name = "unexplained" if outer.boundary.startswith("node") else f"unexplained in {NAMES[outer.boundary]}"
    minus = " + ".join(NAMES[s.boundary] for s in inner)
    return Line(
        name=name,
        boundary="",
        meters=(),
        packages=0,
        accuracy_class="",
        source="",
        power_w=power_w,
        energy_j=rest_j,
        expanded_w=expanded_w,
        share=rest_j / whole_j if whole_j else None,
        flags=("scopes_disagree",) if power_w < -(expanded_w or 0.0) else (),
        note=f"{NAMES[outer.boundary]} - ({minus}). {_inside(sums)}",
    )


def _inside(sums: dict[str, _Sum]) -> str:
    """What of the innermost devices was metered: a node holds others, and their power is in what is left over."""
    metered = [f"{NAMES[b]} {_packages(sums[b])}" for b in (*INNERMOST[:2], "module") if b in sums]
    absent = [NAMES[b] for b in INNERMOST[:2] if b not in sums and "module" not in sums]
    text = f"Packages metered inside: {', '.join(metered) or 'none'}"
    return text + (f"; {' and '.join(absent)} not metered." if absent else ".")
