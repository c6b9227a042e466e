"""What ``perwatt size`` is asked for: its arguments, the files that they choose, and whose word each figure is.

A figure that is changed in part (``site.cooling.dry_fan.mode=0.03``) is no longer what its source says: unless whoever
changed it names another, its kind is ``given`` and its source the request, or the user's own file. A file of the user's
that is wrong is named, before anything is composed. What would be ignored beside something else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perwatt.benchmarks.config import BadRequest, composed
from perwatt.benchmarks.sites import changed_in_part, file_of, merged, site_named, stated_in, system_named

CONFIG = "size"
GROUPS = ("system", "site", "preset")
SIZE_CLASS = "size_class"  # of the defaults beneath a site: Hydra's size_class@site, which nobody would guess
KEYS = (
    *("title", "system", "nodes", "per_rack", "mix", "run", "trace", "format", "columns", "gaps", "load"),
    *("cap_w", "work_per_s", "work_unit", "fleet", "phases"),
    *("utilisation", "idle_fraction", "plausible", "limit_mw", "systems", "site", "compare_site", "compare_changes"),
    *("draws", "seed", "runs_dir", "out"),
)
FIGURES = (
    "site",
    "system",
    "utilisation",
    "idle_fraction",
    "plausible",
)  # what of the request holds figures with a source
TITLED = ("system", "nodes", "site", "fleet", "limit_mw", "systems")  # what the title of a preset speaks of
OPENING = {"{": "}", "[": "]", "(": ")"}


def asked(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The composed configuration with every key, and the folders of --config-dir. BadRequest for a wrong request."""
    directories, overrides = _sorted(arguments)
    groups = [override for override in overrides if _key(override) in GROUPS]
    others = [override for override in overrides if _key(override) not in GROUPS]
    own = _of_files(groups, directories)
    plain = composed([*groups, *own, *others, *_marks(_tree(others), "the request")], directories, CONFIG)
    if unknown := [key for key in plain if key not in KEYS]:
        raise BadRequest(f"{unknown[0]}: no such key; choices: {', '.join(KEYS)}")
    if absent := [key for key in KEYS if key not in plain]:
        raise BadRequest(f"{absent[0]}: found nothing; allowed a value, or to leave the key as it is")
    _together(plain)
    _titled(plain, {_key(override): override.partition("=")[2] for override in overrides})
    return plain, directories


def overruled(arguments: Sequence[str]) -> list[str]:
    """One line for each key that is given two values, of which the last counts, as Hydra has it."""
    given: dict[str, list[str]] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and not key.startswith("-"):
            given.setdefault(key.lstrip("+~"), []).append(value)
    return [f"{key}: found {' and '.join(values)}: the last one counts"
            for key, values in given.items() if len(set(values)) > 1]  # fmt: skip


def _sorted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folders of --config-dir, and the overrides."""
    directories: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in ("--config-dir", "-cd"):
            found = value if equals else next(rest, "")
            if not found or not Path(found).is_dir():
                raise BadRequest(
                    f"--config-dir {found}: no such folder" if found else "--config-dir: needs a value: a folder"
                )
            directories.append(str(Path(found).resolve()))
        elif argument.startswith("-"):
            raise BadRequest(f"{argument}: no such flag; choices: --config-dir, --help")
        elif name in GROUPS and value in ("", "null"):
            raise BadRequest(f"{argument}: found nothing; allowed a name in conf/{name}, or no {name}= at all")
        elif name.lstrip("+~") == f"site.{SIZE_CLASS}":  # would be another name for the same figures
            raise BadRequest(f"{argument}: found a name alone; allowed {SIZE_CLASS}=NAME, which brings its figures")
        elif name == SIZE_CLASS:
            overrides.append(_size_class(value, directories))
        elif open_ := _open(value):
            raise BadRequest(
                f"{argument}: found {open_!r} and no {OPENING[open_]!r} to it; allowed all of it in quotes, as a shell "
                f"splits at blanks: '{name}={open_}...{OPENING[open_]}'"
            )
        else:
            overrides.append(argument)
    return directories, overrides


def _size_class(value: str, directories: Sequence[str]) -> str:
    """Hydra's override for that size class. BadRequest with the choices if there is none of that name."""
    file_of(SIZE_CLASS, value, directories)
    return f"{SIZE_CLASS}@site={value}"


def _open(value: str) -> str:
    """The first bracket of ``value`` that is not closed, outside quotes; empty if there is none."""
    waiting: list[str] = []
    for sign in re.sub(r"'[^']*'|\"[^\"]*\"", "", value):
        if sign in OPENING:
            waiting.append(sign)
        elif waiting and sign == OPENING[waiting[-1]]:
            waiting.pop()
    return waiting[0] if waiting else ""


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


# -- whose word a figure is ------------------------------------------------------------------------------------------


def _of_files(groups: Sequence[str], directories: Sequence[str]) -> list[str]:
    """Marks for the figures that the user's own files change in part. BadRequest for a file that is wrong or not there,
    naming it."""
    chosen = {_key(group): group.partition("=")[2].strip("'\"") for group in groups}
    marks = []
    if "preset" in chosen:
        stated = stated_in("preset", chosen["preset"], directories)
        for default in stated.pop("defaults", None) or []:
            for key, name in default.items() if isinstance(default, dict) else ():
                chosen.setdefault(str(key).rpartition("/")[2], str(name))
        if not file_of("preset", chosen["preset"], directories)[1]:
            marks = _marks(stated, f"preset/{chosen['preset']}.yaml")
    for group, read in (("system", system_named), ("site", site_named)):
        if group in chosen and not file_of(group, chosen[group], directories)[1]:
            read(chosen[group], directories)
            stated = stated_in(group, chosen[group], directories)
            marks = [*_marks({group: stated}, f"{group}/{chosen[group]}.yaml"), *marks]
    return marks


def _marks(stated: Mapping[str, Any], origin: str) -> list[str]:
    """Overrides that name ``origin`` as the source of every figure that is ``stated`` in part."""
    told = {key: stated[key] for key in FIGURES if key in stated}
    return [
        f"++{'.'.join(path)}.{key}={value}"
        for path in changed_in_part(told)
        for key, value in (("source", f"'{origin}'"), ("kind", "given"))
    ]


def _tree(overrides: Sequence[str]) -> dict[str, Any]:
    """What the overrides state, as one mapping; of those that Hydra cannot read nothing, as it will say so itself."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    tree: object = {}
    for override in overrides:
        try:
            (parsed,) = OverridesParser.create().parse_overrides([override])
        except HydraException:
            continue
        if not parsed.is_delete():
            value: object = parsed.value()
            for part in reversed(parsed.key_or_group.split(".")):
                value = {part: value}
            tree = merged(tree, value)
    assert isinstance(tree, dict)
    return tree


# -- what goes together ----------------------------------------------------------------------------------------------


def _together(plain: Mapping[str, Any]) -> None:
    """BadRequest for keys of which one would be ignored."""
    for key, value, wrong, allowed in _clashes(plain):
        if wrong:
            raise BadRequest(f"{key}: found {value}; allowed {allowed}")


def _clashes(plain: Mapping[str, Any]) -> Iterator[tuple[str, str, bool, str]]:
    beside = [key for key in ("system", "nodes", "systems") if plain[key]]
    named = f"{' and '.join(beside)} beside it"
    yield "fleet", named, bool(plain["fleet"] and beside), "a fleet without them, and without a preset that has them"
    listed = bool(plain["systems"] and plain["system"] is not None)
    yield "systems", "system beside it", listed, "one of the two, and no preset that has a system"
    limited = plain["limit_mw"] is not None
    units = f"{plain['nodes']!r} beside limit_mw"
    yield "nodes", units, limited and plain["nodes"] is not None, "one of the two: nodes=null under a limit"
    alone = plain["compare_changes"] is not None and plain["compare_site"] is None
    yield "compare_changes", "changes to no site", alone, "with compare_site=NAME, or compare_changes=null"


def _titled(plain: dict[str, Any], told: Mapping[str, str]) -> None:
    """Without the title and the site's note of a preset from which what they speak of was changed: a title is then made
    from what is asked."""
    if "preset" not in told:
        return
    if "title" not in told and any(key in told for key in TITLED):
        plain["title"] = ""
    if "site" in told and "site.note" not in told and isinstance(plain["site"], dict):
        plain["site"]["note"] = ""
