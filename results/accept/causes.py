"""What a failure most plausibly comes from, by what else the record says, and what to do next: a guess, called one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Hint = tuple[str, str]

TOO_GOOD: Hint = (
    "too good to be true: another clock, zeros as input, data from a cache, or a sensor that reads low",
    "check clock, input and limit in the record; measure again beside another meter",
)
NODE: Hint = ("all devices of its node are off alike: host, supply or inlet air", "look at the node before its devices")
HEAT: Hint = (
    "heat or a power brake slowed it: cold plate, fan, inlet air or supply",
    "compare with its neighbours; reseat the cold plate or clean the filter; test again",
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
    "the device itself, as nothing else in the record speaks against its surroundings",
    "test it again alone; swap it with a good one: what fails again in another place is to be replaced",
)
NETWORK: Hint = (
    "links, switches or the placement of ranks",
    "test the nodes in pairs (a run of several nodes does): it names slow hosts and links",
)
UNMETERED: Hint = ("no meter that encloses it was read", "perwatt doctor says what enables one; measure again")
INVALID: Hint = ("the window does not hold what it should", "remove the disturbance; measure again")
STRADDLES: Hint = ("the limit lies within the uncertainty", "measure longer, or beside a better meter")
ABSENT: Hint = ("it was never tested", "perwatt run resume= finishes a run; then merge and judge again")


def of(metric: str, row: Mapping[Any, Any], power_off: float, node_off: bool) -> Hint:
    """The hint for a device that is off in the bad direction. ``power_off``: its power's deviation from the fleet's
    (NaN if unknown); ``node_off``: all devices of its node are off."""
    if metric == "busbw" or row.get("scope") in ("node", "group"):
        return NETWORK
    if row.get("throttled", 0.0) > 0 or "throttled_thermal" in str(row.get("flags", "")):
        return HEAT
    if node_off:
        return NODE
    if metric in ("power", "rate_per_watt") and power_off > 0.02:
        return THIRSTY
    return LOW_LIMIT if metric == "rate" and power_off < -0.02 else ITSELF
