"""Where a record comes from that another tool measured: enough to find the very line again."""

from __future__ import annotations

import msgspec


class Origin(msgspec.Struct, frozen=True):
    """``format`` as `perwatt import` calls it; ``file`` with its ``sha256``, and the ``line`` in it (0: all of it);
    ``tool`` with its version, and ``time`` of day, both as the file states them, empty where it does not;
    ``statistic``: what the time per launch is in that tool (``mean of 20 iterations``)."""

    format: str
    file: str
    sha256: str
    line: int
    statistic: str
    tool: str = ""
    time: str = ""
