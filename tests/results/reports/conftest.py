"""What the tests of the reports share: made-up records, one whole report rendered once, a real browser."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

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


def absent(what: str) -> None:
    if "browser" in os.environ.get("PERWATT_REQUIRE", ""):
        pytest.fail(f"{what} is missing, and PERWATT_REQUIRE asks for a browser")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    at = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if at is None:
        absent("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("playwright")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=at, args=list(FLAGS))
        yield started
        started.close()
