"""The rounds of a merged burn-in are those of its nodes."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from acceptances import devices, fleet_of, run_of, slower
from pages import Page

from perwatt.results.drift import drift
from perwatt.results.fleet.tracks import read
from perwatt.results.recheck import WRONG_OUTPUT
from perwatt.results.record import Conditions, Failed, Measured, Record
from perwatt.results.reports import formats
from perwatt.results.reports.drift_plots import EACH, over_rounds
from perwatt.results.reports.drifts import of, section
from perwatt.results.rounds import Round
from perwatt.results.run import Run
from perwatt.results.store import load

START = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
ROUNDS, SICK = 12, ("n1", 3)


def hot(one: Record, celsius: float, ecc: int) -> Record:
    outcome = one.outcome
    assert isinstance(outcome, Measured)
    state = Conditions({}, {"gpu": (celsius - 5, celsius)}, ecc={"a": ecc})
    parts = tuple(msgspec.structs.replace(part, conditions=state) for part in outcome.repetitions)
    return msgspec.structs.replace(one, outcome=msgspec.structs.replace(outcome, repetitions=parts))


def soak(host: str = "n1", count: int = 4) -> list[Record]:
    """Devices that stay as they are, but for n1:3, which gets 10 % slower and 30 K hotter."""
    out = []
    for number in range(1, ROUNDS + 1):
        for one in devices(count, 2, host, seed=number):
            share = number / ROUNDS if (host, one.case.device_index) == SICK else 0.0
            made = hot(slower(one, 1 + 0.1 * share), 50 + 30 * share, ecc=0)
            at = (START + datetime.timedelta(minutes=30 * number)).isoformat()
            out.append(msgspec.structs.replace(made, round=Round(number, 5.0), time_utc=at))
    return out


def test_a_run_of_a_node_and_a_fleet_of_it_agree(tmp_path: Path) -> None:
    records = soak()
    first, second = records[8 * 4], records[8 * 6]  # of the rounds 5 and 7
    failed = msgspec.structs.replace(first, outcome=Failed("rank 0 died"))
    cut_short = msgspec.structs.replace(
        hot(second, 99, ecc=3), time_utc=(START + datetime.timedelta(minutes=209)).isoformat(), flags=("interrupted",)
    )
    wrong = msgspec.structs.replace(records[-1], flags=(WRONG_OUTPUT,))
    records = [*records[:32], failed, *records[33:48], cut_short, *records[48:-1], wrong]
    alone = of(Run(tmp_path, rounds=load(run_of(tmp_path / "run", records))))
    fleet = read(fleet_of(tmp_path / "fleet", {"n1": records}))
    assert fleet is not None
    assert sorted(fleet.tracks, key=repr) == sorted(alone.tracks, key=repr)
    assert len(fleet.tracks[0].hours) == ROUNDS - 1  # one failed
    assert [line.partition(": ")[2] for line in fleet.events] == ["failed: rank 0 died", "wrong output"]
    assert fleet.events[0] == alone.events[0]


def test_who_falls_is_first_of_its_fleet(tmp_path: Path) -> None:
    run = fleet_of(tmp_path / "fleet", {host: soak(host) for host in ("n0", "n1", "n2", "n3")})
    told = formats.render(run, "console")
    lines = told[told.index("over 12 rounds") :].splitlines()
    assert lines[1].startswith("  matmul bf16 ")
    assert ", n1:3: rate -8." in lines[1]
    assert "20 of 32 are listed: those whose rate fell most" in told
    page = Page(section(of(Run(run))))
    assert page.tags["svg"] == 4  # rate and temperature of both cases
    assert page.tags["tr"] == 1 + 20
    assert len(page.ids) == len(set(page.ids))


def test_many_devices_are_a_band_and_the_worst_of_them(tmp_path: Path) -> None:
    run = fleet_of(tmp_path / "fleet", {host: soak(host) for host in ("n0", "n1", "n2")})
    rounds = read(run)
    assert rounds is not None
    case = [drift(track) for track in rounds.tracks if track.label == "bf16 0"]
    assert len(case) > EACH
    many, few = over_rounds(case, "temperature"), over_rounds(case[:4], "rate")
    assert many is not None
    assert few is not None
    assert "n1:3" in many.markup
    assert "5 to 95 % of 12" in many.markup
    assert "at the end 50.00 to 80.00" in many.markup
    assert [name in few.markup for name in ("n0:0", "n0:3", "% of 4")] == [True, True, False]
    alone = over_rounds(case[:1], "rate")
    assert alone is not None
    assert "n0:0" not in alone.markup  # a legend of one


def test_what_has_no_rounds_is_none(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    assert read(fleet_of(tmp_path / "fleet", {"n1": devices(2)})) is None


def test_an_index_of_an_older_perwatt_has_none_and_a_damaged_one_is_one_line(tmp_path: Path) -> None:
    run = fleet_of(tmp_path / "fleet", {"n1": soak()})
    path = run / "merged" / "index.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["round"]), path)
    assert read(run) is None
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not as it was merged"):
        read(run)
