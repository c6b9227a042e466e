"""Which circuits feed a rack or a row: currents, breakers, what is left when a feed is lost.

Three balanced phases: ``I = P / (sqrt(3) U cos phi)`` with ``U`` between lines. Supplies draw constant power, so that
the current grows as the voltage falls: the lowest voltage to be covered is the one to ask with.

IEC 60364-4-43, 433.1: the design current does not exceed the breaker's rating, nor that the cable's (which is chosen
for the breaker later). A breaker to IEC 60947-2 carries its rating for ever at its reference temperature; the NEC lets
a standard breaker carry 80 % of it continuously, as many houses do by policy. ``continuous_factor`` says which, and
``temperature_factor`` derates for a hot aisle; their product is never above 1.

With two paths (A and B) each carries everything when the other is lost; of three and more, those that are left share it
evenly. A path is sized on that. Where one breaker is too small for it, several circuits of the path may share a rack's
load evenly, as few as will do. The supplies must allow it: they have to divide over the paths, and enough of them must
be left (:func:`path_loss`). A branch circuit is sized on the nameplate, or on the design power if that is higher: less
only where a power cap is enforced and proven.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perwatt.results.size.electrical import within
from perwatt.results.size.finding import in_draws
from perwatt.results.size.parameter import Values
from perwatt.results.size.redundancy import ROUNDING
from perwatt.results.size.site import Feed
from perwatt.results.size.system import Psu


def current_a(power_w: Values, voltage_v: Values, power_factor: Values) -> Values:
    """Current in A of each of three balanced phases; ``voltage_v`` between lines, in V.

    Raises ValueError for a power or voltage that is not above 0, and a power factor outside (0, 1].
    """
    within("power_w", power_w)
    within("voltage_v", voltage_v)
    within("power_factor", power_factor, 1.0)
    return power_w / (math.sqrt(3) * voltage_v * power_factor)


def carried_w(rating_a: Values, voltage_v: Values, power_factor: Values, factor: Values) -> Values:
    """Power in W that a breaker of ``rating_a`` carries at ``factor`` of its rating; at power factor 1 that is VA.

    Raises ValueError as :func:`current_a` does, and for a factor outside (0, 1].
    """
    within("rating_a", rating_a)
    within("voltage_v", voltage_v)
    within("power_factor", power_factor, 1.0)
    within("continuous_factor * temperature_factor", factor, 1.0)
    return math.sqrt(3) * voltage_v * power_factor * factor * rating_a


def choose(current_a: Values, ratings_a: tuple[float, ...], factor: Values) -> Values:
    """The smallest of ``ratings_a`` of which ``factor`` carries ``current_a``, in A; nan where none does.

    Raises ValueError for no rating, one that is not above 0, a current that is not, and a factor outside (0, 1].
    """
    if not ratings_a:
        raise ValueError("ratings_a: found none; allowed one breaker rating in A or more")
    ratings = np.sort(np.asarray(ratings_a, dtype=np.float64))
    within("ratings_a", ratings)
    within("current_a", current_a)
    within("continuous_factor * temperature_factor", factor, 1.0)
    # a current that equals what a breaker carries may lie above it by the rounding of floating point
    at = np.searchsorted(ratings, np.asarray(current_a / factor) * (1.0 - ROUNDING), side="left")
    chosen: Values = np.append(ratings, np.nan)[at]
    return chosen


@dataclass(frozen=True)
class Circuit:
    """The circuits of one rack or row. ``load_w`` is what they are sized on and ``floor`` says why. Currents in A a
    phase of one circuit: ``normal_a`` with all paths alive, ``failover_a`` with one of them lost. ``circuits`` of
    ``rating_a`` make up a path, of which there are ``paths``. ``used``: the failover current over what the breaker may
    carry, 1 at the most. ``spare_w``: what the paths that are left could carry beyond ``load_w``. ``failing``: one line
    if a path takes more circuits than may share it, and by how much it falls short; else empty. ``short``: in which
    part of the draws."""

    level: str
    load_w: Values
    floor: str
    paths: int
    circuits: Values
    rating_a: Values
    normal_a: Values
    failover_a: Values
    used: Values
    spare_w: Values
    failing: str
    short: float

    @property
    def left(self) -> int:
        """Paths that carry everything together after the loss of one; the only one where there is no other."""
        return paths_left(self.paths)

    @property
    def path_w(self) -> Values:
        """What one path carries then, in W."""
        return self.load_w / self.left

    @property
    def after_loss(self) -> str:
        """In words, what each path is sized on."""
        if self.paths == 1:
            return "the only path carries all"
        if self.paths == 2:
            return "either path carries all when the other is lost"
        return f"when one of {self.paths} paths is lost, the other {self.left} share the load"


def paths_left(paths: int) -> int:
    """How many of ``paths`` carry the load after the loss of one. Raises ValueError for no path."""
    within("paths", float(paths))
    return max(paths - 1, 1)


def circuit(
    design_w: Values,
    nameplate_w: Values | None,
    capped: bool,
    feed: Feed,
    voltage_v: Values,
    power_factor: Values,
    continuous_factor: Values,
    temperature_factor: Values,
    ratings_a: tuple[float, ...] | None = None,
    level: str = "rack",
    most: int = 1,
) -> Circuit:
    """The circuits for ``design_w`` in W.

    ``nameplate_w``: of all that hangs on the circuit, None above the branch circuits (a row's busway), where the codes
    ask for the demand. ``capped``: a power cap is enforced and proven, and ``design_w`` is not below it. ``feed`` gives
    the paths, and the breakers unless ``ratings_a`` does; its own voltage and factors are passed as values (``feed``
    has their ranges). Where no single breaker is big enough, each path is split evenly over as many circuits as it
    takes, each with the smallest breaker that will do. Up to ``most`` of them may share the load; of more ``failing``
    says so: a rack can be fed like that only if it has the inlets for it. After the loss of a path the others share the
    load evenly.
    Raises ValueError as :func:`current_a` and :func:`choose` do, and for no path.
    """
    within("design_w", design_w)
    within(f"{level}.paths", float(feed.paths))
    load_w, floor = design_w, "the power cap, enforced and proven" if capped else "the design power"
    if nameplate_w is not None:
        within("nameplate_w", nameplate_w)
        if not capped:
            load_w = np.maximum(design_w, nameplate_w)
            above = float(np.mean(np.asarray(design_w > nameplate_w)))
            floor = "the nameplate" if above == 0 else "the design power, above the nameplate"
            floor += f" in {100 * above:.2g} % of the draws" if 0 < above < 1 else ""
    ratings = feed.ratings_a if ratings_a is None else ratings_a
    factor = continuous_factor * temperature_factor
    path_w = load_w / paths_left(feed.paths)  # with one lost
    path_a = current_a(path_w, voltage_v, power_factor)
    choose(path_a, ratings, factor)  # ratings and factors that are none are refused before they divide
    most_a = factor * max(ratings)
    circuits = np.maximum(np.ceil(path_a / most_a * (1.0 - ROUNDING)), 1.0)
    failover_a = path_a / circuits
    rating_a = choose(failover_a, ratings, factor)
    over = np.asarray(circuits > most)
    most_w = paths_left(feed.paths) * circuits * carried_w(rating_a, voltage_v, power_factor, factor)
    return Circuit(
        level=level,
        load_w=load_w,
        floor=floor,
        paths=feed.paths,
        circuits=circuits,
        rating_a=rating_a,
        normal_a=failover_a * paths_left(feed.paths) / feed.paths,
        failover_a=failover_a,
        used=np.minimum(failover_a / (factor * rating_a), 1.0),
        spare_w=np.maximum(most_w - load_w, 0.0),
        failing=_failing(level, feed, over, path_w, path_a, most_a, max(ratings), circuits, most),
        short=float(np.mean(over)),
    )


def _failing(
    level: str,
    feed: Feed,
    over: npt.NDArray[np.bool_],
    path_w: Values,
    path_a: Values,
    most_a: Values,
    largest_a: float,
    circuits: Values,
    most: int,
) -> str:
    """One line about the worst of all draws that are ``over`` what ``most`` circuits of a path carry, else nothing."""
    short, watts, amps, carried, many = (
        np.atleast_1d(x) for x in np.broadcast_arrays(over, path_w, path_a, most_a, circuits)
    )
    if not np.any(short):
        return ""
    worst = np.unravel_index(np.argmax(amps / carried), amps.shape)
    need_a, have_a = float(amps[worst]), most * float(carried[worst])
    kw, n = float(watts[worst]) / 1e3, int(many[worst])
    share = in_draws(float(np.mean(short))) + (", at worst" if short.size > 1 else "")
    last = {1: "on its one path", 2: "with the other path lost"}.get(
        feed.paths, f"on each path with one of {feed.paths} lost"
    )
    largest = "the largest," if most == 1 else f"{most} of the largest, each"
    return (
        f"{level}: no breaker is big enough{share}: {kw:.4g} kW {last} is {need_a:.4g} A a phase, {largest}"
        f" {largest_a:g} A, may carry {have_a:.4g} A ({feed.standard}): short by {need_a - have_a:.3g} A,"
        f" {kw * (1 - have_a / need_a):.3g} kW; it takes {n} circuits a path"
    )


def path_loss(psu: Psu, paths: int) -> str:
    """One line if a unit goes down with one path, else nothing. It names the least number of paths that helps.

    The supplies are spread evenly over ``paths``; the fullest path is lost. Two breakers that each carry a rack are no
    redundancy if the supplies on one of them do not: of 4+2 supplies on two paths three are left, on three paths four.
    Raises ValueError for no path.
    """
    within("paths", float(paths))
    left = psu.count - math.ceil(psu.count / paths)
    if left >= psu.needed:
        return ""
    lost = f"one of {paths} paths" if paths > 1 else "the only path"
    even = (n for n in range(paths + 1, psu.count + 1) if psu.count % n == 0)
    enough = next((n for n in even if psu.count - psu.count // n >= psu.needed), None)
    if enough is None:
        remedy = "no number of paths helps, as none of its supplies is redundant"
    else:
        remedy = f"site.electrical.feed.paths={enough} would leave {psu.count - psu.count // enough}"
    return f"unit: {left} of {psu.count} supplies are left when {lost} is lost, it needs {psu.needed}: {remedy}"
