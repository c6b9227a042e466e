"""The picture of the links: what is drawn, that it stays small, what is refused."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from xml.etree import ElementTree

import pytest

from perwatt.results.reports.links import matrix


def links(n: int) -> tuple[list[str], dict[tuple[str, str], float | None]]:
    hosts = [f"n{i:03}" for i in range(n)]
    return hosts, {pair: 0.6 if "n002" in pair else 1.0 for pair in itertools.combinations(hosts, 2)}


def drawn_cells(markup: str) -> dict[str, int]:
    """Cells, or bands of cells, by opacity; the key has one box of each opacity."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*style="[^"]*fill: var\(--plot-c0\); opacity: ([\d.]+)', markup)
    found: Counter[str] = Counter()
    for data, opacity in paths:
        found[opacity] += data.count("M")
    return {opacity: count - 1 for opacity, count in found.items() if count > 1}


def frames(markup: str) -> int:
    """The frames of slow cells, all in one closed path."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--plot-c1\)', markup)
    return max(data.count("M") * ("z" in data.lower()) for data in paths)


def test_a_slow_host_is_a_framed_row_and_column() -> None:
    hosts, shares = links(8)
    shares["n005", "n006"] = None
    drawn = matrix(hosts, shares, [pair for pair, share in shares.items() if share is None or share < 0.95], "p")
    assert drawn is not None
    ElementTree.fromstring(drawn.markup)
    assert drawn.title == "Links between 8 hosts: 28 tested, 8 slow, 1 failed"
    # a failed one has no rate and no shade
    assert sorted(drawn_cells(drawn.markup).values()) == [2 * 7, 2 * (28 - 7 - 1)]
    assert frames(drawn.markup) == 2 * 8
    assert all(f">{host}<" in drawn.markup for host in hosts)


def test_many_hosts_are_drawn_in_blocks_that_hide_nothing_slow() -> None:
    hosts, shares = links(300)
    drawn = matrix(hosts, shares, [("n002", "n299")], "p")
    assert drawn is not None
    assert drawn.remark == "each cell the slowest of 5 x 5 hosts"
    # the first block, with n002, is slow to all 60: a row, and a cell in each of the other rows
    assert sorted(drawn_cells(drawn.markup).values()) == [59, 60]
    assert frames(drawn.markup) == 2
    assert len(drawn.markup) < 60_000


def test_nothing_tested_is_no_picture() -> None:
    assert matrix(["a", "b"], {}, [], "p") is None


def test_a_host_out_of_nowhere_is_refused_and_names_are_escaped() -> None:
    with pytest.raises(ValueError, match=r"^links: found 'c'; allowed the hosts of the matrix$"):
        matrix(["a", "b"], {("a", "c"): 1.0}, [], "p")
    drawn = matrix(["<a>", "b"], {("<a>", "b"): 1.0}, [], "p")
    assert drawn is not None
    assert "<a>" not in drawn.markup
