"""Criteria on the health of devices: what fails, what nobody told, and the rounds of a burn-in."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec
import pytest
from acceptances import criteria, criterion, fleet_of, limit, run_of
from records import measured, record

from perwatt.benchmarks.accepting import criteria_named
from perwatt.results.accept import health, xids
from perwatt.results.accept.criteria import METRICS
from perwatt.results.accept.evidence import read
from perwatt.results.accept.judge import judge
from perwatt.results.accept.verdict import Judgement
from perwatt.results.health import Health
from perwatt.results.recheck import Rechecks, Wrong
from perwatt.results.record import Failed, Outcome, Over, Record
from perwatt.results.reports import verdict_html
from perwatt.results.rounds import Round
from perwatt.results.store import Store

COUNTS = {"ecc_uncorrected": (0, 0), "remapped_uncorrected": (0, 0), "nvlink_replay": (3, 3), "pcie_replays": (0, 0)}
STATE = {
    "remap_pending": (0, 0),
    "remap_failure": (0, 0),
    "pcie_width": (16, 16),
    "pcie_width_max": (16, 16),
    "pcie_generation": (1, 5),
    "pcie_generation_max": (5, 5),
    "links_up": (18, 18),
}
WELL = Health("GPU-0", "nvml", COUNTS, STATE, {}, "nvml")
RIGHT = Rechecks(1, 9, 0.1, "float64", 0.0, 0.1)


def sick(
    counts: dict[str, tuple[int, int]] | None = None,
    state: dict[str, tuple[int, int]] | None = None,
    xid: dict[str, int] | None = None,
) -> Health:
    return Health("GPU-0", "nvml", {**COUNTS, **(counts or {})}, {**STATE, **(state or {})}, xid or {}, "nvml")


def judged(folder: Path, *outcomes: Outcome, name: str = "health_nvidia", rounds: bool = False) -> Judgement:
    folder.mkdir(exist_ok=True)
    with Store(folder) as store:
        for n, outcome in enumerate(outcomes, 1):
            one = record("k", outcome)
            store.append(msgspec.structs.replace(one, round=Round(n, 60.0) if rounds else None))
    return judge(read(folder), criteria_named(name), "run")


def told(found: Health, rechecks: Rechecks | None = RIGHT) -> Outcome:
    return msgspec.structs.replace(measured(), health=(found,), rechecks=rechecks)


def test_a_sound_device_passes(tmp_path: Path) -> None:
    assert judged(tmp_path, told(WELL)).status == "PASS"


ILL = {
    "xid": sick(xid={"79": 1}),
    "ecc_uncorrected": sick({"ecc_uncorrected": (0, 1)}),
    "remap_pending": sick(state={"remap_pending": (0, 1)}),
    "remap_failure": sick(state={"remap_failure": (1, 1)}),
    "link": sick(state={"pcie_width": (8, 8)}),
}


@pytest.mark.parametrize("metric", ILL)
def test_what_is_ill_fails_with_a_next_step(metric: str, tmp_path: Path) -> None:
    found = judged(tmp_path, told(ILL[metric]))
    assert found.status == "FAIL"
    (finding,) = [f for f in found.findings if f.counts]
    assert finding.metric == metric
    cause, todo = health.CAUSES[metric]
    heard = "XID 79, the GPU has fallen off the bus: " if metric == "xid" else ""
    assert (finding.cause, finding.todo) == (heard + cause, todo)


def test_an_output_that_was_wrong_fails(tmp_path: Path) -> None:
    rechecks = msgspec.structs.replace(RIGHT, wrong=(Wrong(0, 70, "C[1, 2]", 1, 0.5, (1, 2)),))
    found = judged(tmp_path, told(WELL, rechecks))
    assert [f.metric for f in found.findings if f.status == "FAIL"] == ["sdc"]


def test_what_nobody_told_is_not_decided(tmp_path: Path) -> None:
    found = judged(tmp_path, measured())
    assert found.status == "INCONCLUSIVE"
    assert all(f.status == "INCONCLUSIVE" for f in found.findings)


def test_an_error_of_software_is_not_the_hardwares() -> None:
    assert health.metrics(record("k", told(sick(xid={"31": 2, "13": 1}))))["xid"] == 0


def test_what_was_heard_is_named_over_all_rounds_each_once(tmp_path: Path) -> None:
    rounds = [told(sick(xid=xid)) for xid in ({"149": 2, "31": 1}, {"48": 1, "149": 1}, {})]
    found = judged(tmp_path, *rounds, rounds=True)
    (finding,) = [f for f in found.findings if f.metric == "xid"]
    assert finding.value == 2  # the worst round
    assert finding.cause.startswith(
        "XID 48, double bit ECC error; XID 149, NVLink 5: a link went down, or its bit errors rose: "
    )


def test_the_criterion_names_every_xid_that_counts() -> None:
    (limit,) = {c.at_most for c in criteria_named("health_nvidia").criteria if c.metric == "xid"}
    assert limit
    assert set(re.findall(r"\b\d+\b", limit.source)) == set(xids.HARDWARE)
    # by NVIDIA's catalog: applications, corrected errors, row remapping, what tells of another, what was intended
    assert not {"13", "31", "43", "45", "63", "121", "137", "154", "155"} & set(xids.HARDWARE)


def test_links_that_sped_up_are_whole_and_those_that_were_lost_are_not() -> None:
    assert health.metrics(record("k", told(WELL)))["link"] == 1.0
    assert health.metrics(record("k", told(sick(state={"links_up": (18, 17)}))))["link"] == pytest.approx(17 / 18)


def test_amd_counts_its_blocks(tmp_path: Path) -> None:
    blocks = {"ecc_uncorrected": (0, 0), "ras_umc_corrected": (1, 9), "ras_gfx_deferred": (0, 1)}
    state = {"pcie_width": (16, 16), "pcie_width_max": (16, 16)}
    found = judged(tmp_path, told(Health("0000:10:00", "amdsmi", blocks, state)), name="health_amd")
    assert [f.metric for f in found.findings if f.status == "FAIL"] == ["ras"]


def test_an_early_round_of_a_burn_in_counts(tmp_path: Path) -> None:
    ill, well = told(ILL["xid"]), told(WELL)
    assert judged(tmp_path / "a", ill, well, well, rounds=True).status == "FAIL"
    assert judged(tmp_path / "b", well, Failed("rank 0 died"), well, rounds=True).status == "FAIL"
    assert judged(tmp_path / "c", well, well, rounds=True).status == "PASS"
    # the same case measured anew, in no burn-in, replaces what was before
    assert judged(tmp_path / "d", ill, well).status == "PASS"


def test_every_metric_has_its_kind_and_nobodys_word_is_none() -> None:
    assert set(health.METRICS) <= METRICS.keys()
    assert all(math.isnan(value) for value in health.worst([]).values())


def of_two_ranks(outcome: Outcome) -> Record:
    made = record("together", outcome, kernel="all_reduce", label="fp32 1 KiB")
    return msgspec.structs.replace(made, case=msgspec.structs.replace(made.case, ranks=2, collective=True))


def test_collectives_count_where_there_are_any(tmp_path: Path) -> None:
    """Of a run without any nothing is missing; what was wrong in one is its node's."""
    wrong = msgspec.structs.replace(RIGHT, wrong=(Wrong(0, 70, "C[1, 2]", 1, 0.5, (1, 2)),))
    for name, rechecks, status in (("sound", RIGHT, "PASS"), ("sick", wrong, "FAIL")):
        run = run_of(tmp_path / name, [record("k", told(WELL)), of_two_ranks(told(WELL, rechecks))])
        found = judge(read(run), criteria_named("health_nvidia"), "run")
        assert found.status == status
        bad = set() if rechecks is RIGHT else {("node", "sdc")}
        assert {(f.scope, f.metric) for f in found.findings if f.counts} == bad
    page = verdict_html.render(found, criteria_named("health_nvidia"))
    assert page.count("device, node") == 8


def test_what_pairs_of_nodes_say_has_no_health_and_none_is_asked_for(tmp_path: Path) -> None:
    hosts = {h: [msgspec.structs.replace(record(h, told(WELL)), host=h)] for h in ("n1", "n2")}
    pair = of_two_ranks(measured())
    over = msgspec.structs.replace(pair.case, over=Over("pair", "n1-n2", ("n1", "n2")))
    evidence = read(fleet_of(tmp_path / "fleet", hosts, groups=[msgspec.structs.replace(pair, case=over, host="n1")]))
    assert (evidence.rows["scope"] == "node").sum() == 2  # each in its pair
    assert judge(evidence, criteria_named("health_nvidia"), "run").status == "PASS"


def test_several_scopes_of_which_none_is_there_are_missing_once(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [record("k", told(WELL))])
    spoken = criterion(cases="*", at_least=limit(0, "FLOP/s"))
    other = {**criterion("sdc", at_most=limit(0, "1")), "cases": "all_to_all *", "scopes": ["device", "node"]}
    found = judge(read(run), criteria(spoken, other), "run")
    assert [(f.status, f.scope, f.criterion) for f in found.findings] == [("MISSING", "cluster", "sdc of all")]
