"""What stands around the devices that are off: heat, power, their node, rack and slot. Evidence for the cause only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perwatt.results.accept.causes import Around
from perwatt.results.accept.classes import Compared
from perwatt.results.accept.outliers import LEAST, Floats
from perwatt.results.accept.positions import SLOT

if TYPE_CHECKING:
    import pandas as pd


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
    rows: pd.DataFrame, row_of: Floats, off: np.ndarray, power: Floats, compared: Sequence[Compared], heat: bool
) -> Surroundings:
    """The surroundings of the subjects that are ``off``. ``rows``: all values, ``row_of`` their numbers by subject and
    test, NaN where there is none. ``heat``: whether theirs says anything."""
    hosts = _host_of(rows, row_of)
    _, node = np.unique(hosts, return_inverse=True)
    devices, bad = np.bincount(node), np.bincount(node, weights=off)
    none = np.full(len(row_of), np.nan)
    hotter_k, throttled = _heat(rows, row_of, off, compared) if heat else (none, none)
    return Surroundings(power, hotter_k, throttled, ((devices > 1) & (bad == devices))[node], compared)


def _host_of(rows: pd.DataFrame, row_of: Floats) -> np.ndarray:
    first = np.argmax(np.isfinite(row_of), axis=1)
    hosts = rows["host"].iloc[row_of[np.arange(len(row_of)), first].astype(int)]
    return np.asarray(hosts.astype(str).to_numpy())


def _heat(rows: pd.DataFrame, row_of: Floats, off: np.ndarray, compared: Sequence[Compared]) -> tuple[Floats, Floats]:
    """By how many K each subject is hotter than the median of its peers (of its slot, where enough of them are known),
    and its share of time that heat took, both in the test that most have; NaN where nobody told."""
    test = int(np.isfinite(row_of).sum(axis=0).argmax())
    at = row_of[:, test]
    has = np.isfinite(at)
    hotter_k, throttled = np.full(len(at), np.nan), np.full(len(at), np.nan)
    hotter_k[has] = rows["temperature"].to_numpy(float)[at[has].astype(int)]
    throttled[has] = rows["throttled"].to_numpy(float)[at[has].astype(int)]
    peers = np.isfinite(hotter_k) & ~off
    slots = next((one.classes.codes for one in compared if one.classes.level == SLOT), np.zeros(len(at), int))
    of_all = median(hotter_k[peers])
    usual = {}
    for slot in np.unique(slots):
        known = hotter_k[peers & (slots == slot)]
        usual[slot] = of_all if len(known) < LEAST else median(known)
    return hotter_k - np.array([usual[slot] for slot in slots]), throttled


def median(values: Floats) -> float:
    """Of those that are known; NaN if none is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan
