"""A fleet's summed power, its coincidence and its ramps, against what they must be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from power_files import noisy, write_node

from perwatt.results.fleet import power, samples
from perwatt.results.fleet.summed import summed


def square(on_s: float, off_s: float, length_s: float = 60.0, period_s: float = 0.1) -> np.ndarray:
    t = np.arange(round(length_s / period_s)) * period_s
    return np.where((t >= on_s) & (t < off_s), 700.0, 100.0)


def test_devices_that_work_at_once_add_up_and_coincide(tmp_path: Path) -> None:
    for n in range(3):
        write_node(tmp_path, f"n{n}", [square(20, 40)] * 2, offset_s=0.5 * n)
    found = summed(tmp_path)
    assert (found.devices, found.step_s, found.missing) == (6, 0.1, {})
    assert found.peak_w == pytest.approx(4200)
    assert found.coincidence == pytest.approx(1.0)
    energy_j = found.frame["power_w"].sum() * found.step_s
    assert energy_j == pytest.approx(6 * (20 * 700 + 40 * 100), rel=0.005)
    one = next(r for r in found.ramps if r.window_s == 1.0)
    assert (one.up_w_s, one.down_w_s) == pytest.approx((3600, 3600))


def test_devices_that_take_turns_do_not(tmp_path: Path) -> None:
    write_node(tmp_path, "n0", [square(10, 20)])
    write_node(tmp_path, "n1", [square(30, 40)])
    found = summed(tmp_path)
    assert found.peak_w == pytest.approx(800)
    assert found.coincidence == pytest.approx(800 / 1400)


def test_a_clock_that_is_wrong_is_put_right_by_what_was_found_of_it(tmp_path: Path) -> None:
    write_node(tmp_path, "n0", [square(20, 40)])
    node = write_node(tmp_path, "n1", [square(20, 40)], offset_s=7.0, uncertainty_s=0.3)
    good = summed(tmp_path)
    assert good.coincidence == pytest.approx(1.0)
    assert good.clock_s == pytest.approx(0.301)
    assert good.ramps[0].up_w_s is None
    assert "0.301 s apart" in good.ramps[0].reason
    (node / "clock.json").unlink()
    bad = summed(tmp_path)
    assert bad.unsynchronised == ("n1",)
    apart = next(r for r in bad.ramps if r.window_s == 1.0)
    assert apart.up_w_s == pytest.approx(600)  # one after the other, seven seconds apart


def test_who_has_no_part_is_named_and_never_0(tmp_path: Path) -> None:
    write_node(tmp_path, "n0", [square(20, 40), np.array([300.0])])
    write_node(tmp_path, "n1", [square(20, 40)], series="power_w:rapl")
    write_node(tmp_path, "n2", [square(20, 40)], offset_s=None)
    (tmp_path / "nodes/n2/environment.json").unlink()
    (tmp_path / "nodes/n3").mkdir()
    stepped = write_node(tmp_path, "n4", [square(20, 40)], offset_s=None)
    told = json.loads((stepped / "environment.json").read_text())
    told["clock"]["end"]["utc_ns"] += 10**9
    (stepped / "environment.json").write_text(json.dumps(told))
    found = summed(tmp_path, ["n0", "n1", "n9"])
    assert found.series == "power_w:nvml"
    assert found.devices == 1
    assert found.frame["power_w"].min() == pytest.approx(100)
    assert found.missing == {
        "n9": "the node never wrote",
        "n1": "no samples of nvml, only of rapl",
        "n3": "no samples of nvml",
        "n0 device 1": "no cell of 0.1 s is known: 1 samples",
        "n2": "it left no stamps of its clocks",
        "n4": "its UTC was stepped by 1 s during its run",
    }


def test_a_sum_that_is_nowhere_complete_says_so(tmp_path: Path) -> None:
    write_node(tmp_path, "n0", [square(1, 2, 5)])
    write_node(tmp_path, "n1", [square(1, 2, 5)], begins_s=100)
    found = summed(tmp_path)
    assert (found.peak_w, found.coincidence) == (None, None)
    assert {r.reason for r in found.ramps} == {"at no moment are there samples of all devices"}
    assert found.frame["devices"].max() == 1


def test_percentiles_are_numpy_s_and_maxima_those_of_every_window(tmp_path: Path) -> None:
    powers = [noisy(400, seed) for seed in range(3)]
    powers[1][17] = np.nan
    write_node(tmp_path, "n0", powers)
    write_node(tmp_path, "n1", powers[:1])
    found = power.devices(tmp_path, jobs=1).frame
    assert list(found["host"] + ":" + found["device"].astype(str)) == ["n0:0", "n0:1", "n0:2", "n1:0"]
    for row, values in zip(found.itertuples(), powers, strict=False):
        fine = values[np.isfinite(values)]
        assert row.samples == len(fine)
        assert [row.p1, row.p50, row.p99] == list(np.percentile(fine, [1, 50, 99]))
    brute = max(powers[2][i : i + 10].mean() for i in range(391))
    assert found["max_1s"][2] == pytest.approx(brute, abs=1e-6)
    assert np.isnan(power.devices(tmp_path, windows_s=(0.01,), jobs=1).frame["max_0.01s"]).all()


def test_a_counter_gives_power_by_its_slopes(tmp_path: Path) -> None:
    write_node(tmp_path, "n0", [np.cumsum(np.full(600, 30.0))], series="energy_j:nvml")
    found = power.devices(tmp_path, jobs=1).frame
    assert found["p50"][0] == found["max_1s"][0] == pytest.approx(300)


def test_a_file_sorted_by_case_as_it_once_was_reads_the_same(tmp_path: Path) -> None:
    import pandas as pd

    node = write_node(tmp_path, "n0", [noisy(50, seed) for seed in range(2)])
    name = power.choose(tmp_path).name
    new = list(samples.read(node, name))
    path = node / "telemetry.parquet"
    frame = pd.read_parquet(path).assign(case=lambda f: (f.index % 2).astype(str))
    frame.sort_values(["case", "series", "rank", "t_ns"]).to_parquet(path, index=False)
    for before, after in zip(new, samples.read(node, name), strict=True):
        assert (before.t_ns == after.t_ns).all()
        assert (before.power_w == after.power_w).all()


def test_what_cannot_be_read_or_chosen_is_said_in_one_line(tmp_path: Path) -> None:
    write_node(tmp_path, "n0", [noisy(50, 1)])
    with pytest.raises(ValueError, match=r"no power samples of rapl; allowed nvml"):
        power.choose(tmp_path, "rapl")
    with pytest.raises(ValueError, match=r"step_s: found 0; allowed above 0 s"):
        summed(tmp_path, step_s=0.0)


def test_a_node_whose_files_cannot_be_read_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    write_node(tmp_path, "n0", [square(20, 40)])
    (write_node(tmp_path, "n1", [square(20, 40)], offset_s=None) / "environment.json").write_text("{")
    (write_node(tmp_path, "n2", [square(20, 40)]) / "telemetry.parquet").write_bytes(b"PAR1")
    found = summed(tmp_path)
    assert found.devices == 1
    assert sorted(found.missing) == ["n1", "n2"]
    assert "environment.json: found no clock that can be read" in found.missing["n1"]
    assert "telemetry.parquet: not readable" in found.missing["n2"]
    told = power.devices(tmp_path, jobs=1)
    assert (list(told.frame["host"]), list(told.missing)) == (["n0", "n1"], ["n2"])
