"""perwatt dossier and perwatt verify, the commands."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
import yaml
from acceptances import criteria, criterion, devices, fleet_of, limit, run_of, slower
from pages import Page

from perwatt.benchmarks.cli import main
from perwatt.results.accept import evidence
from perwatt.results.accept.judge import judge
from perwatt.results.accept.spread import Spread, spreads
from perwatt.results.fleet.merge import merge
from perwatt.results.record import Record
from perwatt.results.reports import verdict_html, verdict_plots
from perwatt.results.store import load


def one_slow(record: Record) -> Record:
    return slower(record, 1.06) if record.host == "n2" and record.case.device_index == 3 else record


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    hosts = {f"n{n}": devices(8, host=f"n{n}", change=one_slow, seed=n) for n in (1, 2, 10)}
    return fleet_of(tmp_path / "fleet", hosts, [*hosts, "n11"])


def test_it_is_handed_over_checked_and_judged_anew(
    fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dossier"
    (fleet / "nodes" / "n1" / "telemetry.parquet").write_bytes(b"many samples")
    assert main(["dossier", f"run={fleet}", "criteria=fleet", f"out={out}", "pdf=false", "telemetry=false"]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["verdict"], last["records"], last["signed"]) == ("FAIL", 3 * 8 * 6, False)
    assert not list(out.rglob("telemetry.parquet"))
    readme = (out / "README.txt").read_text()
    assert not any(name in readme for name in ("report.pdf", "before/", "topology.yaml"))
    assert len(list(csv.DictReader((out / "measurements.csv").open()))) == 3 * 8 * 6
    page = Page((out / "report.html").read_text())
    assert all(reference.startswith("#") for reference in page.references)
    assert "n2:3" in page.text
    assert "the node never wrote" in page.text
    assert main(["verify", str(out)]) == 0
    again = tmp_path / "again"
    capsys.readouterr()
    assert main(["accept", f"run={out / 'run'}", f"criteria={out / 'criteria.yaml'}", f"out={again}"]) == 1
    told, anew = (json.loads((where / "verdict.json").read_text()) for where in (out, again))
    assert {**told, "run": ""} == {**anew, "run": ""}
    assert main(["verify", str(out)]) == 0  # judging it anew elsewhere changed nothing
    records = out / "run" / "nodes" / "n10" / "records.jsonl"
    records.write_bytes(records.read_bytes().replace(b'"median":0.0', b'"median":0.1', 1))
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    assert capsys.readouterr().out.startswith("changed: run/nodes/n10/records.jsonl line 1\nBROKEN: ")


def test_runs_before_and_where_hosts_stand_are_part_of_it(
    fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repaired = [r for r in devices(8, host="n2", seed=9) if r.case.device_index == 3]
    again = run_of(tmp_path / "again", [msgspec.structs.replace(r, run="again") for r in repaired])
    stands = tmp_path / "mine.yaml"
    stands.write_text("# Where hosts stand.\nracks: {r1: [n1, n2], r2: [n10, n11]}\n")
    out = tmp_path / "dossier"
    asked = [f"run={again}", f"before={fleet}", "criteria=fleet", f"topology={stands}"]
    code = main(["dossier", *asked, f"out={out}", "pdf=false"])
    assert main(["verify", str(out)]) == 0
    told = (out / "README.txt").read_text()
    assert "before=[DIR/before/1-fleet] topology=DIR/topology.yaml" in told
    assert "run/, before/             everything" in told
    assert "criteria.yaml topology.yaml what was asked, and where hosts stand" in told
    copies = [f"run={out / 'run'}", f"before=[{out / 'before' / '1-fleet'}]", f"topology={out / 'topology.yaml'}"]
    assert main(["accept", *copies, f"criteria={out / 'criteria.yaml'}", f"out={tmp_path / 'anew'}"]) == code
    before, anew = (json.loads((where / "verdict.json").read_text()) for where in (out, tmp_path / "anew"))
    assert before["again"]
    assert {**before, "run": ""} == {**anew, "run": ""}


@pytest.mark.slow
def test_on_paper_and_signed(fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("weasyprint")
    out, key = tmp_path / "dossier", tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    assert main(["dossier", f"run={fleet}", "criteria=fleet", f"out={out}", f"sign={key}"]) == 1
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF")
    assert "report.html, report.pdf   the verdict" in (out / "README.txt").read_text()
    signers = tmp_path / "signers"
    signers.write_text(f"me@example.org {key.with_suffix('.pub').read_text()}")
    capsys.readouterr()
    assert main(["verify", str(out), f"signers={signers}"]) == 0
    assert "signed by me@example.org" in capsys.readouterr().out


def test_what_is_wrong_is_one_line_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run", devices(5))
    out = tmp_path / "dossier"
    (tmp_path / "there").mkdir()
    asked = ["dossier", f"run={run}", "criteria=fleet", f"out={out}", "pdf=false"]
    for wrong in ("criteria=none", f"out={tmp_path / 'there'}", f"sign={tmp_path / 'none'}", "pdf=maybe", "prise=3"):
        assert main([*asked, wrong]) == 2, wrong
        assert len(capsys.readouterr().err.splitlines()) == 1
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({"name": "a", "criteria": [criterion(cases="attention *")]}))
    assert main([*asked, f"criteria={mine}"]) == 2
    assert f"criteria: found fleet and {mine}; allowed one of the two" in capsys.readouterr().err
    asked.remove("criteria=fleet")
    assert main([*asked, f"criteria={mine}"]) == 2
    assert "speaks to a case" in capsys.readouterr().err.splitlines()[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.yaml", "run", "there"]
    for wrong in ([], ["DIR", "more"], [str(tmp_path)], [str(tmp_path), f"signers={out}"]):
        assert main(["verify", *wrong]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_page_says_what_was_asked_and_escapes_what_it_was_given(fleet: Path) -> None:
    asked = criteria(
        criterion(),
        criterion("rate", name="<least>", at_least=limit(0.195, "GFLOP/s")),
        waivers=[{"subject": "n2:3", "criterion": "<least>", "who": "<b>", "why": "&", "until": "2999-01-01"}],
    )
    found = evidence.read(fleet)
    judgement = judge(found, asked, "<run>")
    values = spreads(found, asked, judgement)
    page = Page(verdict_html.render(judgement, asked, values, {"nodes": "4"}))
    assert page.tags["svg"] == 1 + 6  # the map, and each case once although two criteria speak of it
    assert "<run>" in page.text
    assert "at least 0.195 GFLOP/s" in page.text
    assert "waived by <b> until 2999-01-01: &" in page.text
    assert len(page.ids) == len(set(page.ids))
    assert {one.metric for one in values} == {"rate"}
    assert values[0].marked == {"n2:3": "FAIL"}


def test_the_map_is_of_nodes_where_there_are_many() -> None:
    from perwatt.results.accept.verdict import Judgement, Verdict

    def made(nodes: int) -> Judgement:
        devices = [
            Verdict("device", f"n{n}:{d}", "FAIL" if (n, d) == (3, 1) else "PASS", 1, 1)
            for n in range(nodes)
            for d in range(4)
        ]
        return Judgement("run", "c", "FAIL", tuple(devices), ())

    few, many, one = (verdict_plots.fleet(made(n)) for n in (10, 200, 1))
    assert few is not None
    assert many is not None
    assert one is not None
    assert few.remark == "39 pass, 1 fail"
    assert many.remark == "199 pass, 1 fail"
    assert verdict_plots.fleet(Judgement("run", "c", "PASS", (Verdict("device", "n1:0", "PASS", 1, 1),), ())) is None


def test_the_map_counts_as_the_table_does(tmp_path: Path) -> None:
    """A node without a device is one cell, and no device."""
    hosts = {"n1": devices(8, host="n1"), "n2": devices(6, host="n2"), "n3": devices(8, host="n3", seed=3)}
    judgement = judge(evidence.read(fleet_of(tmp_path / "run", hosts, [*hosts, "n4"])), criteria(criterion()), "run")
    assert (judgement.count("device")["MISSING"], judgement.count("node")["MISSING"]) == (2, 2)
    drawn = verdict_plots.fleet(judgement)
    assert drawn is not None
    assert drawn.remark == "22 pass, 2 missing; nodes without a device: 1 missing"


@pytest.mark.parametrize(
    ("metric", "kind", "said"), [("rate_fall", "flops", "at most 3.000 %"), ("rate", "flops", "at most 30.00 mFLOP/s")]
)
def test_a_share_is_drawn_in_per_cent(metric: str, kind: str, said: str) -> None:
    found = Spread("c", "matmul", metric, kind, {"n1:0": 0.01, "n1:1": 0.05}, {}, {"at_most": 0.03})
    drawn = verdict_plots.values(found, "p")
    assert drawn is not None
    assert said in drawn.remark


def test_what_is_judged_is_what_the_sealed_records_say(
    fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whenever the fleet was merged; and it refuses records that it would not hold."""
    records = fleet / "nodes" / "n1" / "records.jsonl"
    worse = [slower(one, 1.2) if one.case.device_index == 5 else one for one in load(records.parent)]
    records.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in worse))
    out = tmp_path / "dossier"
    assert main(["dossier", f"run={fleet}", "criteria=fleet", f"out={out}", "pdf=false"]) == 1
    told = json.loads((out / "verdict.json").read_text())["findings"]
    assert {"n1:5", "n2:3"} <= {finding["subject"] for finding in told}
    other = fleet_of(tmp_path / "other", {"n11": devices(8, host="n11")})
    merge(fleet, [other], jobs=1)
    capsys.readouterr()
    assert main(["dossier", f"run={fleet}", "criteria=fleet", f"out={tmp_path / 'more'}", "pdf=false"]) == 2
    assert f"found merged with {other / 'nodes' / 'n11' / 'records.jsonl'}" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()
    assert evidence.read(fleet).machines["n11"] == other / "nodes" / "n11" / "environment.json"


def test_nodes_that_are_links_and_a_fleet_that_was_never_merged_are_sealed_as_they_are_judged(
    fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (fleet / "nodes" / "n2").rename(tmp_path / "elsewhere")
    (fleet / "nodes" / "n2").symlink_to(tmp_path / "elsewhere")
    (fleet / "nodes" / "up").symlink_to(fleet)  # leads back
    shutil.rmtree(fleet / "merged")
    out = tmp_path / "dossier"
    assert main(["dossier", f"run={fleet}", "criteria=fleet", f"out={out}", "pdf=false"]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["verdict"], last["records"]) == ("FAIL", 3 * 8 * 6)
    assert main(["verify", str(out)]) == 0
    (out / "run" / "empty").mkdir()
    os.mkfifo(out / "pipe")
    capsys.readouterr()
    assert main(["verify", str(out)]) == 1
    assert "added: 'pipe': found neither a file nor a folder" in (told := capsys.readouterr().out)
    assert "added: 'run/empty': found an empty folder" in told


def test_what_is_wrong_with_the_copy_is_told_of_the_run(
    fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (fleet / "nodes" / "n1" / "a\nb").write_text("x")
    assert main(["dossier", f"run={fleet}", "criteria=fleet", f"out={tmp_path / 'out'}", "pdf=false"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert str(fleet) in line
    assert ".begun" not in line
