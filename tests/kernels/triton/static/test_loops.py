"""Loops of hand-written flow graphs, and dominators of random ones against networkx."""

from __future__ import annotations

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.kernels.triton.static.assembly import Instruction, Listing
from perwatt.kernels.triton.static.loops import NaturalLoop, _dominators, natural_loops


def listing(text: str) -> Listing:
    """One instruction a line: ``label: opcode -> target``; ``jump`` and ``end`` do not fall through."""
    rows, labels = [], {}
    for number, line in enumerate(text.split("\n")):
        label, _, rest = line.rpartition(":")
        if label:
            labels[label.strip()] = number * 16
        opcode, _, target = (part.strip() for part in rest.partition("->"))
        rows.append(
            Instruction(
                number * 16, opcode, "", "", (target,) if target else (), falls_through=opcode not in ("jump", "end")
            )
        )
    return Listing(tuple(rows), labels)


def opcodes(loop: NaturalLoop) -> list[str]:
    return [i.opcode for i in loop.own]


def test_a_loop_within_a_loop() -> None:
    loops = natural_loops(listing("start\nouter: a\ninner: b\nbranch -> inner\nc\nbranch -> outer\nend"))
    assert [(opcodes(loop), loop.depth, loop.parent) for loop in loops] == [
        (["b", "branch"], 2, 1),
        (["a", "c", "branch"], 1, None),
    ]
    assert (loops[1].start, loops[1].end) == (16, 5 * 16)


def test_a_slow_path_out_of_line_is_no_loop_of_its_own_but_part_of_the_one_it_returns_to() -> None:
    text = "start\nhead: a\nbranch -> slow\nback: b\nbranch -> head\nend\nslow: wait\nbranch -> slow\njump -> back"
    loops = natural_loops(listing(text))
    assert [opcodes(loop) for loop in loops] == [["wait", "branch"], ["a", "branch", "b", "branch", "jump"]]
    assert loops[0].parent == 1


def test_a_jump_backwards_alone_is_no_loop() -> None:
    assert natural_loops(listing("branch -> later\nbefore: a\nend\nlater: b\njump -> before")) == ()


def test_two_ways_back_to_one_head_are_one_loop() -> None:
    (loop,) = natural_loops(listing("head: a\nbranch -> head\nb\nbranch -> head\nend"))
    assert opcodes(loop) == ["a", "branch", "b", "branch"]


def test_partitions_behind_a_jump_whose_targets_are_not_listed_have_loops() -> None:
    loops = natural_loops(listing("jump\none: a\nbranch -> one\nend\ntwo: b\nbranch -> two\nend"))
    assert [opcodes(loop) for loop in loops] == [["a", "branch"], ["b", "branch"]]
    assert {loop.depth for loop in loops} == {1}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_dominators_are_those_of_networkx(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 12))
    successors = [data.draw(st.lists(st.integers(0, size - 1), max_size=3, unique=True)) for _ in range(size)]
    successors.append([0])  # the entry
    graph = nx.DiGraph([(a, b) for a, to in enumerate(successors) for b in to])
    expected = dict(nx.immediate_dominators(graph, size))
    expected[size] = size
    found = {number: near for number, near in enumerate(_dominators(successors)) if near >= 0}
    assert found == expected
