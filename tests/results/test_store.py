"""Records on disk: nothing measured is lost, nothing damaged is overwritten, nothing is written twice at once."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from records import record

from perwatt.results.record import Failed, Skipped
from perwatt.results.store import RECORDS, Store, StoreError, folder_atomically, latest, load, write_atomically


def test_what_is_appended_is_loaded_in_order_and_equal(tmp_path: Path) -> None:
    written = [record("a"), record("b", Skipped("no")), record("c", Failed("boom", 1, "last line"), ("noisy",))]
    with Store(tmp_path) as store:
        for r in written:
            store.append(r)
    assert load(tmp_path) == written
    with Store(tmp_path) as store:
        assert store.records == written
        store.append(record("d"))
    assert load(tmp_path / RECORDS) == [*written, record("d")]


def test_a_case_measured_again_replaces_its_record() -> None:
    old, new = record("a", Skipped("once")), record("a")
    assert latest([old, record("b"), new]) == [new, record("b")]


def test_a_torn_last_line_is_set_aside_and_the_rest_kept(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.append(record("a"))
    path = tmp_path / RECORDS
    torn = msgspec.json.encode(record("b"))[:50]
    path.write_bytes(path.read_bytes() + torn)
    assert load(tmp_path) == [record("a")]
    assert path.read_bytes().endswith(torn)  # reading changes nothing
    with Store(tmp_path) as store:
        store.append(record("b"))
    assert load(tmp_path) == [record("a"), record("b")]
    assert torn in (tmp_path / "records.torn").read_bytes()


@pytest.mark.parametrize("line", [b"not json", b'{"schema":1}', b'{"schema":99}', b"\xff\xfe", b"[]"])
def test_a_damaged_line_is_refused_by_number_and_nothing_is_overwritten(tmp_path: Path, line: bytes) -> None:
    good = msgspec.json.encode(record("a"))
    damaged = b"\n".join([good, line, good]) + b"\n"
    path = tmp_path / RECORDS
    path.write_bytes(damaged)
    for attempt in (load, Store):
        with pytest.raises(ValueError, match=r"records\.jsonl line 2: "):
            attempt(tmp_path)
    assert path.read_bytes() == damaged


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(StoreError, match="another perwatt run"):
        Store(tmp_path)
    with Store(tmp_path) as store:  # released
        store.append(record())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(where)], check=True)
    yield where
    subprocess.run(["umount", str(where)], check=True)


@pytest.mark.root
def test_a_full_disk_keeps_every_whole_record(small_disk: Path) -> None:
    written = 0

    def fill() -> None:
        nonlocal written
        for n in range(1000):
            store.append(record(f"k{n}", Failed("x" * 500)))
            written += 1

    with Store(small_disk) as store, pytest.raises(StoreError, match="No space left on device"):
        fill()
    assert 10 < written < 1000
    assert len(load(small_disk)) == written
    assert (small_disk / RECORDS).read_bytes().endswith(b"\n")


def test_a_file_system_that_is_gone_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    with Store(tmp_path) as store:
        store.append(record("before"))
        with monkeypatch.context() as lost:
            lost.setattr(os, "fsync", gone)
            lost.setattr(os, "truncate", gone)
            with pytest.raises(StoreError, match=r"cannot write .*: Transport endpoint is not connected"):
                store.append(record("lost"))
    assert load(tmp_path)[0] == record("before")


def test_a_writer_killed_at_any_moment_leaves_only_whole_records(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from records import record; from pathlib import Path\n"
        "from perwatt.results.store import Store\n"
        "store = Store(Path(sys.argv[1])); n = 0\n"
        "while True: store.append(record(f'k{n}')); n += 1; print(n, flush=True)"
    )
    tests = str(Path(__file__).parent.parent)
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), tests], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = 0
    for line in process.stdout:
        told = int(line)
        if told >= 200:
            process.kill()
            break
    process.wait()
    found = load(tmp_path)
    assert len(found) >= told
    assert [r.case.key for r in found] == [f"k{n}" for n in range(len(found))]


@pytest.mark.parametrize("how", [KeyboardInterrupt, OSError, None])
def test_a_folder_is_whole_or_not_there(tmp_path: Path, how: type[BaseException] | None) -> None:
    where = tmp_path / "out" / "one"
    with contextlib.suppress(KeyboardInterrupt, OSError), folder_atomically(where) as begun:
        write_atomically(begun / "a", "half")
        assert not where.exists()
        if how:
            raise how
        write_atomically(begun / "b", "whole")
    assert [p.name for p in where.parent.iterdir()] == ([] if how else ["one"])
    assert how or {p.name: p.read_text() for p in where.iterdir()} == {"a": "half", "b": "whole"}
