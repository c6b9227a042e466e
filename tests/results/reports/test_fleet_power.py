"""The power of a fleet in its report: what is drawn and said, and what is not pretended."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from pages import Page
from power_files import UTC_NS, write_node

from perwatt.results.fleet import stated
from perwatt.results.reports import fleet_plots, html
from perwatt.results.reports.html_fleet import power
from perwatt.results.run import Run

HOSTS = ["n0", "n1", "n2", "<n3>"]


def step(high_w: float, length: int = 600) -> np.ndarray:
    return np.where((np.arange(length) >= 200) & (np.arange(length) < 500), high_w, 100.0)


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three nodes of two devices, one of which is killed; a fourth that never wrote; a start that was agreed on."""
    run: Path = tmp_path_factory.mktemp("fleet")
    for n, host in enumerate(HOSTS[:3]):
        node = write_node(run, host, [step(500 + 20 * n, 400 if n == 2 else 600)] * 2, killed=n == 2)
        began_ns = json.loads((node / "environment.json").read_text())["clock"]["start"]["mono_ns"]
        (node / "start.json").write_text(json.dumps([[began_ns + 20 * 10**9, UTC_NS + 20 * 10**9]]))
        first = {"start_ns": began_ns + 20 * 10**9 + (n + 1) * 10**6}
        (node / "records.jsonl").write_text(json.dumps({"outcome": {"repetitions": [first]}}) + "\n")
    (run / "merged").mkdir()
    stated.began(run, HOSTS)
    stated.state(run, HOSTS)
    return run


def test_the_section_says_and_draws_all_of_it(merged: Path) -> None:
    page = Page(html.render(Run(merged)))
    assert page.tags["svg"] == 4
    assert len(page.ids) == len(set(page.ids))
    assert all(reference.startswith("#") for reference in page.references)
    for said in (
        "highest together 3.120 kW",
        "of 6 devices on 3 nodes",
        "coincidence 1.000",
        "steepest over 1 s 2.52 kW/s up, 80.8 % of the highest",
        "began within 2.00 ms ± 2.0 ms, of 3 nodes",
        "paler: not of all devices; dashed: the start that was agreed on",
        "nodes in the sum: 2 to 3",
        "1 s: up 2.52 kW/s",
        "10 s: up 252 W/s",
        "least to greatest node",
        "Distribution over 6 devices",
        "First windows after the agreed moment",
        "killed or still at work, counted until their last readings: n2",
        "no power <n3>: the node never wrote",
    ):
        assert said in page.text, said


def test_no_section_without_power(tmp_path: Path, merged: Path) -> None:
    assert power(tmp_path) == ""
    (tmp_path / "merged").mkdir()
    for name in ("power.json", "power.parquet", "device_power.parquet"):
        (tmp_path / "merged" / name).write_bytes((merged / "merged" / name).read_bytes())
    assert "Power of the fleet" in power(tmp_path)  # nothing was agreed on: no start
    (tmp_path / "merged" / "power.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"merged: not readable as the power of a fleet .*; perwatt merge run="):
        power(tmp_path)


def test_a_fleet_that_was_never_known_whole_shows_what_is_known_and_no_figure(tmp_path: Path) -> None:
    write_node(tmp_path, "n0", [step(500)])
    write_node(tmp_path, "n1", [step(500)], begins_s=1000)
    (tmp_path / "merged").mkdir()
    stated.state(tmp_path, HOSTS[:2])
    text = Page(power(tmp_path)).text
    assert "at no moment are there samples of all devices" in text
    assert "highest together 0" not in text
    assert "All 2 devices together" in text
    assert "All devices are known for 0 of" in text


def frame(cells: int, step_s: float = 1.0) -> pd.DataFrame:
    t_ns = UTC_NS + np.round(np.arange(cells) * step_s * 1e9).astype(np.int64)
    power_w = 1e6 + 1e5 * np.sin(np.arange(cells) / 500)
    ends = {"node_min_w": power_w / 110, "node_max_w": power_w / 90}
    return pd.DataFrame({"t_ns": t_ns, "power_w": power_w, "devices": 800, "nodes": 100, **ends})


def test_a_long_run_of_many_devices_stays_small_and_hides_no_peak() -> None:
    long = frame(200_000)
    long.loc[123_456, "power_w"] = 2e6  # one second of two days
    drawn = fleet_plots.together(long, 800, [], [])
    assert len(drawn.markup) < 40_000
    heights = [float(y) for y in re.findall(r"[ML] ?[\d.]+ ([\d.]+)", drawn.markup)]
    assert min(heights) < 50  # near the top, where nothing else is
    assert "nodes in the sum" not in drawn.markup
    many = pd.DataFrame({"host": "n", "device": 0, "p50": np.arange(100_000.0), "max": np.arange(100_000.0)})
    for drawing in (drawn, fleet_plots.nodes_apart(long), fleet_plots.distribution(many)):
        assert drawing is not None
        ElementTree.fromstring(drawing.markup)
        assert len(drawing.markup) < 60_000
    late = {f"n{i}": i * 1e-3 for i in range(12_500)}
    start = fleet_plots.began(late, 1e-3)
    assert start is not None
    assert len(start.markup) < 400_000


def test_what_is_of_one_node_or_device_has_no_picture() -> None:
    assert fleet_plots.nodes_apart(frame(10).assign(nodes=1)) is None
    assert fleet_plots.distribution(pd.DataFrame({"host": ["n"], "device": [0], "p50": [1.0]})) is None
    assert fleet_plots.began({"n0": 0.1}, 0.0) is None


def test_a_gap_is_no_line() -> None:
    whole = frame(100)
    holed = whole[(whole.index < 30) | (whole.index > 60)].reset_index(drop=True)
    drawn = [fleet_plots.together(of, 800, [], []).markup for of in (whole, holed)]
    curves = [re.search(r'<path d="([^"]*)"[^>]*stroke: var\(--plot-c0\)', markup) for markup in drawn]
    assert [found[1].count("M") for found in curves if found] == [1, 2]


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark"), (703, "light")])
def test_in_a_browser_nothing_sticks_out_or_overlaps(browser: Any, merged: Path, width: int, scheme: str) -> None:
    (merged / "report.html").write_text(html.render(Run(merged)), encoding="utf-8")
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab.goto((merged / "report.html").as_uri())
    if width == 703:  # the width of A4 within its margins
        tab.emulate_media(media="print")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator(".fleet figure svg").count() == 4
    boxes = [tab.locator(name).first.bounding_box() for name in (".fleet .tiles", ".fleet .figures", ".fleet h3")]
    for above, below in itertools.pairwise(boxes):
        assert above["y"] + above["height"] + 8 <= below["y"]
    sticking = """nodes => nodes.filter(e => { const b = e.getBoundingClientRect();
      const s = e.closest('svg').getBoundingClientRect(); return b.left < s.left - 1 || b.right > s.right + 4; })
      .map(e => e.textContent)"""
    assert tab.locator(".fleet svg text").evaluate_all(sticking) == []
    tab.close()
