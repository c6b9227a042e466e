"""``perwatt compare`` from the command line: what it prints, leaves and refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from compared_runs import made, written

from perwatt.benchmarks.cli import main
from perwatt.results.record import SCHEMA


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    parent = tmp_path / "results" / "runs"
    for at, name in enumerate(("one", "two", "three")):
        written(parent, name, [made(name, m=m, rate=5e14 * (1 + at / 10), seed=at + m) for m in (1024, 2048)])
    return parent


def last(text: str) -> dict[str, object]:
    return dict(json.loads(text.splitlines()[-1]))


@pytest.mark.slow
def test_what_is_printed_and_left(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "runs=[one,two,three]", "reference=two"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("B against A: rate 2 WORSE; per watt 2 WORSE. C against A: rate 2 BETTER; per watt 2 BETTER")
    assert "A  two, the reference: NVIDIA H100" in out
    said = last(out)
    assert (said["reference"], said["runs"], said["compared"], said["exit"]) == ("two", ["one", "three"], 4, 0)
    left = Path(str(said["out"]))
    assert {p.name for p in left.iterdir()} >= {
        "comparison.json", "ratios.csv", "not_compared.csv", "summary.md", "report.html"
    }  # fmt: skip
    found = json.loads((left / "comparison.json").read_text())
    assert [pair["ratios"]["rate"]["verdict"] for pair in found["pairs"]] == ["WORSE", "WORSE", "BETTER", "BETTER"]
    rows = list(csv.DictReader((left / "ratios.csv").open()))
    assert {row["quantity"] for row in rows} == {"rate", "power", "rate_per_watt", "energy_per_work"}
    assert (left / "summary.md").read_text().startswith("# B against A")
    assert not list(left.parent.glob(".*"))


def test_nothing_is_left_where_nothing_was_asked_for(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "runs=[one,two]", "out=none"]) == 0
    assert last(capsys.readouterr().out)["out"] is None
    assert not (runs.parent / "comparisons").exists()


def test_one_run_answers_what_a_limit_allows(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = [
        made("swept", limit_w=w, rate=1e14 * (w - 150) ** (1 / 3), power_w=w, seed=int(w))
        for w in (300.0, 500.0, 700.0)
    ]
    written(runs, "swept", at)
    assert main(["compare", "runs=[swept]", "limit_kw=100", "rest_w=600", "pue=1.2", "out=none"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("matmul bf16 4096x4096x4096: most work: A NVIDIA H100 at 500 W, in 100 % of the draws")
    assert "100 kW from the facility, PUE 1.2 and 600 W beside each unit" in out
    assert last(out)["compared"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "runs=: found 0; allowed two runs or more: runs=[A,B]"),
        (("runs=[one]",), "runs=[one]: found 1; allowed two runs or more"),
        (("runs=[one,none]",), "runs=none: no run there (a folder with records.jsonl)"),
        (("runs=[one,one]",), "runs: found results/runs/one twice; allowed each run once"),
        (("runs=[one,results/runs/one]",), "runs: found results/runs/one twice"),
        (("runs=[one,two]", "reference=three"), "reference=three: is none of the runs; allowed one, two"),
        (("runs=[one,two]", "effect=much"), "effect=much: allowed a number of per cent above 0 and below 100"),
        (("runs=[one,two]", "pue=1.2"), "pue=1.2: found no limit that it is for; allowed with limit_kw=KW"),
        (("runs=[one,two]", "effect=0"), "effect=0: allowed a number of per cent above 0"),
        (("runs=[one,two]", "effect=1", "effect=2"), "effect: found 1 and 2; allowed one of the two"),
        (("runs=[one,two]", "across=kernel"), "across=kernel: allowed: boundary"),
        (
            ("runs=[one,two]", "boundary=moon"),
            "boundary=moon: found no such boundary; allowed gpu, cpu_package, dram, ",
        ),
        (("runs=[one,two]", "limit_kw=much"), "limit_kw=much: allowed: a number"),
        (("runs=[one]", "limit_kw=-1"), "limit_kw: found -1; allowed above 0"),
        (("runs=[one]", "limit_kw=1", "boundary=rack"), "limit_kw=1: found no case to answer for: matmul"),
        (("runs=[one,two]", "prices=none.yaml"), "none.yaml: [Errno 2] No such file or directory"),
        (("runs=[one,two]", "ruins=3"), "ruins=3: choices: runs=[A,B,...], reference=RUN"),
    ],
)
def test_one_line_for_what_is_wrong(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"perwatt compare: {said}")


def test_files_that_cannot_be_compared(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(name: str, text: str) -> str:
        path = runs / name
        path.mkdir()
        (path / "records.jsonl").write_text(text)
        assert main(["compare", f"runs=[one,{name}]"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    whole = (runs / "two" / "records.jsonl").read_text()
    assert "cut off; finish the run (perwatt run resume=" in refused("cut", whole[:-40])
    assert "records.jsonl line 1: not a perwatt record" in refused("torn", whole[:100] + "\n")
    newer = whole.replace(f'"schema":{SCHEMA}', f'"schema":{SCHEMA + 1}')
    assert f"schema {SCHEMA + 1} was written by a newer perwatt" in refused("newer", newer)
    assert "found no measured case; allowed a run that measured something" in refused("empty", "")
    same = (runs / "one" / "records.jsonl").read_text()
    assert "which are both one; allowed each run once" in refused("copy", same)
    written(runs, "other", [made("other", kernel="memory")])
    assert main(["compare", "runs=[one,other]"]) == 2
    assert "runs: found no case that two of them have in common; matmul" in capsys.readouterr().err


def test_help_teaches_without_loading_anything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("perwatt compare runs=[A,B,...]")
    assert max(map(len, out.splitlines())) <= 120
