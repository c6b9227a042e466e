"""The shipped architectures, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from perwatt.benchmarks.architectures import load, names
from perwatt.benchmarks.targets import load_targets, target_named
from perwatt.kernels.triton.static.architecture import Architecture


def node(name: str = "sm_90") -> dict[str, Any]:
    path = Path(__file__).parent.parent.parent / "conf" / "triton" / f"{name}.yaml"
    found = yaml.safe_load(path.read_text())["architecture"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", ["gfx942", "gfx950", "sm_100", "sm_103", "sm_120", "sm_80", "sm_90"])
def test_each_is_shipped_and_consistent(name: str) -> None:
    found = load(name)
    assert name in names()
    assert found.vendor == ("AMD" if name.startswith("gfx") else "NVIDIA")
    assert found.shared_per_block + found.shared_reserved <= found.shared_per_core
    assert found.registers_per_core % (found.schedulers * found.register_granularity) == 0
    assert found.tensor_flops["bf16"] == found.tensor_flops["fp16"]
    assert found.tensor_flops["fp8_e4m3"] == 2 * found.tensor_flops["bf16"] if name != "sm_80" else True


@pytest.mark.parametrize(
    ("name", "target", "cores", "clock_hz", "within"),
    [
        ("sm_80", "a100_sxm_80gb", 108, 1410e6, 0.01),
        ("sm_90", "h100_sxm", 132, 1830e6, 0.01),
        ("sm_100", "b200", 148, 1856e6, 0.01),
        ("gfx942", "mi300x", 304, 2100e6, 0.01),
        ("gfx950", "mi355x", 256, 2400e6, 0.01),
    ],
)
def test_rates_times_cores_times_clock_are_the_peaks_of_the_target(
    name: str, target: str, cores: int, clock_hz: float, within: float
) -> None:
    peaks = target_named(target, load_targets()).peak_flops
    checked = 0
    for dtype, rate in load(name).tensor_flops.items():
        if dtype in peaks and dtype != "fp64":  # whose clock is another, or whose peak is the vector units'
            assert rate * cores * clock_hz == pytest.approx(peaks[dtype].value, rel=within), dtype
            checked += 1
    assert checked >= 3


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("warps_per_core", None, "warps_per_core: missing"),
        ("warps_per_sm", {"value": 1}, "unknown key 'warps_per_sm', is 'warps_per_core' meant"),
        ("warp_size", {"value": 32, "unit": "lanes", "source": ""}, "warp_size: a whole value of at least 1 in lanes"),
        ("warp_size", {"value": 32, "unit": "threads", "source": "x"}, "in lanes with a source"),
        ("warp_size", {"value": 0, "unit": "lanes", "source": "x"}, "at least 1"),
        ("warp_size", {"value": 31.5, "unit": "lanes", "source": "x"}, "a whole value"),
        ("warp_size", 32, "keys and values are needed, not 32"),
        ("vendor", "Intel", "vendor NVIDIA or AMD"),
        ("tensor_flops", {"bf17": {}}, "unknown key 'bf17', is 'bf16' meant"),
        ("tensor_flops", {"int8": {"value": 1, "unit": "FLOP", "source": "x"}}, r"tensor_flops\.int8: .* in OP"),
        ("issue_vector_only", "yes", "true or false"),
    ],
)
def test_a_wrong_one_is_refused_in_one_line_that_names_the_key(key: str, value: object, said: str) -> None:
    wrong = node()
    if value is None:
        del wrong[key]
    else:
        wrong[key] = value
    with pytest.raises(ValueError, match=said) as caught:
        Architecture.from_mapping(wrong, "file: architecture")
    assert str(caught.value).startswith("file: architecture")
    assert "\n" not in str(caught.value)


def test_a_directory_of_the_users_comes_first_and_other_keys_are_not_read(tmp_path: Path) -> None:
    own = node() | {"warps_per_core": {"value": 48, "unit": "warps", "source": "made up"}}
    (tmp_path / "sm_90.yaml").write_text(yaml.safe_dump({"architecture": own, "kernels": {"x": 1}}))
    (tmp_path / "sm_91.yaml").write_text(yaml.safe_dump({"architecture": own}))
    (tmp_path / "sm_92.yaml").write_text("kernels: {}\n")
    (tmp_path / "sm_100.yaml").write_text("kernels: {}\n")
    assert load("sm_90", [tmp_path]).warps_per_core == 48
    assert load("sm_80", [tmp_path]).warps_per_core == 64
    assert load("sm_100", [tmp_path]) == load("sm_100")  # a table of the user's without limits
    with pytest.raises(ValueError, match="must be the name of the file"):
        load("sm_91", [tmp_path])
    with pytest.raises(ValueError, match="the key 'architecture' is needed"):
        load("sm_92", [tmp_path])
    with pytest.raises(ValueError, match="no architecture 'sm_75': choose from gfx942"):
        load("sm_75")
    with pytest.raises(ValueError, match="no such directory"):
        load("sm_90", [tmp_path / "nowhere"])
