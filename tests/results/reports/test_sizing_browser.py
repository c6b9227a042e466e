"""The report of a sizing in a real browser: the answer is on one screen, and nothing lies upon anything else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sizings
from browsing import OVERLAPS, opened

from perwatt.results.reports import sizing_html

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    whole = sizings.whole()
    rack, unit = whole.stages[-2:]
    fleet = msgspec.structs.replace(whole, stages=(*whole.stages, rack, unit))
    path.write_text(sizing_html.render(fleet, [whole]), encoding="utf-8")
    return path


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` by WCAG 2."""
    parts = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_alone_and_can_be_read(browser: Any, report: Path, scheme: str) -> None:
    tab = opened(browser, report, scheme)
    assert [url for url in tab.requested if not url.startswith("file:")] == []
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) > 0.5) == (scheme == "light")
    for selector in (".decision", ".warning", ".tiles small", "td.basis", "td.band", "td.unit", "td.kindof", "h2"):
        colour = tab.locator(selector).first.evaluate("e => getComputedStyle(e).color")
        assert contrast(colour, ground) >= 4.5, selector
    for fill in tab.locator("figure svg text").evaluate_all("n => [...new Set(n.map(e => getComputedStyle(e).fill))]"):
        assert contrast(fill, ground) >= 4.5
    for kind in ("measured", "published", "modelled", "assumed", "given"):
        colour = tab.locator(f"i.{kind}").first.evaluate("e => getComputedStyle(e).backgroundColor")
        assert contrast(colour, ground) >= 3, kind
    tab.close()


def test_the_answer_is_on_one_screen(browser: Any, report: Path) -> None:
    tab = opened(browser, report, "light")
    box = tab.locator(".answer > div").bounding_box()
    assert box["y"] + box["height"] <= 900
    tab.close()


@pytest.mark.parametrize("width", [1240, 1000, 400])
def test_nothing_sticks_out(browser: Any, report: Path, width: int) -> None:
    tab = opened(browser, report, "light", width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


def test_no_text_of_a_drawing_lies_upon_another_or_leaves_it(browser: Any, report: Path) -> None:
    tab = opened(browser, report, "light")
    drawings = tab.locator("figure svg")
    assert drawings.count() == 9
    assert [problem for at in range(9) for problem in drawings.nth(at).evaluate(OVERLAPS)] == []
    tab.close()


def test_columns_keep_apart(browser: Any, report: Path) -> None:
    tab = opened(browser, report, "light")
    inside = """t => [...t.querySelectorAll('td, th')].filter(e => e.scrollWidth > e.clientWidth + 1)
      .map(e => e.textContent)"""
    assert [text for table in tab.locator("table").all() for text in table.evaluate(inside)] == []
    tab.close()
