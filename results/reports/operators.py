"""What operators use next: lists of hosts for Slurm, the lines that drain the bad ones, an inventory for Ansible.

    passing_nodes.txt   those that passed
    failing_nodes.txt   those that failed or are missing: srun --exclude=$(cat failing_nodes.txt)
    drain.sh            takes the same out of Slurm, each with its reason
    inventory.ini, inventory.yaml   the groups passing, failing, missing and inconclusive, for Ansible

A host that is INCONCLUSIVE is neither good nor bad: it is in neither list, and in the inventory.

Reasons are text from anywhere: on their way out control characters become blanks. Slurm's scontrol takes a quote at
either end of a reason for its own (src/scontrol/update_node.c) and refuses an empty one, its accounting keeps 255 bytes
(tinytext, event_table of src/plugins/accounting_storage/mysql); Ansible evaluates ``{{``, ``{%`` and ``{#`` in an
inventory, and reads on after a ``#`` or a quote in INI.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from perwatt.results.fleet.nodesets import checked, fold

Status = Literal["PASS", "FAIL", "MISSING", "INCONCLUSIVE"]

GROUPS: dict[Status, str] = {
    "PASS": "passing",
    "FAIL": "failing",
    "MISSING": "missing",
    "INCONCLUSIVE": "inconclusive",
}
NAMES = ("passing_nodes.txt", "failing_nodes.txt", "drain.sh", "inventory.ini", "inventory.yaml")
PREFIX = "perwatt: "
REASON_BYTES = 255


@dataclass(frozen=True)
class Node:
    """One host, what became of it, and why."""

    host: str
    status: Status
    reasons: tuple[str, ...] = ()


def files(nodes: Sequence[Node]) -> dict[str, str]:
    """Each file's name and text. Raises ValueError for names that cannot be hosts, and for a host given twice."""
    seen: set[str] = set()
    for node in nodes:
        if checked(node.host) in seen:
            raise ValueError(f"nodes: found {node.host!r} twice; allowed each once")
        seen.add(node.host)
    out = [node for node in nodes if node.status in ("FAIL", "MISSING")]
    passing = _line(node.host for node in nodes if node.status == "PASS")
    texts = (passing, _line(node.host for node in out), _drain(out), _ini(nodes), _yaml(nodes))
    return dict(zip(NAMES, texts, strict=True))


def _line(hosts: Iterable[str]) -> str:
    """A line, or nothing: srun takes an empty list for none."""
    folded = fold(hosts)
    return f"{folded}\n" if folded else ""


def _drain(nodes: Sequence[Node]) -> str:
    """A script with a line for each host: of several in one line Slurm takes none if it does not know one (tried)."""
    lines = [
        f"scontrol update nodename={node.host} state=drain reason={shlex.quote(_slurm_reason(node))} || status=1"
        for node in nodes
    ]
    return "\n".join(["#!/bin/sh", "status=0", *lines, 'exit "$status"', ""])


def _slurm_reason(node: Node) -> str:
    reason = PREFIX + _reason(node).replace('"', "'")
    if len(reason.encode()) > REASON_BYTES:
        reason = reason.encode()[: REASON_BYTES - 3].decode(errors="ignore") + "..."
    return reason


def _reason(node: Node) -> str:
    """All reasons in one printable line; the status if there is none."""
    text = "; ".join(filter(None, map(_printable, node.reasons)))
    return text or node.status.lower()


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _literal(node: Node) -> str:
    """The reason as a double-quoted string, which JSON, YAML and Python read alike, with nothing left to evaluate."""
    return json.dumps(re.sub(r"\{(?=[{%#])", "{ ", _reason(node)), ensure_ascii=False)


def _ini(nodes: Sequence[Node]) -> str:
    lines = []
    for status, group in GROUPS.items():
        members = [node for node in nodes if node.status == status]
        lines += [f"[{group}]", *(_ini_host(node) for node in members), ""]
    return "\n".join(lines)


def _ini_host(node: Node) -> str:
    # Ansible splits the line as a shell does, and then reads the value as Python: quoted once for each
    return node.host if node.status == "PASS" else f"{node.host} reason={shlex.quote(_literal(node))}"


def _yaml(nodes: Sequence[Node]) -> str:
    lines = ["all:", "  children:"]
    for status, group in GROUPS.items():
        members = [node for node in nodes if node.status == status]
        lines += [f"    {group}:", "      hosts:" if members else "      hosts: {}"]
        values = ("{}" if status == "PASS" else f"{{reason: {_literal(node)}}}" for node in members)
        lines += [f'        "{node.host}": {value}' for node, value in zip(members, values, strict=True)]
    return "\n".join([*lines, ""])
