from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from records import energy, measured, record

from perwatt.results.record import Conditions, Energy, Measured, Power, Repetition, Work
from perwatt.results.size import loads_run
from perwatt.results.size.loads import from_run
from perwatt.results.size.pool import pool
from perwatt.results.store import Store
from perwatt.results.telemetry import write_part

WINDOW_S = 20.0
EVERY_S = 0.1


def gpu(joules: float, **changes: object) -> Energy:
    about: dict[str, object] = {
        "meter": "nvml",
        "boundary": "gpu",
        "packages": ("gpu-0",),
        "source": "integrated",
        "terms": {"gain": 0.03},
    }
    return energy(joules=joules, **{**about, **changes})


def node(joules: float, **changes: object) -> Energy:
    about: dict[str, object] = {
        "meter": "pdu",
        "boundary": "node_ac",
        "packages": ("outlet-1",),
        "source": "integrated",
        "accuracy_class": "B",
    }
    return energy(joules=joules, **{**about, **changes})


def outcome(*energies: Energy, windows: int = 3, conditions: Conditions | None = None, **changes: object) -> Measured:
    repetitions = tuple(
        Repetition(i * 10**11, WINDOW_S, 200, 200, energies, conditions=conditions) for i in range(windows)
    )
    base = msgspec.structs.replace(measured(), work=Work(4_000_000, 3_000, "flops"), repetitions=repetitions)
    return msgspec.structs.replace(base, **changes)


def samples(watts: np.ndarray, repetition: int, start_ns: int) -> dict[str, Any]:
    t_ns = start_ns + (np.arange(len(watts)) * EVERY_S * 1e9).astype(np.int64)
    return {"t_ns": t_ns, "value": watts, "repetition": np.full(len(watts), repetition), "n": np.zeros(len(watts), int)}


def joined(*columns: dict[str, Any]) -> dict[str, Any]:
    return {key: np.concatenate([c[key] for c in columns]) for key in columns[0]}


def write(folder: Path, found: Measured, case: str = "k0", **changes: object) -> None:
    folder.mkdir(exist_ok=True)
    with Store(folder) as store:
        store.append(record(case, found, **changes))


def windows(watts: np.ndarray, rest_w: float = 50.0, windows: int = 3) -> dict[str, Any]:
    """Samples of as many windows alike, with rest before each."""
    parts = []
    for i in range(windows):
        parts.append(samples(np.full(50, rest_w), -1, i * 10**11 - 10**10))
        parts.append(samples(watts, i, i * 10**11))
    return joined(*parts)


SWING = np.where(np.arange(200) % 20 < 10, 400.0, 600.0)


def test_samples_of_the_measured_windows_are_the_load(tmp_path: Path) -> None:
    write(tmp_path / "run", outcome(gpu(500 * WINDOW_S)))
    write_part(tmp_path / "run", "k0", 0, {"power_w:nvml": windows(SWING)})
    ((found, _),) = from_run(tmp_path / "run")
    assert (found.kind, found.boundary, found.name) == ("measured", "gpu", "fp32 k0")
    assert found.mean_w == pytest.approx(500)
    assert found.statistics[0.1, 1.0] == 600
    assert found.statistics[10.0, 1.0] == pytest.approx(500, rel=0.01)
    assert found.cdf[0] >= 400  # rest and warm-up are no load
    assert found.seconds == pytest.approx(60)
    assert found.uncertainty == 0.03
    assert (found.work_per_s, found.work_unit) == (pytest.approx(200 * 4_000_000 / WINDOW_S), "FLOP")
    assert found.evidence == "run run, case fp32 k0, meter nvml"
    assert found.bands  # three windows


def test_the_node_comes_before_its_gpus_unless_asked_otherwise(tmp_path: Path) -> None:
    write(tmp_path / "run", outcome(gpu(500 * WINDOW_S), node(1000 * WINDOW_S)))
    write_part(tmp_path / "run", "k0", 0, {"power_w:nvml": windows(SWING), "power_w:pdu": windows(2 * SWING)})
    ((found, _),) = from_run(tmp_path / "run")
    assert (found.boundary, found.mean_w) == ("node_ac", pytest.approx(1000))
    assert found.uncertainty == pytest.approx(0.01 / np.sqrt(3))
    assert "1 rank worked while node_ac was metered" in found.notes[0]
    assert from_run(tmp_path / "run", "gpu")[0][0].mean_w == pytest.approx(500)
    with pytest.raises(ValueError, match=r"run: found power of gpu, node_ac only; allowed a run with power at rack"):
        from_run(tmp_path / "run", "rack")


def test_a_counter_gives_power_between_its_renewals(tmp_path: Path) -> None:
    write(tmp_path / "run", outcome(gpu(500 * WINDOW_S, source="counter")))
    columns = []
    for i in range(3):
        watts = np.where(np.arange(200) < 100, 400.0, 600.0)
        columns.append(samples(np.cumsum(watts) * EVERY_S + 1e6 * i, i, i * 10**11))
    write_part(tmp_path / "run", "k0", 0, {"energy_j:nvml": joined(*columns)})
    ((found, _),) = from_run(tmp_path / "run")
    assert found.mean_w == pytest.approx(500, rel=0.02)
    assert found.statistics[1.0, 1.0] == pytest.approx(600)


def test_devices_of_a_collective_case_are_units(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    all_of_it = gpu(1500 * WINDOW_S, packages=("gpu-0", "gpu-1", "gpu-2"))
    write(tmp_path / "run", outcome(all_of_it), ranks=3, collective=True)
    job = rng.normal(0, 50, 200)
    for rank in range(3):
        watts = windows(500 + job + rng.normal(0, 50, 200))
        write_part(tmp_path / "run", "k0", rank, {"power_w:nvml": watts})
    ((found, _),) = from_run(tmp_path / "run")
    assert found.mean_w == pytest.approx(500, rel=0.02)
    assert found.correlation == pytest.approx(0.5, abs=0.15)
    assert found.work_per_s == pytest.approx(200 * 4_000_000 / WINDOW_S / 3)
    assert found.seconds == pytest.approx(180)


def test_ranks_that_share_what_is_metered_are_one_unit(tmp_path: Path) -> None:
    shared = energy(meter="rapl", joules=100 * WINDOW_S, packages=("package-0",))
    write(tmp_path / "run", outcome(shared), ranks=2, collective=True)
    for rank in range(2):
        write_part(tmp_path / "run", "k0", rank, {"power_w:rapl": windows(np.full(200, 100.0))})
    ((found, _),) = from_run(tmp_path / "run")
    assert (found.boundary, found.seconds) == ("cpu_package", pytest.approx(60))
    assert found.work_per_s == pytest.approx(200 * 4_000_000 / WINDOW_S)


def test_the_readings_of_one_unit_go_with_its_load(tmp_path: Path) -> None:
    write(tmp_path / "run", outcome(gpu(525 * WINDOW_S, packages=("0", "1"), calibration="a.json")), ranks=2)
    for rank in range(2):
        write_part(tmp_path / "run", "k0", rank, {"power_w:nvml": windows(SWING + rank)})
    ((found, readings),) = from_run(tmp_path / "run")
    assert readings is not None
    assert len(readings.t_ns) == 3 * 200
    assert np.all(np.diff(readings.t_ns) > 0)
    assert readings.power_w.max() / found.mean_w == pytest.approx(600 / 500.5)  # calibrated as the load is


@pytest.mark.parametrize(("averaging_s", "windows_s"), [(0.1, {0.1, 1, 5, 10}), (1.0, {1, 5, 10}), (2.5, {2.5, 5, 10})])
def test_a_reading_that_is_a_mean_tells_nothing_of_shorter_windows(
    tmp_path: Path, averaging_s: float, windows_s: set[float]
) -> None:
    power = Power(500.0, 600.0, 600.0, 600.0, averaging_s)
    write(tmp_path / "run", outcome(gpu(500 * WINDOW_S, power=power)))
    write_part(tmp_path / "run", "k0", 0, {"power_w:nvml": windows(SWING)})
    ((found, readings),) = from_run(tmp_path / "run")
    assert {w for w, _ in found.statistics} == {w for w, _ in found.bands} == windows_s
    # what was polled as 600 W was 600 W for so long
    assert found.statistics[min(windows_s), 1.0] == 600
    assert readings is not None
    assert np.median(np.diff(readings.t_ns)) == pytest.approx(averaging_s * 1e9)


def test_one_reading_shows_no_transient(tmp_path: Path) -> None:
    write(tmp_path / "run", outcome(gpu(500 * WINDOW_S, power=Power(500.0, 600.0, 600.0, 600.0, 60.0)), windows=1))
    write_part(tmp_path / "run", "k0", 0, {"power_w:nvml": windows(SWING, windows=1)})
    ((found, readings),) = from_run(tmp_path / "run")
    assert readings is None
    assert {w for w, _ in found.statistics} == {60.0}


def test_a_calibration_reaches_the_samples(tmp_path: Path) -> None:
    write(tmp_path / "run", outcome(gpu(525 * WINDOW_S, calibration="gpu-0.json")))
    write_part(tmp_path / "run", "k0", 0, {"power_w:nvml": windows(SWING)})
    ((found, _),) = from_run(tmp_path / "run")
    assert found.mean_w == pytest.approx(525)
    assert found.statistics[0.1, 1.0] == pytest.approx(630)
    assert found.cdf[100] == pytest.approx(630)
    assert any("times 1.0500" in n for n in found.notes)


def test_samples_and_energies_that_differ_are_told(tmp_path: Path) -> None:
    write(tmp_path / "run", outcome(gpu(600 * WINDOW_S)))
    write_part(tmp_path / "run", "k0", 0, {"power_w:nvml": windows(SWING)})
    assert any("energy says +20.0 %" in n for n in from_run(tmp_path / "run")[0][0].notes)


def test_without_samples_the_windows_speak(tmp_path: Path) -> None:
    power = Power(480.0, 590.0, 595.0, 605.0, 0.1)
    write(tmp_path / "run", outcome(gpu(500 * WINDOW_S, power=power)))
    ((found, readings),) = from_run(tmp_path / "run")
    assert readings is None
    assert found.mean_w == pytest.approx(500)
    assert found.statistics[0.1, 1.0] == 605
    assert found.statistics[WINDOW_S, 1.0] == pytest.approx(500)
    assert found.at(1.0, 1.0) == pytest.approx(500)
    assert "no samples were kept" in found.notes[-1]
    assert len(found.cdf) == 101


def limited(limit_w: float, held: float = 0.0) -> Conditions:
    return Conditions(throttled={"sw_power_cap": held}, limit_w={"enforced": limit_w, "default": 700.0})


@pytest.mark.parametrize(
    ("conditions", "cap_w", "said"),
    [
        (limited(505.0), 505.0, "505 W enforced in all 3 windows, at most 500 W over 1 s"),
        (limited(600.0, held=0.9), 600.0, "clocks held down for up to 90 % of a window"),
        (limited(700.0), None, "the limit of 700 W was never reached (500 W at most): no cap is proven"),
        (limited(450.0, held=0.9), None, "the limit of 450 W did not hold: 500 W over 1 s"),
        (None, None, ""),
    ],
)
def test_a_cap_counts_when_the_run_proves_it(
    tmp_path: Path, conditions: Conditions | None, cap_w: float | None, said: str
) -> None:
    write(tmp_path / "run", outcome(gpu(500 * WINDOW_S), conditions=conditions))
    write_part(tmp_path / "run", "k0", 0, {"power_w:nvml": windows(np.full(200, 500.0))})
    ((found, _),) = from_run(tmp_path / "run")
    assert found.cap_w == cap_w
    assert said in (found.cap_proof if cap_w else " ".join(found.notes))
    assert bool(found.cap_proof) == (cap_w is not None)


def test_a_cap_on_gpus_is_none_on_the_node(tmp_path: Path) -> None:
    write(tmp_path / "run", outcome(node(500 * WINDOW_S), conditions=limited(505.0, held=0.9)))
    write_part(tmp_path / "run", "k0", 0, {"power_w:pdu": windows(np.full(200, 500.0))})
    ((found, _),) = from_run(tmp_path / "run")
    assert found.cap_w is None
    assert "it is no cap on node_ac" in found.notes[-1]
    assert (found.device_cap_w, found.device_cap_proof) == (None, "")


def test_gpus_that_were_held_beside_a_metered_node_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metered = (gpu(500 * WINDOW_S), node(1000 * WINDOW_S))
    drawn: list[bool] = []
    monkeypatch.setattr(loads_run, "pool", lambda *asked: drawn.append(asked[-1]) or pool(*asked))
    write(tmp_path / "run", outcome(*metered, conditions=Conditions(limit_w={"enforced": 600.0})))
    write_part(tmp_path / "run", "k0", 0, {"power_w:nvml": windows(SWING), "power_w:pdu": windows(2 * SWING)})
    ((found, _),) = from_run(tmp_path / "run")
    assert (found.boundary, found.cap_w, found.device_cap_w) == ("node_ac", None, 600)
    assert "meter nvml: a limit of 600 W enforced in all 3 windows, at most 600 W" in found.device_cap_proof
    assert drawn == [True, False]  # of its cap alone: no bands


def test_modelled_replayed_and_estimated_energies_are_no_load(tmp_path: Path) -> None:
    for i, bad in enumerate((gpu(1.0, source="modelled"), gpu(1.0, source="replayed"), gpu(1.0, accuracy_class="E"))):
        folder = tmp_path / f"run{i}"
        write(folder, outcome(bad))
        with pytest.raises(ValueError, match="found no case with a measured power"):
            from_run(folder)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a run folder"):
        from_run(tmp_path)
