"""Every set of criteria that ships: readable, sourced, of hardware that is known, and a starting point that says so."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from perwatt.benchmarks.accepting import criteria_named
from perwatt.benchmarks.targets import load_targets
from perwatt.results.accept import health
from perwatt.results.accept.criteria import si
from perwatt.results.accept.falling import FALL

SHIPPED = sorted(Path(str(files("perwatt.conf") / "criteria")).glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_criteria_that_ship(path: Path) -> None:
    found = criteria_named(path.stem)
    assert found.name == path.stem
    targets = {file.target.name: file.target for file in load_targets()}
    assert set(found.targets) <= set(targets)
    for criterion in found.criteria:
        if criterion.limits:
            # what no sound machine shows is no figure of one kind of hardware
            assert found.targets or criterion.metric in (*health.METRICS, FALL)
            assert "starting point" in found.status
        for key, limit in criterion.limits.items():
            value, counts = si(criterion.metric, limit, key)
            if criterion.metric == "rate" and counts == "flops":
                # no limit above what the hardware can do at all, and none so low that it says nothing
                best = max(q.value for name in found.targets for q in targets[name].peak_flops.values())
                assert 0.01 * best < value <= 1.1 * best, f"{criterion.name}: {key}"
