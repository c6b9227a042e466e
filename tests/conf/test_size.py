"""The request of a sizing composes, alone and with each preset, and every figure in it can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from perwatt.benchmarks import sites

CONF = Path(__file__).parent.parent.parent / "conf"
PRESETS = sorted(p.stem for p in (CONF / "preset").glob("*.yaml"))


def plain(*overrides: str) -> dict[str, Any]:
    GlobalHydra.instance().clear()
    with initialize_config_module("perwatt.conf", version_base="1.3"):
        found = OmegaConf.to_container(compose("size", overrides=list(overrides)), resolve=True)
    assert isinstance(found, dict)
    return found  # type: ignore[return-value]


def test_without_a_word_it_has_a_site_and_asks_for_a_system() -> None:
    config = plain()
    assert (config["system"], config["nodes"], config["fleet"]) == (None, None, [])
    assert sites.site_from(config["site"]).name == "copenhagen"
    assert sites.parameter_from(config["utilisation"], "utilisation", 0, 1).high < 1
    assert sites.parameter_from(config["idle_fraction"], "idle_fraction", 0, 1).mode == 0.22


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "system").glob("*.yaml")))
def test_a_system_can_be_asked_for_by_name(name: str) -> None:
    assert sites.system_from(plain(f"system={name}")["system"]) == sites.system_named(name)


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "site").glob("*.yaml")))
def test_a_site_can_be_asked_for_by_name(name: str) -> None:
    site = sites.site_from(plain(f"site={name}")["site"])
    assert site == sites.site_named(name)
    assert sites.climate_named(site.climate).name == site.climate


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_whole_case(name: str) -> None:
    config = plain(f"preset={name}")
    assert sites.system_from(config["system"]).gpus
    assert config["nodes"] >= 1
    assert config["title"]
    site = sites.site_from(config["site"])
    if config["compare_site"] is not None:
        other = sites.site_named(config["compare_site"], changes=config["compare_changes"])
        assert other.cooling.supply_liquid_c == site.cooling.supply_liquid_c
    first = (CONF / "preset" / f"{name}.yaml").read_text().splitlines()[:4]
    assert "nothing of it was measured here" in " ".join(first)


def test_the_presets_are_those_that_are_promised() -> None:
    assert {"gefion", "gigafactory"} <= set(PRESETS)
    gefion = plain("preset=gefion")
    assert (gefion["system"]["name"], gefion["nodes"], gefion["site"]["name"]) == ("dgx_h100", 191, "copenhagen")
    factory = plain("preset=gigafactory")
    assert factory["nodes"] * factory["system"]["gpus"] >= 100_000 > (factory["nodes"] - 1) * factory["system"]["gpus"]
    assert factory["compare_site"] == "phoenix"


def test_the_command_line_wins_over_a_preset() -> None:
    config = plain(
        "preset=gefion", "nodes=10", "site=billund", "system=dgx_b200", "site.electrical.ups_efficiency=0.96"
    )
    assert (config["nodes"], config["site"]["name"], config["system"]["name"]) == (10, "billund", "dgx_b200")
    site = sites.site_from(config["site"])
    assert (site.electrical.ups_efficiency.mode, site.electrical.ups_efficiency.kind) == (0.96, "given")
    assert site.grid.renewable.mode == 1.0  # of the preset
