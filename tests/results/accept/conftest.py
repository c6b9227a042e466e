from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated_fleet import Behaviour, Fleet


@pytest.fixture
def led(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fleet of eight nodes that behaves as a test says."""

    def lead(
        behaviour: Behaviour, name: str = "run", prepare: Callable[[Fleet], object] = lambda fleet: None, **changes: Any
    ) -> Fleet:
        fleet = Fleet(tmp_path / name, monkeypatch, 8, behaviour)
        prepare(fleet)
        fleet.lead(**changes)
        return fleet

    return lead
