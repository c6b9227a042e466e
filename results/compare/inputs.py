"""How much the input data matter: the same case of the same run on zeros, ones or sparse values, over normal ones.

Data that toggle few bits draw less power and clock higher: a comparison across input data would be one of the data.
Both figures are of one run and one meter, whose gain cancels.
"""

from __future__ import annotations

import json

import msgspec

from perwatt.results.compare.pairing import Cases
from perwatt.results.compare.ratio import Ratio, ratio
from perwatt.results.compare.sample import common_meters

USUAL = "normal"
DATA = ("init", "seed")
SHOWN = ("rate", "power", "rate_per_watt")


class InputRatio(msgspec.Struct, frozen=True):
    """One case on ``init`` over the same on ``against``. No verdicts: neither input is better."""

    run: str
    kernel: str
    label: str
    init: str
    against: str
    ratios: dict[str, Ratio]


def sensitivity(cases: Cases) -> list[InputRatio]:
    """Every case of the run that was measured on several kinds of input."""
    by: dict[str, list[str]] = {}
    for key in cases.measured:
        about = {name: value for name, value in cases.about[key].items() if name not in DATA}
        by.setdefault(json.dumps(about, sort_keys=True, default=str), []).append(key)
    found = []
    for keys in by.values():
        inits = {str(cases.about[key].get("init")): key for key in keys}
        if len(inits) < 2:
            continue
        usual = USUAL if USUAL in inits else min(inits)
        base = cases.measured[inits[usual]]
        for init, key in inits.items():
            if init == usual:
                continue
            sample = cases.measured[key]
            meter = next(iter(common_meters((sample, base))), None)
            ratios = {}
            for quantity in SHOWN:
                pair = [one.estimate(quantity, meter, True, True) for one in (sample, base)]
                if pair[0] is not None and pair[1] is not None:
                    ratios[quantity] = ratio(quantity, 0, pair[0], pair[1], 0.0)
            kernel, label = cases.labels[inits[usual]]
            found.append(InputRatio(cases.name, kernel, label, init, usual, ratios))
    return found
