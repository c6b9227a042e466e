"""What a dossier says, file by file: the verdict as a page, on paper and for programs, and every value behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from perwatt.results.accept.criteria import Criteria
from perwatt.results.accept.evidence import KNOWN, Evidence
from perwatt.results.accept.spread import spreads
from perwatt.results.accept.verdict import Judgement
from perwatt.results.dossier.gather import BEFORE, CRITERIA, TOPOLOGY
from perwatt.results.fleet.layout import NODES
from perwatt.results.reports import paper, verdict_html
from perwatt.results.reports.verdict_files import FILES
from perwatt.results.run import ENVIRONMENT

COLUMNS = ("scope", "host", "device", "subject", "kernel", "label", "outcome", "reason", *KNOWN, "flags")
README = """\
The acceptance of {run}: {status} by the criteria {criteria}.

{report:25} the verdict, what did not pass and why, the values behind it
devices.csv findings.csv  a line a device; a line a finding, with its numbers
measurements.csv          a line a case and device: every metric in SI units
verdict.json junit.xml summary.md   the same for programs and pull requests
{asked:25} what was asked{stands}
{runs:25} everything that was measured, as it was written
records.chain SHA256SUMS  every record and every file, sealed; SHA256SUMS.sig, if there is one, signs that

To check it:   sha256sum -c SHA256SUMS     or, which names the record that differs:   perwatt verify DIR
Who signed:    ssh-keygen -Y verify -f SIGNERS -I WHO -n perwatt -s SHA256SUMS.sig < SHA256SUMS
               (SIGNERS: see ALLOWED SIGNERS in ssh-keygen(1)), or perwatt verify DIR signers=SIGNERS
To judge it anew:   perwatt accept run=DIR/run criteria=DIR/criteria.yaml{more} out=ELSEWHERE
"""


def pages(
    run: Path, evidence: Evidence, criteria: Criteria, judgement: Judgement, pdf: bool = True
) -> Iterator[tuple[str, str | bytes]]:
    """Names and contents. Raises ValueError where the PDF is asked for and WeasyPrint does not load."""
    for name, render in FILES.items():
        yield name, render(judgement)
    columns = [name for name in COLUMNS if name in evidence.rows]
    yield "measurements.csv", evidence.rows[columns].to_csv(index=False)
    page = verdict_html.render(
        judgement, criteria, spreads(evidence, criteria, judgement), _facts(evidence), _machine(run)
    )
    yield "report.html", page
    if pdf:
        yield "report.pdf", paper.pdf(page)
    told = {"run": judgement.run, "status": judgement.status, "criteria": judgement.criteria}
    yield "README.txt", README.format(**told, **_there(run.parent, pdf), more=_more(run.parent))


def _there(folder: Path, pdf: bool) -> dict[str, str]:
    """What not every dossier has, for the list of its files."""
    stands = (folder / TOPOLOGY).is_file()
    return {
        "report": "report.html, report.pdf" if pdf else "report.html",
        "asked": f"{CRITERIA} {TOPOLOGY}" if stands else CRITERIA,
        "stands": ", and where hosts stand" if stands else "",
        "runs": "run/, before/" if (folder / BEFORE).is_dir() else "run/",
    }


def _more(folder: Path) -> str:
    """What else `perwatt accept` was told."""
    before = ",".join(f"DIR/{BEFORE}/{path.name}" for path in sorted((folder / BEFORE).glob("*")))
    topology = f" topology=DIR/{TOPOLOGY}" if (folder / TOPOLOGY).is_file() else ""
    return f" before=[{before}]{topology}" if before else topology


def _facts(evidence: Evidence) -> dict[str, str]:
    rows = evidence.rows[evidence.rows["scope"] == "device"]
    return {
        "hardware": ", ".join(sorted(filter(None, evidence.targets))),
        "nodes": str(rows["host"].nunique()),
        "devices": str(rows["subject"].nunique()),
        "records": str(len(evidence.rows)),
        "without a record": str(len(evidence.missing)) if evidence.missing else "",
    }


def _machine(run: Path) -> dict[str, object]:
    """The environment of the run, of a fleet that of its first node: the others were held against it."""
    for path in (run / ENVIRONMENT, *sorted(run.glob(f"{NODES}/*/{ENVIRONMENT}"))[:1]):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return {}
