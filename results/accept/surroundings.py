"""What stands around the devices that are off: heat, power, their node, rack and slot. Evidence for the cause only.

Temperatures and throttling are in the records themselves, which of a large fleet are too many to be read: those of the
devices that are off are, of some of each class that is off, and of :data:`PEERS` others, at one test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perwatt.results.accept.causes import Around
from perwatt.results.accept.classes import Compared
from perwatt.results.accept.outliers import LEAST, Floats
from perwatt.results.accept.positions import SLOT

if TYPE_CHECKING:
    import pandas as pd

PEERS = 400
OF_CLASS = 16  # devices of a class that is off
MOST = 20_000  # devices that are off of which records are read

Full = Callable[["pd.DataFrame"], "pd.DataFrame"]  # rows with everything that their records say


@dataclass(frozen=True, eq=False)
class Surroundings:
    """By subject; ``power`` by subject and test."""

    power: Floats
    hotter_k: Floats
    throttled: Floats
    node: np.ndarray
    compared: Sequence[Compared]

    def of(self, i: int, test: int | None) -> Around:
        """Of subject ``i``, in one test or over all (None)."""
        known = self.power[i] if test is None else self.power[i, test : test + 1]
        slot, place, hotter = False, "", math.nan
        for one in self.compared:
            number = int(one.classes.codes[i])
            if number < 0 or not (one.whole[number] or (test is not None and one.bad[number, test])):
                continue
            if one.classes.level == SLOT:
                slot = True
            else:
                place, hotter = one.classes.name(number), self.of_class(one, number)
        return Around(
            median(known), float(self.hotter_k[i]), float(self.throttled[i]), bool(self.node[i]), slot, place, hotter
        )

    def of_class(self, one: Compared, number: int) -> float:
        """By how many K a class is hotter than the peers of its devices."""
        return median(self.hotter_k[one.classes.codes == number])


def around(
    rows: pd.DataFrame, row_of: Floats, off: np.ndarray, power: Floats, compared: Sequence[Compared], full: Full | None
) -> Surroundings:
    """The surroundings of the subjects that are ``off``. ``rows``: all values, ``row_of`` their numbers by subject and
    test, NaN where there is none. ``full`` reads their heat; None where that says nothing."""
    hosts = _host_of(rows, row_of)
    _, node = np.unique(hosts, return_inverse=True)
    devices, bad = np.bincount(node), np.bincount(node, weights=off)
    hotter_k, throttled = _heat(rows, row_of, off, compared, full)
    return Surroundings(power, hotter_k, throttled, ((devices > 1) & (bad == devices))[node], compared)


def _host_of(rows: pd.DataFrame, row_of: Floats) -> np.ndarray:
    first = np.argmax(np.isfinite(row_of), axis=1)
    hosts: np.ndarray = rows["host"].astype(str).to_numpy()
    return np.asarray(hosts[row_of[np.arange(len(row_of)), first].astype(int)])


def _heat(
    rows: pd.DataFrame, row_of: Floats, off: np.ndarray, compared: Sequence[Compared], full: Full | None
) -> tuple[Floats, Floats]:
    """By how many K each subject is hotter than the median of its peers (of its slot, where enough of them are known),
    and its share of time that heat took; NaN of those that were not read."""
    hotter_k, throttled = np.full(len(row_of), np.nan), np.full(len(row_of), np.nan)
    wide = [one.classes.codes == n for one in compared for n in np.flatnonzero(one.whole | one.bad.any(axis=1))]
    if full is None or (not off.any() and not wide):
        return hotter_k, throttled
    test = int(np.isfinite(row_of).sum(axis=0).argmax())
    has = np.isfinite(row_of[:, test])
    peers = _some(has & ~off, PEERS)
    read = np.unique(
        np.concatenate([peers, _some(has & off, MOST), *(_some(has & members, OF_CLASS) for members in wide)])
    )
    found = full(rows.iloc[row_of[read, test].astype(int)])
    hotter_k[read] = found["temperature"].to_numpy(float)
    throttled[read] = found["throttled"].to_numpy(float)
    slots = next((one.classes.codes for one in compared if one.classes.level == SLOT), np.zeros(len(row_of), int))
    usual = {slot: median(hotter_k[peers[slots[peers] == slot]]) for slot in np.unique(slots[read])}
    few = {slot for slot in usual if np.isfinite(hotter_k[peers[slots[peers] == slot]]).sum() < LEAST}
    of_all = median(hotter_k[peers])
    hotter_k[read] -= [of_all if slot in few else usual[slot] for slot in slots[read]]
    return hotter_k, throttled


def _some(chosen: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the chosen ones, no more than ``most``, evenly spread."""
    numbers = np.flatnonzero(chosen)
    return numbers if len(numbers) <= most else numbers[np.linspace(0, len(numbers) - 1, most).astype(int)]


def median(values: Floats) -> float:
    """Of those that are known; NaN if none is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan
