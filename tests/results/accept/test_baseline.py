"""Criteria made of a fleet, and used."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path

import pytest
import yaml
from acceptances import TFLOPS, Change, devices, run_of, slower
from fleet_evidence import Simulated

from perwatt.benchmarks.accepting import criteria_named
from perwatt.benchmarks.cli import main
from perwatt.benchmarks.documents import among, read
from perwatt.results.accept import screened
from perwatt.results.accept.baseline import make, rules_of
from perwatt.results.accept.criteria import from_plain
from perwatt.results.accept.evidence import Evidence
from perwatt.results.accept.judge import judge

DAY = datetime.date(2026, 6, 1)


def slow(which: set[int], times: float) -> Change:
    return lambda r: slower(r, times) if r.case.device_index in which else r


def test_a_baseline_is_made_reviewed_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine.yaml"
    fleet = run_of(tmp_path / "fleet", devices(20, 2, change=slow({3}, 1.2)))
    assert main(["baseline", "make", f"run={fleet}", f"out={out}"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["criteria"] == 8
    text = out.read_text()
    assert text.startswith("# Made by perwatt baseline make of fleet. Review it")
    made = criteria_named(str(out))
    assert made.name == "mine"
    assert "to be reviewed" in made.status
    assert made.targets == ("test",)
    first = made.criteria[0]
    assert (first.cases, first.metric) == ("matmul bf16 0", "rate")
    assert first.measured is not None
    assert first.measured.n == 20
    assert first.measured.centre == pytest.approx(TFLOPS * 1e6, rel=0.01)  # MFLOP/s: the slow one does not count
    assert first.measured.spread / first.measured.centre == pytest.approx(0.005, rel=0.5)
    assert first.at_least is not None
    assert first.at_least.value == pytest.approx(0.97 * first.measured.centre, rel=1e-3)
    assert "measured: the centre of 20 of run fleet, and 3 % from it" in first.at_least.source
    # and back: a sound run of other devices passes, one that is slow does not
    other = run_of(tmp_path / "other", devices(6, 2, seed=9, change=slow({2}, 1.06)))
    assert main(["accept", f"run={other}", f"criteria={out}"]) == 1
    told = json.loads((other / "accept" / "verdict.json").read_text())
    assert told["counts"]["device"] == {"PASS": 5, "INCONCLUSIVE": 0, "MISSING": 0, "FAIL": 1}
    assert "to be reviewed" in told["notes"][0]
    assert main(["baseline", "make", f"run={fleet}", f"out={out}"]) == 2
    assert "found there already" in capsys.readouterr().err
    assert out.read_text() == text


def test_a_fleet_that_cannot_say_what_is_usual_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = run_of(tmp_path / "small", devices(15, 1))
    sick = run_of(tmp_path / "sick", devices(20, 3, change=slow(set(range(5)), 1.1)))
    out = tmp_path / "out.yaml"
    for arguments, told in (
        (["make", f"run={small}", f"out={out}"], "found 15 devices; allowed 16 and more"),
        (["make", f"run={sick}", f"out={out}"], "found 5 of 20 devices off their fleet; allowed 20 %"),
        (["make", f"run={sick}", "out=mine"], "allowed a file .yaml"),
        (["take"], "choices: make"),
        ([], "choices: make"),
    ):
        assert main(["baseline", *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
    assert not out.exists()


def test_rules_that_cannot_be_are_refused() -> None:
    plain = read(among([], "baseline")["fleet"])
    assert rules_of(plain, "x").effect("power") == 0.1
    wrong = (("least_devices", 4, "5 and more"), ("most_off", 50, "below 50"), ("effect_rate", 0, "above 0"))
    for key, value, told in wrong:
        with pytest.raises(ValueError, match=told):
            rules_of(plain | {key: plain[key] | {"value": value}}, "x")
    with pytest.raises(ValueError, match="x: "):
        rules_of({"least": 1}, "x")


@pytest.mark.slow
def test_a_fleet_of_nodes_has_limits_of_its_fabric_and_passes_its_own_baseline() -> None:
    evidence = Simulated(5, racks=4, per_rack=5).evidence()
    made = make(evidence, rules_of(read(among([], "baseline")["fleet"]), "x"), "mine", "run", DAY)
    text = yaml.safe_load(yaml.safe_dump(made))
    by = from_plain(text, "x")
    assert {c.metric for c in by.criteria} == {"rate", "busbw", "power", "rate_per_watt"}
    assert judge(evidence, by, "run", DAY).count("device")["FAIL"] == 0


def test_nodes_that_their_run_failed_are_not_of_the_good_ones(tmp_path: Path) -> None:
    rules = rules_of(read(among([], "baseline")["fleet"]), "x")
    fleet = Simulated(5, racks=4, per_rack=2).evidence()

    def failing(*hosts: str) -> Evidence:
        said = {host: {"status": "failed", "reason": "no clock sync", "by": "its clock"} for host in hosts}
        (tmp_path / "screening.json").write_text(json.dumps(said))
        return dataclasses.replace(fleet, said=screened.read(tmp_path, ()))

    made = make(failing("n0003"), rules, "mine", "run", DAY)
    assert {one["measured"]["n"] for one in made["criteria"] if "measured" in one} == {56}
    with pytest.raises(ValueError, match=r"found \d+ of 64 devices off their fleet or on nodes that it failed"):
        make(failing("n0003", "n0004"), rules, "mine", "run", DAY)
