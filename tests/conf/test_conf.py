"""Every YAML in conf/ composes, and every part that it names can be built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from perwatt.benchmarks.build import build
from perwatt.benchmarks.cluster import clocks
from perwatt.benchmarks.cluster.grouping import from_config
from perwatt.benchmarks.config import BadRequest, compose
from perwatt.benchmarks.plan import check, estimate_s
from perwatt.benchmarks.profile import Profile

CONF = Path(__file__).parent.parent.parent / "conf"
SUITES = sorted(p.stem for p in (CONF / "suite").glob("*.yaml"))


def plain(*overrides: str) -> dict[str, Any]:
    found = OmegaConf.to_container(compose(overrides), resolve=True)
    assert isinstance(found, dict)
    return found  # type: ignore[return-value]


def test_each_file_is_of_a_group_that_some_test_here_covers() -> None:
    groups = {p.parent.name for p in CONF.rglob("*.yaml")} - {"conf"}
    measuring = {"clocks", "groups", "kernel", "launcher", "meter", "model", "profile", "stopping", "sweep", "target"}
    sizing = {"climate", "preset", "site", "site_defaults", "size_class", "system"}
    assert groups == measuring | sizing | {"suite", "baseline", "compare", "criteria", "remote", "topology", "triton"}


def test_each_file_opens_with_a_line_that_says_what_it_is() -> None:
    for path in CONF.rglob("*.yaml"):
        lines = path.read_text().splitlines()
        first = lines[1] if lines[0].startswith("# @package") else lines[0]
        assert first.startswith("# "), path


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("kind", ["cpu", "cuda", "xpu"])
def test_a_suite_is_checked_and_has_cases_on_every_kind_of_device(suite: str, kind: str) -> None:
    config = plain(f"suite={suite}")
    assert config["suite"] == suite
    cases = check(config).cases(kind, 8 if kind != "cpu" else 2, (0,))
    assert cases
    keys = [p.case.key for p in cases]
    assert len(keys) == len(set(keys))
    labels = [(p.case.kernel, p.case.label, p.case.ranks) for p in cases]
    assert len(labels) == len(set(labels)), "two cases that a reader could not tell apart"
    if kind == "cpu":  # where fp16 and the tensor-core formats would be emulated
        assert {p.case.params.get("dtype", "fp32") for p in cases} <= {"fp32", "bf16"}


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_acceptance_takes_at_most_four_hours_and_smoke_a_minute(kind: str) -> None:
    assert estimate_s(check(plain("suite=acceptance")).cases(kind, 8, range(8))) <= 4 * 3600
    assert estimate_s(check(plain("suite=smoke")).cases(kind, 8, (0,))) <= 90


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "profile").glob("*.yaml")))
def test_a_profile_holds(name: str) -> None:
    config = plain(f"profile={name}")
    profile = Profile(**config["profile"])
    assert profile.name == name
    # the energy of windows below a minute, or of fewer than ten readings, is not to be quoted
    assert profile.indicative == (profile.window_s < 60 or profile.min_readings < 10 or profile.repetitions < 5)


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "clocks").glob("*.yaml")))
def test_clocks_go_with_a_run(name: str) -> None:
    config = plain(f"clocks={name}")
    assert clocks.from_config(config["clocks"]).name == name
    config["clocks"]["beyond"] = "ignore"
    with pytest.raises(BadRequest, match=r"clocks.beyond: found 'ignore'; allowed fail, warn"):
        check(config)


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "groups").glob("*.yaml")))
def test_groups_and_a_topology_go_with_a_run(name: str) -> None:
    config = plain(f"groups={name}", "topology=example")
    check(config)
    assert from_config(config["groups"]).name == name
    with pytest.raises(BadRequest, match=r"topology.leafs: unknown"):
        check(config | {"topology": {"leafs": {}}})


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "stopping").glob("*.yaml")))
def test_a_stopping_rule_can_be_built_and_follows_the_profile(name: str) -> None:
    node = plain(f"stopping={name}", "profile.window_s=0.125")["stopping"]
    assert build(node, "perwatt.benchmarks.stopping", "stopping").samples == 0
    if name != "count":
        assert 0.125 in node.values()


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "meter").glob("*.yaml")))
def test_a_meter_can_be_built(name: str) -> None:
    nodes = plain(f"meter={name}")["meter"]
    assert bool(nodes) == (name != "none")
    for key, node in nodes.items():
        build(node, "perwatt.benchmarks.meters", f"meter.{key}")


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "launcher").glob("*.yaml")))
def test_a_launcher_can_be_built(name: str) -> None:
    assert build(plain(f"launcher={name}")["launcher"], "perwatt.benchmarks.launch", "launcher").name == name


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONF / "target").glob("*.yaml")))
def test_a_target_can_be_asked_for_by_name(name: str) -> None:
    assert plain(f"target={name}")["target"]["name"] == name
