"""The formats that a run can be rendered in, each imported only when it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from perwatt.results.run import Run, read
from perwatt.results.store import latest

FORMATS = ("console", "html", "markdown", "csv", "json")


def show(run: Path) -> None:
    """Print a run's table on standard output: in colour and as wide as the terminal, plain text elsewhere."""
    from perwatt.results.reports import console, drifts

    found = _read(run, telemetry=False)
    console.show(found.records, nothing=found.nothing)
    print("".join(f"{line}\n" for line in drifts.lines(drifts.of(found))), end="")


def _read(run: Path, telemetry: bool) -> Run:
    """A run with each case once, as it was measured last."""
    found = read(run, telemetry=telemetry)
    return replace(found, records=latest(found.records), rounds=found.records)


def render(run: Path, form: str) -> str:
    """A run folder as text in one of :data:`FORMATS`; of a case measured twice the later record is shown.

    Raises ValueError for an unknown format and for a run that cannot be read.
    """
    if form not in FORMATS:
        raise ValueError(f"format={form}: choices: {', '.join(FORMATS)}")
    found = _read(run, telemetry=form == "html")
    if form == "html":
        from perwatt.results.reports import html

        return html.render(found)
    if form == "console":
        from perwatt.results.reports import console, drifts

        table = console.render(found.records, nothing=found.nothing)
        return table + "".join(f"{line}\n" for line in drifts.lines(drifts.of(found)))
    from perwatt.results.reports import drifts, text

    if form == "markdown":
        more = drifts.lines(drifts.of(found))
        return text.markdown(found.records, found.nothing) + (
            "\n```text\n" + "\n".join(more) + "\n```\n" if more else ""
        )
    return {"csv": text.csv, "json": text.json}[form](found.records)
