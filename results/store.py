"""The records of a run on disk: one JSON line a case, written through to the disk before the next case starts.

A run that is killed loses at most the case in progress. What a kill can leave behind is one torn line at the end,
without its newline: reading passes over it, appending sets it aside in ``records.torn`` first. Any other unreadable
line means that somebody or something damaged the file: it is refused by line number and nothing is overwritten.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from perwatt.results.record import READABLE, SCHEMA, Record

RECORDS = "records.jsonl"
POLL_S = 0.2  # between two looks whether another writer has left

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class StoreError(Exception):
    """Records could not be written or are in use; the message is one line for the user."""


class _Version(msgspec.Struct):
    schema: int


def decode(line: bytes, where: str) -> Record:
    """One record, or ValueError saying where and why it cannot be read."""
    try:
        version = msgspec.json.decode(line, type=_Version).schema
        if version not in READABLE:
            kind = "a newer perwatt" if version > SCHEMA else "an unknown perwatt"
            raise ValueError(f"{where}: schema {version} was written by {kind}; this one reads schema {SCHEMA}")
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: not a perwatt record ({error})") from None


def _split(path: Path) -> tuple[list[Record], int]:
    """The records of a file and the length in bytes of its readable part."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    records = [
        decode(line, f"{path} line {number}") for number, line in enumerate(data[:whole].splitlines(), 1) if line
    ]
    return records, whole


def load(run: Path) -> list[Record]:
    """All records of a run folder (or of a records file) in the order in which they were written.

    Raises ValueError, naming file and line, for anything unreadable but a torn last line; FileNotFoundError if the
    run has no records file.
    """
    path = run / RECORDS if run.is_dir() else run
    return _split(path)[0]


def cut_off(path: Path) -> bool:
    """Whether a records file ends within a line, which :func:`load` passes over."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        return file.read(1) not in (b"\n", b"")


def latest(records: Iterable[Record]) -> list[Record]:
    """Each case once, in order of first appearance: a case measured again replaces its earlier record."""
    return list({r.case.key: r for r in records}.values())


class Store:
    """A run folder opened for appending, locked against a second writer, who is waited for ``patience_s`` seconds.

    Raises :class:`StoreError` if another process holds the run, ValueError if the existing records are damaged.
    """

    def __init__(self, run: Path, patience_s: float = 0.0) -> None:
        self.path = run / RECORDS
        self._file = open(self.path, "ab")  # noqa: SIM115 - held open for the life of the run
        try:
            self._lock(time.monotonic() + patience_s)
        except BlockingIOError:
            self._file.close()
            raise StoreError(f"{run} is being written by another perwatt run") from None
        except OSError as error:  # Lustre without -o flock, say: two runs could not be told apart
            self._file.close()
            raise StoreError(f"{run}: its file system cannot lock files ({error.strerror})") from None
        try:
            self.records, whole = _split(self.path)
            self._set_torn_line_aside(whole)
        except BaseException:
            self._file.close()
            raise

    def _lock(self, deadline: float) -> None:
        while True:
            try:
                return fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(POLL_S)

    def _set_torn_line_aside(self, whole: int) -> None:
        torn = self.path.read_bytes()[whole:]
        if torn:
            with open(self.path.with_suffix(".torn"), "ab") as aside:
                aside.write(torn + b"\n")
                aside.flush()
                os.fsync(aside.fileno())
            os.truncate(self.path, whole)

    def append(self, record: Record) -> None:
        """Write one record through to the disk. On failure the file is left as it was and StoreError raised."""
        start = os.fstat(self._file.fileno()).st_size
        line = _encoder.encode(record) + b"\n"
        try:
            # one unbuffered write: a buffer that failed to flush would write its rest later, behind our back
            if os.write(self._file.fileno(), line) != len(line):
                raise OSError(28, "No space left on device")
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # gone for good: what is torn is set aside when the run goes on
                os.truncate(self.path, start)
            raise StoreError(f"cannot write {self.path}: {error.strerror}") from error
        self.records.append(record)

    def close(self) -> None:
        """Release the file and its lock."""
        self._file.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def write_atomically(path: Path, content: str | bytes | Callable[[BinaryIO], object]) -> None:
    """Replace a file as a whole: written beside it, synced, renamed, so that a reader never sees half of it.

    ``content`` is a text, bytes, or a function that writes to the open file.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            if isinstance(content, str | bytes):
                file.write(content.encode() if isinstance(content, str) else content)
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def folder_atomically(where: Path) -> Iterator[Path]:
    """A new folder, whole or not there: what is made beside it, under a name of its own, becomes ``where`` at the end,
    and is removed if anything goes wrong, Ctrl-C included."""
    begun = where.with_name(f".{where.name}.{os.getpid()}")
    try:
        begun.mkdir(parents=True)
        yield begun
        begun.rename(where)
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise
