"""Power logs of devices: nvidia-smi, dcgmi, dcgm-exporter. A device each, over its log, with what it drew."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.benchmarks.cli import main
from perwatt.results.imports import dcgm_exporter, formats, smi
from perwatt.results.imports.figures import Read
from perwatt.results.record import Measured
from perwatt.results.run import read as read_run

HEAD = "timestamp, index, uuid, name, power.draw [W], temperature.gpu\n"
DMON = "#Date       Time        gpu    pwr  gtemp\n#YYYYMMDD   HH:MM:SS    Idx      W      C\n"
BARE = "# gpu    pwr  gtemp\n# Idx      W      C\n"
DCGMI = "#Entity   POWER                TMPTR\nID        W                    C\n"


def query(rows: int = 20, watts: Callable[[int, int], str] = lambda i, g: f"{300 + 100 * g:.2f} W") -> str:
    return HEAD + "".join(
        f"2026/05/04 10:20:{30 + i:02d}.250, {g}, GPU-{g}, NVIDIA H100 80GB HBM3, {watts(i, g)}, 35\n"
        for i in range(rows)
        for g in (0, 1)
    )


def dmon(rows: int = 20) -> str:
    body = [f" 20260504   10:20:{30 + i:02d}      {g}    {300 + 100 * g}     35\n" for i in range(rows) for g in (0, 1)]
    return DMON + "".join(body[:20]) + DMON + "".join(body[20:])


def bare(rows: int = 20) -> str:
    return BARE + "".join(f"    {g}    {300 + 100 * g}     35\n" for _ in range(rows) for g in (0, 1))


def dcgmi(rows: int = 20) -> str:
    return DCGMI + "".join(f"GPU {g}     {300 + 100 * g}.125              35\n" for _ in range(rows) for g in (0, 1))


def exporter(rows: int = 20, times: bool = True, reset: bool = False) -> str:
    out = []
    for i in range(rows):
        at = f" {1_800_000_000_000 + 1000 * i}" if times else ""
        for g in (0, 1):
            labels = f'gpu="{g}",UUID="GPU-{g}",device="nvidia{g}",modelName="NVIDIA H100 80GB HBM3",Hostname="n00{g}"'
            out.append(f"DCGM_FI_DEV_POWER_USAGE{{{labels}}} {300 + 100 * g}.5{at}")
            counted = 1e9 + (0 if reset and i == rows - 1 else 310e3 * i)
            out.append(f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{labels}}} {counted:.0f}{at}")
        out.append("# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).")
    return "\n".join(out)


def power(read: Read) -> dict[tuple[str, int], float]:
    """Mean power in W by host and device: energy over the window."""
    out = {}
    for figure in read.figures:
        assert isinstance(figure.outcome, Measured)
        (window,) = figure.outcome.repetitions
        energy = next(e for e in window.energies if e.source == "integrated")
        assert (energy.boundary, energy.accuracy_class) == ("gpu", "D")
        assert energy.terms["clock"] == 0
        out[figure.hosts[0] if figure.hosts else "", figure.device_index] = energy.energy_j / window.window_s
    return out


@pytest.mark.parametrize(
    ("text", "options", "first"),
    [
        (query(), {}, 300),
        (query(watts=lambda i, g: f"{300 + 100 * g}"), {"timezone": "+02:00"}, 300),
        (dmon(), {}, 300),
        (bare(), {"period_s": "1"}, 300),
        (dcgmi(), {"period_s": "0.5", "start": "2026-05-04T10:20:30Z"}, 300.125),
    ],
    ids=["query", "nounits", "dmon", "dmon without times", "dcgmi"],
)
def test_each_device_over_its_log(text: str, options: dict[str, str], first: float) -> None:
    assert formats.told(text) == "smi"
    read = smi.read(text, **options)
    assert not read.bad
    assert power(read) == pytest.approx({("", 0): first, ("", 1): first + 100})
    assert read.figures[0].outcome.seconds.median == pytest.approx(9.5 if "start" in options else 19)  # type: ignore[union-attr]


def test_scrapes_with_their_counter() -> None:
    assert formats.told(exporter()) == "dcgm"
    read = dcgm_exporter.read(exporter())
    assert power(read) == pytest.approx({("n000", 0): 300.5, ("n001", 1): 400.5})
    outcome = read.figures[0].outcome
    assert isinstance(outcome, Measured)
    counter = outcome.repetitions[0].energies[0]
    assert (counter.source, counter.energy_j) == ("counter", pytest.approx(310 * 19))
    assert dcgm_exporter.read(exporter(times=False), "1").figures[0].outcome.repetitions[0].window_s == 19  # type: ignore[union-attr]
    other = exporter().replace("POWER_USAGE{", "POWER_USAGE_INSTANT{") + "\n" + exporter()
    assert power(dcgm_exporter.read(other)) == power(read)
    reset = dcgm_exporter.read(exporter(reset=True)).figures[0].outcome
    assert [e.source for e in reset.repetitions[0].energies] == ["integrated"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: smi.read(bare()), "found no dates with times in it; allowed period_s=1"),
        (lambda: smi.read(dcgmi()), "found no dates with times in it; allowed period_s=1"),
        (lambda: dcgm_exporter.read(exporter(times=False)), "found no dates with times in it; allowed period_s=1"),
        (lambda: smi.read(bare(), period_s="x"), "found period_s 'x'; allowed a number above 0"),
        (lambda: smi.read(query(), timezone="Mars"), "timezone: found 'Mars'; allowed UTC"),
    ],
)
def test_times_are_not_guessed(read: Callable[[], Read], said: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        read()
    assert str(raised.value).startswith(said)


def test_absent_is_not_0() -> None:
    read = smi.read(query(watts=lambda i, g: "[N/A]" if g or i == 7 else "300 W"))
    assert power(read) == pytest.approx({("", 0): 300})
    assert read.passed_over == {"readings that were absent (N/A)": 21}
    assert [b.told("x") for b in read.bad] == [
        "x line 3: found 0 readings of device 1; allowed 2 or more at other times"
    ]
    gappy = smi.read(query(watts=lambda i, g: "N/A" if 3 < i < 15 else "300 W")).figures[0]
    assert gappy.flags == ("gappy:nvidia_smi",)
    assert gappy.outcome.repetitions[0].energies == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2026/05/04 10:20:50.0, 0, GPU-0, NVIDIA H100 80GB HBM3, 300 W", "5 cells; allowed 6, as in the header"),
        ("2026/05/04 10:20:50.0, 0, GPU-0, x, fast, 35", "power 'fast'; allowed a number, 0 or more, or N/A"),
        ("2026/05/04 10:20:50.0, 0, GPU-0, x, -3 W, 35", "power '-3 W'; allowed a number"),
        ("2026/05/04 10:20, x, GPU-0, x, 3 W, 35", "device 'x'; allowed a whole number"),
        ("20:50 in May, 0, GPU-0, x, 3 W, 35", "timestamp '20:50 in May'; allowed a time as in the lines above"),
        ("2026/05/04 10:20:10.0, 0, GPU-0, x, 3 W, 35", "a time 39.250 s before the one above it; allowed times"),
    ],
)
def test_a_line_that_cannot_be_read(line: str, said: str) -> None:
    text = query() + line + "\n"
    (bad,) = smi.read(text).bad
    assert bad.told("x").startswith(f"x line {len(text.splitlines())}: found {said}")


@pytest.mark.parametrize(("apart_ms", "several"), [(3, True), (0, True), (500, False)])
def test_devices_that_nothing_tells_apart_are_not_one(apart_ms: int, several: bool) -> None:
    """Without an index, bunches of readings are of several devices: their mean would be that of none of them."""
    text = "timestamp, power.draw [W]\n" + "".join(
        f"2026/05/04 10:20:{10 + i}.{100 + apart_ms * g:03d}, {300 + 100 * g}.00 W\n" for i in range(9) for g in (0, 1)
    )
    read = smi.read(text)
    assert [b.found.startswith("readings in bunches") for b in read.bad] == [True] * several
    assert len(read.figures) == 1 - several
    named = text.replace("timestamp, ", "timestamp, pci.bus_id, ")
    named = named.replace(", 3", ", 01:00, 3").replace(", 4", ", 02:00, 4")
    assert power(smi.read(named)) == pytest.approx({("", 0): 300, ("", 1): 400})


def test_a_reading_that_was_cut_off_or_is_in_another_unit() -> None:
    (bad,) = smi.read(query() + "2026/05/04 10:20:50.0, 0, GPU-0, x, 30, 35\n").bad
    assert (bad.found, bad.allowed) == ("power '30'", "a number with its W, as in the lines above")
    bare = smi.read(query().replace(" W,", ","))
    assert not bare.bad
    assert power(bare) == power(smi.read(query()))
    assert formats.told(query().replace("[W]", "[mW]")) == ""


def test_lines_of_the_others_that_cannot_be_read() -> None:
    found = smi.read(dmon() + " 20260504   10:20:99      0    300     35\n 20260504 10:21:00 0 300\n").bad
    assert [b.found[:9] for b in found] == ["time '202", "4 columns"]
    found = smi.read(dcgmi() + "GPU 0  300\nall of them\nSwitch 0   1  2\n", period_s="1").bad
    assert [b.allowed[:9] for b in found] == ["2, as in ", "GPU N and"]
    found = dcgm_exporter.read(exporter() + "\nDCGM_FI_DEV_POWER_USAGE{gpu=0\nDCGM_FI_DEV_POWER_USAGE{} 3").bad
    assert [b.allowed for b in found] == ['DCGM_FI_DEV_POWER_USAGE{gpu="0",...} 71.3', "a label gpu"]
    blank = exporter() + '\nDCGM_FI_DEV_POWER_USAGE{gpu="0",Hostname="n000"} 9223372036854775794 1800000020000'
    assert dcgm_exporter.read(blank).passed_over == {"readings that were absent (N/A)": 1}


@settings(max_examples=25, deadline=None)
@given(watts=st.lists(st.floats(0.01, 2000.0), min_size=3, max_size=25))
def test_the_energy_is_the_trapezoid_of_what_was_written(watts: list[float]) -> None:
    read = smi.read(query(len(watts), lambda i, g: f"{watts[i]:.2f} W"))
    rounded = [round(w, 2) for w in watts]
    mean = sum((a + b) / 2 for a, b in itertools.pairwise(rounded)) / (len(watts) - 1)
    assert power(read) == pytest.approx({("", 0): mean, ("", 1): mean})


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_garbled_log_never_breaks_the_reader(data: st.DataObject) -> None:
    for read, text in ((smi.read, dmon(4)), (smi.read, query(4)), (dcgm_exporter.read, exporter(4))):
        at = data.draw(st.integers(0, len(text) - 1))
        garbled = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 9)) :]
        with contextlib.suppress(ValueError):
            assert len(read(garbled).figures) <= 5


@pytest.mark.slow
def test_a_run_with_its_telemetry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "power.csv"
    file.write_text(query())
    assert main(["import", f"file={file}", "host=n007", f"runs_dir={tmp_path}"]) == 0
    run = read_run(Path(json.loads(capsys.readouterr().out.splitlines()[-1])["run"]))
    assert [r.power_w for r in run.records] == pytest.approx([300, 400])
    assert [(r.host, r.case.device_index, r.device.uuid) for r in run.records] == [
        ("n007", 0, "GPU-0"),
        ("n007", 1, "GPU-1"),
    ]
    assert run.telemetry is not None
    assert run.telemetry.groupby("rank")["value"].mean().to_dict() == {0: 300, 1: 400}
    assert set(run.telemetry["series"]) == {"power_w:nvidia_smi"}
    criteria = tmp_path / "mine.yaml"
    criteria.write_text(
        'name: mine\nstatus: mine\ncriteria:\n  - name: cap\n    cases: "telemetry *"\n    metric: power\n'
        '    at_most: {value: 350, unit: W, source: "a test", date: 2026-01-31}\n'
    )
    assert main(["accept", f"run={run.path}", f"criteria={criteria}"]) in (1, 4)
    assert "n007:1" in capsys.readouterr().out


def test_a_time_that_no_clock_shows_is_a_bad_line() -> None:
    text = dmon(4)
    at = text.index("20260504")
    found = smi.read(text[:at] + text[at + 1 :])
    (bad,) = found.bad
    assert "260504" in bad.found
    assert "of years 1970 to 2261" in bad.allowed
