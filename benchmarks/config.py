"""The shape of a run's configuration, and plain words for what Hydra has to say about a wrong one.

Hydra composes the YAML of ``perwatt.conf`` and the user's own; this module registers the schema, so that a key that
does not exist dies there, and turns Hydra's errors into one line that names the key and the choices.
"""

from __future__ import annotations

import difflib
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

CONFIG_PATH = "pkg://perwatt.conf"
CONFIG_NAME = "run"


class BadRequest(ValueError):
    """The request was wrong; the message is the one line that the user sees. Exit code 2."""


@dataclass
class ProfileConfig:
    """How thoroughly each case is measured."""

    name: str = "???"
    warmup_s: float = 0.1
    repetitions: int = 2
    window_s: float = 0.4
    min_readings: int = 3
    meter_error: float = 0.0
    indicative: bool = True
    guard_s: float = 0.0
    warmup_max_s: float = 0.0
    block_s: float = 10.0
    segments: int = 0
    idle_s: float = 0.0
    idle_settle_s: float = 0.0
    sampler_cost_s: float = 0.0
    recheck: int = 0


@dataclass
class RunConfig:
    """Everything that `perwatt run` can be told."""

    suite: str = "???"
    kernels: dict[str, Any] = field(default_factory=dict)
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    stopping: dict[str, Any] = field(default_factory=dict)
    meter: dict[str, Any] = field(default_factory=dict)
    launcher: dict[str, Any] = field(default_factory=dict)
    topology: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Any] = field(default_factory=dict)
    clocks: dict[str, Any] = field(default_factory=dict)
    remote: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)
    sweep: dict[str, Any] = field(default_factory=dict)
    allow_settings: bool = False  # change power limits, for as long as the run lasts
    device: str = "auto"  # auto, cpu, cuda (NVIDIA and ROCm), xpu
    devices: Any = "first"  # first, all, or a list of indices: where single-device kernels run, side by side
    only: Any = None  # a pattern or a list of them: run only the cases whose name matches
    runs_dir: str = "results/runs"
    resume: str | None = None  # a run folder or id: measure what it still lacks, with its own configuration
    dry_run: bool = False
    allow_failed: bool = False  # exit 0 although a case failed
    note: str = ""  # kept with the run
    duration: str | None = None  # 90s, 30m, 24h: the cases round after round until so long was measured; null: once


def run_id(suite: str) -> str:
    """A name that no other run has, even one of the same second: time, suite, six random digits."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{suite}-{secrets.token_hex(3)}"


def register() -> None:
    """Make the schema and the resolver known to Hydra; calling it again changes nothing."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    ConfigStore.instance().store(name="schema", node=RunConfig)
    # cached: every ${perwatt_id:} of one process is the same, so all jobs of a sweep share its folder
    OmegaConf.register_new_resolver("perwatt_id", lambda: run_id("sweep"), use_cache=True, replace=True)


def compose(overrides: Sequence[str] = (), directories: Sequence[str] = (), name: str = CONFIG_NAME) -> Any:
    """The composed configuration as Hydra would give it to a run, or to what ``name`` configures."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    register()
    GlobalHydra.instance().clear()
    search = [f"hydra.searchpath=[{','.join(f'file://{d}' for d in directories)}]"] if directories else []
    with initialize_config_module("perwatt.conf", version_base="1.3"):
        return hydra_compose(name, overrides=[*search, *map(quoted, overrides)])


def quoted(override: str) -> str:
    """``launcher.hosts=n[001-064]`` as Hydra's grammar has it: a list of hosts is a text, though it has brackets."""
    found = re.fullmatch(r"([\w.+@/]+)=([\w.-]+\[[\w,-]+\][\w.,\[\]-]*)", override)
    return f"{found[1]}='{found[2]}'" if found else override


def composed(overrides: Sequence[str], directories: Sequence[str] = (), name: str = CONFIG_NAME) -> dict[str, Any]:
    """The composed configuration as plain values. Raises BadRequest with one line for what is wrong with it."""
    from omegaconf import OmegaConf

    try:
        plain: Any = OmegaConf.to_container(compose(overrides, directories, name), resolve=True)
    except Exception as error:
        raise BadRequest(explain(error, overrides, directories, name)) from None
    return dict(plain)


def explain(
    error: BaseException, overrides: Sequence[str], directories: Sequence[str] = (), name: str = CONFIG_NAME
) -> str:
    """One line for the user from any error that Hydra or OmegaConf raised while composing ``overrides``."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    text = "\n".join(str(e) for e in chain)
    if found := re.search(r"Could not find '([^']+)'.*?Available options in '[^']+':\n((?:\t\S+\n?)*)", text, re.S):
        group, _, chosen = found[1].rpartition("/")
        return _unknown(f"{group}={chosen}", sorted(found[2].split()), chosen, "no such file in conf/" + group)
    if found := re.search(r"(?:Could not override|Key) '([^']+)'(?: is not in struct|\.| not in)?", text):
        full = re.search(r"full_key: (\S+)", text)
        key = _matching(full[1] if full else found[1], overrides)
        return _key_message(key, directories, overrides, name)
    where = re.search(r"full_key: (\S+)", text)
    named = where[1] if where else getattr(error, "override", None)
    # the innermost complaint about a value says what was found and what it should have been
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("Value ")), lines[0] if lines else type(error).__name__)
    return f"{named}: {said}" if named else said


def _matching(key: str, overrides: Sequence[str]) -> str:
    """The override that ``key`` comes from, written out in full (errors name only the last part of some keys)."""
    for override in overrides:
        name = override.lstrip("+~").split("=")[0].split("@")[0]
        if name == key or name.endswith("." + key):
            return name
    return key


def _key_message(key: str, directories: Sequence[str], overrides: Sequence[str], name: str) -> str:
    """What exists where ``key`` was looked for."""
    keep = [o for o in overrides if re.match(r"^[a-z_]+=", o) and o.split("=")[0] != key]
    try:
        node: Any = compose(keep, directories, name)
    except Exception:
        node = compose(name=name)
    parts = key.replace("/", ".").split(".")
    for depth, part in enumerate(parts):
        keys = [str(k) for k in node if k != "_target_"] if hasattr(node, "keys") else []
        if part not in keys:
            return _unknown(".".join(parts[: depth + 1]), keys, part, "no such key")
        node = node[part]
    return f"{key}: cannot be set here"


def _unknown(what: str, choices: Sequence[str], wrong: str, why: str) -> str:
    near = difflib.get_close_matches(wrong, choices, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{what}: {why}{hint}; choices: {', '.join(choices) or 'none'}"
