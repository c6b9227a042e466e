"""The shell of a report in HTML: one file that needs nothing else, light or dark, and a drawing with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perwatt.results.reports.plots import Drawing


def document(title: str, styles: Sequence[str], body: str, css: str = "") -> str:
    """A complete page: ``styles`` are files beside this one, ``body`` is markup, ``css`` the class of the body."""
    style = "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in styles)
    of_class = f' class="{css}"' if css else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body{of_class}>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def captioned(drawing: Drawing, css: str = "") -> str:
    """A drawing under its title."""
    remark = f" <small>{escape(drawing.remark)}</small>" if drawing.remark else ""
    caption = f"<figcaption>{escape(drawing.title)}{remark}</figcaption>"
    return f"<figure{f' class={css!r}' if css else ''}>{caption}{drawing.markup}</figure>\n"
