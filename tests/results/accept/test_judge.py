"""Verdicts: who gets which, and why."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from acceptances import TFLOPS, criteria, criterion, devices, fleet_of, limit, run_of, slower

from perwatt.results.accept import causes
from perwatt.results.accept.criteria import Criteria
from perwatt.results.accept.evidence import read
from perwatt.results.accept.judge import judge
from perwatt.results.accept.verdict import Judgement
from perwatt.results.fleet.merge import merge
from perwatt.results.recheck import WRONG_OUTPUT
from perwatt.results.record import Conditions, Failed, Measured, Record, Skipped
from perwatt.results.reports.verdict_files import devices_csv, json_text, junit
from perwatt.results.reports.verdict_html import render
from perwatt.results.reports.verdicts import console, markdown

DAY = datetime.date(2026, 6, 1)


def judged(tmp_path: Path, records: list[Record], by: Criteria) -> Judgement:
    return judge(read(run_of(tmp_path / "run", records)), by, "run", DAY)


def statuses(judgement: Judgement) -> dict[str, str]:
    return {v.subject: v.status for v in judgement.verdicts}


def of_device(device: int, change: Any) -> Any:
    return lambda r: change(r) if r.case.device_index == device else r


def test_a_slow_device_fails_and_takes_its_node_along(tmp_path: Path) -> None:
    found = judged(tmp_path, devices(8, change=of_device(3, lambda r: slower(r, 1.05))), criteria(criterion()))
    assert (found.status, found.exit_code) == ("FAIL", 1)
    assert statuses(found) == {**{f"n1:{i}": "PASS" for i in range(8)}, "n1:3": "FAIL", "n1": "FAIL"}
    (one,) = found.findings
    assert one.case == "all its cases"
    assert one.value == pytest.approx(-4.8, abs=0.4)
    assert (one.limit, one.unit, one.source) == (-3.0, "%", "made up (2026-01-31)")


def test_all_pass_and_the_exit_code_says_so(tmp_path: Path) -> None:
    found = judged(tmp_path, devices(8), criteria(criterion(), criterion("rate_per_watt")))
    assert (found.status, found.exit_code, found.findings) == ("PASS", 0, ())
    assert {(v.checks, v.passed) for v in found.verdicts if v.scope == "device"} == {(12, 12)}


@pytest.mark.parametrize(
    ("bound", "status"),
    [
        ({"at_least": limit(0.9 * TFLOPS, "TFLOP/s")}, "PASS"),
        ({"at_least": limit(1.1 * TFLOPS * 1e3, "GFLOP/s")}, "FAIL"),
        ({"at_least": limit(TFLOPS, "TFLOP/s")}, "INCONCLUSIVE"),
        ({"at_most": limit(0.9 * TFLOPS, "TFLOP/s")}, "FAIL"),
        ({"plausible_max": limit(0.9 * TFLOPS, "TFLOP/s")}, "FAIL"),
    ],
)
def test_a_value_is_held_against_a_limit_with_its_uncertainty(tmp_path: Path, bound: Any, status: str) -> None:
    def wide(one: Record) -> Record:
        assert isinstance(one.outcome, Measured)
        times = one.outcome.seconds
        interval = msgspec.structs.replace(times, ci_low=times.median * 0.95, ci_high=times.median * 1.05)
        return msgspec.structs.replace(one, outcome=msgspec.structs.replace(one.outcome, seconds=interval))

    found = judged(tmp_path, devices(1, 1, change=wide), criteria(criterion(**bound)))
    assert found.status == status
    if status != "PASS":
        assert found.findings[0].u == pytest.approx(0.05 * (found.findings[0].value or 0))
        assert found.findings[0].cause
        assert found.findings[0].todo


def test_what_cannot_be_used_is_not_decided_and_what_is_absent_is_missing(tmp_path: Path) -> None:
    def spoil(one: Record) -> Record | None:
        assert isinstance(one.outcome, Measured)
        bare = tuple(msgspec.structs.replace(r, energies=()) for r in one.outcome.repetitions)
        match one.case.device_index, one.case.label:
            case 1, _:
                return msgspec.structs.replace(one, outcome=msgspec.structs.replace(one.outcome, repetitions=bare))
            case 2, _:
                return msgspec.structs.replace(one, flags=("gappy",))
            case 3, "bf16 0":
                return None
            case 4, "bf16 0":
                return msgspec.structs.replace(one, outcome=Skipped("no such library"))
            case 5, "bf16 0":
                return msgspec.structs.replace(one, outcome=Failed("wrong result"))
            case 6, _:
                return msgspec.structs.replace(one, flags=("indicative",))
        return one

    per_watt = criterion("rate_per_watt", at_least=limit(1, "kFLOP/s/W"))
    found = judged(tmp_path, devices(7, 2, change=spoil), criteria(per_watt))
    got = statuses(found)
    assert [got[f"n1:{i}"] for i in range(7)] == [
        "PASS", "INCONCLUSIVE", "INCONCLUSIVE", "MISSING", "MISSING", "FAIL", "INCONCLUSIVE",
    ]  # fmt: skip
    why = {f.subject: f.why for f in found.findings}
    (skipped,) = [f for f in found.findings if f.subject == "n1:4"]
    assert (skipped.cause, skipped.todo) == causes.SKIPPED
    assert why["n1:1"] == "not metered"
    assert why["n1:2"] == "the window is not valid: gappy"
    assert "no such library" in why["n1:4"]
    assert "wrong result" in why["n1:5"]
    assert found.exit_code == 1


def test_not_decided_alone_is_exit_code_4(tmp_path: Path) -> None:
    found = judged(tmp_path, devices(3), criteria(criterion()))
    assert (found.status, found.exit_code) == ("INCONCLUSIVE", 4)
    assert "fewer than 5" in found.findings[0].why


def test_causes_heat_a_lower_limit_thirst_a_whole_node_and_too_good(tmp_path: Path) -> None:
    def energies(one: Record, times: float) -> Record:
        assert isinstance(one.outcome, Measured)
        more = [
            [msgspec.structs.replace(e, energy_j=300.0 * times) for e in r.energies] for r in one.outcome.repetitions
        ]
        repetitions = tuple(
            msgspec.structs.replace(r, energies=tuple(e)) for r, e in zip(one.outcome.repetitions, more, strict=True)
        )
        return msgspec.structs.replace(one, outcome=msgspec.structs.replace(one.outcome, repetitions=repetitions))

    def hot(one: Record) -> Record:
        assert isinstance(one.outcome, Measured)
        warm = Conditions(throttled={"sw_thermal": 0.3, "sw_power_cap": 1.0})
        repetitions = tuple(msgspec.structs.replace(r, conditions=warm) for r in one.outcome.repetitions)
        return msgspec.structs.replace(one, outcome=msgspec.structs.replace(one.outcome, repetitions=repetitions))

    changes = {
        0: lambda r: hot(slower(r, 1.06)),
        1: lambda r: energies(slower(r, 1.06), 0.8),
        2: lambda r: energies(r, 1.3),
        3: lambda r: slower(r, 0.9),
    }
    first = devices(12, change=lambda r: changes.get(r.case.device_index, lambda x: x)(r))
    second = devices(2, host="n2", seed=5, change=lambda r: slower(r, 1.06))
    second = [msgspec.structs.replace(r, case=msgspec.structs.replace(r.case, key="b" + r.case.key)) for r in second]
    both = criteria(criterion(), criterion("rate_per_watt"))
    found = judged(tmp_path, first + second, both)
    cause = {(f.subject, f.metric): f.cause for f in found.findings}
    assert "heat" in cause["n1:0", "rate"]
    assert "lower power limit" in cause["n1:1", "rate"]
    assert "draws more" in cause["n1:2", "rate_per_watt"]
    assert "too good to be true" in cause["n1:3", "rate"]
    assert "all devices of its node" in cause["n2:0", "rate"]


@pytest.mark.parametrize(("slow", "status"), [(4, "FAIL"), (7, "INCONCLUSIVE"), (9, "INCONCLUSIVE")])
def test_a_fleet_that_is_too_sick_is_not_decided(tmp_path: Path, slow: int, status: str) -> None:
    records = devices(14, 3, change=lambda r: slower(r, 1.06) if r.case.device_index < slow else r)
    found = judged(tmp_path, records, criteria(criterion()))
    assert found.status == status
    if status == "INCONCLUSIVE":
        assert found.count("device") == {"PASS": 0, "INCONCLUSIVE": 14, "MISSING": 0, "FAIL": 0}
        assert "too sick" in found.findings[0].cause
    else:
        assert found.count("device")["FAIL"] == slow


def test_one_case_may_be_too_sick_alone(tmp_path: Path) -> None:
    def change(one: Record) -> Record:
        bad = one.case.label == "bf16 0" and one.case.device_index < 24
        return slower(one, 1.06) if bad else one

    found = judged(tmp_path, devices(40, 3, change=change), criteria(criterion()))
    assert {(f.status, f.case) for f in found.findings} == {("INCONCLUSIVE", "matmul bf16 0")}
    assert len(found.findings) == 40


def test_waivers_hold_until_their_day_and_are_shown(tmp_path: Path) -> None:
    records = devices(8, change=of_device(3, lambda r: slower(r, 1.05)))
    waiver = {"subject": "n1:3", "criterion": "rate*", "who": "A. Person", "why": "spare is on its way"}
    held = criteria(criterion(), waivers=[{**waiver, "until": "2026-06-01"}])
    found = judged(tmp_path, records, held)
    assert found.status == "PASS"
    assert found.findings[0].waived == "A. Person until 2026-06-01: spare is on its way"
    over = criteria(criterion(), waivers=[{**waiver, "until": "2026-05-31"}])
    again = judge(read(tmp_path / "run"), over, "run", DAY)
    assert again.status == "FAIL"
    assert "ended on 2026-05-31" in again.notes[0]


def test_a_merged_fleet_has_a_verdict_for_everybody_that_was_asked(tmp_path: Path) -> None:
    good = {f"n{i}": devices(4, host=f"n{i}", seed=i) for i in range(1, 5)}
    good["n2"] = devices(4, host="n2", seed=2, change=of_device(1, lambda r: slower(r, 1.05)))
    good["n3"] = devices(3, host="n3", seed=3)
    run = fleet_of(tmp_path / "fleet", good, ["n1", "n2", "n3", "n4", "n5"])
    absolute = criterion("rate", name="least", at_least=limit(0.9 * TFLOPS, "TFLOP/s"))
    found = judge(read(run), criteria(criterion(), absolute), "fleet", DAY)
    got = statuses(found)
    assert (got["n2:1"], got["n3:3"], got["n5"]) == ("FAIL", "MISSING", "MISSING")
    assert (got["n1"], got["n2"], got["n3"]) == ("PASS", "FAIL", "MISSING")
    assert found.count("device") == {"PASS": 14, "INCONCLUSIVE": 0, "MISSING": 1, "FAIL": 1}


def test_who_has_no_record_and_is_waived_is_missing_and_decides_nothing(tmp_path: Path) -> None:
    hosts = {f"n{i}": devices(4, host=f"n{i}", seed=i) for i in (1, 2)}
    run = fleet_of(tmp_path / "fleet", {**hosts, "n3": devices(3, host="n3", seed=3)}, ["n1", "n2", "n3", "n4"])
    of = {"criterion": "*", "who": "A", "why": "in repair", "until": "2026-12-31"}
    found = judge(read(run), criteria(criterion(), waivers=[{**of, "subject": n} for n in ("n3:3", "n4")]), "r", DAY)
    assert (found.status, found.count("node")["MISSING"], found.count("device")["MISSING"]) == ("PASS", 1, 1)
    assert {v.subject: v.status for v in found.verdicts if v.waived} == {"n3:3": "MISSING", "n4": "MISSING"}
    assert statuses(found)["n3"] == "PASS"
    assert "MISSING (waived)  n4" in console(found)
    suites = ElementTree.fromstring(junit(found)).findall("testsuite")
    assert [(s.get("name"), s.get("errors"), s.get("skipped")) for s in suites] == [
        ("device", "0", "1"),
        ("node", "0", "1"),
    ]
    rows = {row["subject"]: row for row in csv.DictReader(devices_csv(found).splitlines())}
    assert rows["n4"]["found"] == "waived by A until 2026-12-31: in repair: the node never wrote"
    whole = fleet_of(tmp_path / "some", {"n1": devices(2, host="n1")}, ["n1", "n2"])
    one = criteria(criterion(at_least=limit(1, "PFLOP/s")), waivers=[{**of, "subject": "n2"}])
    assert judge(read(whole), one, "r", DAY).status == "FAIL"


def test_a_waiver_that_covers_nothing_is_told(tmp_path: Path) -> None:
    waiver = {"subject": "n1:9", "criterion": "rate*", "who": "A", "why": "b", "until": "2026-12-31"}
    found = judged(tmp_path, devices(8), criteria(criterion(), waivers=[waiver]))
    note = "waiver of n1:9 (rate*) by A covers nothing that was found"
    assert (found.status, found.notes) == ("PASS", (note,))
    for text in (console(found), markdown(found), json_text(found), render(found, criteria(criterion()))):
        assert note in text


def test_a_warning_and_a_criterion_without_a_case(tmp_path: Path) -> None:
    warned = criterion(severity="warn", at_least=limit(1, "PFLOP/s"))
    lonely = criterion(name="attention", cases="attention *")
    found = judged(tmp_path, devices(5), criteria(warned, criterion(name="all"), lonely))
    assert (found.status, found.exit_code) == ("MISSING", 4)
    assert found.findings[0].criterion == "attention"
    assert all(f.warning for f in found.findings[1:])
    with pytest.raises(ValueError, match=r"found none that speaks to a case of the run, which has matmul bf16 0"):
        judge(read(tmp_path / "run"), criteria(lonely), "run", DAY)


def test_limits_of_other_hardware_or_other_work_are_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", devices(5))
    with pytest.raises(ValueError, match="found test; allowed h100_sxm"):
        judge(read(run), criteria(criterion(), targets=["h100_sxm"]), "run", DAY)
    with pytest.raises(ValueError, match="found GB/s; matmul bf16 0 counts flops"):
        judge(read(run), criteria(criterion(at_least=limit(1, "GB/s"))), "run", DAY)


def test_a_fleet_of_two_kinds_of_hardware_names_the_nodes(tmp_path: Path) -> None:
    other = [msgspec.structs.replace(r, target=None) for r in devices(2, 1, "n2")]
    run = fleet_of(tmp_path / "run", {"n1": devices(2, 1, "n1"), "n2": other, "n3": devices(2, 1, "n3")})
    evidence = read(run)
    with pytest.raises(ValueError, match=r"found hardware that is no known target on n2; allowed test"):
        judge(evidence, criteria(criterion(), targets=["test"]), "run", DAY)
    assert judge(evidence, criteria(criterion()), "run", DAY).count("device")["PASS"] == 6


def test_hardware_that_measured_collectives_alone_is_held_against_the_limits_as_well(tmp_path: Path) -> None:
    def together(host: str) -> list[Record]:
        alone = devices(1, 2, host)
        return [msgspec.structs.replace(r, case=msgspec.structs.replace(r.case, collective=True)) for r in alone]

    one = criteria(criterion(scope="node"), targets=["h100_sxm"])
    run = run_of(tmp_path / "run", together("n1"))
    whole = fleet_of(tmp_path / "fleet", {"n1": devices(1, 2, "n1"), "n2": together("n2")})
    unknown = [msgspec.structs.replace(r, target=None) for r in together("n1")]
    for where, said in (
        (run, "found test"),
        (whole, "found test on n1, n2"),
        (run_of(tmp_path / "a", unknown), "no known"),
    ):
        with pytest.raises(ValueError, match=said):
            judge(read(where), one, "run", DAY)


def test_the_median_device_speaks_for_the_fleet(tmp_path: Path) -> None:
    records = devices(5, change=of_device(0, lambda r: slower(r, 3.0)))
    whole = criterion(scope="fleet", at_least=limit(0.95 * TFLOPS, "TFLOP/s"))
    assert statuses(judged(tmp_path / "a", records, criteria(whole))) == {"fleet": "PASS"}
    (slow,) = judged(tmp_path / "b", devices(5, 1, change=lambda r: slower(r, 2)), criteria(whole)).findings
    assert (slow.status, (slow.cause, slow.todo)) == ("FAIL", causes.FLEET)


def test_the_median_hides_no_device_that_failed_was_wrong_or_is_absent(tmp_path: Path) -> None:
    whole = criteria(criterion(scope="fleet", at_least=limit(0.95 * TFLOPS, "TFLOP/s")))

    def failed(one: Record) -> Record:
        return msgspec.structs.replace(one, outcome=Failed("it crashed"))

    def wrong(one: Record) -> Record:
        return msgspec.structs.replace(one, flags=(WRONG_OUTPUT,))

    for name, change, status, why in (
        ("a", failed, "FAIL", "the case failed: it crashed"),
        ("b", wrong, "FAIL", "its output was wrong"),
        ("c", lambda r: r if r.case.label == "bf16 0" else None, "MISSING", "others have a record of this case"),
    ):
        found = judged(tmp_path / name, devices(5, 2, change=of_device(3, change)), whole)
        assert (found.status, statuses(found)) == (status, {"fleet": "PASS", "n1:3": status, "n1": status})
        assert all(f.why.startswith(why) and f.scope == "device" for f in found.findings)
        of_it = next(v for v in found.verdicts if v.subject == "n1:3")
        assert (of_it.checks, of_it.passed) == (len(found.findings), 0)


def test_a_node_without_a_record_of_what_others_measured_together_is_named(tmp_path: Path) -> None:
    def together(host: str) -> list[Record]:
        whole = {"collective": True, "ranks": 2, "kernel": "all_reduce", "label": "x", "key": "all"}
        return [msgspec.structs.replace(r, case=msgspec.structs.replace(r.case, **whole)) for r in devices(1, 1, host)]

    run = fleet_of(tmp_path / "run", {"n1": devices(2, 1, "n1") + together("n1"), "n2": devices(2, 1, "n2")})
    asked = criterion(cases="all_reduce *", scope="node", at_least=limit(0.9 * TFLOPS, "TFLOP/s"))
    found = judge(read(run), criteria(asked), "run", DAY)
    assert (found.exit_code, statuses(found)) == (4, {"n1": "PASS", "n2": "MISSING"})
    half = devices(2, 2, "n1", lambda r: r if (r.case.device_index, r.case.label) != (1, "bf16 1") else None)
    each = judge(
        read(run_of(tmp_path / "half", half)), criteria(criterion(at_least=limit(1e-4, "TFLOP/s"))), "run", DAY
    )
    counted = {v.subject: (v.checks, v.passed) for v in each.verdicts if v.scope == "device"}
    assert counted == {"n1:0": (2, 2), "n1:1": (2, 1)}
    warned = judge(read(run), criteria({**asked, "severity": "warn"}), "run", DAY)
    assert (warned.exit_code, [f.warning for f in warned.findings]) == (0, [True])


def test_a_record_that_is_damaged_is_told_as_that(tmp_path: Path) -> None:
    run = fleet_of(tmp_path / "fleet", {name: devices(2, 3, name) for name in ("n1", "n2", "n3")})
    for host, at in (("n2", slice(2, 3)), ("n3", slice(0, 6))):
        path = run / "nodes" / host / "records.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        lines[at] = [b"{}\n"] * len(lines[at])
        path.write_bytes(b"".join(lines))
    merge(run, jobs=1)
    found = judge(read(run), criteria(criterion(at_least=limit(0.9 * TFLOPS, "TFLOP/s"))), "r", DAY)
    assert {f.subject: (f.why, f.cause) for f in found.findings} == {
        "n3": (
            "no readable record; nodes/n3/records.jsonl line 1 is damaged",
            "it may have been tested: nodes/n3/records.jsonl line 1 cannot be read",
        ),
        "n2:0": (
            "others have a record of this case, and it has none; nodes/n2/records.jsonl line 3 is damaged",
            "it may have been tested: nodes/n2/records.jsonl line 3 cannot be read",
        ),
    }


def test_a_records_file_that_was_cut_off_is_not_decided(tmp_path: Path) -> None:
    """What stood in its last line may be what failed."""
    run = run_of(tmp_path / "run", devices(1, 3))
    path = run / "records.jsonl"
    asked = criteria(criterion(at_least=limit(0.9 * TFLOPS, "TFLOP/s")))
    assert judge(read(run), asked, "r", DAY).exit_code == 0
    path.write_bytes(path.read_bytes()[:-40])
    found = judge(read(run), asked, "r", DAY)
    assert (found.exit_code, statuses(found)["n1"]) == (4, "INCONCLUSIVE")
    assert found.findings[0].why == "the last line of records.jsonl is cut off: the case in it is not judged"


def test_a_value_that_is_not_known_well_enough_is_not_told_to_be_off(tmp_path: Path) -> None:
    """As with a limit that is absolute: its interval reaches over what it may be, in one case or over all."""

    def unsure(half: float) -> Any:
        def change(one: Record) -> Record:
            assert isinstance(one.outcome, Measured)
            late = slower(one, 1.05)
            assert isinstance(late.outcome, Measured)
            times = late.outcome.seconds
            about = msgspec.structs.replace(times, ci_low=times.median * (1 - half), ci_high=times.median * (1 + half))
            return msgspec.structs.replace(one, outcome=msgspec.structs.replace(late.outcome, seconds=about))

        return of_device(3, change)

    for n, (tests, half, status) in enumerate(
        ((2, 0.10, "INCONCLUSIVE"), (2, 0.005, "FAIL"), (6, 0.10, "INCONCLUSIVE"), (6, 0.02, "FAIL"))
    ):
        found = judged(tmp_path / str(n), devices(8, tests, change=unsure(half)), criteria(criterion()))
        assert statuses(found)["n1:3"] == status, (tests, half)
        if status == "INCONCLUSIVE":
            assert (found.findings[0].u or 0) > 1.0
            assert "reaches over the limit" in found.findings[0].why
