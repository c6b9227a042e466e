from __future__ import annotations

import json
from pathlib import Path

import pytest

from perwatt.results import run


def test_a_folder_without_records_is_an_empty_run(tmp_path: Path) -> None:
    folder = tmp_path / "20261101-test"
    folder.mkdir()
    (folder / run.CONFIG).write_text("a: 1\n")
    (folder / run.ENVIRONMENT).write_text(json.dumps({"host": "node1"}))
    found = run.read(folder)
    assert found.name == "20261101-test"
    assert found.records == []
    assert found.config_text == "a: 1\n"
    assert found.environment == {"host": "node1"}
    assert found.telemetry is None


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_damaged_environment_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / run.ENVIRONMENT).write_text(text)
    with pytest.raises(ValueError, match=r"environment\.json"):
        run.read(tmp_path)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such run folder"):
        run.read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="not a run folder"):
        run.read(tmp_path)
