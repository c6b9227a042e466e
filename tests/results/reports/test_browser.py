"""The report in a real browser: nothing is fetched, nothing is reported, and both colour schemes can be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


class Opened:
    def __init__(self, browser: Any, report: Path, scheme: str, width: int = 1200) -> None:
        self.tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        self.tab.on("pageerror", lambda e: self.errors.append(str(e)))
        self.tab.on("request", lambda r: self.requests.append(r.url))
        self.tab.goto(report.as_uri())


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
    opened = Opened(browser, report, scheme)
    tab = opened.tab
    assert opened.errors == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) > 0.5) == (scheme == "light")
    for selector in ("body", "h1", "th.case", "td.rate", ".notes li", "thead th.rate", "figcaption", ".muted"):
        colour = tab.locator(selector).first.evaluate("e => getComputedStyle(e).color")
        assert contrast(colour, ground) >= 4.5, selector
    # text of a drawing 4.5, its lines and dots 3 (WCAG 2, 1.4.3 and 1.4.11)
    drawn = "nodes => [...new Set(nodes.map(e => getComputedStyle(e).NAME))].filter(c => c.startsWith('rgb('))"
    for fill in tab.locator("figure svg text").evaluate_all(drawn.replace("NAME", "fill")):
        assert contrast(fill, ground) >= 4.5
    curves = tab.locator(".figures svg path[style*='--plot-c']").evaluate_all(drawn.replace("NAME", "stroke"))
    assert len(curves) >= 3
    for stroke in curves:
        assert contrast(stroke, ground) >= 3
    tab.close()


def test_every_figure_is_drawn(browser: Any, report: Path, whole: Any) -> None:
    tab = Opened(browser, report, "light").tab
    measured = sum(r.measured is not None for r in whole.records)
    assert tab.locator(".panels figure").count() == measured
    # matmul and memory with rate and rate per watt, all_reduce with rate
    assert tab.locator(".figures figure").count() == 5
    boxes = tab.locator("figure svg").evaluate_all(
        "n => n.map(e => e.getBoundingClientRect()).map(b => [b.width, b.height])"
    )
    assert all(width > 200 and height > 80 for width, height in boxes)
    tab.close()


@pytest.mark.parametrize("width", [1200, 400])
def test_nothing_sticks_out(browser: Any, report: Path, width: int) -> None:
    tab = Opened(browser, report, "light", width).tab
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


def test_legend_does_not_cover_the_axes(browser: Any, report: Path) -> None:
    tab = Opened(browser, report, "light").tab
    figure = tab.locator(".figures figure").first
    legend = figure.locator("svg text", has_text=re.compile("^(bf16|fp8|fp32)$"))
    bottom = max(box["y"] + box["height"] for box in (legend.nth(i).bounding_box() for i in range(legend.count())))
    unit = figure.locator("svg text", has_text="TFLOP/s").first.bounding_box()
    assert bottom <= unit["y"] + 2
    tab.close()


def test_prints_on_light_paper(browser: Any, report: Path) -> None:
    tab = Opened(browser, report, "dark").tab
    tab.emulate_media(media="print", color_scheme="dark")
    assert luminance(tab.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.9
    assert luminance(tab.evaluate("getComputedStyle(document.body).color")) < 0.1
    made = tab.pdf(prefer_css_page_size=True)
    assert made.startswith(b"%PDF")
    # A4 in points
    assert re.search(rb"/MediaBox \[0 0 59[45][.\d]* 84[12][.\d]*\]", made)
    tab.close()
