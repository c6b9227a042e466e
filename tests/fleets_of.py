"""Requests for sizings in tests: shipped systems, sites and climates, with loads whose figures are known by hand."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from perwatt.benchmarks.config import composed
from perwatt.benchmarks.fleets import Fleet, fleet
from perwatt.benchmarks.sites import climate_named, site_named, system_named
from perwatt.results.size import loads, model, weather
from perwatt.results.size.load import QUANTILES, Load
from perwatt.results.size.model import Evaluated
from perwatt.results.size.montecarlo import drawn, modes
from perwatt.results.size.parameter import Parameter, Values
from perwatt.results.size.request import Entry, Request
from perwatt.results.size.site import Climate, Site
from perwatt.results.size.system import System
from perwatt.results.size.weather import Weather

# Facts never change within a test run, and a site takes a quarter of a second to compose.
site_named_once = functools.cache(site_named)
system_named_once = functools.cache(system_named)
climate_named_once = functools.cache(climate_named)

NODE = ("system=dgx_h100", "nodes=8")
MEAN_W = 6000.0
# Of a made-up node, over its mean: by window in s, at the quantiles of QUANTILES.
OVER_MEAN = {
    1.0: (1.01, 1.10, 1.15, 1.20, 1.25),
    5.0: (1.01, 1.09, 1.13, 1.17, 1.20),
    10.0: (1.01, 1.08, 1.12, 1.15, 1.18),
    60.0: (1.005, 1.06, 1.08, 1.10, 1.12),
    900.0: (1.0, 1.02, 1.03, 1.035, 1.04),
}
UTILISATION = Parameter(0.85, "1", "test", 0.6, 0.97)
IDLE = Parameter(0.22, "1", "test", 0.15, 0.3)


def measured(mean_w: float = MEAN_W, **changes: object) -> Load:
    """A load as a meter's log would give it, of :data:`OVER_MEAN`."""
    statistics = {(w, q): mean_w * r for w, row in OVER_MEAN.items() for q, r in zip(QUANTILES, row, strict=True)}
    share = (0.0, 0.5, 0.95, 0.99, 1.0)  # the lower half so that the mean is right
    cdf = tuple(float(w) for w in mean_w * np.interp(np.linspace(0, 1, 101), share, (0.862, 1.01, 1.10, 1.15, 1.25)))
    made = Load("node", "measured", "node.csv", "node_ac", 1.0, 7200.0, mean_w, statistics, cdf, uncertainty=0.01)
    return msgspec.structs.replace(made, **changes)


def entry(
    system: str = "dgx_h100", units: int = 16, load: Load | None = None, name: str = "", **changes: object
) -> Entry:
    """``units`` of a shipped system, all in step; with its published ratios unless ``load`` is given."""
    found = system_named_once(system)
    made = Entry(name or system, found, units, found.per_rack, load or loads.published(found), 1.0, UTILISATION, IDLE)
    return msgspec.structs.replace(made, **changes)


def asked(*overrides: str) -> list[Fleet]:
    """The fleet that a request by these overrides comes to."""
    return fleet(composed(overrides, (), "size"), ())


def request(*fleet: Entry, site: Site | str = "copenhagen", **changes: object) -> Request:
    """At a shipped site, without draws; 16 DGX H100 if no fleet is given."""
    where = site_named_once(site) if isinstance(site, str) else site
    made = Request("test", where, climate_named_once(where.climate), fleet or (entry(),))
    return msgspec.structs.replace(made, **changes)


def changed_site(name: str = "copenhagen", **changes: Mapping[str, object]) -> Site:
    """A shipped site with ``electrical``, ``cooling``, ``grid`` or ``reuse`` changed."""
    return site_named(name, changes=changes)


def plain(owner: Site | System) -> dict[str, Any]:
    """The keys and values of a site or a system, to be changed."""
    found: dict[str, Any] = msgspec.to_builtins(owner, str_keys=False)
    return found


def exact(asked: Request, **values: float) -> dict[str, Values]:
    """The likeliest inputs of ``asked``, those in ``values`` (by the ends of their paths) replaced."""
    found = modes(model.parameters(asked))
    for end, value in values.items():
        path = next(path for path in found if path.endswith(f".{end}"))
        found[path] = value
    return found


def bins(climate: Climate) -> Weather:
    """The year of ``climate``."""
    return weather.of(climate)


def point(asked: Request, **values: float) -> Evaluated:
    """The likeliest evaluation, inputs by the ends of their paths replaced."""
    return model.evaluate(asked, bins(asked.climate), exact(asked, **values))


def figures(asked: Request, **values: float) -> dict[str, float]:
    """Its lines by key, those without a value left out."""
    found = point(asked, **values).sheet.values()
    return {key: float(np.asarray(value).reshape(-1)[0]) for key, value in found.items() if value is not None}


def over_draws(asked: Request, draws: int, seed: int = 0) -> tuple[dict[str, Values], Evaluated]:
    """The inputs of so many draws, and what they come to."""
    values = drawn(model.parameters(asked), draws, seed)
    return values, model.evaluate(asked, bins(asked.climate), values)
