"""What the tests of ``perwatt size`` share: calls in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from sizing_calls import Size, Sized

from perwatt.benchmarks.cli import main


@pytest.fixture
def size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Size:
    """``perwatt size`` in a folder of its own; without PDF and page, which take most of the time, unless ``whole``."""
    monkeypatch.chdir(tmp_path)

    def call(*overrides: str, whole: bool = False) -> Sized:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            if not whole:
                patch.setattr("perwatt.results.reports.paper.pdf", lambda _: b"%PDF-")
                patch.setattr("perwatt.results.reports.sizing_html.render", lambda *_: "<html>")
            code = main(["size", *overrides])
        said = capsys.readouterr()
        return Sized(code, said.out, said.err, tmp_path)

    return call
