"""What the groups of a fleet say of its nodes: who is to blame, who is not decided, and all of it as plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from perwatt.benchmarks.cluster.culprits import Culprits
from perwatt.benchmarks.cluster.links import Links, slow
from perwatt.results.accept.groups import ALONE_ONLY, blames
from perwatt.results.accept.screened import Screened
from perwatt.results.reports.operators import Node, Status

SCREENED: dict[str, Status] = {"passed": "PASS", "failed": "FAIL", "missing": "MISSING"}


@dataclass(frozen=True)
class Blame:
    """The links between the nodes, if pairs were tested, and the groups that failed, halved."""

    links: Links | None = None
    culprits: tuple[Culprits, ...] = ()

    @property
    def faults(self) -> int:
        """Leaves and links that are to blame; nodes are counted by themselves."""
        return sum(v.outcome == "blamed" and v.kind != "node" for v in self.links.verdicts) if self.links else 0

    @property
    def undecided(self) -> int:
        """Suspect leaves and links that could not be tested again."""
        return sum(v.outcome == "undecided" and v.kind != "node" for v in self.links.verdicts) if self.links else 0

    def reasons(self) -> dict[str, dict[Status, list[str]]]:
        """By node what speaks against it, FAIL or INCONCLUSIVE."""
        found: dict[str, dict[Status, list[str]]] = {}

        def say(host: str, status: Status, reason: str) -> None:
            found.setdefault(host, {}).setdefault(status, []).append(reason)

        for verdict in self.links.verdicts if self.links else ():
            if verdict.kind == "node" and verdict.outcome != "cleared":
                say(verdict.names[0], "FAIL" if verdict.outcome == "blamed" else "INCONCLUSIVE", verdict.reason)
        for culprit in self.culprits:
            for finding in culprit.findings:
                if (told := blames(culprit.case, culprit.error, finding)) is not None:
                    for host in finding.hosts:
                        say(host, *told)
        return found

    def lines(self) -> list[str]:
        """A line for each leaf and link that is not cleared."""
        verdicts = self.links.verdicts if self.links else ()
        return [
            f"{v.outcome.upper()} {v.kind} {'-'.join(v.names)}: {v.reason}"
            for v in verdicts
            if v.kind != "node" and v.outcome != "cleared"
        ]

    def told(self, hosts: Sequence[str], leaf_of: Mapping[str, str]) -> dict[str, Any]:
        """What ``groups.json`` holds: ``hosts`` in the order of a picture, rates in B/s and over what is normal."""
        out: dict[str, Any] = {"hosts": list(hosts), "leaf_of": dict(leaf_of)}
        if self.links is not None:
            found, framed = self.links.suspects, set(slow(self.links))
            case = self.links.case.case
            out |= {"case": f"{case.kernel} {case.label}", "schedule": self.links.schedule}
            out["normal"] = dict(found.normal.rate) if found else {}
            out["slow_below"] = dict(found.normal.slow_below) if found else {}
            out["links"] = [
                {
                    "hosts": list(pair),
                    "rate": rate,
                    "share": found.normal.ratio(pair, rate) if found and rate is not None else None,
                    "slow": pair in framed,
                }
                for pair, rate in self.links.rates.items()
            ]
            out["suspects"] = {
                "nodes": list(found.nodes) if found else [],
                "leaves": list(found.leaves) if found else [],
                "links": [list(pair) for pair in found.links] if found else [],
            }
            out["verdicts"] = [asdict(verdict) for verdict in self.links.verdicts]
        out["failed_groups"] = [
            {
                "kind": one.over.kind,
                "name": one.over.name,
                "case": one.case,
                "error": one.error,
                "findings": [asdict(finding) for finding in one.findings],
            }
            for one in self.culprits
        ]
        return out


def nodes(
    hosts: Sequence[str], screened: Mapping[str, Screened], blame: Blame, together: Collection[str]
) -> list[Node]:
    """What became of each node. ``together``: those that were tested in a group, now or in an earlier allocation."""
    against, found = blame.reasons(), []
    for name in hosts:
        status, reasons = SCREENED[screened[name].status], tuple(filter(None, (screened[name].reason,)))
        if status == "PASS" and len(hosts) > 1 and name not in together:
            status, reasons = "INCONCLUSIVE", (ALONE_ONLY,)
        elif status == "PASS":
            told = against.get(name, {})
            status = "FAIL" if "FAIL" in told else "INCONCLUSIVE" if told else status
            reasons = tuple(told.get(status, reasons))
        found.append(Node(name, status, reasons))
    return found
