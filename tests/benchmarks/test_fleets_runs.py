"""What a unit draws from a run: lifted to its input or taken as it is, with its work, its cases and its caps."""

from __future__ import annotations

from pathlib import Path

import pytest
from metered_runs import WINDOW_S, write_run
from records import measured, record
from sizing_calls import trace

from perwatt.benchmarks.config import BadRequest
from perwatt.results.store import Store
from tests.fleets_of import NODE, asked


def test_a_run_of_gpus_is_lifted_and_carries_its_work(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"k0": 1.0})
    ((entry, recorded),) = asked(*NODE, f"run={run}")
    assert (entry.load.kind, entry.load.boundary) == ("modelled", "node_ac")
    assert entry.load.work_per_s == pytest.approx(8 * 200 * 4_000_000 / WINDOW_S)
    assert entry.load.work_unit == "FLOP"
    assert recorded is not None
    assert recorded[1].max() == entry.load.statistics[0.1, 1.0]  # both lifted to the node
    assert recorded[1].min() == pytest.approx(entry.load.cdf[0], rel=1e-3)
    assert recorded[0][:3] == pytest.approx([0, 0.1, 0.2])


def test_a_run_of_the_nodes_own_input_is_taken_as_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"k0": 16.0}, "node_ac", "pdu")
    ((entry, recorded),) = asked(*NODE, f"run={run}")
    assert (entry.load.kind, entry.load.boundary) == ("measured", "node_ac")
    assert recorded is not None
    assert recorded[1].max() == 9600
    assert entry.load.mean_w == pytest.approx(8000)
    assert entry.load.statistics[0.1, 1.0] == 9600


@pytest.mark.slow
def test_of_several_cases_the_hungriest_unless_load_chooses(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_run(runs / "a", {"small": 8.0, "large": 16.0, "other": 12.0}, "node_ac", "pdu")
    there = f"runs_dir={runs}"
    assert asked(*NODE, "run=a", there)[0].entry.load.mean_w == pytest.approx(8000)
    assert asked(*NODE, "run=latest", there, "load=small")[0].entry.load.mean_w == pytest.approx(4000)
    assert asked(*NODE, f"run=[{runs / 'a'}]", "load='fp32 oth*'")[0].entry.load.name == "fp32 other"
    with pytest.raises(BadRequest, match="load=big: no metered case matches; there are: fp32 large, fp32 other, "):
        asked(*NODE, "run=a", there, "load=big")


def test_a_run_without_a_meter_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    with Store(path) as store:
        store.append(record("k0", measured(unmetered="no meter")))
    with pytest.raises(ValueError, match="found no case with a measured power; allowed a run with power at") as caught:
        asked(*NODE, f"run={path}")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_cap_counts_only_if_the_recording_proves_it(tmp_path: Path) -> None:
    path = trace(tmp_path / "node.csv")
    ((entry, _),) = asked(*NODE, f"trace={path}", "cap_w=9500")
    assert entry.load.cap_w == 9500
    assert str(path) in entry.load.cap_proof
    for cap, said in (
        ("9000", "it did not hold"),
        ("10200", "it was never reached"),
        ("abc", "allowed the power in W"),
    ):
        with pytest.raises(BadRequest, match=said):
            asked(*NODE, f"trace={path}", f"cap_w={cap}")
    with pytest.raises(BadRequest, match="found 9500 W and no proof"):
        asked(*NODE, "cap_w=9500")
    # what held the GPUs held no fan
    gpus = write_run(tmp_path / "run", {"k0": 1.0}, limit_w=600.0)
    assert asked(*NODE, f"run={gpus}")[0].entry.load.cap_w is None
    with pytest.raises(BadRequest, match="no proof; allowed with a run or trace of the unit's own input"):
        asked(*NODE, f"run={gpus}", "cap_w=6600")


@pytest.mark.slow
def test_a_run_is_a_candidate_at_each_cap_that_it_proves(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name, cases, limit_w in (
        ("full", {"k0": 1.2, "other": 0.4}, None),
        ("a", {"k0": 1.0}, 600.0),
        ("again", {"k0": 0.99}, 600.0),
        ("b", {"k0": 0.8, "other": 0.8}, 480.0),
        ("never_reached", {"k0": 0.9}, 700.0),
        ("broken", {"k0": 0.85}, 300.0),
    ):
        write_run(runs / name, cases, limit_w=limit_w)
    every = f"run=[{','.join(sorted(path.name for path in runs.iterdir()))}]"
    found = asked("system=dgx_h100", "limit_mw=2", every, f"runs_dir={runs}")
    caps = {member.entry.name: member.entry.load.device_cap_w for member in found}
    assert caps == {"dgx_h100": None, "dgx_h100_gpu_600w": 600, "dgx_h100_gpu_480w": 480}
    assert {member.entry.load.name for member in found} == {"fp32 k0"}
    by_name = {member.entry.name: member.entry.load for member in found}
    assert "limit of 480 W enforced in all 3 windows" in by_name["dgx_h100_gpu_480w"].device_cap_proof
    assert by_name["dgx_h100_gpu_600w"].gpu is not None
    assert by_name["dgx_h100_gpu_600w"].gpu.mean_w == pytest.approx(500)
    # without a limit there is one load: the hungriest
    ((entry, _),) = asked(*NODE, every, f"runs_dir={runs}")
    assert entry.load == by_name["dgx_h100"]
