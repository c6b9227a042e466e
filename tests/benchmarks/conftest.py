"""What the tests of ``perwatt size`` share: calls in this process, and runs with a meter."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from sizing_calls import Size, Sized

from perwatt.benchmarks.cli import main


@pytest.fixture(scope="module")
def recorded() -> ModuleType:
    """Runs with a meter, as the tests of fleets write them."""
    spec = importlib.util.spec_from_file_location("recorded", Path(__file__).with_name("test_fleets.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Size:
    """``perwatt size`` in a folder of its own; without PDF and page, which take most of the time, unless ``whole``."""
    monkeypatch.chdir(tmp_path)

    def call(*overrides: str, whole: bool = False) -> Sized:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            if not whole:
                patch.setattr("perwatt.results.reports.sizing_pdf.render", lambda *_: b"%PDF-")
                patch.setattr("perwatt.results.reports.sizing_html.render", lambda *_: "<html>")
            code = main(["size", *overrides])
        said = capsys.readouterr()
        return Sized(code, said.out, said.err, tmp_path)

    return call
