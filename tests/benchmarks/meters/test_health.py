"""The health of a device around a case, through the unmodified bindings and libraries whose truth is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_amd
import fake_nvml
import msgspec
import pytest
from conftest import require

from perwatt.benchmarks.meters.kernel_log import KernelLog
from perwatt.results.health import Health

# Each scene: what the board shows before a case, and what changes in it. The stand-ins look at the environment anew
# with every call, so that one process serves them all.
PROGRAM = """
import json, msgspec, os, sys
from perwatt.benchmarks.meters.amd import AmdEnergy, AmdPower
from perwatt.benchmarks.meters.meter import Part
from perwatt.benchmarks.meters.nvml import NvmlEnergy, NvmlInstant
from perwatt.benchmarks.sampler import Sampler, open_meters
from perwatt.benchmarks.vitals import between
makers = {"nvml": (NvmlEnergy, NvmlInstant), "amd": (AmdEnergy, AmdPower)}[sys.argv[1]]
out = []
for first, then in json.loads(sys.argv[2]):
    os.environ.update(first)
    channels, _ = open_meters({m.name: m() for m in makers}, Part("cuda"), host=True)
    with Sampler(channels) as sampler:
        before = sampler.vitals()
        os.environ.update(then)
        out.append(msgspec.to_builtins(between(before, sampler.vitals())))
    for name in {**first, **then}:
        del os.environ[name]
print(json.dumps(out))
"""
NVML_SCENES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "well": ({}, {}),
    "ill": (
        {"REMAPPED_UNC": "1", "LINKS": "18"},
        {"REMAPPED_UNC": "3", "REMAP_PENDING": "1", "ILL_AFTER_S": "-1", "ECC_AFTER_S": "-1", "LINKS_UP": "17"},
    ),
    "narrow": ({"PCIE_WIDTH": "8", "PCIE_GEN": "3"}, {"PCIE_GEN": "5"}),
    "retired": ({"RETIRED_SBE": "2", "RETIRED_DBE": "1", "NO_REMAP": "1"}, {}),
    "link by link": ({"LINKS": "2", "FIELD_38": "3", "FIELD_45": "3"}, {"ILL_AFTER_S": "-1"}),
    "deaf": ({"NO_EVENTS": "1", "XID": "79"}, {}),
    "xid": ({"XID": "31"}, {"XID": "31,79,79"}),
}
AMD_SCENES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "well": ({}, {}),
    "ill": ({}, {"ILL_AFTER_S": "-1", "BAD_PAGES": "2", "XGMI": "2", "LINKS_DOWN": "1", "PCIE_WIDTH": "8"}),
    "silent": ({"NO_HEALTH": "1"}, {}),
}


def told(kind: str, env: dict[str, str], scenes: dict[str, Any]) -> dict[str, Health]:
    named = [[{f"FAKE_{kind.upper()}_{k}": v for k, v in half.items()} for half in both] for both in scenes.values()]
    argv = [sys.executable, "-c", PROGRAM, kind, json.dumps(named)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    found = msgspec.convert(json.loads(done.stdout), list[tuple[Health, ...]])
    assert all(len(each) == 1 for each in found)  # two meters of one board are one health
    return dict(zip(scenes, (each[0] for each in found), strict=True))


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Health]:
    folder = fake_nvml.build(compiler_here(), tmp_path_factory.mktemp("nvml"))
    return told("nvml", fake_nvml.environment(folder), NVML_SCENES)


@pytest.fixture(scope="module")
def amd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Health]:
    require("amdsmi", fake_amd.installed() is not None)
    folder = fake_amd.build(compiler_here(), tmp_path_factory.mktemp("amd"))
    return told("amd", fake_amd.environment(folder), AMD_SCENES)


def compiler_here() -> str:
    import shutil

    compiler = shutil.which("gcc") or shutil.which("cc") or ""
    require("compiler", bool(compiler))
    return compiler


def test_a_sound_board_tells_all_and_nothing_grows(nvml: dict[str, Health]) -> None:
    well = nvml["well"]
    assert (well.package, well.source, well.heard_by, well.xid) == ("GPU-fake-0", "nvml", "nvml", {})
    assert well.counts["ecc_corrected"] == (2, 2)
    assert well.grown(*well.counts) == 0
    names = ("remap_pending", "remap_failure", "retire_pending", "pcie_width", "pcie_width_max")
    assert [well.now(name) for name in names] == [0, 0, 0, 16, 16]
    # no NVLink is no link with 0 errors
    assert not {name for name in (*well.counts, *well.state) if "link" in name}
    assert 0 < well.read_s < 0.02


def test_what_happens_in_a_case_is_told(nvml: dict[str, Health]) -> None:
    ill = nvml["ill"]
    assert ill.counts["remapped_uncorrected"] == (1, 3)
    assert ill.grown("remapped_uncorrected") == 2
    assert (ill.grown("ecc_uncorrected"), ill.grown("pcie_replays")) == (1, 1)
    assert ill.now("remap_pending") == 1
    assert ill.state["links_up"] == (18, 17)
    names = ("nvlink_replay", "nvlink_recovery", "nvlink_crc_flit", "nvlink_crc_data")
    assert [ill.grown(name) for name in names] == [18, 36, 54, 72]


def test_links_are_told_narrow_and_slow_at_rest(nvml: dict[str, Health]) -> None:
    assert nvml["narrow"].state["pcie_width"] == (8, 8)
    assert nvml["narrow"].state["pcie_generation"] == (3, 5)  # it sped up under load


def test_what_a_driver_lacks_is_absent(nvml: dict[str, Health]) -> None:
    retired = nvml["retired"]
    assert (retired.counts["retired_corrected"], retired.counts["retired_uncorrected"]) == ((2, 2), (1, 1))
    assert retired.grown("remapped_uncorrected") is None
    assert retired.now("remap_failure") is None
    # fields that are refused are asked for link by link
    assert nvml["link by link"].counts["nvlink_crc_data"] == (0, 8)
    # nobody who listens is no silence
    assert (nvml["deaf"].xid, nvml["deaf"].heard_by) == (None, "")


def test_xids_are_counted_each_once(nvml: dict[str, Health]) -> None:
    assert nvml["xid"].xid == {"31": 1, "79": 2}


@pytest.mark.slow
@pytest.mark.alone
def test_a_library_without_these_calls_leaves_power_and_the_rest(tmp_path: Path) -> None:
    folder = fake_nvml.build(compiler_here(), tmp_path, "-DNO_HEALTH")
    env = fake_nvml.environment(folder)
    found = told("nvml", env, {"bare": ({}, {})})["bare"]
    assert set(found.counts) == {"ecc_corrected", "ecc_uncorrected"}
    assert not found.state
    assert found.xid is None


def test_amd_tells_its_blocks(amd: dict[str, Health]) -> None:
    well, ill = amd["well"], amd["ill"]
    assert well.source == "amdsmi"
    assert well.counts["ras_umc_corrected"] == (7, 7)
    assert "ras_df_corrected" not in well.counts  # no RAS there
    assert (well.state["pcie_width"], well.state["pcie_mtps_max"], well.xid) == ((16, 16), (32000, 32000), None)
    assert (well.state["links"], well.state["links_up"]) == ((7, 7), (7, 7))
    assert ill.counts["ras_umc_uncorrected"] == (0, 1)
    assert ill.counts["retired_pages"] == (0, 2)
    assert ill.counts["pcie_replays"] == (5, 6)
    assert (ill.state["xgmi_error"], ill.state["links_up"], ill.state["pcie_width"]) == ((0, 2), (7, 6), (16, 8))


def test_amd_without_these_calls(amd: dict[str, Health]) -> None:
    assert not amd["silent"].counts
    assert not amd["silent"].state


def test_the_kernels_log_is_read_from_now_on(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text("4,1,2,-;NVRM: Xid (PCI:0000:41:00): 48, before\n")
    listener = KernelLog("00000000:41:00.0", log)
    assert listener.heard() == []
    with log.open("a") as file:
        file.write("4,2,3,-;NVRM: Xid (PCI:0000:41:00): 79, pid=1\n4,3,4,-;NVRM: Xid (PCI:0000:42:00): 63, other\n")
    assert listener.heard() == [79]
    assert listener.heard() == []
    listener.close()


def test_a_log_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "kmsg").touch(mode=0o000)
    with pytest.raises(OSError, match="ermission"):
        KernelLog("0000:41:00", tmp_path / "kmsg")


def test_a_count_that_began_again_counts_what_it_shows() -> None:
    assert Health("p", "nvml", {"pcie_replays": (9, 2)}).grown("pcie_replays") == 2
