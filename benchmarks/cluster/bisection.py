"""A group that failed is halved until the culprits are known: log2(n) steps for one, and one to confirm.

Both halves are tested at once (they share no host), so that a step is one test long. A half that fails is halved again:
several culprits are followed side by side. Where a group fails and both its halves pass, it is tested once more: its
failure may not come again. If it does, hosts of it fail only together: a least such set is found by QuickXplain (U.
Junker, AAAI 2004), in about 2 k log2(n/k) tests for k hosts. At last all others are tested together, and if they fail
the search goes on among them. Of sets that share a host one is found.

Nothing is tested here: ``groups`` says what to test next, ``answer`` takes what came out.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from perwatt.results.accept.groups import How

Group = tuple[str, ...]
_Search = Generator[list[Group], None, None]


@dataclass(frozen=True)
class Finding:
    """Hosts that make a group fail: one ``alone``, several ``only together``; or a group that could not be tested
    (``undecided``), or whose halves passed and which then passed itself (``not again``)."""

    hosts: Group
    how: How


class _Undecided(Exception):
    pass


class Bisection:
    """The search for what makes the group of all ``hosts`` fail, which it did."""

    def __init__(self, hosts: Sequence[str]) -> None:
        if not hosts or len(set(hosts)) < len(hosts):
            raise ValueError(f"bisection: found {len(hosts)} hosts, {len(set(hosts))} different; allowed each once")
        self.hosts = tuple(hosts)
        self._found: list[Finding] = []
        self._answers: dict[frozenset[str], bool | None] = {frozenset(hosts): False}
        self._search = self._run()
        self._asked: tuple[Group, ...] = ()
        self._advance()

    def groups(self) -> tuple[Group, ...]:
        """What to test next: groups without a host in common, to run at once; empty when the search is over.

        A group of one host cannot show a bad link by itself: it may be filled up from ``known_good``.
        """
        return self._asked

    def answer(self, passed: Mapping[Group, bool | None]) -> None:
        """What came out for the groups asked for; None: it could not be tested. Raises ValueError for other groups."""
        if set(passed) != set(self._asked):
            raise ValueError(
                f"bisection: found {len(passed)} answers; allowed one for each of {len(self._asked)} groups"
            )
        self._answers |= {frozenset(group): outcome for group, outcome in passed.items()}
        self._advance()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found so far, and in the end."""
        return tuple(self._found)

    @property
    def known_good(self) -> Group:
        """Hosts of groups that passed, in their order; none of a finding."""
        passed = {host for group, outcome in self._answers.items() if outcome for host in group}
        return tuple(host for host in self.hosts if host in passed - {h for f in self._found for h in f.hosts})

    def _advance(self) -> None:
        try:
            self._asked = tuple(next(self._search))
        except StopIteration:
            self._asked = ()

    def _run(self) -> _Search:
        left = self.hosts
        while left and (yield from self._left_fails(left)):
            frontier, together = [left], []
            while frontier:
                halves = [half for group in frontier if len(group) > 1 for half in _halves(group)]
                yield from self._ask(halves)
                following: list[Group] = []
                for group in frontier:
                    if len(group) == 1:
                        self._found.append(Finding(group, "alone"))
                        continue
                    outcomes = [(half, self._outcome(half)) for half in _halves(group)]
                    self._found += [Finding(half, "undecided") for half, outcome in outcomes if outcome is None]
                    following += [half for half, outcome in outcomes if outcome is False]
                    if all(outcome for _, outcome in outcomes):
                        together.append(group)
                frontier = following
            for group in together:
                yield [group]
                self._found.append((yield from self._together(group)))
            named = {host for finding in self._found for host in finding.hosts}
            left = tuple(host for host in left if host not in named)

    def _together(self, group: Group) -> Generator[list[Group], None, Finding]:
        try:
            if not (yield from self._fails(group)):
                return Finding(group, "not again")
            return Finding((yield from self._least((), (), group)), "only together")
        except _Undecided:
            return Finding(group, "undecided")

    def _least(self, background: Group, added: Group, group: Group) -> Generator[list[Group], None, Group]:
        """The hosts of ``group`` that a failing set with ``background`` needs: QuickXplain."""
        if added and (yield from self._fails(background)):
            return ()
        if len(group) == 1:
            return group
        first, second = _halves(group)
        of_second = yield from self._least((*background, *first), first, second)
        of_first = yield from self._least((*background, *of_second), of_second, first)
        return (*of_first, *of_second)

    def _ask(self, groups: Sequence[Group]) -> Generator[list[Group], None, None]:
        if unknown := [group for group in groups if frozenset(group) not in self._answers]:
            yield unknown

    def _outcome(self, group: Group) -> bool | None:
        return self._answers[frozenset(group)]

    def _left_fails(self, group: Group) -> Generator[list[Group], None, bool]:
        try:
            return (yield from self._fails(group))
        except _Undecided:
            self._found.append(Finding(group, "undecided"))
            return False

    def _fails(self, group: Group) -> Generator[list[Group], None, bool]:
        yield from self._ask([group])
        outcome = self._outcome(group)
        if outcome is None:
            raise _Undecided
        return not outcome


def _halves(group: Group) -> tuple[Group, Group]:
    middle = (len(group) + 1) // 2
    return group[:middle], group[middle:]
