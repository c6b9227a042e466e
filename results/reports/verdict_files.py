"""A judgement for programs: JSON with everything, CSV a device and a finding a line, JUnit XML for a CI."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from xml.etree import ElementTree

import msgspec

from perwatt.results.accept.verdict import Finding, Judgement, Verdict
from perwatt.results.reports.verdicts import SCOPES, markdown, told


def json_text(judgement: Judgement) -> str:
    """All of it; ``counts`` of each scope beside."""
    counts = {scope: judgement.count(scope) for scope in SCOPES}
    plain = {**msgspec.to_builtins(judgement), "exit": judgement.exit_code, "counts": counts}
    return msgspec.json.format(msgspec.json.encode(plain), indent=1).decode() + "\n"


def devices_csv(judgement: Judgement) -> str:
    """A line a device, node, group: its verdict, how many checks it passed, and the worst that was found."""
    findings = _by_subject(judgement)
    rows = []
    for v in judgement.verdicts:
        found = _first(v, findings)
        about = (_told(found), found.cause, found.todo, found.waived) if found else ("", "", "", "")
        rows.append((v.scope, v.subject, v.status, v.checks, v.passed, *about))
    return csv_text(("scope", "subject", "verdict", "checks", "passed", "found", "maybe", "next", "waived"), rows)


def findings_csv(judgement: Judgement) -> str:
    """A line a finding, with its numbers."""
    names = Finding.__dataclass_fields__
    return csv_text(names, ([getattr(finding, name) for name in names] for finding in judgement.findings))


def again_csv(judgement: Judgement) -> str:
    """A line a value of what was tested again, before and after, in SI units."""
    rows = [
        (one.scope, one.subject, one.before or "", one.after, v.case, v.metric, v.unit, v.before, v.after)
        for one in judgement.again
        for v in one.values
    ]
    header = ("scope", "subject", "verdict before", "verdict after", "case", "metric", "unit", "before", "after")
    return csv_text(header, rows)


def junit(judgement: Judgement) -> str:
    """A suite a scope, a test a subject. What is not decided is an error there, so that no CI takes it for passed."""
    findings = _by_subject(judgement)
    root = ElementTree.Element("testsuites", name=f"perwatt accept {judgement.criteria}")
    for scope in SCOPES:
        verdicts = [v for v in judgement.verdicts if v.scope == scope]
        if not verdicts:
            continue
        failed = sum(v.status == "FAIL" for v in verdicts)
        waived = sum(v.waived for v in verdicts)
        errors = sum(v.status in ("MISSING", "INCONCLUSIVE") for v in verdicts) - waived
        counts = {"name": scope, "tests": str(len(verdicts)), "failures": str(failed), "errors": str(errors)}
        counts |= {"skipped": str(waived)} if waived else {}
        suite = ElementTree.SubElement(root, "testsuite", counts)
        for verdict in verdicts:
            test = ElementTree.SubElement(suite, "testcase", classname=scope, name=verdict.subject)
            found = findings[scope, verdict.subject]
            lines = [f"{f.criterion} {f.case}: {_told(f)}; maybe {f.cause}; next: {f.todo}" for f in found]
            if verdict.status != "PASS":
                tag = "skipped" if verdict.waived else "failure" if verdict.status == "FAIL" else "error"
                # a node may fail by its devices alone
                first = _first(verdict, findings)
                message = _told(first) if first else "one of its devices"
                part = ElementTree.SubElement(test, tag, type=verdict.status, message=_clean(message))
                part.text = _clean("\n".join(lines))
            elif lines:  # waived, or a warning
                ElementTree.SubElement(test, "system-out").text = _clean("\n".join(lines))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


FILES: dict[str, Callable[[Judgement], str]] = {
    "verdict.json": json_text,
    "devices.csv": devices_csv,
    "findings.csv": findings_csv,
    "again.csv": again_csv,
    "summary.md": markdown,
    "junit.xml": junit,
}


def _by_subject(judgement: Judgement) -> defaultdict[tuple[str, str], list[Finding]]:
    """The findings on each subject, the worst first."""
    found: defaultdict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in judgement.findings:
        found[finding.scope, finding.subject].append(finding)
    return found


def _first(verdict: Verdict, findings: Mapping[tuple[str, str], Sequence[Finding]]) -> Finding | None:
    """The worst that was found of a subject; None if it decides nothing of one that did not pass."""
    found = findings.get((verdict.scope, verdict.subject))
    return found[0] if found and (found[0].counts or verdict.waived or verdict.status == "PASS") else None


def _told(finding: Finding) -> str:
    """What was found, and whether it decides anything."""
    mark = f"waived by {finding.waived}: " if finding.waived else "warning: " if finding.warning else ""
    return f"{mark}{told(finding)}"


def _clean(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def csv_text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Rows under a header as CSV, nothing where there is nothing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    return text.getvalue()
