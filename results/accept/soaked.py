"""What all rounds of a burn-in say of a case, as one: the last round's figures, how far its rate fell, the worst
heat and health of all, wrong if the output of one was, and failed if one has, with the round that did first.

Of a run its records are folded; of a merged fleet the columns of its index, and what only records say is read from
those of all rounds.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import msgspec
import numpy as np

from perwatt.results import derived, store
from perwatt.results.accept import health, xids
from perwatt.results.accept.falling import FALL, U_FALL, falls
from perwatt.results.accept.health import number
from perwatt.results.flags import TIME_INVALID
from perwatt.results.fleet import brief
from perwatt.results.health import Health
from perwatt.results.recheck import WRONG_OUTPUT, Rechecks
from perwatt.results.record import Failed, Record, Skipped

if TYPE_CHECKING:
    import pandas as pd

STATE = ("temperature", "throttled", "ecc")


class Window(msgspec.Struct, frozen=True, gc=False):
    """Of a window the state of the device."""

    conditions: brief.Conditions | None = None


class Measured(msgspec.Struct, frozen=True, tag="measured", gc=False):
    """Of a measurement what is folded."""

    repetitions: tuple[Window, ...]
    health: tuple[Health, ...] = ()
    rechecks: Rechecks | None = None


class Brief(msgspec.Struct, frozen=True, gc=False):
    """Of a record what is folded: there are many of them, and a whole one takes several times as long to read."""

    outcome: Measured | Skipped | Failed

    @property
    def measured(self) -> Measured | None:
        """The measurement, or None."""
        return self.outcome if isinstance(self.outcome, Measured) else None


_decoder = msgspec.json.Decoder(Brief)


class Told(NamedTuple):
    """What is said of heat and health, and how often each XID was heard."""

    metrics: dict[str, float]
    xids: Counter[str]

    @property
    def columns(self) -> dict[str, object]:
        """As rows have it."""
        return {**self.metrics, "xids": xids.told(self.xids)}


def told(record: Record | Brief) -> Told:
    """What a record says."""
    m = record.measured
    state = derived.state(m.repetitions if m else ())
    found = {**dict(zip(STATE, map(number, state), strict=True)), **health.metrics(record)}
    return Told(found, health.heard(record))


def worst(each: Sequence[Told]) -> Told:
    """The worst of all, and all XIDs."""
    if len(each) == 1:
        return each[0]
    heard: Counter[str] = Counter()
    for one in each:
        heard.update(one.xids)
    return Told(health.worst([one.metrics for one in each], (*STATE, *health.METRICS)), heard)


def over_rounds(records: Sequence[Record]) -> dict[str, object]:
    """What the rounds of a case change in the row of its last one: NaN for a fall where there are none."""
    if not records:
        return {FALL: math.nan, U_FALL: math.nan}
    failed = [(r.outcome.error, r.round.number if r.round else 0) for r in records if isinstance(r.outcome, Failed)]
    rates = [math.nan if TIME_INVALID & {*r.flags} else number(r.rate) for r in records]
    row = worst([told(r) for r in records]).columns | {name: float(of[0]) for name, of in falls(rates).items()}
    return {**row, "outcome": "failed", "reason": _in_round(*failed[0])} if failed else row


def _in_round(reason: str, round_: int) -> str:
    return f"{reason} (round {round_})"


def folded(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """``found`` of an index, each case once; and where the records of its earlier rounds lie: ``of`` which row,
    ``file`` and ``offset``. None where there are no rounds."""
    last, rounds = (found.pop(name).to_numpy() for name in ("last", "round"))
    if not rounds.any():
        return found.assign(**{FALL: math.nan, U_FALL: math.nan}), None
    ends, before = np.flatnonzero(last), np.flatnonzero(~last)  # the rounds of a case end with its last
    starts = np.concatenate(([0], ends[:-1] + 1))
    rows = found[last].reset_index(drop=True)
    for name in STATE:
        rows[name] = np.fmax.reduceat(found[name].to_numpy(float), starts)
    rows = rows.assign(**falls(_rates(found, rounds), starts))
    failed = np.flatnonzero((found["outcome"] == "failed").to_numpy() & (rounds > 0))
    of, first = np.unique(np.searchsorted(ends, failed), return_index=True)
    failed = failed[first]
    texts = zip(found["reason"].iloc[failed], rounds[failed].tolist(), strict=True)
    rows["outcome"] = _changed(rows["outcome"], of, ["failed"] * len(of))
    rows["reason"] = _changed(rows["reason"], of, [_in_round(str(text), n) for text, n in texts])
    wrong = np.flatnonzero(flagged(found["flags"], {WRONG_OUTPUT}) & (rounds > 0))
    of = np.unique(np.searchsorted(ends, wrong))
    flags = [" ".join(dict.fromkeys([*str(text).split(), WRONG_OUTPUT])) for text in rows["flags"].iloc[of]]
    rows["flags"] = _changed(rows["flags"], of, flags)
    return rows, found.loc[before, ["file", "offset"]].assign(of=np.searchsorted(ends, before))


def _rates(found: pd.DataFrame, rounds: np.ndarray) -> np.ndarray:
    """Of each row of an index its rate in a round, NaN for one whose times do not count, and for what is of none."""
    return np.where((rounds > 0) & ~flagged(found["flags"], TIME_INVALID), found["rate"].to_numpy(float), math.nan)


def flagged(flags: pd.Series, names: Set[str]) -> np.ndarray:
    """Which rows have one of these flags."""
    import pandas as pd

    codes, texts = pd.factorize(flags)
    having = np.array([bool(names & {*str(text).split()}) for text in texts], bool)
    return having[codes] if len(having) else np.zeros(len(flags), bool)


def _changed(texts: pd.Series, at: np.ndarray, to: Sequence[str]) -> pd.Series:
    """Categories, of which those ``at`` are others."""
    import pandas as pd

    known = texts.cat.categories.union(pd.Index(list(dict.fromkeys(to))), sort=False)
    codes = known.get_indexer(texts.cat.categories)[texts.cat.codes.to_numpy()]
    codes[at] = known.get_indexer(pd.Index(to))
    return pd.Series(pd.Categorical.from_codes(codes, known), texts.index)


def read(records: pd.DataFrame, folder: Path, known: Mapping[int, Told] | None = None) -> dict[int, Told]:
    """The worst that the ``records``, each ``of`` a row and located as :func:`folded` does, say of each row; beside
    what is ``known`` of it."""
    found = dict(known or {})
    for of, each in _each(records, folder):
        found[of] = worst([found[of], *each] if of in found else each)
    return found


def _each(records: pd.DataFrame, folder: Path) -> Iterator[tuple[int, list[Told]]]:
    """What they say of each row; of one whose records lie in several files several times."""
    for name, part in records.groupby("file", sort=False, observed=True):
        with opened(folder / str(name)) as file:
            each = zip(part["of"].tolist(), part["offset"].tolist(), strict=True)
            for of, same in itertools.groupby(each, lambda one: one[0]):
                yield of, [told(_brief_at(file, offset, str(name))) for _, offset in same]


def _brief_at(file: BinaryIO, offset: int, where: str) -> Brief | Record:
    try:
        return _decoder.decode(line_at(file, offset))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return record_at(file, offset, where)  # says it in the words of a whole record


def opened(path: Path) -> BinaryIO:
    """A records file that was merged. Raises ValueError if it is no longer there."""
    try:
        return path.open("rb")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; its records were there when they were merged") from None


def record_at(file: BinaryIO, offset: int, where: str) -> Record:
    """The whole record at a byte of a records file. Raises ValueError saying where it cannot be read."""
    return store.decode(line_at(file, offset), f"{where} at byte {offset}")


def line_at(file: BinaryIO, offset: int) -> bytes:
    """The line that begins at a byte."""
    file.seek(offset)
    return file.readline().rstrip(b"\n")
