"""What a unit draws, from whatever the request names: a run, a trace in any format, or published ratios."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from records import energy, measured, record

from perwatt.benchmarks.config import BadRequest, composed
from perwatt.benchmarks.fleets import Fleet, fleet
from perwatt.benchmarks.sites import system_named
from perwatt.results.record import Conditions, Repetition, Work
from perwatt.results.size.electrical import psu_input_w
from perwatt.results.size.trace_file import read_traces
from perwatt.results.store import Store
from perwatt.results.telemetry import write_part

T0 = 1_767_225_600
SECONDS = np.arange(1000)
SWING_W = np.where(SECONDS % 20 < 14, 9500.0, 7200.0)  # 8810 W in the mean
NODE = ("system=dgx_h100", "nodes=8")


def asked(*overrides: str) -> list[Fleet]:
    return fleet(composed(overrides, (), "size"), ())


def rows() -> str:
    lines = (f"{T0 + t},{w:g}" for t, w in zip(SECONDS.tolist(), SWING_W.tolist(), strict=True))
    return "t_s,power_w\n" + "\n".join(lines) + "\n"


def as_csv(path: Path) -> Path:
    (path / "node.csv").write_text(rows())
    return path / "node.csv"


def as_gzip(path: Path) -> Path:
    (path / "node.csv.gz").write_bytes(gzip.compress(rows().encode()))
    return path / "node.csv.gz"


def as_parquet(path: Path) -> Path:
    pq.write_table(pa.table({"t_s": SECONDS + float(T0), "power_w": SWING_W}), path / "node.parquet")
    return path / "node.parquet"


def as_prometheus(path: Path) -> Path:
    values = [[T0 + t, f"{w:g}"] for t, w in zip(SECONDS.tolist(), SWING_W.tolist(), strict=True)]
    result = [{"metric": {"__name__": "node_power_watts", "instance": "n1"}, "values": values}]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    (path / "node.json").write_text(json.dumps(answer))
    return path / "node.json"


def as_mlperf(path: Path) -> Path:
    def event(key: str, t: int, value: float) -> str:
        about = {"time_ms": 1000 * (T0 + t), "event_type": "POINT_IN_TIME", "key": key, "value": value, "metadata": {}}
        return f":::MLLOG {json.dumps(about)}"

    lines = [event("power_reading", t, w) for t, w in zip(SECONDS.tolist(), SWING_W.tolist(), strict=True)]
    whole = [event("power_measurement_start", 0, 0), *lines, event("power_measurement_stop", 1000, 0)]
    (path / "node_0.txt").write_text("\n".join(whole) + "\n")
    return path / "node_0.txt"


def as_spl(path: Path) -> Path:
    lines = []
    for t, w in zip(SECONDS.tolist(), SWING_W.tolist(), strict=True):
        stamp = np.datetime64(T0 + t, "s").item().strftime("%m-%d-%Y %H:%M:%S.000")
        lines.append(f"Time,{stamp},Watts,{w:.6f},Volts,230.0,Amps,40.0,PF,0.98,Mark,run")
    (path / "spl.txt").write_text("\n".join(lines) + "\n")
    return path / "spl.txt"


FORMATS = [as_csv, as_gzip, as_parquet, as_prometheus, as_mlperf, as_spl]


@pytest.mark.parametrize("written", FORMATS, ids=lambda f: f.__name__)
def test_each_format_is_told_by_what_it_holds_and_means_the_same(
    tmp_path: Path, written: Callable[[Path], Path]
) -> None:
    ((entry, trace),) = asked(*NODE, f"trace={written(tmp_path)}")
    assert entry.load.kind == "measured"
    assert entry.load.mean_w == pytest.approx(SWING_W.mean(), rel=0.002)
    assert entry.load.at(1.0, 1.0) == pytest.approx(9500)
    assert trace is not None
    np.testing.assert_allclose(trace[0][:3], [0, 1, 2])
    assert trace[1].max() == 9500


@pytest.mark.parametrize("written", FORMATS, ids=lambda f: f.__name__)
def test_in_each_format_a_clock_that_jumps_ahead_is_refused_unless_it_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Callable[[Path], Path]
) -> None:
    monkeypatch.setattr(f"{__name__}.SECONDS", SECONDS + np.where(SECONDS < 500, 0, 3600))
    path = written(tmp_path)
    with pytest.raises(ValueError, match="found a jump of 3601 s ahead after reading 500, 2026-01-01 00:08:19") as no:
        read_traces(path)
    assert str(path) in str(no.value)
    assert "allowed steps of 3 times the 1 s between readings or of 5 s, or gaps=leave_out" in str(no.value)
    assert "\n" not in str(no.value)
    (whole,) = read_traces(path, gaps="leave_out")
    assert len(whole.t_ns) == 1000


def test_a_jump_that_is_left_out_is_told_with_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.SECONDS", SECONDS + np.where(SECONDS < 500, 0, 3600))
    node = f"{{system: dgx_h100, units: 8, trace: {as_csv(tmp_path)}"
    with pytest.raises(ValueError, match="found a jump of 3601 s"):
        asked(f"fleet=[{node}}}]")
    ((entry, _),) = asked(f"fleet=[{node}, gaps: leave_out}}]")
    assert entry.load.seconds == pytest.approx(1000)
    assert "1 gap of 3600 s in all of 4600 s, the longest 3600 s, not bridged" in entry.load.notes


@pytest.mark.parametrize(
    ("period_s", "step_s", "refused"),
    [
        (1, 2, False),  # a lost reading
        (1, 5, False),
        (1, 6, True),
        (60, 180, False),  # two lost readings
        (60, 181, True),
        (900, 4500, True),  # summer time begins
        (0.01, 4.9, False),  # a stall
        (0.01, 5.1, True),
    ],
)
def test_a_jump_is_longer_than_three_periods_and_than_five_seconds(
    tmp_path: Path, period_s: float, step_s: float, refused: bool
) -> None:
    t_s = T0 + np.arange(200) * period_s + np.where(np.arange(200) < 100, 0, step_s - period_s)
    path = tmp_path / "node.csv"
    path.write_text("t_s,power_w\n" + "".join(f"{t:.3f},9000\n" for t in t_s.tolist()))
    if refused:
        with pytest.raises(ValueError, match="after reading 100, 2026"):
            read_traces(path)
    else:
        assert read_traces(path)


@pytest.mark.parametrize(
    ("path", "highest_w"),
    [
        ("mlperf_training_v5_0_lenovo_b200/llama2_70b_lora/node_0.txt.gz", 10_096.0),
        ("mlperf_inference_v4_1/h200x8_resnet50_offline/run_1/spl.txt", 5115.9),
    ],
)
def test_published_logs(path: str, highest_w: float) -> None:
    data = os.environ.get("PERWATT_DATA")
    if not data:
        pytest.skip("PERWATT_DATA is not set: no published recordings to test against")
    ((entry, trace),) = asked("system=sr780a_b200", "nodes=8", f"trace={Path(data) / 'power_traces' / path}")
    assert trace is not None
    assert trace[1].max() == pytest.approx(highest_w)
    # a second's mean reaches the reading, or half of it where the meter's period is that of the window
    assert entry.load.at(1.0, 1.0) == pytest.approx(highest_w, rel=0.02)


def test_several_traces_are_one_load_and_the_longest_shows_the_transients(tmp_path: Path) -> None:
    short = tmp_path / "short.csv"
    short.write_text("".join(rows().splitlines(keepends=True)[:101]))
    ((entry, trace),) = asked(*NODE, f"trace=[{short},{as_csv(tmp_path)}]")
    assert entry.load.seconds == pytest.approx(1100)
    assert entry.load.bands
    assert trace is not None
    assert len(trace[0]) == 1000


def test_gpus_are_lifted_to_the_input_of_the_node_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "gpu.csv"
    path.write_text(rows().replace(",9500", ",700").replace(",7200", ",400"))
    ((entry, trace),) = asked(*NODE, f"trace={path}", "columns.boundary=gpu", "columns.accuracy_class=D")
    system = system_named("dgx_h100")
    assert system.psu is not None
    dc_w = 8 * 700 + system.host_w.mode
    expected = float(psu_input_w(dc_w, system.psu, system.psu.efficiency_offset.mode))
    assert (entry.load.kind, entry.load.boundary) == ("modelled", "node_ac")
    assert entry.load.at(1.0, 1.0) == pytest.approx(expected)
    assert trace is not None
    assert trace[1].max() == pytest.approx(expected)


def test_columns_say_what_the_table_does_not(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("clock,watts\n" + "".join(f"{t},{w:g}\n" for t, w in zip(SECONDS, SWING_W, strict=True)))
    told = "columns={time: clock, power: watts, unit: t_s, start: '2026-01-31', accuracy: 0.01}"
    ((entry, _),) = asked(*NODE, f"trace={path}", told)
    assert entry.load.mean_w == pytest.approx(SWING_W.mean(), rel=0.002)
    assert entry.load.uncertainty == pytest.approx(0.01 / np.sqrt(3))


# -- runs ----------------------------------------------------------------------------------------------------------

WINDOW_S = 20.0
EVERY_S = 0.1
GPU_W = np.where(np.arange(200) % 20 < 10, 400.0, 600.0)


def wattmeter(boundary: str, watts: float, meter: str = "nvml", **changes: object) -> Any:
    about: dict[str, object] = {
        "meter": meter,
        "boundary": boundary,
        "packages": (f"{boundary}-0",),
        "source": "integrated",
        "accuracy_class": "B",
    }
    return energy(joules=watts * WINDOW_S, **{**about, **changes})


def write_run(
    path: Path, cases: dict[str, float], boundary: str = "gpu", meter: str = "nvml", limit_w: float | None = None
) -> Path:
    """A run whose cases draw the swing times so much, metered at ``boundary``, in three windows each."""
    path.mkdir(parents=True)
    with Store(path) as store:
        for key, times in cases.items():
            conditions = None if limit_w is None else Conditions(limit_w={"enforced": limit_w})
            windows = tuple(
                Repetition(
                    i * 10**11, WINDOW_S, 200, 200, (wattmeter(boundary, 500 * times, meter),), conditions=conditions
                )
                for i in range(3)
            )
            outcome = msgspec.structs.replace(measured(), work=Work(4_000_000, 3_000, "flops"), repetitions=windows)
            store.append(record(key, outcome))
    for key, times in cases.items():
        t_ns = (np.arange(200) * EVERY_S * 1e9).astype(np.int64)
        parts = [
            {"t_ns": i * 10**11 + t_ns, "value": GPU_W * times, "repetition": np.full(200, i), "n": np.zeros(200, int)}
            for i in range(3)
        ]
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        write_part(path, key, 0, {f"power_w:{meter}": whole})
    return path


def test_a_run_of_gpus_is_lifted_and_carries_its_work(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"k0": 1.0})
    ((entry, trace),) = asked(*NODE, f"run={run}")
    assert (entry.load.kind, entry.load.boundary) == ("modelled", "node_ac")
    assert entry.load.work_per_s == pytest.approx(8 * 200 * 4_000_000 / WINDOW_S)
    assert entry.load.work_unit == "FLOP"
    assert trace is not None
    assert trace[1].max() == entry.load.statistics[0.1, 1.0]  # both lifted to the node
    assert trace[1].min() == pytest.approx(entry.load.cdf[0], rel=1e-3)
    assert trace[0][:3] == pytest.approx([0, 0.1, 0.2])


def test_a_run_of_the_nodes_own_input_is_taken_as_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"k0": 16.0}, "node_ac", "pdu")
    ((entry, trace),) = asked(*NODE, f"run={run}")
    assert (entry.load.kind, entry.load.boundary) == ("measured", "node_ac")
    assert trace is not None
    assert trace[1].max() == 9600
    assert entry.load.mean_w == pytest.approx(8000)
    assert entry.load.statistics[0.1, 1.0] == 9600


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


def test_a_cap_counts_only_if_the_recording_proves_it(tmp_path: Path) -> None:
    path = as_csv(tmp_path)
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


# -- fleets --------------------------------------------------------------------------------------------------------


def test_entries_inherit_what_they_do_not_say(tmp_path: Path) -> None:
    other = f"{{name: b, system: dgx_b200, units: 4, mix: 0.25, trace: {as_csv(tmp_path)}}}"
    first, second = asked(f"fleet=[{{system: dgx_h100, units: 8}}, {other}]", "mix=inference", "per_rack=2")
    assert (first.entry.name, first.entry.units, first.entry.training, first.entry.per_rack) == ("dgx_h100", 8, 0.0, 2)
    assert (second.entry.name, second.entry.training, second.entry.per_rack) == ("b", 0.25, 2)
    assert not first.entry.load.observed
    assert second.entry.load.observed


def test_a_systems_figure_may_be_changed() -> None:
    ((entry, _),) = asked(*NODE, "system.mean_fraction=0.5")
    assert entry.load.mean_w == pytest.approx(5100)
    assert entry.per_rack == system_named("dgx_h100").per_rack


def test_systems_to_choose_from() -> None:
    found = asked("limit_mw=2", "systems=[dgx_h100,dgx_b200]")
    assert [member.entry.name for member in found] == ["dgx_h100", "dgx_b200"]
    assert [member.entry.name for member in asked("limit_mw=2", "systems=dgx_h100")] == ["dgx_h100"]


def test_one_system_may_be_chosen_at_several_caps(tmp_path: Path) -> None:
    path = as_csv(tmp_path)
    capped = f"{{system: dgx_h100, trace: {path}, cap_w: CAP, work_per_s: 100, work_unit: token}}"
    found = asked("limit_mw=2", f"systems=[{capped.replace('CAP', '9500')}, {capped.replace('CAP', '9400')}, dgx_b200]")
    assert [member.entry.name for member in found] == ["dgx_h100_9500w", "dgx_h100_9400w", "dgx_b200"]
    first = found[0].entry.load
    assert (first.cap_w, first.work_per_s, first.work_unit, first.work_kind) == (9500, 100, "token", "given")


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


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], "system: found nothing; allowed system=NAME nodes=N, "),
        (["system=dgx_h100"], "nodes: found nothing; allowed how many units"),
        ([*NODE, "per_rack=0"], "per_rack: found 0; allowed a whole number, 1 or more"),
        (["fleet=3"], "fleet: found 3; allowed a list of"),
        (["fleet=[3]"], r"fleet\[0\]: found 3; allowed"),
        (["fleet=[{units: 8}]"], r"fleet\[0\]: found {'units': 8}; allowed"),
        (["fleet=[{system: dgx_h100, units: 0}]"], r"fleet\[0\].units: found 0; allowed a whole number, 1 or more"),
        (["fleet=[{system: dgx_h100}]"], r"fleet\[0\].units: found None"),
        (["fleet=[{system: dgx_h100, units: 8, foo: 1}]"], r"fleet\[0\].foo: no such key; choices: name, system, "),
        (["fleet=[{system: dgx_h10, units: 8}]"], r"system=dgx_h10: no such file .*\(did you mean dgx_h100\?\)"),
        (["fleet=[{system: dgx_h100, units: 8}, {system: dgx_h100, units: 1}]"], "fleet: found 'dgx_h100' twice"),
        (["systems=[dgx_h100]"], "systems: found systems to choose from without a limit"),
        (["limit_mw=2", "systems=[{units: 8}]"], r"systems\[0\]: found {'units': 8}; allowed NAME or {system: NAME"),
        (
            ["limit_mw=2", "systems=[dgx_h100,{system: dgx_h100, units: 8}]"],
            r"systems\[1\].units: no such key; choices",
        ),
        (["limit_mw=2", "systems=[{system: dgx_h100, cap_w: 7000}]"], r"systems\[0\].cap_w: found 7000 W and no proof"),
        (["limit_mw=2", "systems=[dgx_h100,dgx_h100]"], "fleet: found 'dgx_h100' twice"),
        ([*NODE, "work_per_s=5"], "work_per_s: found 5 without a trace; allowed with one: a run counts its own work"),
        (
            [*NODE, "trace=TRACE", "work_per_s=0", "work_unit=token"],
            "work_per_s: found 0; allowed the work of one unit",
        ),
        ([*NODE, "trace=TRACE", "work_per_s=5"], "work_unit: found None; allowed one word"),
        ([*NODE, "mix=2"], "mix: found 2; allowed training, inference"),
        ([*NODE, "utilisation=1.5"], "utilisation: found 1.5; allowed 0 to 1"),
        ([*NODE, "idle_fraction=often"], "idle_fraction: found 'often'; allowed a number"),
        ([*NODE, "load=matmul"], "load: found 'matmul' without a run; allowed with run=RUN"),
        ([*NODE, "run=x", "trace=y"], "system: found run and trace; allowed one of the two"),
        ([*NODE, "run=x"], "x: no run there"),
        ([*NODE, "trace=[]"], "found no trace; allowed one or more"),
        ([*NODE, "trace=x", "gaps=bridge"], "gaps: found 'bridge'; allowed refuse, leave_out"),
    ],
)
def test_what_is_refused(tmp_path: Path, overrides: list[str], said: str) -> None:
    overrides = [override.replace("TRACE", str(as_csv(tmp_path))) for override in overrides]
    with pytest.raises(ValueError, match=said) as caught:
        asked(*overrides)
    assert "\n" not in str(caught.value)


def test_power_of_a_whole_rack_is_none_of_a_node(tmp_path: Path) -> None:
    trace = f"trace={as_csv(tmp_path)}"
    with pytest.raises(BadRequest, match="dgx_h100: found power of a rack; allowed that of one unit"):
        asked(*NODE, trace, "columns.boundary=rack")
    whole = tmp_path / "rack.csv"
    whole.write_text("t_s,power_w\n" + "".join(f"{T0 + t},{w * 12:g}\n" for t, w in enumerate(SWING_W)))
    ((entry, _),) = asked("system=gb200_nvl72", "nodes=2", f"trace={whole}", "columns.boundary=rack")
    assert entry.load.boundary == "rack"
    with pytest.raises(BadRequest, match="dgx_h100: found power of room; allowed node_ac, node_dc, rack, gpu or"):
        asked(*NODE, trace, "columns.boundary=room")
