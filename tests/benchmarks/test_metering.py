"""``perwatt meter``: list, watch, characterise, on a stand-in board; and what becomes of what was found."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_nvml
import pytest
from known_meter import Known

from perwatt.benchmarks.calibrated import apply
from perwatt.benchmarks.characterise import Found
from perwatt.benchmarks.cli import main
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.loads import PRODUCT_S, Matmul
from perwatt.benchmarks.metering import _fitted, _keep, _trust
from perwatt.benchmarks.meters.meter import Capabilities
from perwatt.benchmarks.sampler import Channel
from perwatt.results.calibration import Calibration, Characteristic, store
from perwatt.results.calibration import load as load_characteristic
from perwatt.results.traces.calibrate import Level, fit
from perwatt.results.uncertainty import CLASS_GAIN


def test_what_was_found_is_used_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "n1")
    about = Capabilities("nvml_energy", "energy", "gpu", ("GPU-1",), 0.1, 0.05, 1e-3, "D", accuracy=0.05)
    channel = Channel(Known("energy", lambda t: t), about)
    fitted = Calibration(1.05, 2.0, 0.006, "wt310", 0.01, 60, 350, "2026-01-01")
    apply(channel, Characteristic("GPU-1", "nvml_energy", "d", "0", "h", {}, 0.02, attention=1.0, calibration=fitted))
    assert (channel.capabilities.period_s, channel.capabilities.attention) == (0.02, 1.0)
    assert channel.capabilities.accuracy == pytest.approx(0.006 * 3**0.5)
    assert channel.correction == (1.05, 2.0)
    assert channel.calibration == "n1.GPU-1.nvml_energy.json"


@pytest.mark.slow
@pytest.mark.alone
def test_the_load_can_be_switched() -> None:
    """On the CPU: it works while it is on and not after, and a product is short beside a sensor's period."""
    load = Matmul("cpu")
    try:
        assert PRODUCT_S <= load.product_s < 0.05
        load.on()
        began = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - began > 0.1
        began = time.perf_counter()
        load.off()
        assert time.perf_counter() - began < 0.2
        began = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - began < 0.05
        load._a = load._a[:1]  # a product that cannot be: the load ends, and says so
        load.on()
        load._thread.join(5)
        with pytest.raises(RuntimeError, match="the load has ended"):
            load.on()
    finally:
        load.close()


def wattmeter(**changes: object) -> Channel:
    about = Capabilities("wall", "power", "node_ac", ("w",), 0.1, 0.1, None, "B")
    return Channel(Known("power", lambda _: 1.0), dataclasses.replace(about, **changes))  # type: ignore[arg-type]


def test_a_reference_has_the_accuracy_of_its_class_unless_it_states_one() -> None:
    stated, unstated = wattmeter(accuracy=0.002), wattmeter()
    _trust(stated)
    _trust(unstated)
    assert stated.capabilities.accuracy == pytest.approx(0.002)
    assert unstated.capabilities.accuracy == pytest.approx(CLASS_GAIN["B"][0])
    for wrong in ({"replayed": True}, {"modelled": True}, {"accuracy_class": "E"}, {"accuracy": 0.0}):
        with pytest.raises(BadRequest, match="reference=wall"):
            _trust(wattmeter(**wrong))


def test_a_calibration_outlives_a_look_without_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERWATT_METERS_DIR", str(tmp_path))
    about = Capabilities("sensor", "power", "gpu", ("GPU-1",), 0.1, 0.05, None, "D")
    fitted = Calibration(1.05, 2.0, 0.006, "wall", 0.01, 60, 350, "2026-01-01")
    store(Characteristic("GPU-1", "sensor", "d", "0", "h", {}, 0.02, calibration=fitted))
    _keep(Channel(Known("power", lambda _: 1.0), about), {"sensor": Found(period_s=0.1)}, {}, None)
    kept = load_characteristic("GPU-1", "sensor")
    assert kept is not None
    assert (kept.period_s, kept.calibration) == (0.1, fitted)
    # the uncertainty of a corrected reading holds over the whole range, its low end included
    line = fit([Level(w, 1.05 * w + 3 * (-1) ** i, 1.0, 1.0) for i, w in enumerate((60.0, 150.0, 250.0, 350.0))])
    _keep(
        Channel(Known("power", lambda _: 1.0), about), {"sensor": Found()}, {"sensor": line}, wattmeter(accuracy=0.01)
    )
    kept = load_characteristic("GPU-1", "sensor")
    assert kept is not None
    assert kept.calibration is not None
    assert kept.calibration.u_gain == pytest.approx(line.u_relative(60.0))
    assert kept.calibration.u_gain > line.u_relative(350.0)


def test_a_fit_that_fails_loses_nothing_else() -> None:
    class Close:
        def against(self, *_: object) -> None:
            raise ValueError("calibrate: found 1 steady levels")

    assert _fitted(Close(), wattmeter(), {}) == ({}, "calibrate: found 1 steady levels")
    assert _fitted(Close(), None, {}) == ({}, "")


BOARD = ("meter=nvml", "meter.nvml_energy.board=0", "meter.nvml_instant.board=0")


def command(library: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", "meter", *arguments]
    env = {**fake_nvml.environment(library, **settings), "PERWATT_METERS_DIR": str(library / "meters")}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def library(compiler: str, tmp_path: Path) -> Path:
    return fake_nvml.build(compiler, tmp_path)


@pytest.mark.slow
@pytest.mark.alone
def test_list(library: Path) -> None:
    done = command(library, "list", *BOARD, w=321)
    assert done.returncode == 0, done.stderr
    assert "nvml_instant: gpu, power, class D +-5.0%" in done.stdout
    assert "now 321.0 W" in done.stdout
    assert "limit 700 W, looks 25% of the time" in done.stdout
    assert "accuracy: Yang et al." in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == {"meters": 2, "missing": [], "exit": 0}
    parsed = json.loads(command(library, "list", "format=json", "meter=[nvml,replay]").stdout)
    assert {m["name"] for m in parsed["missing"]} == {"nvml_energy", "nvml_instant", "replay"}


@pytest.mark.slow
@pytest.mark.alone
def test_watch(library: Path) -> None:
    done = command(library, "watch", "seconds=1.2", "interval_s=0.3", *BOARD, w=250, power_cap=0.5)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    for name in ("nvml_energy", "nvml_instant"):
        assert last["power"][name]["mean_w"] == pytest.approx(250, rel=0.02)
    assert len(done.stderr.splitlines()) >= 3
    assert "gpu 60 C" in done.stderr
    assert "throttled: sw_power_cap" in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.alone
def test_watch_ends_with_a_summary_on_ctrl_c(library: Path) -> None:
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", "meter", "watch", "interval_s=0.2", *BOARD]
    env = fake_nvml.environment(library, w=250)
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["power"]["nvml_instant"]["mean_w"] == pytest.approx(250)


@pytest.mark.slow
@pytest.mark.alone
def test_characterise_and_a_run_that_uses_it(library: Path, tmp_path: Path) -> None:
    done = command(library, "characterise", "quick=true", *BOARD)
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout.splitlines()[-1])["files"]
    kept = json.loads(Path(files[0]).read_text())
    assert kept["period_s"] == pytest.approx(0.1, rel=0.1)
    # constant power: there was no step to be seen, and nothing is made up
    assert kept["attention"] is None
    assert "could not be told" in done.stdout
    listed = json.loads(command(library, "list", "format=json", *BOARD).stdout)
    assert listed["meters"][0]["period_s"] == kept["period_s"]
    assert listed["meters"][0]["characterised"] == kept["date"]


# Drives the stand-in's power through a mapped file, as a load drives a board's, and prints what was found.
LIVE = """
import dataclasses, json, random, sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import fake_nvml
from perwatt.benchmarks.characterise import Characteriser, Durations
from perwatt.benchmarks.meters.meter import Part
from perwatt.benchmarks.meters.nvml import NvmlAverage, NvmlEnergy, NvmlInstant
from perwatt.benchmarks.sampler import open_meters
class Live:
    def __init__(self, file):
        self.file, self.share = file, 0.0
        threading.Thread(target=self._flicker, daemon=True).start()
    def _flicker(self):  # no power stands still to the milliwatt
        while True:
            self.file.set(self.share + random.gauss(0, 0.002))
            time.sleep(0.007)
    def on(self, share=1.0):
        self.share = share
        self.file.set(share)
    def off(self): self.on(0.0)
    def close(self): self.off()
load = Live(fake_nvml.LoadFile(Path(sys.argv[2])))
meters = {"energy": NvmlEnergy(), "instant": NvmlInstant(), "average": NvmlAverage()}
channels, missing = open_meters(meters, Part("cuda"), host=True)
assert not missing
found = Characteriser(channels, load, Durations(steady_s=4, step_s=2.6, steps=3, wave_s=6)).run()
print(json.dumps({name: {**dataclasses.asdict(f), "step": f.step and f.step._asdict()} for name, f in found.items()}))
"""


@pytest.mark.slow
@pytest.mark.alone
def test_a_boards_sensors_are_found_out_through_the_real_binding(library: Path, tmp_path: Path) -> None:
    """A sensor that looks 25 ms in every 100 ms, 5 % low, its mean of a second, and a counter that sees everything."""
    driven = tmp_path / "load"
    fake_nvml.LoadFile(driven)
    env = fake_nvml.environment(library, curve=f"load:{driven}:100:600", window_s=0.025, gain=0.95)
    argv = [sys.executable, "-c", LIVE, str(Path(fake_nvml.__file__).parent), str(driven)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    energy, instant, average = (found[name] for name in ("energy", "instant", "average"))
    for one in (energy, instant):
        assert one["period_s"] == pytest.approx(0.1, rel=0.01)
        assert one["u"]["period_s"] < 0.001
    assert instant["step"]["swing_w"] == pytest.approx(0.95 * 500, rel=0.02)
    assert instant["step"]["averaging_s"] == 0
    assert instant["attention"] == pytest.approx(0.25, abs=0.08)
    assert average["step"]["averaging_s"] == pytest.approx(1.0, rel=0.1)
    # counter and poll agree while the load stands still, and a wave in step with the sensor shows that they differ
    assert abs(instant["counter_vs_poll"]["steady"]) < 0.005
    assert max(abs(v) for v in instant["counter_vs_poll"].values()) > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing: no such command; choices: list, watch, characterise, import"),
        (("lst",), "lst: no such command"),
        (("list", "format=xml"), "format=xml: choices: console, json"),
        (("list", "meter=nvm"), "meter=nvm: no such file in conf/meter (did you mean nvml?)"),
        (("watch", "seconds=x"), "seconds=x: not a number of seconds"),
        (("watch", "meter=none"), "no meter can be read here"),
        (("characterise", "meter=none"), "no sensor to characterise"),
        (("characterise", "quick=yes"), "quick=yes: allowed: true, false"),
        (("list", "--all"), "--all: no such flag"),
    ],
)
def test_a_wrong_request_is_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["meter", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
