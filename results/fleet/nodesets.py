"""Sets of hosts as operators write them: ``n[001-064],login1`` folded and expanded, by ClusterShell's node sets.

What is folded has to be read by Slurm too. Slurm takes ``r1n[1-3]`` but not ``n[1-3].dc``: brackets only at the end of
a name (tried: ``scontrol show hostnames``). Names that do not end in a digit are therefore written out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from perwatt.results.optional import library

# RFC 1123, and the underscore that many clusters use; at most 64 characters a label keeps Slurm and DNS content.
HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?)*")
LONGEST = 253  # characters of a name, as DNS has it


def checked(host: str) -> str:
    """The name itself. Raises ValueError if it is none: it would end up in shells, paths and inventories."""
    if len(host) > LONGEST or not HOST.fullmatch(host):
        raise ValueError(f"host: found {host[:80]!r}; allowed letters, digits, '_', '-' and '.' between labels")
    return host


def some(hosts: Sequence[str], most: int = 5) -> str:
    """The first of them, and how many more there are: ``n1, n2 and 7 more``."""
    return ", ".join(hosts[:most]) + (f" and {len(hosts) - most} more" if len(hosts) > most else "")


def fold(hosts: Iterable[str]) -> str:
    """The hosts as one text, each once; empty for none. Raises ValueError for names that cannot be hosts."""
    names = {checked(host) for host in hosts}
    numbered = {name for name in names if name[-1].isdigit()}
    folded = _node_set(",".join(sorted(numbered)))
    # one bracket a name, at its end
    folded.fold_axis = (-1,)
    return ",".join([*filter(None, [str(folded)]), *sorted(names - numbered)])


def expand(text: str) -> tuple[str, ...]:
    """The hosts that ``text`` names, each once, numbers in their order. Raises ValueError, in one line, for a text that
    cannot be read and for names that cannot be hosts."""
    return tuple(checked(str(host)) for host in _node_set(text))


def _node_set(text: str) -> Any:
    module = library("ClusterShell.NodeSet", "fleet")
    try:
        # no groups: their names would run commands of ClusterShell's configuration
        return module.NodeSet(text, resolver=module.RESOLVER_NOGROUP)
    except module.NodeSetException as error:
        raise ValueError(f"hosts: found {text[:80]!r}: {' '.join(str(error).split())}") from None
