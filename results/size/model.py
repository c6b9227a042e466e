"""From a request to a sizing: one evaluation with the likeliest inputs, one with all draws at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from perwatt.results.size import annual, eed_duties, levels, pictures, support
from perwatt.results.size.annual import Year
from perwatt.results.size.demand import Demand, demand
from perwatt.results.size.facility import Facility, facility
from perwatt.results.size.facts import facts
from perwatt.results.size.finding import Finding, doubtful
from perwatt.results.size.montecarlo import bands, drawn, drivers, modes
from perwatt.results.size.parameter import Parameter, Values, leaves
from perwatt.results.size.request import Request
from perwatt.results.size.sheet import Sheet
from perwatt.results.size.size_class import doubted, marked
from perwatt.results.size.sizing import Driver, Line, Series, Sizing
from perwatt.results.size.weather import Weather

SCHEMA = 1
LISTED = 4  # keys that a warning names
ROUNDING = 1e-9  # by which a value may miss its own band
# The lines whose drivers are shown: what is built, what it costs to run.
DRIVEN = ("power.site.recommended", "savings.site.power", "kpi.pue", "kpi.wue", "year.edc", "kpi.co2")


@dataclass(frozen=True)
class Evaluated:
    """One evaluation: its lines and all that they were made from."""

    sheet: Sheet
    demand: Demand
    facility: Facility
    year: Year

    @property
    def failing(self) -> tuple[Finding, ...]:
        """What the site as asked for cannot carry."""
        return (*self.demand.failing, *self.facility.failing, *self.year.failing)


def parameters(request: Request) -> dict[str, Parameter]:
    """Every input of the model by its path: the site's, and the fleet's."""
    return dict(leaves(request.site, "site")) | levels.inputs(request.fleet)


def evaluate(request: Request, weather: Weather, values: Mapping[str, Values]) -> Evaluated:
    """The whole model with the inputs as ``values`` say, numbers or one a draw."""
    sheet = Sheet()
    wanted = demand(request, values, sheet)
    built = facility(request, values, wanted, sheet)
    year = annual.year(request, weather, values, wanted, built, sheet)
    return Evaluated(sheet, wanted, built, year)


def size(request: Request, weather: Weather, extra: tuple[Series, ...] = ()) -> Sizing:
    """The sizing of ``request`` in ``weather``; ``extra`` curves (transients) go with it.

    Raises ValueError for inputs that cannot be.
    """
    known = parameters(request)
    likeliest = modes(known)
    point = evaluate(request, weather, likeliest)
    found: dict[str, tuple[float, float, float]] = {}
    dominant: dict[str, tuple[Driver, ...]] = {}
    doubts: tuple[str, ...] = ()
    if request.draws:
        values = drawn(known, request.draws, request.seed)
        over = evaluate(request, weather, values)
        likely, often = ((*one.failing, *one.facility.warnings, *one.facility.fits) for one in (point, over))
        doubts = doubtful(likely, often)
        drawn_lines = over.sheet.values()
        found = bands(drawn_lines)
        dominant = drivers(
            DRIVEN, known, values, drawn_lines, lambda rows: evaluate(request, weather, rows).sheet.values()
        )
    lines = (*marked(point.sheet.lines(found), request.site), *_duties(request, point.sheet))
    at = point.sheet.values()
    failing = tuple(finding.remedied for finding in point.failing)
    told = tuple(finding.text for finding in point.facility.warnings)
    units_w = sum(entry.units * entry.system.nameplate_w.mode for entry in request.fleet)
    small = doubted(request.site, units_w, float(np.asarray(at["kpi.pue"])))
    return Sizing(
        schema=SCHEMA,
        title=request.title,
        request={**_asked(request), "facts": msgspec.to_builtins(facts(request, weather, likeliest))},
        lines=lines,
        stages=pictures.stages(request, point.demand, point.facility),
        flows=pictures.flows(point.year),
        series=(*pictures.series(request, likeliest, point.demand, point.facility, point.year), *extra),
        drivers=dominant,
        inputs=tuple((path, p.low, p.mode, p.high, p.unit, p.kind, p.source) for path, p in known.items()),
        warnings=(*failing, *doubts, *point.demand.warnings, *told, *small, *_leaning(lines)),
        failing=failing,
        draws=request.draws,
        seed=request.seed,
    )


def _duties(request: Request, sheet: Sheet) -> tuple[Line, ...]:
    """The rules that the site meets with every input at its likeliest."""
    at = {line.key: line.value for line in sheet.lines({})}
    rated_w, pue = at["power.site.recommended"], at["kpi.pue"]
    assert rated_w is not None
    assert pue is not None
    return eed_duties.lines(request.site, support.installed_w(request), rated_w, pue, at["kpi.erf"])


def _leaning(lines: Iterable[Line]) -> tuple[str, ...]:
    """One line about the figures that lie outside their own bands: where the ranges of many inputs lean to one side,
    all of them at their likeliest are together unlikely."""
    outside = [
        line.key
        for line in lines
        if line.value is not None
        and line.low is not None
        and line.high is not None
        and not line.low - ROUNDING * abs(line.low) <= line.value <= line.high + ROUNDING * abs(line.high)
    ]
    if not outside:
        return ()
    named = ", ".join(outside[:LISTED]) + (f" and {len(outside) - LISTED} more" if len(outside) > LISTED else "")
    return (f"bands: {named}: outside its 5-95 % band, as the ranges of the inputs lean to one side: plan on the band",)


def _asked(request: Request) -> dict[str, object]:
    """What was asked, in short: the inputs stand beside it one by one."""
    fleet = [
        {
            "name": entry.name,
            "system": entry.system.title,
            "units": entry.units,
            "per_rack": entry.per_rack,
            "training": entry.training,
            "load": entry.load.evidence,
            "boundary": entry.load.boundary,
            "kind": entry.load.kind,
            "notes": list(entry.load.notes),
        }
        for entry in request.fleet
    ]
    return {
        "site": request.site.title,
        "site_note": request.site.note,
        "station": request.climate.station,
        "climate_source": request.climate.source,
        "plant": request.site.cooling.plant,
        "size_class": request.site.size_class,
        "fleet": fleet,
    }
