"""Power limits of Intel's cards, on a tree of files that looks like theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from intel_cards import card

from perwatt.benchmarks.caps.limit import Refusal
from perwatt.benchmarks.caps.sweep import KEPT, Setter, Sweep, found
from perwatt.benchmarks.caps.xe import Card
from perwatt.benchmarks.config import BadRequest

DEVICES = [{"index": 0}, {"index": 1}]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two cards of 300 W, of which the second is held at 250 W."""
    for number, limit_w in enumerate((300, 250)):
        told = {"power1_max": limit_w * 10**6, "power1_rated_max": 300_000_000}
        card(tmp_path / "drm", number, energy1_input=5, **told)
    return tmp_path / "drm"


def limits_w(root: Path) -> list[float]:
    return [Card(index, str(root)).read() for index in (0, 1)]


def test_each_card_is_held_at_each_cap_and_put_back_to_its_own(root: Path, tmp_path: Path) -> None:
    sweep = Sweep("power_cap", caps_w=(150, 200), drm_root=str(root))
    with Setter(tmp_path, sweep, "xpu", DEVICES) as setter:
        assert setter.caps_w == [200, 150]
        assert json.loads((tmp_path / KEPT).read_text())["before_w"] == [300, 250]
        for cap_w in setter.caps_w:
            setter.set(cap_w)
            assert limits_w(root) == [cap_w, cap_w]
    assert limits_w(root) == [300, 250]
    assert not (tmp_path / KEPT).exists()


def test_a_limit_that_was_off_is_off_again(root: Path, tmp_path: Path) -> None:
    for path in root.glob("card*/device/hwmon/hwmon*/power1_max"):
        path.write_text("0")
    with Setter(tmp_path, Sweep("power_cap", caps_w=(150,), drm_root=str(root)), "xpu", DEVICES) as setter:
        setter.set(150)
    assert limits_w(root) == [0, 0]


def test_caps_have_to_be_named_and_no_higher_than_its_default(root: Path) -> None:
    with pytest.raises(BadRequest, match=r"card0 \(xe\) does not say the least it allows: name them, in W"):
        found(Sweep("power_cap", drm_root=str(root)), "xpu", DEVICES)
    with pytest.raises(BadRequest, match="found 350 W; allowed 0 to 300 W"):
        found(Sweep("power_cap", caps_w=(350,), drm_root=str(root)), "xpu", DEVICES)


def test_what_is_not_there_is_told(root: Path) -> None:
    with pytest.raises(Refusal, match="found 2 cards with sensors of xe or i915; there is no card 2"):
        Card(2, str(root))
    for name, told in (
        ("power1_rated_max", "does not say the most"),
        ("power1_max", "its driver tells no power limit"),
    ):
        hwmon = next(root.glob("card0/device/hwmon/hwmon*"))
        (hwmon / "power1_max").write_text("0")
        (hwmon / name).unlink()
        with pytest.raises(Refusal, match=told):
            Card(0, str(root))
