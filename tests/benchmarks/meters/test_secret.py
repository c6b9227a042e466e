"""Passwords come from the environment or a file of mode 0600, and never print."""

from __future__ import annotations

from pathlib import Path

import pytest

from perwatt.benchmarks.meters.meter import Unavailable
from perwatt.benchmarks.meters.secret import Secret, secret


def test_the_environment_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert secret("pdu") is None
    monkeypatch.setenv("PERWATT_PDU_USER", "me")
    monkeypatch.setenv("PERWATT_PDU_PASSWORD", "pw")
    assert secret("pdu", str(tmp_path / "absent")) == Secret("me", "pw")


def test_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "bmc"
    file.write_text("# the rack's controllers\nuser = admin\npassword = a=b\n")
    file.chmod(0o600)
    assert secret("bmc", str(file)) == Secret("admin", "a=b")
    file.chmod(0o640)
    with pytest.raises(Unavailable, match="others than you may read it") as refused:
        secret("bmc", str(file))
    assert "chmod 600" in refused.value.remedy
    file.chmod(0o600)
    file.write_text("user=admin\n")
    with pytest.raises(Unavailable, match="no line password"):
        secret("bmc", str(file))
    with pytest.raises(Unavailable, match="No such file"):
        secret("bmc", str(tmp_path / "absent"))


def test_it_does_not_print() -> None:
    assert "pw" not in f"{Secret('me', 'pw')} {Secret('me', 'pw')!r}"
