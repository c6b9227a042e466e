"""A folder sealed so that a changed byte is found, by tools that everybody has.

SHA256SUMS     the SHA-256 of every file, as ``sha256sum -c SHA256SUMS`` reads it; this one file is what is signed
records.chain  a line a record: the SHA-256 of the line before it (32 bytes; zeros before the first) and of the record's
               own line, then its file and number. A record that was changed, removed or moved breaks it there, and is
               told by its place, where the sum of a file says only that something in it is different.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from perwatt.results.store import RECORDS, write_atomically

SUMS, CHAIN, SIGNATURE = "SHA256SUMS", "records.chain", "SHA256SUMS.sig"
FIRST = bytes(32)
TOLD = 5  # broken places of one file that are told; the rest are counted


def seal(folder: Path) -> int:
    """Write both files. Returns how many records the chain has.

    Raises ValueError for a file whose name ``sha256sum`` would have to escape, and for a link.
    """
    chain = list(_chain(folder))
    write_atomically(folder / CHAIN, "".join(f"{digest.hex()}  {place}\n" for digest, place in chain))
    lines = [f"{_digest(folder / name)}  {name}\n" for name in _files(folder)]
    write_atomically(folder / SUMS, "".join(lines))
    return len(chain)


def broken(folder: Path) -> list[str]:
    """What is not as it was sealed, a line each; empty if nothing is. Raises ValueError for what was never sealed."""
    sealed = _lines(folder / SUMS)
    there = set(_files(folder))
    found = [f"missing: {name}" for name in sealed if name not in there]
    found += [f"added: {name}" for name in sorted(there - set(sealed))]
    changed = [name for name, digest in sealed.items() if name in there and _digest(folder / name) != digest]
    chain = _lines(folder / CHAIN) if CHAIN in there and CHAIN not in changed else {}
    # whatever the sums say, which anybody can make anew
    places = {name: _broken_records(folder / name, pairs) for name, pairs in _by_file(chain).items() if name in there}
    for name in [*changed, *(name for name in places if places[name] and name not in changed)]:
        found += [f"changed: {name}{place}" for place in places.get(name) or [""]]
    return found


def sealed_files(folder: Path) -> int:
    """How many files are sealed."""
    return len(_lines(folder / SUMS))


def sealed_records(folder: Path) -> int:
    """How many records are in the chain."""
    return len(_lines(folder / CHAIN))


def _files(folder: Path) -> list[str]:
    """Every file but the sums and their signature, by its path in the folder."""
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ValueError(f"{path}: found a link; allowed files: what it points to can change unseen")
        if path.is_file() and name not in (SUMS, SIGNATURE):
            if "\n" in name or "\\" in name:
                raise ValueError(f"{name!r}: found a line break or a backslash; allowed names without")
            found.append(name)
    return sorted(found)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _chain(folder: Path) -> Iterator[tuple[bytes, str]]:
    """Digest and place of every record: file by file in the order of their names."""
    digest = FIRST
    for path in sorted(folder.rglob(RECORDS), key=lambda p: p.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix()
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                digest = hashlib.sha256(digest + line).digest()
                yield digest, f"{name}:{number}"


def _lines(path: Path) -> dict[str, str]:
    """The hexadecimal digest of each name in a file of lines as ``sha256sum`` writes them, in their order."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path}: there is no such file; allowed a folder that `perwatt dossier` has sealed") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: found bytes that are no text; allowed lines of a digest and a name") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        digest, space, name = line.partition("  ")
        if not space or len(digest) != 64 or set(digest) - set("0123456789abcdef") or not name:
            raise ValueError(f"{path} line {number}: found {line[:80]!r}; allowed a SHA-256, two blanks and a name")
        found[name] = digest
    return found


def _by_file(chain: Mapping[str, str]) -> dict[str, list[tuple[bytes, str]]]:
    """Of each file's records the digest that was sealed before it, and its own."""
    before, found = FIRST.hex(), dict[str, list[tuple[bytes, str]]]()
    for place, digest in chain.items():
        found.setdefault(place.rpartition(":")[0], []).append((bytes.fromhex(before), digest))
        before = digest
    return found


def _broken_records(path: Path, pairs: Sequence[tuple[bytes, str]]) -> list[str]:
    """Which records of a file are not those of the chain; each is tried against the digest that was sealed before it,
    so that one change breaks one place."""
    with open(path, "rb") as file:
        lines = list(file)
    found = [
        f" line {number}"
        for number, (line, (before_it, digest)) in enumerate(zip(lines, pairs, strict=False), 1)
        if hashlib.sha256(before_it + line).hexdigest() != digest
    ]
    if len(lines) != len(pairs):
        found.append(f": {len(lines)} records, {len(pairs)} were sealed")
    more = len(found) - TOLD
    return [*found[:TOLD], *([f" in {more} more places"] if more > 0 else [])]
