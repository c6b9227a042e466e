"""What the tests of the reports share: made-up records, and one whole report rendered once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("synthetic_records", Path(__file__).with_name("synthetic.py"))
assert _spec is not None
assert _spec.loader is not None
_synthetic = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_synthetic)


@pytest.fixture(scope="session")
def made() -> Any:
    """The module of builders of made-up records, ``synthetic.py``."""
    return _synthetic


@pytest.fixture(scope="session")
def whole(made: Any) -> Any:
    """A run with everything that a report can meet."""
    return made.whole_run()


@pytest.fixture(scope="session")
def page(whole: Any) -> str:
    """The HTML report on ``whole``."""
    from perwatt.results.reports import html

    return html.render(whole)
