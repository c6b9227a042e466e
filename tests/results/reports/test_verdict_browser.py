"""The page of an acceptance in a real browser, at the widths at which it is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acceptances import criteria, criterion, devices, fleet_of, limit, slower
from browsing import OVERLAPS, opened

from perwatt.results.accept import evidence
from perwatt.results.accept.judge import judge
from perwatt.results.accept.spread import spreads
from perwatt.results.record import Record
from perwatt.results.reports import verdict_html

pytestmark = pytest.mark.browser
LONGEST = """() => {
    const word = document.querySelector("table.findings td b")
    word.textContent = "INCONCLUSIVE"
    return word.getClientRects().length
}"""


def some_bad(record: Record) -> Record | None:
    if record.host == "node-0004.cluster.example.org" and record.case.device_index in (1, 3):
        return slower(record, 1.06 + 0.01 * record.case.device_index)
    return None if record.host.startswith("node-0007") and record.case.device_index == 5 else record


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verdict")
    names = [f"node-{n:04d}.cluster.example.org" for n in range(9)]
    hosts = {name: devices(8, cases=3, host=name, change=some_bad, seed=n) for n, name in enumerate(names)}
    found = evidence.read(fleet_of(folder / "fleet", hosts, [*names, "node-0010.cluster.example.org"]))
    asked = criteria(criterion(), criterion("rate", name="least", at_least=limit(0.199, "GFLOP/s")))
    judgement = judge(found, asked, "fleet")
    path: Path = folder / "report.html"
    page = verdict_html.render(judgement, asked, spreads(found, asked, judgement), {"nodes": "10"})
    path.write_text(page, encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1240, 794, 390])  # a laptop, A4 at 96 dots an inch, a phone
def test_nothing_sticks_out_and_no_text_of_a_drawing_lies_upon_another(browser: Any, report: Path, width: int) -> None:
    tab = opened(browser, report, "light", width)
    assert tab.requested == [report.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    drawings = tab.locator("figure svg")
    assert drawings.count() == 4
    if width == 1240:
        assert [problem for at in range(4) for problem in drawings.nth(at).evaluate(OVERLAPS)] == []
    assert tab.evaluate(LONGEST) == 1  # in one line
    tab.close()
