"""What a cold cache costs, which only a machine that does nothing else can say."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Perwatt
from kinds import DEVICES, SHORT, resolve

from perwatt.results.store import load


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("device", DEVICES)
def test_a_cold_cache_is_slower_and_has_no_energy_of_its_own(tmp_path: Path, perwatt: Perwatt, device: str) -> None:
    caches = "+kernels.memory.cache=[warm,cold]"
    size = ("suite=memory", "kernels.memory.op=copy", "kernels.memory.array_bytes=256KiB", caches)
    done = perwatt("run", *size, f"device={resolve(device)}", *SHORT)
    assert done.code == 0, done.err
    warm, cold = load(tmp_path / done.run)
    assert warm.rate is not None
    assert cold.rate is not None
    assert cold.rate < 0.8 * warm.rate
    assert cold.power_w is None
    assert cold.measured is not None
    assert "flush" in cold.measured.unmetered
