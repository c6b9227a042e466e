"""`perwatt import`: from another tool's file to a run folder that reports and verdicts read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from acceptances import criterion, limit
from foreign_files import mamf, nccl, row, shape

from perwatt.benchmarks.cli import main
from perwatt.results.store import load


def imported(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str, str]:
    code = main(["import", *arguments])
    said = capsys.readouterr()
    last = json.loads(said.out.splitlines()[-1]) if said.out else {}
    return code, last, said.out, said.err


@pytest.mark.slow
def test_a_run_that_reports_and_verdicts_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "log.txt"
    file.write_text(nccl(row(1 << 30, (4000.0, 3900.0), 1.75)))
    code, last, out, err = imported(capsys, "file=log.txt")
    assert (code, err) == (0, "")
    assert (last["format"], last["imported"], last["failed"], last["unread"]) == ("nccl", 2, 0, 0)
    assert "the source states no power" in out
    assert "measured by another tool" in " ".join(out.split())
    run = Path(last["run"])
    assert (run / "report.html").is_file()
    first, _ = load(run)
    assert first.source == "imported"
    assert first.origin is not None
    assert (first.origin.file, first.origin.line, first.origin.format) == ("log.txt", 18, "nccl")
    assert first.target is not None
    assert (first.target.name, first.host, first.meter) == ("h100_sxm", "n001", None)
    assert first.case.over is not None
    assert first.case.over.hosts == ("n001", "n002")
    assert main(["report", f"run={run}", "format=csv"]) == 0
    assert "imported" in capsys.readouterr().out
    assert main(["accept", f"run={run}", "criteria=h100"]) == 2  # what a node must do is not asked of two
    assert "found none that speaks to a case of the run" in capsys.readouterr().err
    file.write_text(file.read_text().replace("n002", "n001"))
    run = Path(imported(capsys, "file=log.txt")[1]["run"])
    assert main(["accept", f"run={run}", "criteria=h100"]) == 4
    assert "bf16 matmul" in capsys.readouterr().out  # which is not in the file
    told = json.loads((run / "accept" / "verdict.json").read_text())
    assert {v["subject"]: v["status"] for v in told["verdicts"]} == {"n001": "PASS", "cluster": "MISSING"}


def test_repeated_lines_are_samples_and_a_failure_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "log.txt"
    good = [row(1 << 20, (100.0, t), 1.75) for t in (80.0, 82.0, 84.0)]
    file.write_text(nccl(*good, row(1 << 21, (200.0, 160.0), 1.75, wrong="5"), "out of nowhere"))
    code, last, _, err = imported(capsys, f"file={file}", f"runs_dir={tmp_path}")
    assert (code, last["imported"], last["failed"], last["unread"]) == (1, 2, 2, 1)
    line = f"perwatt import: {file} line 22: found 3 columns; allowed 13: size, count, type, redop, root, time, algbw"
    assert err == f"{line}, busbw, #wrong\n"
    by = {r.case.label: r for r in load(Path(last["run"]))}
    seconds = by["fp32 sum 1 MiB"].measured.seconds  # type: ignore[union-attr]
    assert (seconds.samples, seconds.median) == (3, pytest.approx(82e-6))
    assert by["fp32 sum 1 MiB"].origin.statistic == "3 times: mean of 20 iterations"  # type: ignore[union-attr]
    about = json.loads((Path(last["run"]) / "environment.json").read_text())["imported"]
    assert about["unread"][0].startswith("log.txt line 22: ")


def test_the_host_that_a_file_does_not_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mm.out"
    file.write_text(mamf(shape(1, 4096, 701.2)))
    for arguments, host in (((), "unknown"), (("host=n007",), "n007")):
        _, last, _, _ = imported(capsys, f"file={file}", f"runs_dir={tmp_path}", *arguments)
        (record,) = load(Path(last["run"]))
        assert record.host == host
        assert record.rate == pytest.approx(701.2e12)
        assert record.of_peak == pytest.approx(701.2 / 989.4, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "file: found nothing; allowed file=FILE, what another tool wrote"),
        (["file=none.txt"], "none.txt: found No such file or directory; allowed a readable file"),
        (["file=a.txt"], "a.txt: found none of the formats; choices: nccl_json: the JSON of nccl-tests -J; "),
        (["file=a.txt", "format=x"], "format=x: no such format; choices: nccl_json: "),
        (["file=b.txt", "ranks=0"], "ranks=0: allowed a whole number above 0"),
        (["file=b.txt", "dtype=bf16"], "dtype: found together with format nccl; allowed kernel, ranks"),
        (["file=b.txt", "kernel=x"], "b.txt: kernel=x: choices: all_reduce, "),
        (["run=none", "file=b.txt", "format=spec"], "run=none: no run there"),
        (["files=b.txt"], "files=b.txt: choices: file=FILE, format="),
        (["file=c.txt"], "c.txt: found bytes that are not UTF-8; allowed text, or text packed by gzip"),
    ],
)
def test_a_wrong_request_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("nothing of it\n")
    Path("b.txt").write_text(nccl(row(1 << 20, (100.0, 80.0), 1.75)))
    Path("c.txt").write_bytes(b"\xff\xfe\x00")
    code, _, out, err = imported(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"perwatt import: {said}")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        (nccl(row(1 << 20, (100.0, 80.0), 1.75)), "; it looks like nccl: what nccl-tests or rccl-tests printed"),
        ("", ""),
    ],
)
def test_a_file_of_another_format_than_was_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, looks: str
) -> None:
    file = tmp_path / "log.txt"
    file.write_text(text)
    code, last, _, err = imported(capsys, f"file={file}", "format=smi", f"runs_dir={tmp_path / 'runs'}")
    assert (code, last["imported"]) == (3, 0)
    assert err == f"perwatt import: {file}: found nothing of the format smi{looks}\n"


@pytest.mark.parametrize("form", ["superbench", "nccl_json", "mlperf", "mamf"])
def test_whatever_format_was_said_the_one_that_it_looks_like_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    file = tmp_path / "log.txt"
    file.write_text(nccl(row(1 << 20, (100.0, 80.0), 1.75)))
    code, _, _, err = imported(capsys, f"file={file}", f"format={form}", f"runs_dir={tmp_path / 'runs'}")
    assert code in (2, 3)
    (line,) = err.splitlines()
    assert line.endswith("; it looks like nccl: what nccl-tests or rccl-tests printed")


def test_nodes_and_ranks_without_figures_are_missing_and_a_test_that_failed_fails_its_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def node(name: str, ranks: int, **more: float) -> str:
        rates = {f"gemm-flops/fp32_flops:{i}": 19000.0 + i for i in range(ranks)}
        return json.dumps({"node": name, **rates, **more})

    file, mine = tmp_path / "results-summary.jsonl", tmp_path / "mine.yaml"
    failed = json.dumps({"node": "n7", "gemm-flops/return_code": 1})
    file.write_text("\n".join([*(node(f"n{i}", 8) for i in range(6)), node("n6", 7), failed, '{"node": "n8"}']))
    _, last, _, _ = imported(capsys, f"file={file}", f"runs_dir={tmp_path / 'runs'}")
    enough = criterion(cases="gemm-flops *", at_least=limit(10, "TFLOP/s"))
    mine.write_text(json.dumps({"name": "mine", "criteria": [enough]}))
    assert main(["accept", f"run={last['run']}", f"criteria={mine}"]) == 1
    told = json.loads((Path(last["run"]) / "accept" / "verdict.json").read_text())
    status = {(v["scope"], v["subject"]): v["status"] for v in told["verdicts"]}
    assert {subject for (_, subject), one in status.items() if one == "MISSING"} == {"n6", "n6:7", "n8"}
    assert {subject for (_, subject), one in status.items() if one == "FAIL"} == {"n7"}


def test_nothing_that_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "log.txt"
    file.write_text(nccl("out of nowhere"))
    code, last, _, err = imported(capsys, f"file={file}", f"runs_dir={tmp_path / 'runs'}")
    assert (code, last["imported"]) == (3, 0)
    assert "line 18: found 3 columns" in err
    assert not (tmp_path / "runs").exists()
