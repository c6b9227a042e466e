"""The facts that a sizing starts from: systems, climates and sites, read from YAML into the types of ``results.size``.

``conf/system``, ``conf/climate`` and ``conf/site`` hold one file each; ``DIR/system/mine.yaml`` with ``--config-dir
DIR`` adds one or replaces a shipped one of its name. A file may start from another by Hydra's defaults list. Where a
figure with its range stands, a plain number may be given: ``site.electrical.ups_efficiency=0.96`` is exact, and its
unit is the one that the field's name states. What is wrong is refused with one line that names file or key, what was
found and what is allowed.
"""

from __future__ import annotations

import difflib
import math
import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from perwatt.benchmarks import documents
from perwatt.benchmarks.config import CONFIG_PATH, BadRequest, explain
from perwatt.results.size.checks import unit_of, within
from perwatt.results.size.parameter import Parameter
from perwatt.results.size.plausible import Plausible
from perwatt.results.size.site import Climate, Site
from perwatt.results.size.system import System

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def system_named(name: str, directories: Iterable[str | Path] = (), key: str = "system") -> System:
    """The system in the file of that name. Raises BadRequest with the choices if there is none, naming the ``key`` that
    asks for it, or for a wrong file."""
    return _named("system", name, System, list(directories), key)


def climate_named(name: str, directories: Iterable[str | Path] = (), key: str = "climate") -> Climate:
    """The climate in the file of that name; errors as for systems."""
    return _named("climate", name, Climate, list(directories), key)


def site_named(
    name: str,
    directories: Iterable[str | Path] = (),
    changes: Mapping[str, object] | None = None,
    size_class: str = "",
    key: str = "site",
) -> Site:
    """The site in the file of that name, with ``changes`` (``{"cooling": {"plant": "tower"}}``) merged into it;
    ``size_class`` of the defaults that it starts from, its own if empty."""
    overrides = [f"size_class@site={size_class}"] * bool(size_class)
    return _named("site", name, Site, list(directories), key, changes, overrides)


def system_from(plain: object, where: str = "system") -> System:
    """A system from keys and values. Raises BadRequest naming ``where`` and the key."""
    return _read(System, plain, f"{where}.", "the request")


def site_from(plain: object, where: str = "site") -> Site:
    """A site from keys and values, for instance of a composed configuration; errors as for systems."""
    return _read(Site, plain, f"{where}.", "the request")


def plausible_from(plain: object) -> Plausible:
    """Limits of a recording from keys and values; errors as for systems."""
    return _read(Plausible, plain, "plausible.", "the request")


def parameter_from(plain: object, where: str, low: float = -math.inf, high: float = math.inf) -> Parameter:
    """A figure between ``low`` and ``high`` from a number or from its keys and values, of the unit that the end of
    ``where`` states. Raises BadRequest."""
    found = _converted(Parameter, _filled(Parameter, plain, "", "the request", where), f"{where}.")
    try:
        for value in (found.low, found.high):
            within(where, value, low, high)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return found


def choices(group: str, directories: Iterable[str | Path] = ()) -> list[str]:
    """The names in ``group``, sorted: shipped ones and the user's."""
    return sorted(_files(group, list(directories)))


def file_of(group: str, name: str, directories: Iterable[str | Path] = ()) -> tuple[Traversable, bool]:
    """The file of that name and whether it ships with perwatt. Raises BadRequest with the choices if there is none."""
    path, first = _file(group, name, list(directories), group)
    return path, first == CONFIG_PATH


def stated_in(group: str, name: str, directories: Iterable[str | Path] = ()) -> dict[str, Any]:
    """What the file of that name states itself, its defaults list as it stands. BadRequest for one without keys."""
    return _stated(file_of(group, name, directories)[0])


def changed_in_part(above: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of the figures of which ``above`` states a value or an end of the range, and no source."""
    if isinstance(above, Mapping):
        if above.keys() & {"mode", "min", "max"}:
            if "source" not in above:
                yield path
            return
        for key, value in above.items():
            yield from changed_in_part(value, (*path, str(key)))


def merged(below: object, above: object) -> object:
    """Mappings merged key by key; of anything else, ``above``. Whether the keys exist is seen when it is read."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}


# -- files ---------------------------------------------------------------------------------------------------------


def _files(group: str, directories: Sequence[str | Path]) -> dict[str, tuple[Traversable, str]]:
    """Names with their file and with the folder that Hydra has to search for it first; a later one replaces."""
    found: dict[str, tuple[Traversable, str]] = {}
    for folder, search in ((files("perwatt.conf"), CONFIG_PATH), *((Path(d), _url(d)) for d in directories)):
        if (place := folder / group).is_dir():
            found |= {p.name[: -len(".yaml")]: (p, search) for p in place.iterdir() if p.name.endswith(".yaml")}
    return found


def _url(directory: str | Path) -> str:
    return f"file://{Path(directory).resolve()}"


def _file(group: str, name: str, directories: list[str | Path], key: str) -> tuple[Traversable, str]:
    found = _files(group, directories)
    if name not in found:
        near = difflib.get_close_matches(name, found, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise BadRequest(f"{key}={name}: no such file in conf/{group}{hint}; choices: {', '.join(sorted(found))}")
    return found[name]


def _stated(path: Traversable) -> dict[str, Any]:
    try:
        node = documents.read(path)
    except AssertionError:  # from OmegaConf, for a file that is one number
        node = None
    if not isinstance(node, dict) or not node:
        raise BadRequest(f"{path}: found no keys and values")
    return dict(node)


def _named(
    group: str,
    name: str,
    kind: type[_Struct],
    directories: list[str | Path],
    key: str,
    changes: Mapping[str, object] | None = None,
    overrides: Sequence[str] = (),
) -> _Struct:
    path, first = _file(group, name, directories, key)
    node: object = _stated(path)
    where, origin = f"{path}: ", f"{group}/{name}.yaml"
    if isinstance(node, dict) and "defaults" in node:
        stated = {key: value for key, value in node.items() if key != "defaults"}
        node = _marked(_composed(f"{group}/{name}", path, first, directories, overrides)[group], stated, origin)
    if changes:
        where, origin = "compare_changes.", "the request"
        node = _marked(merged(node, changes), changes, origin)
    value: Any = _read(kind, node, where, origin)
    if value.name != name:
        raise BadRequest(f"{path}: name: found {value.name!r}; allowed {name!r}, the name of the file")
    return typing.cast(_Struct, value)


def _marked(node: object, above: object, origin: str) -> object:
    """``node``, where the figures that ``above`` changes in part are ``origin``'s."""
    for path in changed_in_part(above):
        mark: object = {"source": origin, "kind": "given"}
        for part in reversed(path):
            mark = {part: mark}
        node = merged(node, mark)
    return node


def _composed(
    config: str, path: Traversable, first: str, directories: list[str | Path], overrides: Sequence[str]
) -> dict[str, Any]:
    """The file with what its defaults list brings in, as Hydra composes it; ``first`` is searched before the others."""
    from hydra import compose, initialize_config_dir, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    others = [place for place in (CONFIG_PATH, *map(_url, directories)) if place != first]
    search = [f"hydra.searchpath=[{','.join(others)}]"] if others else []
    kept = GlobalHydra.instance().hydra  # a command may itself run inside Hydra
    GlobalHydra.instance().clear()
    try:
        start = (
            initialize_config_module("perwatt.conf", version_base="1.3")
            if first == CONFIG_PATH
            else initialize_config_dir(first.removeprefix("file://"), version_base="1.3")
        )
        with start:
            composed = compose(config, overrides=[*search, *overrides])
        plain: Any = OmegaConf.to_container(composed, resolve=True)
    except Exception as error:
        raise BadRequest(f"{path}: {explain(error, [], [str(d) for d in directories])}") from None
    finally:
        GlobalHydra.instance().clear()
        if kept is not None:
            GlobalHydra.instance().initialize(kept)
    return dict(plain)


# -- values --------------------------------------------------------------------------------------------------------


def _read(kind: type[_Struct], node: object, where: str, origin: str) -> _Struct:
    """``where`` is what stands before a key in messages: ``site.`` or ``/home/me/mine.yaml: ``."""
    return _converted(kind, _filled(kind, node, where, origin), where)


def _filled(kind: type[msgspec.Struct], node: object, where: str, origin: str, key: str = "") -> object:
    """``node`` with plain numbers written out as parameters. BadRequest for unknown keys and units not of the field."""
    if kind is Parameter and isinstance(node, int | float) and not isinstance(node, bool):
        return {"mode": node, "unit": unit_of(key), "source": origin, "kind": "given"}
    if not isinstance(node, dict):
        allowed = "a number, or mode, min, max, unit and source" if kind is Parameter else "keys and values"
        raise BadRequest(f"{_at(where, key)}: found {node!r}; allowed {allowed}")
    hints = typing.get_type_hints(kind)
    for name in node:
        if name not in hints:
            near = difflib.get_close_matches(str(name), hints, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise BadRequest(f"{_at(where, key)}: unknown key {name!r}{hint}; allowed: {', '.join(hints)}")
    if kind is Parameter and (unit := node.get("unit", unit_of(key))) != unit_of(key):
        raise BadRequest(f"{_at(where, key)}: unit: found {unit!r}; allowed {unit_of(key)!r}")
    filled: dict[str, object] = {}
    for name, value in node.items():
        if typing.get_origin(hints[name]) is Literal and value not in (listed := typing.get_args(hints[name])):
            path = f"{key}.{name}" if key else name
            raise BadRequest(f"{_at(where, path)}: found {value!r}; allowed {', '.join(map(str, listed))}")
        inner = _struct(hints[name])
        absent = value is None and type(None) in typing.get_args(hints[name])
        path = f"{key}.{name}" if key else name
        filled[name] = value if inner is None or absent else _filled(inner, value, where, origin, path)
    return filled


def _struct(hint: Any) -> type[msgspec.Struct] | None:
    """The struct that a field holds, alone or as an alternative to None; None if it holds none."""
    for found in (hint, *typing.get_args(hint)):
        if isinstance(found, type) and issubclass(found, msgspec.Struct):
            return found
    return None


def _converted(kind: type[_Struct], node: object, where: str) -> _Struct:
    try:
        return msgspec.convert(node, kind)
    except msgspec.ValidationError as error:
        said = re.fullmatch(r"(.*?)(?: - at `\$\.?(.*)`)?", str(error), re.S)
        assert said is not None
        message, key = said[1], said[2] or ""
        if re.match(r"[\w.]+: ", message):  # a type's own check starts with the key that it is about
            raise BadRequest(f"{where}{key}{'.' if key else ''}{message}") from None
        if "RFC3339" in message:
            message = "found no date; allowed one such as 2027-07-01"
        raise BadRequest(f"{_at(where, key)}: {message}") from None


def _at(where: str, key: str) -> str:
    return f"{where}{key}".rstrip(".: ")
