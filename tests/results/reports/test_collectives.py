"""How a collective was done, in every report: what is known, and what is not and why."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest
from records import measured, record

from perwatt.results.record import Communication, Record, Work
from perwatt.results.reports import console, html_cases, text
from perwatt.results.reports.collectives import way
from perwatt.results.reports.layout import groups

MESSAGE = Work(0, 2 * 10**6, "message", 10**6, 1.75)
NVLS = Communication("nccl", "2.27.5+cuda12.9", "nvls", "simple", 16, 24, True, 16, {"NCCL_NTHREADS": "256"})


def collective(key: str, found: Communication | None) -> Record:
    outcome = msgspec.structs.replace(measured(work=MESSAGE), collective=found)
    return record(key, outcome, kernel="all_reduce", label=f"bf16 sum {key}", ranks=8, collective=True)


def flat(records: list[Record]) -> str:
    return " ".join(console.render(records).split())


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (NVLS, "nvls simple, 16 channels"),
        (Communication("nccl", "2.23.4", "ring", "ll128"), "ring ll128"),
        (
            Communication("nccl", "2.30.7", "symmetric:AllReduce_AGxLL_R", None, 1),
            "symmetric:AllReduce_AGxLL_R, 1 channel",
        ),
        (Communication("nccl", "2.19.3", reason="it does not say"), ""),
        (Communication("gloo", "torch 2.13.0"), ""),
        (None, ""),
    ],
)
def test_a_cell_says_the_algorithm_or_nothing(found: Communication | None, words: str) -> None:
    assert way(collective("a", found)) == words


def test_algorithm_backend_and_variables_stand_in_every_report() -> None:
    other = Communication("nccl", "2.27.5+cuda12.9", "ring", "ll", 4, 24, False, 0)
    records = [collective("a", NVLS), collective("b", other)]
    for said in (flat(records), text.markdown(records), html_cases.cases(groups(records))):
        assert "nvls simple, 16 channels" in said
        assert "ring ll, 4 channels" in said
        assert "nccl 2.27.5+cuda12.9, 24 channels, NVLS on (16), NCCL" in said
        assert "24 channels, NVLS off (1 of 2 collectives)." in said
    rows = list(csv.DictReader(io.StringIO(text.csv(records))))
    assert [row["algorithm"] for row in rows] == ["nvls", "ring"]
    assert [row["channels"] for row in rows] == ["16", "4"]
    assert (rows[0]["backend"], rows[0]["nvls"], rows[1]["nvls"]) == ("nccl", "True", "False")
    assert json.loads(text.json(records))[0]["outcome"]["collective"]["environment"] == {"NCCL_NTHREADS": "256"}


def test_what_is_not_known_has_its_reason_and_no_column() -> None:
    records = [collective("a", Communication("nccl", "2.19.3+cuda12.2", reason="NCCL wrote no algorithm for it"))]
    said = flat(records)
    assert "Algorithm not known: NCCL wrote no algorithm for it." in said
    assert "algorithm" not in {column.key for column in groups(records)[0].columns}
    assert "way" not in {column.key for column in groups(records)[0].columns}
    assert next(csv.DictReader(io.StringIO(text.csv(records))))["algorithm"] == ""


def test_a_run_without_collectives_says_nothing_of_them() -> None:
    assert "Communication" not in flat([record()])
    old = collective("a", None)
    assert "Communication" not in flat([old])
    assert msgspec.json.decode(msgspec.json.encode(old), type=Record) == old
