"""The section of a fleet's report on its power, from what ``perwatt merge`` left: pictures first, tables beneath.

What the sum does not rest on is said: devices and nodes without a part in it, nodes that were killed, clocks that
nobody compared. A figure that could not be had is a word, never 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perwatt.results.fleet.layout import MERGED, START
from perwatt.results.fleet.nodesets import some
from perwatt.results.fleet.stated import DEVICE_POWER, FIGURES, SUM
from perwatt.results.reports.document import captioned
from perwatt.results.reports.html_cases import table
from perwatt.results.reports.layout import ABSENT
from perwatt.results.reports.units import number, quantity

if TYPE_CHECKING:
    import pandas as pd

NAMED = 20  # who has no part in the sum: each named up to so many, the others counted
OVER = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "greatest": 1.0}


def power(run: Path) -> str:
    """The section; empty of a run that is no fleet's, that has not been merged, or whose nodes have no meter.

    Raises ValueError for files that cannot be read.
    """
    merged = run / MERGED
    if not (merged / FIGURES).is_file():
        return ""
    import pandas as pd

    told, started = _json(merged / FIGURES), _json(merged / START)
    try:
        frame, devices = (pd.read_parquet(merged / name) for name in (SUM, DEVICE_POWER))
    except (OSError, ValueError) as error:
        raise ValueError(f"{merged}: not readable as the power of a fleet ({error}); perwatt merge run={run}") from None
    if "nodes" not in frame:  # of an older perwatt's merge
        return ""
    figures = "".join(_figures(frame, devices, told, started))
    tables = _ramps(told) + _devices(devices)
    notes = "".join(f"<li>{line}</li>" for line in _notes(told))
    return (
        f'<section class="energy fleet">\n<h2>Power of the fleet</h2>\n<dl class="tiles">{_tiles(told, started)}</dl>\n'
        f'<div class="figures">\n{figures}</div>\n{tables}'
        + (f'<ul class="notes">{notes}</ul>\n' if notes else "")
        + "</section>"
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON: {error}") from error
    return found


def _tiles(told: Mapping[str, Any], started: Mapping[str, Any]) -> str:
    meter = told["series"].partition(":")[2]
    share = told["coincidence"]
    skew = started.get("skew_s")
    within = f"± {quantity(2 * started['uncertainty_s'], 's', 2)}, of {len(started['late_s'])} nodes" if skew else ""
    steep = {ramp["window_s"]: ramp for ramp in told["ramps"]}
    tiles = [
        ("highest together", quantity(told["peak_w"], "W", 4), f"means over {told['step_s']:g} s, by {meter}"),
        ("mean", quantity(told["mean_w"], "W", 4), f"of {told['devices']} devices on {told['nodes']} nodes"),
        ("coincidence", "" if share is None else f"{share:.3f}", "highest sum over the sum of the highest"),
        *((f"steepest over {window_s:g} s", *_steep(steep[window_s])) for window_s in (1.0, 10.0) if window_s in steep),
        ("began within", quantity(skew, "s", 3), within),
    ]
    why = told["reason"] or "not known"
    return "".join(
        f'<div><dt>{name}</dt><dd><span class="value">{escape(value) or ABSENT}</span>'
        f"<small>{escape(about if value else about if name.startswith('steepest') else why)}</small></dd></div>"
        for name, value, about in tiles
        if value or name != "began within"
    )


def _steep(ramp: Mapping[str, Any]) -> tuple[str, str]:
    if ramp["up_w_s"] is None:
        return "", ramp["reason"]
    way = "up" if ramp["up_w_s"] >= ramp["down_w_s"] else "down"
    of_peak = f"{way}, {number(100 * ramp[f'{way}_fraction'], 3)} % of the highest"
    return quantity(ramp[f"{way}_w_s"], "W/s", 3), of_peak


def _figures(
    frame: pd.DataFrame, devices: pd.DataFrame, told: Mapping[str, Any], started: Mapping[str, Any]
) -> Iterator[str]:
    from perwatt.results.reports import fleet_plots

    if len(frame) > 1:
        first_ns = int(frame["t_ns"].iloc[0])
        begin_s = [(at_ns - first_ns) * 1e-9 for at_ns in started.get("agreed_ns", ())]
        yield captioned(fleet_plots.together(frame, told["devices"], told["ramps"], begin_s))
        if apart := fleet_plots.nodes_apart(frame):
            yield captioned(apart)
    if spread := fleet_plots.distribution(devices):
        yield captioned(spread)
    if start := fleet_plots.began(started.get("late_s", {}), started.get("uncertainty_s", 0.0)):
        yield captioned(start)


def _ramps(told: Mapping[str, Any]) -> str:
    body = []
    some = any(ramp["reason"] for ramp in told["ramps"])
    for ramp in told["ramps"]:
        if ramp["up_w_s"] is None:
            cells = [ABSENT] * 4
        else:
            cells = [
                cell
                for way in ("up", "down")
                for cell in (number(ramp[f"{way}_w_s"] / 1e3, 4), number(100 * ramp[f"{way}_fraction"], 3))
            ]
        cells += [f"<small>{escape(ramp['reason'])}</small>"] * some
        body.append((f"{ramp['window_s']:g} s", cells))
    heads = ["up<small>kW/s</small>", "of the highest<small>%</small>"]
    heads += ["down<small>kW/s</small>", "of the highest<small>%</small>", *[""] * some]
    return "<h3>Ramps</h3>\n" + table("Ramps of the fleet's power", "over", heads, body, "terms" if some else "states")


def _devices(frame: pd.DataFrame) -> str:
    """How each statistic of a device is spread over the devices, and which of them are at the ends."""
    names = [
        str(name) for name in frame.columns if name not in ("host", "device", "samples") and frame[name].notna().any()
    ]
    if not len(frame) or not names:
        return ""
    body = []
    for name in names:
        known = frame[frame[name].notna()]
        values = known[name]
        names_of = (known["host"].astype(str) + ":" + known["device"].astype(str)).tolist()
        cells = [number(float(values.quantile(q)), 4) for q in OVER.values()]
        ends = [names_of[int(values.to_numpy().argmin())], names_of[int(values.to_numpy().argmax())]]
        body.append((_spoken(name), [*cells, f"<small>{escape(ends[0])}, {escape(ends[1])}</small>"]))
    heads = [f"{name}<small>W</small>" for name in OVER]
    return "<h3>Devices</h3>\n" + table(
        f"Power of {len(frame)} devices", "of each device", [*heads, "least and greatest device"], body
    )


def _spoken(column: str) -> str:
    if column.startswith("max_"):
        return f"highest mean over {column.removeprefix('max_').removesuffix('s')} s"
    if column[0] == "p" and column[1:2].isdigit():
        return f"{column[1:]} % of its readings are below"
    return {"min": "lowest reading", "max": "highest reading", "mean": "mean of its readings"}.get(column, column)


def _notes(told: Mapping[str, Any]) -> Iterator[str]:
    if told["complete_s"] < told["known_s"]:
        peak = told["known_peak"]
        yield (
            f"All devices are known for {number(told['complete_s'], 4)} of {number(told['known_s'], 4)} s, which the "
            f"figures are of. The highest of what is known is {quantity(peak['power_w'], 'W', 4)}, of "
            f"{peak['devices']} devices on {peak['nodes']} nodes."
        )
    for line, names in (
        ("killed or still at work, counted until their last readings", list(told["cut_short_ns"])),
        ("clocks as they are, nobody compared them", told["unsynchronised"]),
    ):
        if names:
            yield f"{line}: {escape(some(names, NAMED))}"
    missing = list(told["missing"].items())
    for name, why in missing[:NAMED]:
        yield f"<b>no power</b> {escape(name)}: {escape(why)}"
    if len(missing) > NAMED:
        yield f"<b>no power</b> of {len(missing) - NAMED} more: RUN/{MERGED}/{FIGURES}"
