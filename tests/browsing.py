"""A page in a real browser, for tests: opened, and what of its drawings lies upon each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OVERLAPS = """svg => {
  const boxes = [...svg.querySelectorAll('text')].map(e => [e.textContent, e.getBoundingClientRect()]);
  const frame = svg.getBoundingClientRect(), found = [];
  for (const [name, b] of boxes)
    if (b.left < frame.left - 1 || b.right > frame.right + 1 || b.top < frame.top - 1 || b.bottom > frame.bottom + 1)
      found.push(name + ' leaves the drawing');
  boxes.forEach(([name, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
    const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (w > 1 && h > 4) found.push(name + ' lies upon ' + other);
  }));
  return found;
}"""


def opened(browser: Any, report: Path, scheme: str, width: int = 1240) -> Any:
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab.requested = []
    tab.on("request", lambda r: tab.requested.append(r.url))
    tab.goto(report.as_uri())
    return tab
