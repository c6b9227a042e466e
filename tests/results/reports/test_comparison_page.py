"""The page of a comparison: whole, closed, everything in it that the files say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from compared_runs import MI300, cases, made, members
from pages import Page

from perwatt.results.compare.caps import under
from perwatt.results.compare.compare import compare
from perwatt.results.compare.comparison import Comparison
from perwatt.results.reports.comparison_html import render

pytestmark = pytest.mark.slow  # the pictures load what draws them


def whole() -> Comparison:
    """Two runs at several caps, with input data, a case that only one has, a name that must be escaped."""
    sides = {}
    for name, device in (("a<b>", None), ("b", MI300)):
        about: dict[str, Any] = {} if device is None else {"device": device}
        records = [
            made(name, m=m, rate=6e14 * w / 700, power_w=w, limit_w=w, seed=m, **about)
            for m in (1024, 2048)
            for w in (400.0, 700.0)
        ]
        records.append(made(name, m=1024, init="zeros", limit_w=700.0, **about))
        sides[name] = cases(name, *records, *([made(name, kernel="memory")] if name == "b" else []))
    runs = list(sides.values())
    history = [cases(f"h{i}", made(f"h{i}", m=1024, seed=i), made(f"h{i}", m=2048, seed=i)) for i in range(3)]
    limit = under(1e5, runs, pue=1.1, rest_w=100.0)
    return compare(members(*runs), runs, effect=0.01, history=history, limit=limit)


@pytest.fixture(scope="module")
def page() -> str:
    return render(whole())


def test_the_page_is_whole_and_closed(page: str) -> None:
    read = Page(page)
    assert len(read.ids) == len(set(read.ids))
    assert [r for r in read.references if not r.startswith("#")] == []
    assert {r[1:] for r in read.references} <= set(read.ids)
    assert "b against a<b>" in read.text
    # ratios of rate and per watt, rate per watt and work of both cases against cap, both quantities from run to run
    assert read.tags["svg"] == 2 + 4 + 2
    for words in ("Not compared", "Sensitivity to the input data", "under 100 kW", "95 % interval", "no memory in A"):
        assert words in read.text


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out(browser: Any, page: str, tmp_path: Path, width: int) -> None:
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    tab = browser.new_page(viewport={"width": width, "height": 900})
    requests: list[str] = []
    tab.on("request", lambda r: requests.append(r.url))
    tab.goto(path.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.set_viewport_size({"width": 700, "height": 990})  # the text of A4 in CSS pixels
    tab.emulate_media(media="print")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 700
    assert [url for url in requests if not url.startswith("file:")] == []
    boxes = tab.locator("figure svg").evaluate_all("n => n.map(e => e.getBoundingClientRect().width)")
    assert all(box > 200 for box in boxes)
    assert not re.search("nan|inf", " ".join(tab.locator("figure svg text").all_text_contents()))
    tab.close()
