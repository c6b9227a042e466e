"""A report as a PDF that is signed and filed: the page of HTML on A4, in its print style, by WeasyPrint.

WeasyPrint draws inline SVG apart from the page, without the page's style: the colours that the drawings name are put
in before, those of light paper, and the type of the page.
"""

from __future__ import annotations

import gc
import re
from pathlib import Path

FONTS = "DejaVu Sans, Noto Sans, Arial, sans-serif"


def pdf(page: str) -> bytes:
    """``page``, HTML that needs nothing else, as a PDF. Raises ValueError where WeasyPrint does not load."""
    try:
        from weasyprint import HTML  # type: ignore[import-untyped, unused-ignore]
    except (ImportError, OSError) as error:
        raise ValueError(f"pdf: WeasyPrint does not load ({error}); pip install 'perwatt[sizing]'") from None
    # a page is a great many small objects: without this, each collection on the way walks all that was there before
    gc.freeze()
    try:
        made: bytes = HTML(string=on_paper(page), url_fetcher=_nothing).write_pdf()
    finally:
        gc.unfreeze()
    return made


def on_paper(page: str) -> str:
    """``page`` with the drawings' colours and type written out."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    # the first of two blocks: the second is that of a dark screen
    light = dict(re.findall(r"--([\w-]+):\s*([^;]+);", style[: style.index("@media")]))

    def colour(found: re.Match[str]) -> str:
        value = light.get(found[1], "#000000")
        return re.sub(r"var\(--([\w-]+)\)", lambda inner: light[inner[1]], value)

    def drawing(found: re.Match[str]) -> str:
        inked = re.sub(r"var\(--([\w-]+)\)", colour, found[0])
        return inked.replace("<svg ", f'<svg font-family="{FONTS}" ', 1)

    # nobody unfolds paper
    unfolded = page.replace("<details>", "<details open>")
    return re.sub(r"<svg .*?</svg>", drawing, unfolded, flags=re.DOTALL)


def _nothing(url: str) -> dict[str, object]:
    raise ValueError(f"pdf: found a reference to {url}; allowed none")
