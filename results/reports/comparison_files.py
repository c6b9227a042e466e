"""A comparison for programs: JSON with everything, CSV a ratio a line."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from perwatt.results.compare.comparison import Comparison
from perwatt.results.compare.ratio import Ratio
from perwatt.results.reports.comparison import markdown
from perwatt.results.reports.verdict_files import csv_text


def json_text(found: Comparison) -> str:
    """All of it, in SI units."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n"


def ratios_csv(found: Comparison) -> str:
    """A line a case, run and quantity; values in SI units, nothing where nothing is known."""
    names = Ratio.__struct_fields__
    head = ("kernel", "case", "run", "reference", "boundary", "accuracy_class", "unit_of_work", *names)
    rows = [
        (pair.kernel, pair.label, pair.run, found.reference.name, pair.boundary, pair.accuracy_class, pair.unit,
         *(getattr(ratio, name) for name in names))
        for pair in found.pairs for ratio in pair.ratios.values()
    ]  # fmt: skip
    return csv_text(head, rows)


def refused_csv(found: Comparison) -> str:
    """A line for what was not compared."""
    return csv_text(
        ("kernel", "case", "run", "what", "why"), [(r.kernel, r.label, r.run, r.what, r.why) for r in found.refused]
    )


def page(found: Comparison) -> str:
    """The page, whose pictures load what draws them only now."""
    from perwatt.results.reports.comparison_html import render

    return render(found)


FILES: dict[str, Callable[[Comparison], str]] = {
    "comparison.json": json_text,
    "ratios.csv": ratios_csv,
    "not_compared.csv": refused_csv,
    "summary.md": markdown,
    "report.html": page,
}
