"""Recordings that cannot be of one unit at work: refused in one line; odd ones are told."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from perwatt.benchmarks.config import composed
from perwatt.benchmarks.sites import plausible_from
from perwatt.results.size import loads, plausible
from perwatt.results.size.load import Load
from perwatt.results.traces.trace import Trace
from tests.fleets_of import system_named_once

LIMITS = plausible_from(composed((), (), "size")["plausible"])
H100 = system_named_once("dgx_h100")  # 10.2 kW on its label, 1.6 to 3.0 kW at rest, GPUs of 700 W


def trace(power_w: float, boundary: str = "node_ac", seconds: int = 1000) -> Trace:
    t_ns = (1_767_225_600 + np.arange(seconds)) * 10**9
    return Trace("node", t_ns, np.full(seconds, power_w), boundary, "C", None, "node.csv")


@pytest.mark.parametrize(
    ("power_w", "boundary", "said"),
    [
        (0.0, "node_ac", "node.csv: found a mean of 0 W; allowed 800 W or more, one unit of NVIDIA DGX H100"),
        (8.0, "node_ac", "found a mean of 8 W; allowed 800 W or more.*kW written as W"),
        (650.0, "node_dc", "power of one GPU .then columns.boundary=gpu"),
        (8.5e6, "node_ac", r"found up to 8.5e\+06 W; allowed 1.53e\+04 W at most.*mW read as W"),
        (8500.0, "gpu", "found up to 8500 W; allowed 1050 W at most, one GPU.*columns.boundary=node_ac"),
        (0.6, "gpu", "found a mean of 0.6 W; allowed 35 W or more, one GPU.*kW written as W"),
    ],
)
def test_what_no_unit_draws_is_refused(power_w: float, boundary: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as found:
        plausible.refuse(trace(power_w, boundary), H100, LIMITS)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(("power_w", "boundary"), [(801.0, "node_ac"), (15_299.0, "node_ac"), (600.0, "gpu")])
def test_what_a_unit_may_draw_is_not(power_w: float, boundary: str) -> None:
    plausible.refuse(trace(power_w, boundary), H100, LIMITS)


def test_where_nobody_knows_a_unit_at_rest_a_tenth_of_its_maximum_is_the_least() -> None:
    unknown = msgspec.structs.replace(H100, idle_w=None)
    least_w = 0.1 * unknown.vendor_max_w.mode
    plausible.refuse(trace(1.01 * least_w), unknown, LIMITS)
    with pytest.raises(ValueError, match="found a mean"):
        plausible.refuse(trace(0.99 * least_w), unknown, LIMITS)


def load(power_w: float, seconds: int = 1000) -> Load:
    return loads.from_traces([trace(power_w, seconds=seconds)], "node")


def test_what_is_odd_is_told() -> None:
    assert plausible.odd(load(8000.0), H100, LIMITS) == ()
    assert plausible.odd(load(12_750.0), H100, LIMITS) == ("up to 12.75 kW, above the nameplate of 10.2 kW",)
    (idle,) = plausible.odd(load(2250.0), H100, LIMITS)
    assert "0.22 of the nameplate: hardly worked" in idle
    (short,) = plausible.odd(load(8000.0, seconds=120), H100, LIMITS)
    assert short.startswith("120 s recorded: the longest window seen is of 60 s")
