"""The figures of a sizing on the form of the EU's data centre reporting, and why the rest of it is empty."""

from __future__ import annotations

from perwatt.results.size import eed, support
from perwatt.results.size.feeds import path_loss
from perwatt.results.size.request import Request
from perwatt.results.size.sizing import Sizing

MODELLED = "modelled for a year, not metered"
_WORDS = ("N", "N+1", "2N")  # of the form, the least first


def form(request: Request, sizing: Sizing) -> list[tuple[str, ...]]:
    """The rows of Annex II and III as text, under a header, ready to be written as CSV."""
    electrical, cooling = request.site.electrical, request.site.cooling
    renewable = request.site.grid.renewable
    # a default of none is no answer: nobody stated guarantees or contracts, nor that there are none
    stated = renewable.high > 0 or renewable.kind != "assumed"
    room = [_reported(topology) for topology in (cooling.plant_topology, cooling.crah_topology)]
    values: dict[str, float | str | None] = {
        "redundancy_hv": _reported(electrical.transformer_topology),
        "redundancy_lv": _reported(electrical.ups_topology),
        "redundancy_rack": _rack(request),
        "redundancy_room_cooling": min(room, key=_WORDS.index),
        "redundancy_rack_cooling": None if _value(sizing, "cooling.cdus") is None else _reported(cooling.cdu_topology),
        "pdit_w": support.installed_w(request),
        "pdit_metric": "rated",
        "edc_j": _value(sizing, "year.edc"),
        "eit_j": _value(sizing, "year.eit"),
        "win_m3": _value(sizing, "year.water"),
        "ereuse_j": _value(sizing, "kpi.heat.handed_over"),
        "twh_c": _value(sizing, "cooling.facility_return") or _value(sizing, "cooling.air.water_return"),
        "tin_c": cooling.supply_air_c.mode,
        "cdd21": request.climate.cdd21,
        "eres_tot_j": renewable.mode * (_value(sizing, "year.edc") or 0.0) if stated else None,
    }
    chosen = "as the site was asked for"
    notes = dict.fromkeys(values, MODELLED)
    notes |= dict.fromkeys([key for key in values if key.startswith("redundancy")], chosen)
    notes |= {
        "pdit_w": f"nameplates of all units; {support.TITLE} as modelled",
        "pdit_metric": "the rated inputs are added up",
        "tin_c": "the set point asked for",
        "cdd21": f"typical year of {request.climate.station}, all days above 21 degrees C; Eurostat counts days of 24 "
        "degrees C and more only",
        "eres_tot_j": "the renewable part asked for, of EDC; how it divides is the operator's to state",
    }
    known = {key: value for key, value in values.items() if value is not None}
    return eed.cells(eed.report(known, {key: notes[key] for key in known}))


def _value(sizing: Sizing, key: str) -> float | None:
    found = [line.value for line in sizing.lines if line.key == key]
    return found[0] if found else None


def _rack(request: Request) -> str:
    """By the worst of the fleet: what goes down with one path has no redundancy."""
    paths = request.site.electrical.feed.paths
    lost = any(entry.system.psu is not None and path_loss(entry.system.psu, paths) for entry in request.fleet)
    return "N" if paths == 1 or lost else "2N" if paths == 2 else "N+1"


def _reported(topology: str) -> str:
    """The form knows N, N+1 and 2N: what is built as 4N3R survives one failure in each block, as N+1 does."""
    return {"4N3R": "N+1", "N+2": "N+1"}.get(topology, topology)
