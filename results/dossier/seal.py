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
REACH = 1000  # so many records in a row that were taken away or added are told as such


def seal(folder: Path) -> int:
    """Write both files. Returns how many records the chain has.

    Raises ValueError for a file whose name ``sha256sum`` would have to escape, and for a link.
    """
    chain = list(_chain(folder))
    write_atomically(folder / CHAIN, "".join(f"{digest.hex()}  {place}\n" for digest, place in chain))
    names, odd = _files(folder)
    if odd:
        name, why = next(iter(odd.items()))
        raise ValueError(f"{str(folder / name)!r}: {why}")
    write_atomically(folder / SUMS, "".join(f"{_digest(folder / name)}  {name}\n" for name in names))
    return len(chain)


def broken(folder: Path) -> list[str]:
    """What is not as it was sealed, a line each; empty if nothing is. Raises ValueError for what was never sealed."""
    sealed, wrong = _lines(folder / SUMS)
    names, odd = _files(folder)
    there = set(names)
    found = [f"changed: {SUMS}{place}" for place in wrong or ([] if sealed else [": found nothing"])]
    found += [f"missing: {name}" for name in dict.fromkeys((*sealed, CHAIN)) if name not in there and name not in odd]
    found += [f"added: {name}" for name in sorted(there - set(sealed)) if sealed]
    known = {*sealed, SIGNATURE} - {SUMS}
    found += [f"{'changed' if n in known else 'added'}: {n!r}: {why}" for n, why in odd.items() if n != SUMS]
    changed = [name for name, digest in sealed.items() if name in there and _digest(folder / name) != digest]
    kept = CHAIN in there and CHAIN not in changed
    chain, wrong = _lines(folder / CHAIN) if kept else ({}, [])
    found += [f"changed: {CHAIN}{place}" for place in wrong]
    # whatever the sums say, which anybody can make anew
    linked = _by_file(chain)
    loose = [name for name in names if kept and name in sealed and name not in linked and _has_records(folder / name)]
    found += [f"added: {name}: not in {CHAIN}" for name in loose]
    places = {name: _broken_records(folder / name, pairs) for name, pairs in linked.items() if name in there}
    for name in [*changed, *(name for name in places if places[name] and name not in changed)]:
        found += [f"{how}: {name}{place}" for how, place in places.get(name) or [("changed", "")]]
    return found


def _has_records(path: Path) -> bool:
    """Whether the chain has to have a file's lines."""
    return path.name == RECORDS and path.stat().st_size > 0


def sealed_files(folder: Path) -> int:
    """How many files are sealed."""
    return len(_lines(folder / SUMS)[0])


def sealed_records(folder: Path) -> int:
    """How many records are in the chain."""
    return len(_lines(folder / CHAIN)[0])


def _files(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Every file but the sums and their signature, by its path in the folder; and what can be none, with the reason."""
    found, odd = [], {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            odd[name] = "found a link; allowed files: what it points to can change unseen"
        elif path.is_file() and name not in (SUMS, SIGNATURE):
            if "\n" in name or "\\" in name:
                odd[name] = "found a line break or a backslash in a name; allowed names without"
            else:
                found.append(name)
        elif not path.is_dir() and name not in (SUMS, SIGNATURE):
            odd[name] = "found neither a file nor a folder"
        elif path.is_dir() and not any(path.iterdir()):
            odd[name] = "found an empty folder"
    return sorted(found), dict(sorted(odd.items()))


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


def _lines(path: Path) -> tuple[dict[str, str], list[str]]:
    """The hexadecimal digest of each name in a file of lines as ``sha256sum`` writes them, in their order; and what of
    it nobody can have sealed. Raises ValueError where there is no such file."""
    if path.is_symlink():
        return {}, [": found a link; allowed a file"]
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path}: there is no such file; allowed a folder that `perwatt dossier` has sealed") from None
    except (UnicodeDecodeError, IsADirectoryError):
        return {}, [": found no text; allowed lines of a digest and a name"]
    found, wrong = {}, []
    for number, line in enumerate(text.splitlines(), 1):
        digest, space, name = line.partition("  ")
        if not space or len(digest) != 64 or set(digest) - set("0123456789abcdef") or not name:
            wrong.append(f" line {number}: found {line[:80]!r}; allowed a SHA-256, two blanks and a name")
        else:
            found[name] = digest
    return found, [*wrong[:TOLD], *([f" in {len(wrong) - TOLD} more places"] if len(wrong) > TOLD else [])]


def _by_file(chain: Mapping[str, str]) -> dict[str, list[tuple[bytes, str]]]:
    """Of each file's records the digest that was sealed before it, and its own."""
    before, found = FIRST.hex(), dict[str, list[tuple[bytes, str]]]()
    for place, digest in chain.items():
        found.setdefault(place.rpartition(":")[0], []).append((bytes.fromhex(before), digest))
        before = digest
    return found


def _broken_records(path: Path, pairs: Sequence[tuple[bytes, str]]) -> list[tuple[str, str]]:
    """What became of which records of a file that are not those of the chain; each is tried against the digest that was
    sealed before it, so that one change breaks one place, and those after one that was removed are found again."""
    with open(path, "rb") as file:
        lines = list(file)

    def sealed(line: int, place: int) -> bool:
        if line >= len(lines) or place >= len(pairs):
            return False
        before_it, digest = pairs[place]
        return hashlib.sha256(before_it + lines[line]).hexdigest() == digest

    fewer = max(min(len(pairs) - len(lines), REACH), -REACH)
    found: list[tuple[str, str]] = []
    line = place = 0
    while line < len(lines) or place < len(pairs):
        if sealed(line, place):
            line, place = line + 1, place + 1
        elif line == len(lines) or (lost := next((n for n in range(1, fewer + 1) if sealed(line, place + n)), 0)):
            lost = len(pairs) - place if line == len(lines) else lost
            found.append(("removed", _span(place, lost)))
            place += lost
        elif place == len(pairs) or (more := next((n for n in range(1, 1 - fewer) if sealed(line + n, place)), 0)):
            more = len(lines) - line if place == len(pairs) else more
            found.append(("added", _span(line, more)))
            line += more
        else:
            found.append(("changed", _span(line, 1)))
            line, place = line + 1, place + 1
    rest = [("changed", f" in {len(found) - TOLD} more places")] if len(found) > TOLD else []
    if len(lines) != len(pairs):
        rest.append(("changed", f": {len(lines)} records, {len(pairs)} were sealed"))
    return [*found[:TOLD], *rest]


def _span(first: int, count: int) -> str:
    return f" line {first + 1}" if count == 1 else f" lines {first + 1} to {first + count}"
