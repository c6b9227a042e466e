"""Topologies from YAML and from Slurm, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from perwatt.benchmarks.cluster.topology import Topology, from_config, from_slurm
from perwatt.benchmarks.config import BadRequest

CONF = Path(__file__).parents[3] / "conf" / "topology"
HOSTS = [f"n{i:03}" for i in range(1, 65)]
TREE = """\
SwitchName=s0 Level=0 LinkSpeed=1 Nodes=n[1-4]
SwitchName=s1 Level=0 LinkSpeed=1 Nodes=n[5-8]
SwitchName=empty Level=0 LinkSpeed=1
SwitchName=half Level=1 LinkSpeed=1 Nodes=n[1-4] Switches=s0
SwitchName=top Level=2 LinkSpeed=1 Nodes=n[1-8] Switches=s[0-1]
"""


def shipped(name: str) -> Topology:
    return from_config(yaml.safe_load((CONF / f"{name}.yaml").read_text()), TREE)


@pytest.mark.parametrize("name", sorted(p.stem for p in CONF.glob("*.yaml")))
def test_each_shipped_topology_is_read_and_has_its_name(name: str) -> None:
    assert shipped(name).name == name


def test_groups_come_level_by_level_the_smallest_first() -> None:
    groups = shipped("example").groups(HOSTS)
    assert [g.level for g in groups] == ["rack"] * 8 + ["leaf"] * 4 + ["rail"] * 2
    assert groups[8].hosts == tuple(HOSTS[:16])


def test_of_a_part_of_the_hosts_only_their_groups_are_tested_and_none_twice() -> None:
    groups = shipped("example").groups(["n016", "n001", "n002", "n017"])
    # rack and leaf of one host are nothing to test; the rail set is all of them
    assert [(g.level, g.name, g.hosts) for g in groups] == [
        ("rack", "r01", ("n001", "n002")),
        ("leaf", "leaf1", ("n016", "n001", "n002")),
    ]


def test_the_leaf_of_each_host() -> None:
    assert shipped("example").leaf_of(["n016", "n017"]) == {"n016": "leaf1", "n017": "leaf2"}
    assert shipped("none").leaf_of(["x"]) == {}
    assert shipped("none").groups(["x", "y"]) == ()
    racks = from_config({"racks": {"r1": ["a", "b"], "r2": "c"}})
    assert racks.leaf_of(["c", "a"]) == {"a": "r1", "c": "r2"}


def test_slurm_s_tree_is_read_by_level() -> None:
    hosts = [f"n{i}" for i in range(1, 9)]
    tree = from_slurm(TREE)
    assert list(tree.levels) == ["level 0", "level 1", "level 2"]
    assert tree.leaf_of(hosts) == {h: "s0" if i < 4 else "s1" for i, h in enumerate(hosts)}
    # what a switch above has alone is no group of its own
    assert [(g.level, g.name) for g in tree.groups(hosts)] == [("level 0", "s0"), ("level 0", "s1")]
    with pytest.raises(
        BadRequest, match=r"^topology slurm: host 'm1' and 1 more is in no level 0; allowed one for each$"
    ):
        tree.groups(["n1", "m1", "m2"])


def test_slurm_s_blocks_are_read() -> None:
    text = "BlockName=b1 BlockIndex=0 Nodes=n[1-2] BlockSize=2\nBlockName=b2 BlockIndex=1 Nodes=n[3-4] BlockSize=2\n"
    assert [g.hosts for g in from_slurm(text).groups(["n1", "n2", "n3", "n4"])] == [("n1", "n2"), ("n3", "n4")]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"leafs": {}}, "topology.leafs: unknown; allowed name, source, leaves, rails, racks, perhaps leaves"),
        ({"source": "guess"}, "topology.source: found 'guess'; allowed given, slurm"),
        ({"leaves": ["a"]}, "topology.leaves: found ['a']; allowed names, each with its hosts"),
        ({"leaves": {"l": ""}}, "topology.leaves.l: found no hosts; allowed one and more"),
        ({"racks": {"r": []}}, "topology.racks.r: found no hosts; allowed one and more"),
        ({"racks": {"r": 3}}, "topology.racks.r: found 3; allowed hosts as a list, or as text like 'n[001-016]'"),
        ({"racks": {"r": "n[1-"}}, "topology.racks.r: hosts: found 'n[1-': missing bracket: \"n[1-\""),
        ({"racks": {"r": "n;rm"}}, "topology.racks.r: host: found 'n;rm'; allowed letters"),
        (
            {"name": "t", "leaves": {"a": "n[1-3]", "b": "n[3-4]"}},
            "topology t: leaf: found 'n3' in a and in b; allowed one for each host",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as error:
        from_config(config)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_host_may_be_on_several_rails() -> None:
    assert from_config({"rails": {"a": "n[1-3]", "b": "n[2-4]"}}).groups(["n1", "n2", "n3", "n4"])


def test_a_host_that_the_topology_does_not_know_is_named() -> None:
    with pytest.raises(BadRequest, match=r"^topology example: host 'n065' is in no leaf; allowed one for each$"):
        shipped("example").groups(["n001", "n065"])


@pytest.mark.parametrize(
    "text", ["", "slurm_load_topo error: Unable to contact slurm controller", "SwitchName=s Level=x"]
)
def test_what_slurm_does_not_say_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^scontrol show topology: found "):
        from_slurm(text)
