"""The loops of a kernel: its flow graph, dominators, natural loops and how they nest.

Block *d* dominates *b* if every path from the entry to *b* leads through *d*. A jump from *b* back to a block *h* that
dominates it closes a natural loop with head *h*: the blocks that reach *b* without passing *h* (Aho, Lam, Sethi and
Ullman, Compilers, 9.6). Jumps to a lower address alone would not do: waiting for a barrier that is not ready, and much
else, lies out of line behind the kernel and jumps back without being a loop. Dominators are found by the iteration of
Cooper, Harvey and Kennedy (A Simple, Fast Dominance Algorithm, 2001), written out here because importing networkx for
it takes longer than reading a whole kernel.

Where a jump's targets are not in the listing (the dispatch of a warp-specialised kernel to its partitions), blocks that
nothing else reaches are entries in their own right: each partition then has loops of its own, in no common one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from perwatt.kernels.triton.static.assembly import Instruction, Listing


@dataclass(frozen=True)
class NaturalLoop:
    """One loop. ``own`` are the instructions in it that lie in no loop inside it, so that none is counted twice.

    ``parent`` is the place of the smallest loop around it in the same sequence, None for an outermost; ``depth`` is 1
    there. ``start`` and ``end`` are the lowest and highest address of all its instructions.
    """

    start: int
    end: int
    depth: int
    parent: int | None
    own: tuple[Instruction, ...]


def natural_loops(listing: Listing) -> tuple[NaturalLoop, ...]:
    """The loops of a kernel, innermost first; those that are equally deep by address."""
    blocks, successors = flow_graph(listing)
    bodies = _bodies(successors, _dominators(successors))
    heads = sorted(bodies, key=lambda head: len(bodies[head]))
    around = {
        head: next((h for h in heads if h != head and head in bodies[h] and bodies[head] < bodies[h]), None)
        for head in heads
    }
    depth: dict[int, int] = {}
    for head in reversed(heads):  # what is around a loop is larger, so it comes first here
        outer = around[head]
        depth[head] = 1 if outer is None else depth[outer] + 1
    order = sorted(heads, key=lambda head: (-depth[head], head))
    found = []
    for head in order:
        outer = around[head]
        inner = set().union(*(bodies[h] for h in heads if around[h] == head))
        everything = [i for block in sorted(bodies[head]) for i in blocks[block]]
        own = tuple(i for block in sorted(bodies[head] - inner) for i in blocks[block])
        parent = None if outer is None else order.index(outer)
        start, end = min(i.address for i in everything), max(i.address for i in everything)
        found.append(NaturalLoop(start, end, depth[head], parent, own))
    return tuple(found)


def flow_graph(listing: Listing) -> tuple[list[Sequence[Instruction]], list[list[int]]]:
    """Basic blocks in order of address, and for each the blocks that may follow it.

    The last block is empty: the entry, followed by the first block and by each that could not be reached otherwise.
    """
    rows = listing.instructions
    at = {instruction.address: number for number, instruction in enumerate(rows)}
    jumped = {listing.labels[t] for i in rows for t in i.targets if t in listing.labels}
    cuts = {0, len(rows)} | {at[address] for address in jumped if address in at}
    cuts |= {number + 1 for number, i in enumerate(rows) if i.targets or not i.falls_through}
    blocks: list[Sequence[Instruction]] = [rows[a:b] for a, b in pairwise(sorted(cuts))]
    by_address = {block[0].address: number for number, block in enumerate(blocks)}
    successors: list[list[int]] = []
    for number, block in enumerate(blocks):
        last = block[-1]
        to = [by_address[listing.labels[t]] for t in last.targets if listing.labels.get(t) in by_address]
        if last.falls_through and number + 1 < len(blocks):
            to.append(number + 1)
        successors.append(list(dict.fromkeys(to)))
    roots, reached = [], set[int]()
    for number in range(len(blocks)):
        if number not in reached:
            roots.append(number)
            reached |= _reach([number], successors)
    return [*blocks, ()], [*successors, roots]


def _reach(start: Iterable[int], edges: Sequence[Sequence[int]]) -> set[int]:
    found, waiting = set[int](), list(start)
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += edges[number]
    return found


def _dominators(successors: Sequence[Sequence[int]]) -> list[int]:
    """The immediate dominator of each block; the entry, which is the last, has itself."""
    entry = len(successors) - 1
    order = _postorder(successors, entry)
    rank = {number: place for place, number in enumerate(order)}
    before = _reversed(successors)
    nearest = [-1] * len(successors)
    nearest[entry] = entry
    changed = True
    while changed:
        changed = False
        for number in reversed(order[:-1]):
            known = [p for p in before[number] if nearest[p] >= 0]
            common = known[0]
            for other in known[1:]:
                while common != other:
                    if rank[common] < rank[other]:
                        common = nearest[common]
                    else:
                        other = nearest[other]  # noqa: PLW2901 - both fingers walk up
            if nearest[number] != common:
                nearest[number], changed = common, True
    return nearest


def _postorder(successors: Sequence[Sequence[int]], entry: int) -> list[int]:
    order: list[int] = []
    seen, stack = {entry}, [(entry, iter(successors[entry]))]
    while stack:
        number, rest = stack[-1]
        following = next((n for n in rest if n not in seen), None)
        if following is None:
            order.append(number)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(successors[following])))
    return order


def _reversed(successors: Sequence[Sequence[int]]) -> list[list[int]]:
    before: list[list[int]] = [[] for _ in successors]
    for number, to in enumerate(successors):
        for following in to:
            before[following].append(number)
    return before


def _bodies(successors: Sequence[Sequence[int]], nearest: Sequence[int]) -> dict[int, set[int]]:
    """The blocks of each natural loop, by its head; loops that share a head are one."""
    before = _reversed(successors)
    bodies: dict[int, set[int]] = {}
    for number, to in enumerate(successors):
        for head in to:
            if _dominates(head, number, nearest):
                body = bodies.setdefault(head, {head})
                waiting = [number]
                while waiting:
                    block = waiting.pop()
                    if block not in body:
                        body.add(block)
                        waiting += before[block]
    return bodies


def _dominates(upper: int, lower: int, nearest: Sequence[int]) -> bool:
    while lower != upper and nearest[lower] != lower:
        lower = nearest[lower]
    return lower == upper
