"""What a test may conclude of a share or a number that it counted: the limit at 95 % on one side."""

from __future__ import annotations

import math


def least_share(found: int, of: int) -> float:
    """The lower limit of a share at 95 % on one side (Wilson, 1927)."""
    z, share = 1.645, found / of
    return (share + z * z / 2 / of - z * math.sqrt(share * (1 - share) / of + z * z / 4 / of**2)) / (1 + z * z / of)


def most_a_fleet(alarms: int, fleets: int) -> float:
    """The upper limit of a Poisson mean at 95 % on one side (Byar's approximation)."""
    n = alarms + 1
    return n * (1 - 1 / (9 * n) + 1.645 / (3 * math.sqrt(n))) ** 3 / fleets
