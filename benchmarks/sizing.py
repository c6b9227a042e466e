"""``perwatt size``: from measured power (a run, a trace) or published facts to breakers, cooling, a year and a report.

The configuration is ``conf/size.yaml`` with a system, a site and, if one is named, a preset. What comes out lies in a
folder of its own under ``results/sizings/``: the report as HTML and PDF, the lines and inputs as CSV and JSON, a
workbook with live formulas, and the EU's reporting form.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.fleets import Fleet, fleet, whole
from perwatt.benchmarks.sites import climate_named, site_from, site_named
from perwatt.benchmarks.size_request import asked, overruled
from perwatt.results.size import limit, model, phases
from perwatt.results.size.dynamics import bound, dynamics
from perwatt.results.size.form import form
from perwatt.results.size.request import Request
from perwatt.results.size.site import Climate, Grid, Site
from perwatt.results.size.size_class import HYPERSCALE
from perwatt.results.size.sizing import Line, Series, Sizing
from perwatt.results.size.weather import Weather
from perwatt.results.store import folder_atomically, write_atomically

PHASE = "{name: NAME, units: {name in the fleet: units}}"
Extra = tuple[tuple[Line, ...], tuple[Series, ...]]
Seen = dict[tuple[str, int, Grid | None], Extra]
LEAST_DRAWS, MOST_DRAWS = 100, 100_000  # of which 5 and 95 % can be told; that fit in a gigabyte
MOST_MW = 100_000.0


def size(arguments: Sequence[str]) -> int:
    """Size what the overrides ask for. Returns 0, or 2 if the site, or the one beside it, cannot hold it, which the
    report, written all the same, shows; BadRequest for a wrong request."""
    plain, directories = asked(arguments)
    site = site_from(plain["site"])
    climate, weather = _weather(site, directories, "site")
    members = fleet(plain, directories)
    request = _request(plain, site, climate, members)
    extra: Extra = (), ()
    if plain["limit_mw"] is not None:
        request, extra = _limited(plain, request, weather)
    seen: Seen = {}
    sizing = _sized(request, weather, members, seen, extra)
    sizing = msgspec.structs.replace(sizing, warnings=(*sizing.warnings, *overruled(arguments)))
    others = [_other(plain, request, members, seen, directories)] if plain["compare_site"] else []
    where = _write(plain, request, sizing, others)
    from perwatt.results.reports.sizing_console import show

    show(sizing, others=others)
    if where is not None:
        print(f"report: {where / 'report.html'}")
    site_line = sizing.line("power.site.recommended")
    code = max([_told(sizing, ""), *(_told(other, f"compare_site={plain['compare_site']}: ") for other in others)])
    last_line(
        sizing=str(where) if where else None,
        units=sum(entry.units for entry in request.fleet),
        site_w=site_line.value,
        site_w_5=site_line.low,
        site_w_95=site_line.high,
        pue=sizing.line("kpi.pue").value,
        warnings=list(sizing.warnings),
        exit=code,
    )
    return code


def _told(sizing: Sizing, where: str) -> int:
    """The exit code of a sizing: 2 if its site cannot hold it, which one line on stderr then says after ``where``."""
    if not sizing.failing:
        return 0
    first, *rest = sizing.failing
    more = f"; and {len(rest)} more: {', '.join(rest)}" if rest else ""
    print(f"perwatt size: {where}{first}{more}", file=sys.stderr)
    return 2


def _weather(site: Site, directories: Sequence[str], key: str) -> tuple[Climate, Weather]:
    """The climate of the site that ``key`` asks for: by name, or from an EPW file."""
    from perwatt.results.size import weather

    if site.climate.lower().endswith(".epw"):
        from perwatt.results.size.epw import read

        try:
            climate, hours = read(Path(site.climate))
        except ValueError as error:
            raise BadRequest(f"{key}.climate: {error}") from None
        return climate, weather.binned(hours)
    climate = climate_named(site.climate, directories, f"{key}.climate")
    return climate, weather.of(climate)


def _request(plain: dict[str, Any], site: Site, climate: Climate, members: Sequence[Fleet]) -> Request:
    entries = tuple(member.entry for member in members)
    units = " and ".join(f"{entry.units} {entry.system.title}" for entry in entries)
    draws = whole(plain["draws"], "draws", 0)
    if draws and not LEAST_DRAWS <= draws <= MOST_DRAWS:
        raise BadRequest(f"draws: found {draws}; allowed 0, or {LEAST_DRAWS} to {MOST_DRAWS}")
    return Request(
        title=str(plain["title"] or f"{units} at {site.title}"),
        site=site,
        climate=climate,
        fleet=entries,
        phases=_phases(plain["phases"]),
        draws=draws,
        seed=whole(plain["seed"], "seed", 0),
    )


def _phases(asked: Any) -> tuple[tuple[str, dict[str, int]], ...]:
    if not isinstance(asked, list):
        raise BadRequest(f"phases: found {asked!r}; allowed a list of {PHASE}")
    grown = []
    for index, phase in enumerate(asked):
        if not isinstance(phase, dict) or set(phase) != {"name", "units"} or not isinstance(phase["units"], dict):
            raise BadRequest(f"phases[{index}]: found {phase!r}; allowed {PHASE}")
        if not str(phase["name"]).strip():
            raise BadRequest(f"phases[{index}].name: found nothing; allowed a name of its own")
        units = {str(key): whole(count, f"phases[{index}].units.{key}", 0) for key, count in phase["units"].items()}
        grown.append((str(phase["name"]), units))
    return tuple(grown)


def _limited(plain: dict[str, Any], request: Request, weather: Weather) -> tuple[Request, Extra]:
    """The best choice under the limit as the request, and all choices as lines and curves."""
    if isinstance(plain["limit_mw"], bool) or not isinstance(plain["limit_mw"], int | float):
        raise BadRequest(f"limit_mw: found {plain['limit_mw']!r}; allowed a number of MW above 0")
    if plain["limit_mw"] > MOST_MW:
        raise BadRequest(f"limit_mw: found {plain['limit_mw']:g}; allowed {MOST_MW:g} MW at most")
    limit_w = float(plain["limit_mw"]) * 1e6
    found = limit.choices(request, weather, limit_w)
    best = found[0]
    if best.units == 0:
        first = best.binding.name
        at = f"{first}={plain['limit_mw'] if first == 'limit_mw' else f'{best.binding.most:g}'}"
        raise BadRequest(f"{at}: not one unit of {limit.titled(best.entry)} fits")
    entry = msgspec.structs.replace(best.entry, units=best.units)
    title = plain["title"] or f"{best.units} {limit.titled(best.entry)}: most work under {plain['limit_mw']:g} MW"
    chosen = msgspec.structs.replace(request, fleet=(entry,), title=title)
    return chosen, (limit.lines(found, limit_w, request.draws > 0), limit.series(found))


def _sized(request: Request, weather: Weather, members: Sequence[Fleet], seen: Seen, extra: Extra = ((), ())) -> Sizing:
    """``seen``: transients that are known already; of a year of seconds they take long."""
    lines, curves = list(extra[0]), list(extra[1])
    for entry in request.fleet:
        member = next(m for m in members if m.entry.name == entry.name)
        where = f".{entry.name}" if len(request.fleet) > 1 else ""
        if member.trace is None:
            lines += bound(entry, where, request.site.grid)
        else:
            grid = request.site.grid
            key = entry.name, entry.units, None if grid.ramp_w_s is None else grid
            if key not in seen:
                seen[key] = dynamics(entry, where, *member.trace, grid)
            made, drawn = seen[key]
            lines += made
            curves += drawn
    sizing = model.size(request, weather, tuple(curves))
    lines += phases.lines(request, weather)
    # what is odd about a recording, its gaps above all, has to be read with its figures
    notes = [f"{entry.name}: {note}" for entry in request.fleet if entry.load.observed for note in entry.load.notes]
    return msgspec.structs.replace(sizing, lines=(*sizing.lines, *lines), warnings=(*sizing.warnings, *notes))


def _other(
    plain: dict[str, Any], request: Request, members: Sequence[Fleet], seen: Seen, directories: Sequence[str]
) -> Sizing:
    """The same fleet at the site to compare with."""
    same = request.site.size_class
    same = "" if same in ("", HYPERSCALE) else same  # unless another was asked for, the other site keeps its own
    site = site_named(plain["compare_site"], directories, plain["compare_changes"], same, "compare_site")
    climate, weather = _weather(site, directories, "compare_site")
    moved = msgspec.structs.replace(request, site=site, climate=climate, title=f"the same in {site.title}")
    return _sized(moved, weather, members, seen)


def _write(plain: dict[str, Any], request: Request, sizing: Sizing, others: Sequence[Sizing]) -> Path | None:
    """Everything into a new folder, whole or not there; None if no folder was asked for."""
    if plain["out"] is None:
        return None
    name = request.fleet[0].system.name if len(request.fleet) == 1 else "fleet"
    where = Path(str(plain["out"])) / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{secrets.token_hex(3)}"
    try:
        with folder_atomically(where) as begun:
            _files(begun, request, sizing, others)
    except OSError as error:
        raise BadRequest(f"out={plain['out']}: cannot be written: {error.strerror or error}") from None
    return where


def _files(where: Path, request: Request, sizing: Sizing, others: Sequence[Sizing]) -> None:
    from perwatt.results.reports import paper, sizing_csv, sizing_html, sizing_json, sizing_xlsx

    page = cache(lambda: sizing_html.render(sizing, others))  # drawn once, for the screen and for paper
    made: tuple[tuple[str, Callable[[], str | bytes]], ...] = (
        ("sizing.json", lambda: sizing_json.render(sizing)),
        ("lines.csv", lambda: sizing_csv.lines(sizing)),
        ("inputs.csv", lambda: sizing_csv.inputs(sizing)),
        ("series.csv", lambda: sizing_csv.series(sizing)),
        ("flows.csv", lambda: sizing_csv.flows(sizing)),
        ("eed.csv", lambda: sizing_csv.rows(form(request, sizing))),
        *([("beside.csv", lambda: sizing_csv.beside([sizing, *others]))] if others else []),
        ("report.html", page),
        ("sizing.xlsx", lambda: sizing_xlsx.render(sizing, others)),
        ("report.pdf", lambda: paper.pdf(page())),
    )
    for file, render in made:
        try:
            content = render()
        except ValueError as error:  # a library that is not there: the rest is still made
            if "pip install" not in str(error):
                raise
            print(f"perwatt size: {file} is left out: {' '.join(str(error).split())}", file=sys.stderr)
            continue
        write_atomically(where / file, content)
