"""The fleet of a sizing: each kind of hardware with its units and with what one of them draws, from the request.

What a unit draws comes from the first of: runs of ``perwatt run``, power traces, the published ratios of its system.
Under a limit each entry is a candidate, and a run is as many as it holds proven power caps of the same case.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from perwatt.benchmarks import folder
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.sites import choices, parameter_from, plausible_from, system_from, system_named
from perwatt.results.size import loads, plausible
from perwatt.results.size.electrical import psu_input_w
from perwatt.results.size.limit import cap
from perwatt.results.size.load import Load
from perwatt.results.size.loads_run import DEVICE, HELD, REACHED, Readings, from_run
from perwatt.results.size.parameter import Floats, Parameter
from perwatt.results.size.request import Entry
from perwatt.results.size.system import System
from perwatt.results.size.trace_file import read_traces
from perwatt.results.size.windows import seconds_from

MIXES = {"training": 1.0, "inference": 0.0}
INHERITED = ("per_rack", "mix", "run", "trace", "format", "gaps", "load", "cap_w", "work_per_s", "work_unit")
KEYS = ("name", "system", "units", "support_fraction", *INHERITED)
NAMED = re.compile(r"[A-Za-z][A-Za-z0-9_ -]*")  # an entry: it stands in keys of lines and names of cells
MOST = 10_000_000


class Fleet(NamedTuple):
    """An entry of the fleet, and what was read of one unit behind its load, if anything: seconds, W at its AC input."""

    entry: Entry
    trace: tuple[Floats, Floats] | None


def fleet(plain: Mapping[str, Any], directories: Sequence[str]) -> list[Fleet]:
    """Every entry that the composed configuration asks for. Raises BadRequest, naming the key, for a wrong one."""
    asked = _asked(plain, directories)
    if plain["load"] is not None and plain["run"] is None and not any(node.get("run") for node in asked):
        raise BadRequest(f"load: found {plain['load']!r} without a run; allowed with run=RUN, whose cases it chooses")
    if plain["trace"] is None and not any(node.get("trace") for node in asked):
        _without_a_trace(plain)
    found = []
    for index, node in enumerate(asked):
        where = f"fleet[{index}]" if plain["fleet"] else f"systems[{index}]" if plain["systems"] else ""
        found += _entries(plain, node, where, directories)
    found = _apart(found)
    _unlike([member.entry.name for member in found], "fleet" if plain["fleet"] else "systems")
    return found


def _without_a_trace(plain: Mapping[str, Any]) -> None:
    """BadRequest for what is said of a trace that nobody named."""
    columns = plain["columns"] if isinstance(plain["columns"], Mapping) else {}
    said = {f"columns.{key}": value for key, value in columns.items() if value is not None}
    said |= {key: plain[key] for key, usual in (("format", "auto"), ("gaps", "refuse")) if plain[key] != usual}
    for key, value in said.items():
        raise BadRequest(f"{key}: found {value!r} without a trace; allowed with trace=FILE, which it is of")


def _unlike(names: Sequence[str], key: str) -> None:
    """BadRequest for two names that are one, or that cells of a workbook would call alike."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(re.sub(r"\W", "_", name.lower()), name)) != name or names.count(name) > 1:
            found = f"{name!r} twice" if other == name else f"{other!r} and {name!r}, which differ by signs alone"
            raise BadRequest(f"{key}: found {found}; allowed names of their own: {{name: ..., system: ...}}")


def _apart(found: list[Fleet]) -> list[Fleet]:
    """The same with those of one name told apart by their power caps, where these are known."""
    names = [member.entry.name for member in found]
    apart = []
    for entry, trace in found:
        name = entry.name
        if names.count(name) > 1 and (held := cap(entry.load)) is not None:
            name += f"_{'gpu_' if held.of == 'GPU' else ''}{held.power_w:.0f}w"
        apart.append(Fleet(msgspec.structs.replace(entry, name=name), trace))
    return apart


def _asked(plain: Mapping[str, Any], directories: Sequence[str]) -> list[dict[str, Any]]:
    """What was asked for, one mapping an entry."""
    if plain["fleet"]:
        if not isinstance(plain["fleet"], list):
            raise BadRequest(f"fleet: found {plain['fleet']!r}; allowed a list of {{system: NAME, units: N, ...}}")
        return [_node(node, f"fleet[{index}]", "{system: NAME, units: N, ...}", KEYS)
                for index, node in enumerate(plain["fleet"])]  # fmt: skip
    if plain["systems"]:
        if plain["limit_mw"] is None:
            raise BadRequest("systems: found systems to choose from without a limit; allowed with limit_mw=MW")
        listed = plain["systems"] if isinstance(plain["systems"], list) else [plain["systems"]]
        keys = [key for key in KEYS if key != "units"]
        nodes = [{"system": node} if isinstance(node, str) else node for node in listed]
        return [{"units": 1} | _node(node, f"systems[{index}]", "NAME or {system: NAME, ...}", keys)
                for index, node in enumerate(nodes)]  # fmt: skip
    if plain["system"] is None:
        if plain["limit_mw"] is not None:
            raise BadRequest("systems: found nothing; allowed systems=[NAME,...] or system=NAME, to choose from")
        presets = "|".join(choices("preset", directories))
        raise BadRequest(f"system: found nothing; allowed system=NAME nodes=N, fleet=[...], or preset={presets}")
    units = plain["nodes"] if plain["limit_mw"] is None else 1
    if units is None:
        raise BadRequest("nodes: found nothing; allowed how many units of the system there are, or limit_mw=MW")
    return [{"system": plain["system"], "units": units}]


def _node(node: Any, where: str, allowed: str, keys: Sequence[str]) -> dict[str, Any]:
    if not isinstance(node, dict) or "system" not in node:
        raise BadRequest(f"{where}: found {node!r}; allowed {allowed}")
    if unknown := [key for key in node if key not in keys]:
        raise BadRequest(f"{where}.{unknown[0]}: no such key; choices: {', '.join(keys)}")
    return dict(node)


def _entries(plain: Mapping[str, Any], node: dict[str, Any], where: str, directories: Sequence[str]) -> list[Fleet]:
    """One entry; of a run under a limit one for each power cap."""
    node = {key: plain[key] for key in INHERITED} | node
    named = node["system"]
    dot = f"{where}." if where else ""
    key = f"{dot}system"
    system = system_named(named, directories, key) if isinstance(named, str) else system_from(named, key)
    name = str(node.get("name", system.name))
    if not NAMED.fullmatch(name):
        raise BadRequest(f"{dot}name: found {name!r}; allowed letters, digits, blanks, - and _, a letter first")
    found = _loads(plain, node, system, dot)
    if node["work_per_s"] is not None:
        found = [(_working(load, node, dot), trace) for load, trace in found]
    if node["cap_w"] is not None:
        found = [(_capped(load, node["cap_w"], f"{dot}cap_w"), trace) for load, trace in found]
    limits = plausible_from(plain["plausible"])
    found = [(_told(load, system, limits), trace) for load, trace in found]
    entry = Entry(
        name=name,
        system=system,
        units=whole(node.get("units"), f"{where}.units" if where else "nodes", 1),
        per_rack=system.per_rack if node["per_rack"] is None else whole(node["per_rack"], f"{dot}per_rack", 1),
        load=found[0][0],
        training=_mix(node["mix"], f"{dot}mix"),
        utilisation=parameter_from(plain["utilisation"], "utilisation", 0.0, 1.0),
        idle_fraction=parameter_from(plain["idle_fraction"], "idle_fraction", 0.0, 1.0),
        support_fraction=_own(node, f"{dot}support_fraction"),
    )
    return [Fleet(msgspec.structs.replace(entry, load=load), trace) for load, trace in found]


def _own(node: Mapping[str, Any], key: str) -> Parameter | None:
    """A fraction that an entry states itself; None where the site's stands."""
    stated = node.get("support_fraction")
    return None if stated is None else parameter_from(stated, key, 0.0, 1.0)


def whole(value: Any, key: str, least: int) -> int:
    """``value`` if it is a whole number of at least ``least``, and none that no site has; else BadRequest naming
    ``key``."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
        raise BadRequest(f"{key}: found {value!r}; allowed a whole number, {least} to {MOST}")
    return value


def _mix(value: Any, key: str) -> float:
    if isinstance(value, str) and value in MIXES:
        return MIXES[value]
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise BadRequest(f"{key}: found {value!r}; allowed training, inference, or the fraction in step, 0 to 1")


def _capped(load: Load, cap_w: Any, key: str) -> Load:
    """The load with a cap that somebody enforced on the whole unit, if what was measured proves that it held."""
    if isinstance(cap_w, bool) or not isinstance(cap_w, int | float) or not cap_w > 0:
        raise BadRequest(f"{key}: found {cap_w!r}; allowed the power in W that each unit was held to")
    highest_w, window_s = load.at(1.0, 1.0), load.window(1.0, 1.0)
    which = f"mean over {window_s:g} s" if load.hides(1.0, 1.0) else "second"
    if load.kind != "measured" or highest_w is None:
        raise BadRequest(f"{key}: found {cap_w:g} W and no proof; allowed with a run or trace of the unit's own input")
    if not REACHED * cap_w <= highest_w <= HELD * cap_w:
        why = "it did not hold" if highest_w > cap_w else "it was never reached, which proves nothing"
        raise BadRequest(f"{key}: found {cap_w:g} W, and a highest {which} of {highest_w:.6g} W: {why}")
    proof = f"{load.evidence}: a cap of {cap_w:g} W as the request says, and a highest {which} of {highest_w:.6g} W"
    return msgspec.structs.replace(load, cap_w=float(cap_w), cap_proof=proof)


def _told(load: Load, system: System, limits: plausible.Plausible) -> Load:
    """The load with what is odd about its recording among its notes."""
    if not load.observed:
        return load
    return msgspec.structs.replace(load, notes=(*load.notes, *plausible.odd(load, system, limits)))


def _working(load: Load, node: Mapping[str, Any], dot: str) -> Load:
    """The load with the work that a unit did meanwhile, as the request says."""
    rate, unit = node["work_per_s"], node["work_unit"]
    if node["trace"] is None:
        raise BadRequest(
            f"{dot}work_per_s: found {rate!r} without a trace; allowed with one: a run counts its own work"
        )
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise BadRequest(f"{dot}work_per_s: found {rate!r}; allowed the work of one unit in a second, above 0")
    if not isinstance(unit, str) or not unit.isalpha():
        raise BadRequest(f"{dot}work_unit: found {unit!r}; allowed one word, what work_per_s counts: token, FLOP")
    return msgspec.structs.replace(load, work_per_s=float(rate), work_unit=unit, work_kind="given")


def _many(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _loads(
    plain: Mapping[str, Any], node: Mapping[str, Any], system: System, dot: str
) -> list[tuple[Load, tuple[Floats, Floats] | None]]:
    if node["run"] is not None and node["trace"] is not None:
        raise BadRequest(f"{dot}trace: found {node['trace']!r} beside run={node['run']}; allowed one of the two")
    if node["run"] is not None:
        return _measured(plain, node, system)
    if node["trace"] is not None:
        traces = [
            trace
            for path in _many(node["trace"])
            for trace in read_traces(Path(path), node["format"], plain["columns"], node["gaps"])
        ]
        for trace in traces:
            plausible.refuse(trace, system, plausible_from(plain["plausible"]))
        load = _at_the_node(recorded := loads.from_traces(traces, system.name), system)
        longest = max(traces, key=lambda trace: len(trace.t_ns))
        # clocks and periods differ: the others are in every statistic, and not in these
        if len(traces) > 1 and _mix(node["mix"], f"{dot}mix") > 0:
            which = f"the longest of {len(traces)} recordings, {longest.name} in {longest.source}"
            told = f"transients are those of {which}: the others may ramp more"
            load = msgspec.structs.replace(load, notes=(*load.notes, told))
        return [(load, (seconds_from(longest.t_ns), _input_w(longest.power_w, recorded.boundary, system)))]
    return [(loads.published(system), None)]


def _measured(
    plain: Mapping[str, Any], node: Mapping[str, Any], system: System
) -> list[tuple[Load, tuple[Floats, Floats] | None]]:
    """The case that draws the most of those that match, at the node's AC input, with its readings; under a limit that
    case at each power cap."""
    pattern = node["load"]
    found: list[tuple[Load, Readings | None]] = []
    for text in _many(node["run"]):
        run = folder.find(text, Path(str(plain["runs_dir"])))
        found += [(_at_the_node(load, system), _at_input(read, load.boundary, system)) for load, read in from_run(run)]
    matching = [one for one in found if pattern is None or fnmatch.fnmatch(one[0].name, f"*{pattern}*")]
    if not matching:
        names = ", ".join(sorted({load.name for load, _ in found})[:8]) or "none of its cases was metered"
        raise BadRequest(f"run={node['run']}: load={pattern}: no metered case matches; there are: {names}")
    chosen = [max(matching, key=lambda one: one[0].mean_w)]
    if plain["limit_mw"] is not None and node["cap_w"] is None:
        chosen = _by_cap(chosen[0], matching)
    return [(load, None if read is None else (seconds_from(read.t_ns), read.power_w)) for load, read in chosen]


def _by_cap(
    hungriest: tuple[Load, Readings | None], matching: Sequence[tuple[Load, Readings | None]]
) -> list[tuple[Load, Readings | None]]:
    """The case that draws the most, and the same case at each power cap that is proven; of several at one cap that
    which draws the most."""
    found = {None if (held := cap(hungriest[0])) is None else (held.of, round(held.power_w)): hungriest}
    for one in sorted(matching, key=lambda one: -one[0].mean_w):
        if one[0].name == hungriest[0].name and (held := cap(one[0])) is not None:
            found.setdefault((held.of, round(held.power_w)), one)
    return list(found.values())


def _at_input(readings: Readings | None, boundary: str, system: System) -> Readings | None:
    return None if readings is None else readings._replace(power_w=_input_w(readings.power_w, boundary, system))


def _input_w(power_w: Floats, boundary: str, system: System) -> Floats:
    """Readings at ``boundary`` as they are at the node's AC input, lifted to it as their load was."""
    if system.psu is None or boundary not in ("node_dc", *DEVICE):
        return power_w
    dc_w = power_w if boundary == "node_dc" else system.gpus * power_w + system.host_w.mode
    some = np.maximum(dc_w, np.finfo(np.float64).tiny)  # supplies without a load have no efficiency
    return np.asarray(psu_input_w(some, system.psu, system.psu.efficiency_offset.mode))


def _at_the_node(load: Load, system: System) -> Load:
    """Power of GPUs, or behind the supplies, lifted to the node's AC input, and marked so."""
    if load.boundary == "rack" and system.form != "rack":
        raise BadRequest(f"{load.name}: found power of a rack; allowed that of one unit, node_ac, node_dc or gpu")
    if load.boundary in ("node_ac", "rack"):
        return load
    if load.boundary not in ("node_dc", *DEVICE):
        raise BadRequest(f"{load.name}: found power of {load.boundary}; allowed node_ac, node_dc, rack, gpu or module")
    if system.psu is None:
        raise BadRequest(
            f"system {system.name}: psu: found nothing; allowed supplies, to lift {load.boundary} power to the node"
        )
    if load.boundary == "node_dc":
        return loads.lift_dc(load, system.psu)
    return loads.lift(load, system.gpus, system.host_w.mode, system.psu)
