"""A sealed folder: whatever changes is found and named, by us and by sha256sum; signatures are OpenSSH's own."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from acceptances import devices, run_of
from conftest import require
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perwatt.benchmarks.cli import main
from perwatt.results.dossier.seal import CHAIN, FIRST, SIGNATURE, SUMS, broken, seal, sealed_files, sealed_records
from perwatt.results.dossier.sign import sign, signer

LINK = "found a link; allowed files"


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "dossier"
    for host in ("n1", "n2"):
        run_of(folder / "run" / "nodes" / host, devices(2, cases=3, host=host))
    (folder / "report.html").write_text("<html>")
    seal(folder)
    return folder


def test_what_is_as_it_was_is_whole(sealed: Path) -> None:
    assert broken(sealed) == []
    assert (sealed_files(sealed), sealed_records(sealed)) == (4, 12)  # the chain is a file as well
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", SUMS], cwd=sealed, check=True)


def test_the_chain_is_what_it_is_said_to_be(sealed: Path) -> None:
    lines = [line.split("  ") for line in (sealed / CHAIN).read_text().splitlines()]
    digest = FIRST
    for host in ("n1", "n2"):
        for number, line in enumerate((sealed / f"run/nodes/{host}/records.jsonl").read_bytes().splitlines(True), 1):
            digest = hashlib.sha256(digest + line).digest()
            assert lines.pop(0) == [digest.hex(), f"run/nodes/{host}/records.jsonl:{number}"]
    assert lines == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_found_and_any_changed_record_named(sealed: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(p.relative_to(sealed).as_posix() for p in sealed.rglob("*.*"))))
    path = sealed / name
    if path.name in (SUMS, SIGNATURE) or path.is_dir():
        return
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    path.write_bytes(before[:at] + bytes([before[at] ^ data.draw(st.integers(1, 255))]) + before[at + 1 :])
    found = broken(sealed)
    path.write_bytes(before)
    assert found[0].startswith(f"changed: {name}")
    if name.endswith(".jsonl") and before[at] != 10 and len(found) == 1:
        assert found[0].endswith(f"line {before[:at].count(10) + 1}") or "records" in found[0]


def test_records_taken_away_or_moved_and_files_added_or_lost_are_named(sealed: Path) -> None:
    records = sealed / "run/nodes/n2/records.jsonl"
    lines = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join(lines[:-1]))
    few = "changed: run/nodes/n2/records.jsonl: 5 records, 6 were sealed"
    assert broken(sealed) == ["removed: run/nodes/n2/records.jsonl line 6", few]
    records.write_bytes(b"".join([lines[0], *lines[2:]]))
    assert broken(sealed) == ["removed: run/nodes/n2/records.jsonl line 2", few]
    records.write_bytes(b"".join([lines[0], lines[3], lines[5].replace(b"matmul", b"matmuk")]))
    assert broken(sealed)[:3] == [
        "removed: run/nodes/n2/records.jsonl lines 2 to 3",
        "changed: run/nodes/n2/records.jsonl line 3",
        "removed: run/nodes/n2/records.jsonl line 6",
    ]
    records.write_bytes(b"".join([lines[0], b"{}\n", b"{}\n", *lines[1:]]))
    assert broken(sealed)[0] == "added: run/nodes/n2/records.jsonl lines 2 to 3"
    records.write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    assert broken(sealed) == [f"changed: run/nodes/n2/records.jsonl line {n}" for n in (1, 2)]
    records.write_bytes(b"".join(lines))
    (sealed / "note.txt").touch()
    (sealed / "report.html").unlink()
    assert broken(sealed) == ["missing: report.html", "added: note.txt"]


def test_a_chain_that_was_changed_and_many_changes_are_told_in_few_lines(sealed: Path) -> None:
    records = sealed / "run/nodes/n1/records.jsonl"
    records.write_bytes(records.read_bytes().replace(b"matmul", b"matmuk"))
    assert broken(sealed)[-1] == "changed: run/nodes/n1/records.jsonl in 1 more places"
    chain = (sealed / CHAIN).read_text()
    (sealed / CHAIN).write_text(chain.replace("a", "b"))
    assert broken(sealed) == ["changed: records.chain", "changed: run/nodes/n1/records.jsonl"]


def test_a_link_and_an_odd_name_are_not_sealed(sealed: Path) -> None:
    (sealed / "a\\b").touch()
    with pytest.raises(ValueError, match="backslash"):
        seal(sealed)
    (sealed / "a\\b").unlink()
    (sealed / "link").symlink_to("report.html")
    with pytest.raises(ValueError, match="link"):
        seal(sealed)
    assert broken(sealed) == [f"added: 'link': {LINK}: what it points to can change unseen"]
    for name in ("link", "report.html"):
        (sealed / name).unlink()
    (sealed / "report.html").symlink_to("elsewhere.html")
    assert broken(sealed) == [f"changed: 'report.html': {LINK}: what it points to can change unseen"]


def test_what_was_never_sealed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="perwatt dossier"):
        broken(tmp_path)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_text("abc  file\n"), " line 1: found 'abc  file'; allowed a SHA-256, "),
        (lambda path: path.write_bytes(b"\xff\xfe"), ": found no text"),
        (lambda path: path.write_bytes(b""), ": found nothing"),
        (lambda path: path.symlink_to(path.rename(path.parent.parent / "sums")), ": found a link; allowed a file"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), ": found a link; allowed a file"),
    ],
)
@pytest.mark.parametrize("signed", [False, True])
def test_sums_that_are_damaged_are_a_dossier_that_is_broken(
    sealed: Path, damage: Any, told: str, signed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if signed:
        (sealed / SIGNATURE).write_text("-----BEGIN SSH SIGNATURE-----\n")
    damage(sealed / SUMS)
    assert main(["verify", str(sealed)]) == 1
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"changed: {SUMS}{told}")
    assert second.startswith("BROKEN: ")


def test_a_chain_that_is_gone_is_told_though_the_sums_were_made_anew(sealed: Path) -> None:
    (sealed / CHAIN).unlink()
    sums = (sealed / SUMS).read_text().splitlines(keepends=True)
    (sealed / SUMS).write_text("".join(line for line in sums if CHAIN not in line))
    assert broken(sealed) == [f"missing: {CHAIN}"]


def test_records_that_the_chain_does_not_have_are_told_though_the_sums_were_made_anew(sealed: Path) -> None:
    kept = (sealed / CHAIN).read_text()
    more = sealed / "run" / "nodes" / "n9" / "records.jsonl"
    more.parent.mkdir(parents=True)
    more.write_bytes(b"{}\n")
    seal(sealed)
    (sealed / CHAIN).write_text(kept)
    sums = (sealed / SUMS).read_text()
    digest = hashlib.sha256(kept.encode()).hexdigest()
    (sealed / SUMS).write_text(re.sub(rf"^[0-9a-f]+  {CHAIN}$", f"{digest}  {CHAIN}", sums, flags=re.M))
    assert broken(sealed) == ["added: run/nodes/n9/records.jsonl: not in records.chain"]


def test_a_signature_holds_until_the_sums_change(sealed: Path, tmp_path: Path) -> None:
    require("ssh-keygen", shutil.which("ssh-keygen") is not None)
    key, other = tmp_path / "key", tmp_path / "other"
    for one in (key, other):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", one], check=True)
    signers = tmp_path / "signers"
    assert signer(sealed, None) == (True, "not signed")
    sign(sealed, key)
    assert broken(sealed) == []  # the signature is no file of the dossier
    holds, told = signer(sealed, None)
    assert holds
    assert told.startswith("signed with ED25519 key SHA256:")
    signers.write_text(f"eve@example.org {other.with_suffix('.pub').read_text()}")
    assert signer(sealed, signers) == (False, f"signed with a key that {signers} does not have")
    signers.write_text(f"me@example.org {key.with_suffix('.pub').read_text()}")
    assert signer(sealed, signers) == (True, "signed by me@example.org")
    (sealed / "report.html").write_text("<html><p>")
    seal(sealed)
    for trusted in (signers, None):
        holds, told = signer(sealed, trusted)
        assert not holds
        assert "does not hold" in told
    (sealed / SIGNATURE).unlink()
    assert signer(sealed, signers) == (False, "not signed")


def test_a_key_that_is_none_is_one_line(sealed: Path, tmp_path: Path) -> None:
    require("ssh-keygen", shutil.which("ssh-keygen") is not None)
    (tmp_path / "key").write_text("no key")
    with pytest.raises(ValueError, match=r"sign=.*key: ") as refused:
        sign(sealed, tmp_path / "key")
    assert "\n" not in str(refused.value)


def test_a_record_that_the_chain_contradicts_is_told_though_the_sums_were_made_anew(sealed: Path) -> None:
    records = sealed / "run/nodes/n1/records.jsonl"
    records.write_bytes(records.read_bytes().replace(b'"median":0.0', b'"median":0.1', 1))
    names = [line.partition("  ")[2] for line in (sealed / SUMS).read_text().splitlines()]
    anew = subprocess.run(["sha256sum", *names], cwd=sealed, check=True, capture_output=True, text=True)
    (sealed / SUMS).write_text(anew.stdout)
    assert broken(sealed) == ["changed: run/nodes/n1/records.jsonl line 1"]


def test_a_file_is_no_dossier(sealed: Path) -> None:
    with pytest.raises(ValueError, match="allowed a folder that"):
        broken(sealed / "report.html")
