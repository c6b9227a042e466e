"""What a failure most plausibly comes from, by what else the records say, and what to do next: a guess, called one,
with what speaks for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from perwatt.results.accept.falling import FALL

Hint = tuple[str, str]

TOO_GOOD: Hint = (
    "too good to be true: another clock, zeros as input, data from a cache, or a sensor that reads low",
    "check clock, input and limit in the record; measure again beside another meter",
)
NODE: Hint = ("all devices of its node are off alike: host, supply or inlet air", "look at the node before its devices")
WARM_PLACE: Hint = (
    "a warm {place}: all of it is hotter than the rest, inlet air or coolant",
    "look at the air or coolant of the {place} before its nodes; test it again",
)
PLACE: Hint = (
    "all of its {place} is off alike, and no hotter: supply, a power limit, or how it was set up",
    "compare limits and versions of the {place} with the others",
)
SLOT: Hint = (
    "all nodes have it at this position: airflow, coolant or how the host places work",
    "no device is to be blamed: ask the maker of the node",
)
SWITCH: Hint = (
    "a slow switch: all behind {place} are slow together, and their devices are not",
    "check ports, cables and uplinks of {place}; test its nodes in pairs again",
)
SLOW_NODES: Hint = (
    "the nodes of {place} more than their switch: most of their devices are off as well",
    "look at the devices first",
)
COLD_PLATE: Hint = (
    "a bad cold plate, heat sink or fan: it alone is hot or slowed by heat",
    "reseat the cold plate or clean the filter; test again",
)
LOW_LIMIT: Hint = (
    "it draws less than the others as well: a lower power limit or clock",
    "compare limit and clocks in the records; set them alike; test again",
)
THIRSTY: Hint = (
    "it draws more than the others for the same work: the chip, its supply, or a sensor that reads high",
    "measure again beside another meter; then swap it with a good one",
)
ITSELF: Hint = (
    "a bad device: nothing else in the records speaks against its surroundings",
    "test it again alone; swap it with a good one: what fails again in another place is to be replaced",
)
NETWORK: Hint = (
    "links, switches or the placement of ranks",
    "test the nodes in pairs (a run of several nodes does): it names slow hosts and links",
)
UNCHECKED: Hint = ("its output was not compared again", "measure it with profile.recheck=1")
UNMETERED: Hint = ("no meter that encloses it was read", "perwatt doctor says what enables one; measure again")
INVALID: Hint = ("the window does not hold what it should", "remove the disturbance; measure again")
STRADDLES: Hint = ("the limit lies within the uncertainty", "measure longer, or beside a better meter")
FADES: Hint = (
    "it got slower as it went on: heat that builds up, or a clock or power limit that came later",
    "look at its rates and temperatures over the rounds in perwatt report; run the burn-in again after what they show",
)
BRIEF: Hint = (
    "too few rounds to tell a fall from noise",
    "perwatt run suite=burnin with a longer duration",
)
FLEET: Hint = (
    "no single device: the one in the middle is off, so what all of them share, as versions, settings or supply",
    "compare versions, clocks and limits with what the criterion's figure was measured with; then judge each device",
)
SKIPPED: Hint = (
    "the run left it out, for the reason that it gives",
    "remove the reason and measure it again; or ask for it only where it can be measured",
)
DAMAGED: Hint = (
    "it may have been tested: {line} cannot be read",
    "copy its records from where they were written, or measure it again; then merge and judge again",
)
ABSENT: Hint = ("it was never tested", "perwatt run resume= finishes a run; then merge and judge again")

HOT_K = 5.0  # over its peers; less is the difference of two sensors
DRAWS = 0.02  # of the usual power, more or less


@dataclass(frozen=True)
class Around:
    """What the records say around something that is off. ``power_off``: how far its power is, as a share; ``hotter_k``:
    than its peers, at its position; ``throttled``: share of the time that heat or a power brake took; NaN where nobody
    knows. ``node``: all devices of its node are off. ``slot``: all devices at its position are. ``place``: the rack, or
    the like, of which all is off, and ``place_hotter_k`` by how much that is hotter."""

    power_off: float = math.nan
    hotter_k: float = math.nan
    throttled: float = math.nan
    node: bool = False
    slot: bool = False
    place: str = ""
    place_hotter_k: float = math.nan


def of(metric: str, scope: str, around: Around) -> Hint:
    """The hint for what is off in the bad direction, the widest of its surroundings first: a rack that is off takes its
    devices along."""
    if scope == "fleet":
        return FLEET
    if metric == "busbw" or scope in ("node", "group"):
        return _in(SWITCH, around.place) if around.place else NETWORK
    if around.place:
        return _in(WARM_PLACE if around.place_hotter_k >= HOT_K else PLACE, around.place, _evidence(around, True))
    if around.slot:
        return SLOT
    if around.node:
        return _with(NODE, _evidence(around))
    if around.throttled > 0 or around.hotter_k >= HOT_K:
        return _with(COLD_PLATE, _evidence(around))
    if metric in ("power", "rate_per_watt") and around.power_off > DRAWS:
        return _with(THIRSTY, _evidence(around))
    if metric == FALL:
        return _with(FADES, _evidence(around))
    return _with(LOW_LIMIT if metric == "rate" and around.power_off < -DRAWS else ITSELF, _evidence(around))


def _in(hint: Hint, place: str, evidence: str = "") -> Hint:
    cause, todo = (text.format(place=place) for text in hint)
    return _with((cause, todo), evidence)


def _with(hint: Hint, evidence: str) -> Hint:
    return (f"{hint[0]} ({evidence})", hint[1]) if evidence else hint


def _evidence(around: Around, place: bool = False) -> str:
    """What speaks for it, as far as it is known."""
    known = [
        (around.place_hotter_k if place else around.hotter_k, "{:+.0f} K beside its peers"),
        (100 * around.throttled, "slowed by heat or a power brake {:.0f} % of the time"),
        (100 * around.power_off, "power {:+.0f} %"),
    ]
    return ", ".join(text.format(value) for value, text in known if math.isfinite(value))
