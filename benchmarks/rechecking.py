"""Between windows: the kernel's output is held against the reference of its preparation once more."""

from __future__ import annotations

import time
from collections.abc import Callable

from perwatt.kernels.workload import Check, WrongResult
from perwatt.results.recheck import Rechecks, Wrong


class Rechecker:
    """Calls ``verify`` after every ``every``-th window and keeps what came out; none of either: it does nothing."""

    def __init__(self, verify: Callable[[], Check] | None, every: int) -> None:
        self._verify, self._every = verify, every
        self._right: list[Check] = []
        self._wrong: list[Wrong] = []
        self._longest_s = 0.0

    def after(self, window: int, launches: int) -> float:
        """After that window, before which so many launches were made; the seconds that it took, 0 if none was due."""
        if self._verify is None or not self._every or (window + 1) % self._every:
            return 0.0
        began = time.perf_counter()
        try:
            self._right.append(self._verify())
        except WrongResult as wrong:
            said = (str(wrong), wrong.wrong, wrong.error, wrong.at, wrong.ranks)
            self._wrong.append(Wrong(window, launches, *said))
        took_s = time.perf_counter() - began
        self._longest_s = max(self._longest_s, took_s)
        return took_s

    def result(self, prepared: Check) -> Rechecks | None:
        """All comparisons; ``prepared``, that of the preparation, speaks for those that failed. None without any."""
        if not self._right and not self._wrong:
            return None
        like = self._right[-1] if self._right else prepared
        return Rechecks(
            checks=len(self._right) + len(self._wrong),
            compared=like.compared,
            tolerance=like.tolerance,
            reference=like.reference,
            max_error=max((check.max_error for check in self._right), default=None),
            longest_s=self._longest_s,
            wrong=tuple(self._wrong),
        )
