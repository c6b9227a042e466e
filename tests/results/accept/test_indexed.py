"""What a merged fleet's index says of records is what the records say, and so are the verdicts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from acceptances import TFLOPS, criteria, criterion, devices, fleet_of, limit, run_of, slower
from records import measured, record

from perwatt.results.accept.evidence import FIGURES, read
from perwatt.results.accept.judge import judge
from perwatt.results.record import Conditions, Failed, Measured, Over, Record, Skipped, Work

HOT = Conditions({"sw_thermal": 0.2, "sw_power_cap": 0.9}, {"gpu": (60.0, 88.0), "memory": (50.0, 70.0)}, ecc={"a": 2})
COOL = Conditions({"sw_power_cap": 0.5}, {"gpu": (40.0, 61.0)})


def varied(one: Record) -> Record | None:
    """A fleet in which each of eight devices has something of its own."""
    outcome = one.outcome
    assert isinstance(outcome, Measured)
    parts, times = outcome.repetitions, outcome.seconds

    def with_parts(**changes: Any) -> Record:
        new = tuple(msgspec.structs.replace(part, **changes) for part in parts)
        return msgspec.structs.replace(one, outcome=msgspec.structs.replace(outcome, repetitions=new))

    def energies(**changes: Any) -> Record:
        return with_parts(energies=tuple(msgspec.structs.replace(e, **changes) for e in parts[0].energies))

    match one.case.device_index:
        case 0:
            return with_parts(conditions=HOT)
        case 1:
            return energies(flags=("gappy", "clock_mismatch"))
        case 2:
            return energies(source="modelled")
        case 3:
            return with_parts(energies=())
        case 4:
            wide = msgspec.structs.replace(times, ci_low=times.median * 0.8, ci_high=times.median * 1.3, p5=0.001)
            return msgspec.structs.replace(one, outcome=msgspec.structs.replace(outcome, seconds=wide))
        case 5:
            why = Skipped("no such library") if one.case.label == "bf16 1" else Failed("wrong result")
            return None if one.case.label == "bf16 0" else msgspec.structs.replace(one, outcome=why)
        case 6:
            return msgspec.structs.replace(slower(one, 1.2), flags=("indicative", "noisy"))
        case _:
            return with_parts(conditions=COOL)


def with_conditions(one: Record, conditions: Conditions) -> Record:
    outcome = one.outcome
    assert isinstance(outcome, Measured)
    parts = tuple(msgspec.structs.replace(part, conditions=conditions) for part in outcome.repetitions)
    return msgspec.structs.replace(one, outcome=msgspec.structs.replace(outcome, repetitions=parts))


def collective(host: str, over: Over | None) -> Record:
    made = record(f"c{host}", measured(work=Work(0, 1000, "message", 1000, 1.75)), kernel="all_reduce", label="fp32")
    case = msgspec.structs.replace(made.case, ranks=8, collective=True, over=over)
    return msgspec.structs.replace(made, case=case, host=host)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fleet")
    hosts = {f"n{i}": [*devices(8, 3, f"n{i}", varied, seed=i), collective(f"n{i}", None)] for i in range(3)}
    groups = [collective("n0", Over("leaf", "l0", ("n0", "n1"))), collective("n1", Over("all", "", ("n0", "n1", "n2")))]
    return fleet_of(path / "run", hosts, asked=["n0", "n1", "n2", "n9"], groups=groups)


def test_the_index_says_what_the_records_say(fleet: Path) -> None:
    found = read(fleet)
    assert len(found.rows) == 3 * (7 * 3 + 2 + 1) + 2
    whole = found.full(found.rows.drop(columns=list(FIGURES)))
    for name in (*FIGURES, "u_rate"):
        np.testing.assert_array_equal(found.rows[name].to_numpy(float), whole[name].to_numpy(float), err_msg=name)
    for name in ("kind", "invalid", "invalid_energy", "indicative"):
        assert list(found.rows[name]) == list(whole[name]), name
    assert {name for name in FIGURES if found.rows[name].notna().sum() < 2} == set()
    assert set(found.rows["scope"]) == {"device", "node", "group"}
    assert {"leaf l0", "all", "n2", "n2:7"} <= set(found.rows["subject"])


@pytest.mark.parametrize(
    "asked",
    [
        criterion(at_least=limit(TFLOPS, "TFLOP/s")),
        criterion(at_least=limit(0.9 * TFLOPS, "TFLOP/s"), plausible_max=limit(TFLOPS, "TFLOP/s")),
        criterion("temperature", at_most=limit(70, "degC")),
        criterion("throttled", at_most=limit(1, "%")),
        criterion("ecc", at_most=limit(0, "1")),
        criterion("spread", at_most=limit(5, "%")),
        criterion("rate_per_watt", at_least=limit(0.66, "MFLOP/J")),
        criterion("power", at_most=limit(290, "W")),
        criterion("busbw", cases="all_reduce *", scope="node", at_least=limit(200, "kB/s")),
        criterion("busbw", cases="*", scope="group", at_least=limit(200, "kB/s")),
        criterion(scope="fleet", at_least=limit(1.1 * TFLOPS, "TFLOP/s")),
        criterion(),
        criterion("rate_per_watt"),
    ],
)
def test_a_verdict_is_the_same_from_the_index_as_from_the_records(fleet: Path, asked: dict[str, Any]) -> None:
    found = read(fleet)
    whole = found.full(found.rows.drop(columns=list(FIGURES)))
    whole = whole.astype({name: object for name in whole if isinstance(whole[name].dtype, pd.CategoricalDtype)})
    told = [judge(one, criteria(asked), "run") for one in (found, dataclasses.replace(found, rows=_itself(whole)))]
    assert {f.status for f in told[0].findings} > {"MISSING"}
    assert told[0].verdicts == told[1].verdicts
    if asked.get("within_fleet") is None or asked["metric"] == "rate":
        assert set(told[0].findings) == set(told[1].findings)


def _itself(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that say everything: nothing is read for them."""
    return rows.drop(columns=["file", "offset"])


def test_devices_of_a_run_and_of_a_fleet_of_one_node_have_the_same_verdict(tmp_path: Path) -> None:
    records = devices(8, 3, change=varied)
    by = criteria(
        criterion(at_least=limit(0.9 * TFLOPS, "TFLOP/s")), criterion("temperature", at_most=limit(70, "degC"))
    )
    one = judge(read(run_of(tmp_path / "run", records)), by, "run")
    many = judge(read(fleet_of(tmp_path / "fleet", {"n1": records})), by, "run")
    assert set(one.verdicts) == set(many.verdicts)
    assert set(one.findings) == set(many.findings)


def test_a_count_is_told_by_a_fleet_of_which_all_counted(tmp_path: Path) -> None:
    records = [with_conditions(one, HOT) for one in devices(2, 1)]
    by = criteria(criterion("ecc", at_most=limit(0, "1")))
    one = judge(read(run_of(tmp_path / "run", records)), by, "run")
    many = judge(read(fleet_of(tmp_path / "fleet", {"n1": records})), by, "run")
    assert {f.value for f in many.findings} == {4.0}
    assert set(one.findings) == set(many.findings)


def test_an_index_of_another_perwatt_is_to_be_made_anew(fleet: Path, tmp_path: Path) -> None:
    index = fleet / "merged" / "index.parquet"
    kept = index.read_bytes()
    try:
        pd.read_parquet(index).drop(columns="u_rate").to_parquet(index)
        with pytest.raises(ValueError, match=r"merged by a perwatt whose index is another: perwatt merge run="):
            read(fleet)
    finally:
        index.write_bytes(kept)


def test_a_nodes_records_that_are_gone_since_are_named(tmp_path: Path) -> None:
    run = fleet_of(tmp_path / "run", {"n1": devices(8, 3), "n2": devices(8, 3, "n2")})
    (run / "nodes" / "n2" / "records.jsonl").unlink()
    with pytest.raises(ValueError, match=f"^{run}: found nodes/n2/records.jsonl gone since it was merged: "):
        read(run)
