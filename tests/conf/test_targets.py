"""The shipped targets are well formed and plausible, and what drivers report selects the right one or none."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from perwatt.benchmarks.targets import load_targets, recognise, target_named
from perwatt.results.record import Device, Quantity, Target

TARGETS = load_targets()
NAMED = {file.target.name: file.target for file in TARGETS}
ACCELERATORS = [target for target in NAMED.values() if target.name != "cpu"]
GIB = 2**30

# Plausible ranges for one accelerator of 2020 to 2026; a slip of a prefix or of a rack for a GPU falls outside.
RANGES = {
    "memory_bandwidth": ("B/s", 1.5e12, 10e12),
    "memory": ("B", 40e9, 320e9),
    "tdp": ("W", 250, 1500),
    "llc": ("B", 40e6, 270e6),
}
# Tensor-core figures with sparsity, as datasheets and shops print them: none of them may stand in a target.
SPARSE = {
    "a100_sxm_80gb": {624e12},
    "h100_sxm": {1979e12, 1978.9e12},
    "h100_pcie": {1513e12},
    "h100_nvl": {1671e12},
    "h200_sxm": {1979e12, 1978.9e12},
    "b200": {4500e12},
    "gb200": {5000e12},
    "b300": {4500e12},
    "gb300": {5000e12},
    "mi300x": {2614.9e12},
    "mi325x": {2614.9e12},
    "mi355x": {5033e12, 5000e12},
}


def nvidia(name: str, gib: float, arch: str, cores: int | None = None) -> Device:
    return Device("cuda", name, vendor="NVIDIA", arch=arch, cores=cores, memory_bytes=int(gib * GIB))


def amd(name: str, gib: float, arch: str, cores: int | None) -> Device:
    features = ":sramecc+:xnack-"  # ROCm appends them to the architecture
    return Device("cuda", name, vendor="AMD", arch=arch + features, cores=cores, memory_bytes=int(gib * GIB))


# What drivers report, memory within a percent or two of what they report, and the target that it is.
KNOWN = [
    (nvidia("NVIDIA A100-SXM4-80GB", 79.15, "sm_80", 108), "a100_sxm_80gb"),
    (nvidia("NVIDIA A100-SXM4-40GB", 39.42, "sm_80", 108), "a100_sxm_40gb"),
    (nvidia("NVIDIA A100 80GB PCIe", 79.15, "sm_80", 108), "a100_pcie_80gb"),
    (nvidia("NVIDIA A100-PCIE-40GB", 39.39, "sm_80", 108), "a100_pcie_40gb"),
    (nvidia("NVIDIA H100 80GB HBM3", 79.11, "sm_90", 132), "h100_sxm"),
    (nvidia("NVIDIA H100 PCIe", 79.11, "sm_90", 114), "h100_pcie"),
    (nvidia("NVIDIA H100 NVL", 93.1, "sm_90", 132), "h100_nvl"),
    (nvidia("NVIDIA H200", 139.8, "sm_90", 132), "h200_sxm"),
    (nvidia("NVIDIA H200 141GB HBM3e", 141.0, "sm_90", 132), "h200_sxm"),
    (nvidia("NVIDIA B200", 178.36, "sm_100", 148), "b200"),
    (nvidia("NVIDIA GB200", 184.31, "sm_100", 152), "gb200"),
    (nvidia("NVIDIA B300 SXM6 AC", 276.62, "sm_103"), "b300"),
    (nvidia("NVIDIA B300", 276.62, "sm_103", 158), "b300"),
    (nvidia("NVIDIA GB300", 276.62, "sm_103", 152), "gb300"),
    (amd("AMD Instinct MI300X", 191.98, "gfx942", 304), "mi300x"),
    (amd("AMD Instinct MI300X VF", 191.7, "gfx942", 304), "mi300x"),
    (amd("AMD Radeon Graphics", 191.98, "gfx942", 304), "mi300x"),
    (amd("AMD Instinct MI325X", 255.98, "gfx942", 304), "mi325x"),
    (amd("AMD Instinct Mi325X VF", 255.6, "gfx942", 304), "mi325x"),
    (amd("AMD Radeon Graphics", 255.98, "gfx942", 304), "mi325x"),
    (amd("AMD Instinct MI355X", 287.98, "gfx950", 256), "mi355x"),
    (amd("AMD Instinct MI355X VF", 287.98, "gfx950", 256), "mi355x"),
    (Device("hpu", "GAUDI3", vendor="Intel", memory_bytes=126 * GIB), "gaudi3"),
    (Device("hpu", "GAUDI3"), "gaudi3"),
    (Device("cpu", "INTEL(R) XEON(R) PLATINUM 8568Y+", vendor="Intel"), "cpu"),
    (Device("cpu", "AMD EPYC 9575F 64-Core Processor", vendor="AMD"), "cpu"),
    (Device("cpu", ""), "cpu"),
]

# Near misses: real parts that are not among the targets, slices of those that are, and names nobody gave.
UNKNOWN = [
    nvidia("NVIDIA A100-SXM-64GB", 63.4, "sm_80", 124),
    nvidia("NVIDIA A800-SXM4-80GB", 79.15, "sm_80", 108),
    nvidia("NVIDIA A100-SXM4-80GB MIG 3g.40gb", 39.25, "sm_80", 42),
    nvidia("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9.75, "sm_90", 16),
    nvidia("NVIDIA H100", 94.0, "sm_90", 132),
    nvidia("NVIDIA H800", 79.11, "sm_90", 132),
    nvidia("NVIDIA H20", 95.1, "sm_90", 78),
    nvidia("NVIDIA H200 NVL", 139.8, "sm_90", 132),
    nvidia("NVIDIA GH200 480GB", 94.5, "sm_90", 132),
    nvidia("NVIDIA GH200 144G HBM3e", 140.0, "sm_90", 132),
    nvidia("NVIDIA GeForce RTX 4090", 23.6, "sm_89", 128),
    nvidia("nvidia h100 pcie", 79.11, "sm_90", 114),
    nvidia("", 79.11, "sm_90", 132),
    amd("AMD Instinct MI300A", 127.5, "gfx942", 228),
    amd("AMD Instinct MI308X", 191.98, "gfx942", 80),
    amd("AMD Instinct MI300X HF", 191.98, "gfx942", 304),
    amd("AMD Instinct MI350X", 287.98, "gfx950", 256),
    amd("AMD Instinct MI300X", 191.98, "gfx942", 38),  # one of the eight parts of a partitioned GPU
    amd("AMD Instinct MI300X", 191.98, "gfx942", None),  # might be one
    amd("AMD Radeon Graphics", 191.98, "gfx942", 80),
    amd("AMD Radeon Graphics", 127.5, "gfx942", 228),
    amd("AMD Radeon Graphics", 287.98, "gfx950", 256),  # MI350X or MI355X
    amd("AMD Radeon Graphics", 15.9, "gfx1100", 48),
    Device("cuda", "AMD Radeon Graphics", vendor="AMD", arch="gfx942", cores=304),
    Device("cuda", "NVIDIA H100 80GB HBM3", vendor="AMD"),
    Device("hpu", "GAUDI2", vendor="Intel"),
    Device("xpu", "Intel(R) Data Center GPU Max 1550", vendor="Intel"),
]


def quantities(target: Target) -> dict[str, Quantity]:
    other = {key: getattr(target, key) for key in RANGES}
    return {**target.peak_flops, **{key: value for key, value in other.items() if value is not None}}


def test_each_file_is_a_target_of_its_name() -> None:
    shipped = {path.name.removesuffix(".yaml") for path in (files("perwatt.conf") / "target").iterdir()}
    assert shipped == {*NAMED, "auto"}  # auto is the choice to recognise the device
    assert {"h100_sxm", "b200", "mi300x", "gaudi3", "cpu"} <= shipped


@pytest.mark.parametrize("file", TARGETS, ids=lambda file: file.target.name)
def test_pyyaml_and_omegaconf_read_the_same_numbers(file: Any) -> None:
    text = Path(file.path).read_text(encoding="utf-8")
    plain = yaml.safe_load(text)  # YAML 1.1: without a dot and a signed exponent, a float is a string
    assert plain == OmegaConf.to_container(OmegaConf.create(text))
    numbers = [*plain.get("peak_flops", {}).values(), *(plain[key] for key in RANGES if key in plain)]
    assert all(type(node["value"]) in (int, float) for node in numbers)
    assert text.startswith("# ")


@pytest.mark.parametrize("target", ACCELERATORS, ids=lambda target: target.name)
def test_an_accelerator_is_complete_and_plausible(target: Target) -> None:
    assert {"bf16", "fp16", "fp32"} <= target.peak_flops.keys()
    for key, quantity in quantities(target).items():
        assert quantity.value > 0
        assert quantity.source.strip()
        assert quantity.unit == (RANGES[key][0] if key in RANGES else "OP/s" if key == "int8" else "FLOP/s")
    for key, (_, low, high) in RANGES.items():
        quantity = getattr(target, key)
        assert quantity is not None
        assert low <= quantity.value <= high
    assert 1e14 <= target.peak_flops["bf16"].value <= 1e16


@pytest.mark.parametrize("target", ACCELERATORS, ids=lambda target: target.name)
def test_formats_stand_in_the_ratios_of_the_hardware(target: Target) -> None:
    peaks = {dtype: quantity.value for dtype, quantity in target.peak_flops.items()}
    assert peaks.get("fp8_e4m3") == peaks.get("fp8_e5m2")
    # Gaudi 3: one matrix engine for bf16 and fp8 at one rate, a quarter of it for fp16 and tf32.
    fp8, fp16, tf32 = (1, 0.25, 0.25) if target.name == "gaudi3" else (2, 1, 0.5)
    for dtype, ratio in {"fp8_e4m3": fp8, "fp16": fp16, "tf32": tf32}.items():
        if dtype in peaks:
            assert peaks[dtype] / peaks["bf16"] == pytest.approx(ratio, rel=0.1)
    assert peaks["fp32"] < peaks["bf16"] / 6


@pytest.mark.parametrize("name", SPARSE)
def test_no_figure_with_sparsity(name: str) -> None:
    assert all(NAMED[name].peak_flops["bf16"].value < 0.7 * sparse for sparse in SPARSE[name])


def test_the_peaks_that_others_are_compared_with() -> None:
    peak = NAMED["h100_sxm"].peak_flops["bf16"].value
    assert peak == pytest.approx(528 * 512 * 2 * 1830e6, rel=1e-4)  # tensor cores x FMA x 2 x clock
    cores, flop, clock = 256 * 4, 2 * 16 * 16 * 32 / 16, 2400e6  # one MFMA of 16 x 16 x 32 in 16 cycles
    assert NAMED["mi355x"].peak_flops["bf16"].value == pytest.approx(cores * flop * clock, rel=1e-4)
    assert "tf32" not in NAMED["mi355x"].peak_flops
    assert "fp8_e4m3" not in NAMED["a100_sxm_80gb"].peak_flops


def test_the_cpu_has_no_published_peak() -> None:
    assert quantities(NAMED["cpu"]) == {}


@pytest.mark.parametrize(("device", "name"), KNOWN, ids=lambda value: getattr(value, "name", value))
def test_a_known_device_is_its_target_and_no_other(device: Device, name: str) -> None:
    claims = [file.target.name for file in TARGETS if any(entry.holds(device) for entry in file.match)]
    assert claims == [name]
    found = recognise(device, TARGETS)
    assert found == NAMED[name]
    if found and found.memory and device.memory_bytes:  # a driver keeps some memory back, never adds any
        assert 0.9 * found.memory.value <= device.memory_bytes <= found.memory.value


def test_every_target_is_selected_by_something() -> None:
    assert {name for _, name in KNOWN} == set(NAMED)


@pytest.mark.parametrize("device", UNKNOWN, ids=lambda device: f"{device.name} {device.cores}")
def test_anything_else_is_nothing(device: Device) -> None:
    assert recognise(device, TARGETS) is None


def test_a_target_is_found_by_name() -> None:
    assert target_named("mi300x", TARGETS).vendor == "AMD"
    with pytest.raises(ValueError, match=r"no target 'h100': choose from a100_pcie_40gb, .*h100_sxm"):
        target_named("h100", TARGETS)


GOOD = """
name: mine
vendor: Acme
match: [{vendor: Acme, name: Acme One}]
peak_flops:
  bf16: {value: 1e15, unit: FLOP/s, source: data sheet}
tdp: {value: 500, unit: W, source: data sheet}
"""


def test_a_directory_of_the_users_adds_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "b200.yaml").write_text(GOOD.replace("mine", "b200").replace("Acme One", "Acme Two"))
    (tmp_path / "notes.txt").write_text("not a target")
    targets = load_targets([tmp_path])
    assert len(targets) == len(TARGETS) + 1
    found = recognise(Device("cuda", "Acme One", vendor="Acme"), targets)
    assert found is not None
    assert found.peak_flops["bf16"].value == 1e15
    assert target_named("b200", targets).vendor == "Acme"
    assert recognise(nvidia("NVIDIA B200", 178, "sm_100"), targets) is None


def test_two_files_that_claim_one_device_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD.replace("vendor: Acme, name: Acme One", "pattern: 'NVIDIA H200.*'"))
    with pytest.raises(ValueError, match=r"'NVIDIA H200' is matched by .*h200_sxm\.yaml and by .*mine\.yaml"):
        recognise(nvidia("NVIDIA H200", 139.8, "sm_90"), load_targets([tmp_path]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("peak_flops:", "peak_flop:", r"mine\.yaml: unknown key 'peak_flop', is 'peak_flops' meant\?"),
        ("{value: 1e15", "{valeu: 1e15", r"peak_flops\.bf16: unknown key 'valeu', is 'value' meant\?"),
        ("  bf16:", "  bf-16:", r"peak_flops: unknown key 'bf-16', is 'bf16' meant\?"),
        ("name: Acme One", "nmae: Acme One", r"match\[0\]: unknown key 'nmae', is 'name' meant\?"),
        ("500, unit: W", "500, unit: kW", r"tdp: a value above 0 in W with a source is needed"),
        ("value: 500", "value: 0", r"tdp: a value above 0"),
        ("value: 500", "value: .inf", r"tdp: a value above 0"),
        ("value: 500", "value: lots", r"tdp: Expected `float`, got `str` - at `\$\.value`"),
        ("W, source: data sheet", "W, source: ' '", r"tdp: a value above 0 in W with a source"),
        ("W, source: data sheet", "W", r"tdp: Object missing required field `source`"),
        ("tdp: {value: 500, unit: W, source: data sheet}", "tdp: 500", r"tdp: keys and values are needed, not 500"),
        ("name: mine", "name: other", r"name: 'other' must be the name of the file"),
        ("name: mine\n", "", r"mine\.yaml: Object missing required field `name`"),
        ("[{vendor: Acme, name: Acme One}]", "Acme One", r"match: a list of what drivers report"),
        ("{vendor: Acme, name: Acme One}", "{}", r"match\[0\]: asks for nothing, so every device would match"),
        ("name: Acme One", "pattern: 'Acme ('", r"match\[0\]: .*unterminated subpattern"),
        ("vendor: Acme\n", "vendor: Acme\nvendor: Acme\n", r"mine\.yaml: .*duplicate key vendor"),
        ("name: mine", "name: [mine", r"mine\.yaml: while parsing"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    (tmp_path / "mine.yaml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as refused:
        load_targets([tmp_path])
    assert str(tmp_path / "mine.yaml") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: no such directory of targets"):
        load_targets([tmp_path / "nowhere"])
