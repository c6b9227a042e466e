"""Where the published recordings are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def data() -> Path:
    """The folder of published recordings; the test is skipped, saying so, where none is named."""
    found = os.environ.get("PERWATT_DATA")
    if not found:
        pytest.skip("PERWATT_DATA is not set: no published recordings to test against")
    return Path(found)
