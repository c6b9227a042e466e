"""nccl-tests and rccl-tests: what each line says becomes a record, and what cannot be read is told by its number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from acceptances import criteria, criterion, limit, run_of
from foreign_files import FOOTER, HEADER, nccl, nccl_json, row
from hypothesis import given, settings
from hypothesis import strategies as st

from perwatt.results.accept import evidence
from perwatt.results.accept.judge import judge
from perwatt.results.imports import formats, nccl_text
from perwatt.results.imports import nccl_json as as_json
from perwatt.results.imports.figures import Read, records
from perwatt.results.record import Failed, Measured


def outcomes(read: Read) -> dict[str, float | str]:
    """Seconds, or the error, by label."""
    return {
        f.label: f.outcome.seconds.median if isinstance(f.outcome, Measured) else f.outcome.error for f in read.figures
    }


def test_out_of_place_and_in_place_apart() -> None:
    text = nccl(row(1048576, (100.0, 80.0), 1.75), row(1073741824, (4000.0, 3900.0), 1.75))
    read = nccl_text.read(text)
    assert formats.told(text) == "nccl"
    assert not read.bad
    assert outcomes(read) == pytest.approx(
        {
            "fp32 sum 1 MiB out of place": 100e-6,
            "fp32 sum 1 MiB": 80e-6,
            "fp32 sum 1 GiB out of place": 4e-3,
            "fp32 sum 1 GiB": 3.9e-3,
        }
    )
    figure = read.figures[1]
    assert (figure.kernel, figure.ranks, figure.hosts) == ("all_reduce", 8, ("n001", "n002"))
    assert (figure.device.name, figure.statistic) == ("NVIDIA H100 80GB HBM3", "mean of 20 iterations")
    outcome = figure.outcome
    assert isinstance(outcome, Measured)
    assert outcome.work.bus_factor == pytest.approx(1.75)
    assert outcome.seconds.samples == 1
    assert outcome.repetitions == ()
    assert (outcome.collective.backend, outcome.collective.version) == ("nccl", "2.28.9")  # type: ignore[union-attr]


def test_wrong_elements_fail_and_unchecked_ones_say_so() -> None:
    read = nccl_text.read(nccl(row(1024, (10.0, 9.0), 1.75, wrong="3"), row(2048, (10.0, 9.0), 1.75, wrong="N/A")))
    assert [type(f.outcome) for f in read.figures] == [Failed, Failed, Measured, Measured]
    assert outcomes(read)["fp32 sum 1 KiB"] == "3 wrong elements of 256 (#wrong)"
    assert read.figures[-1].flags == ("unchecked",)
    assert read.figures[-1].outcome.check.compared == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("     1048576        262144     float     sum      -1    100.00   10.49", "7 columns; allowed 13: size"),
        (row(1048576, (100.0, 80.0), 1.5), "busbw 15.73 GB/s; allowed 18.35, of size, time and 8 ranks of all_reduce"),
        (row(1048576, (100.0, 80.0), 1.75).replace("100.00", "nan   "), "time 'nan'; allowed a number above 0"),
        (row(1048576, (100.0, 80.0), 1.75).replace("float", "quart"), "type 'quart'; allowed float, half"),
        (row(1048576, (100.0, 80.0), 1.75, wrong="x"), "1048576 262144 ... x; allowed a size"),
        ("out of nowhere", "3 columns; allowed 13"),
        ("n001: Test NCCL failure all_reduce.cu:40 'unhandled'", '"n001: Test NCCL failure'),
    ],
)
def test_a_line_that_cannot_be_read_is_told_by_its_number(line: str, said: str) -> None:
    good = row(2097152, (200.0, 160.0), 1.75)
    text = nccl(line, good)
    read = nccl_text.read(text)
    assert len(read.figures) == 2
    (bad,) = read.bad
    assert bad.told("x").startswith(f"x line {text.splitlines().index(line) + 1}: found {said}")


def test_the_library_may_talk_in_between_and_the_launcher_before() -> None:
    noise = "n001:12:34 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P"
    text = nccl(noise, row(1048576, (100.0, 80.0), 1.75))
    tagged = "\n".join(f"[1,0]<stdout>:{line}" for line in text.splitlines())
    assert outcomes(nccl_text.read(tagged)) == outcomes(nccl_text.read(text))
    assert len(nccl_text.read(text).figures) == 2


def test_several_tests_in_one_log() -> None:
    first = nccl(row(1048576, (100.0, 80.0), 1.75))
    second = nccl(row(1048576, (90.0, 70.0), 0.875, op="none"), program="all_gather")
    read = nccl_text.read(first + second.replace("all_gather_perf", "all_gather_perf_mpi"))
    assert not read.bad
    assert [f.kernel for f in read.figures] == ["all_reduce", "all_reduce", "all_gather", "all_gather"]


def test_a_cut_file_keeps_what_it_had() -> None:
    read = nccl_text.read(nccl(row(1048576, (100.0, 80.0), 1.75), footer=False))
    assert len(read.figures) == 2
    assert [b.allowed for b in read.bad] == ["its last line, '# Out of bounds values'"]


def test_in_place_only_and_older_headers() -> None:
    half = row(1048576, (80.0, 80.0), 0.875, op="none")
    cut = half[: len(half) - 33]
    read = nccl_text.read(nccl(cut, program="all_gather"))
    assert outcomes(read) == pytest.approx({"fp32 1 MiB in place": 80e-6})
    old = nccl(row(1048576, (100.0, 80.0), 1.75, wrong="3e-07")).replace("#wrong", "error ")
    read = nccl_text.read(old)
    assert read.figures[0].flags == ("unchecked",)  # an error that nobody says the limit of
    assert not read.bad


def test_values_out_of_bounds_that_only_the_last_line_tells() -> None:
    whole = nccl(row(1048576, (100.0, 80.0), 1.75, wrong="3e+07"), row(2097152, (200.0, 160.0), 1.75, wrong="1e-07"))
    old = whole.replace("#wrong", "error ").replace("values : 0 OK", "values : 2 FAILED")
    sound = nccl(row(4194304, (400.0, 300.0), 1.75))
    said = [f.outcome for f in nccl_text.read(old + sound).figures]
    assert said[:4] == [Failed("Out of bounds values : 2 FAILED, and no line says which")] * 4
    assert all(isinstance(one, Measured) for one in said[4:])
    told = nccl(row(1048576, (100.0, 80.0), 1.75, wrong="7"), row(2097152, (200.0, 160.0), 1.75))
    told = told.replace("values : 0 OK", "values : 2 FAILED")
    assert [isinstance(f.outcome, Failed) for f in nccl_text.read(told).figures] == [True, True, False, False]
    unsaid = as_json.read(nccl_json(out_of_bounds={"count": 1, "okay": False}))
    assert all(isinstance(f.outcome, Failed) for f in unsaid.figures)


def test_launches_of_a_graph_are_a_case_of_their_own() -> None:
    alone = nccl(row(1048576, (100.0, 80.0), 1.75))
    captured = nccl(row(1048576, (50.0, 40.0), 1.75)).replace("graph: 0", "graph: 20")
    waited = nccl(row(1048576, (150.0, 140.0), 1.75)).replace("# Using", "# Blocking Enabled: wait\n# Using")
    grouped = nccl(row(1048576, (70.0, 60.0), 1.75)).replace("agg iters: 1", "agg iters: 4")
    read = nccl_text.read(alone + captured + waited + grouped)
    ways = ["", " graph", " blocking", " aggregated 4"]
    expected = [f"fp32 sum 1 MiB{half}{way}" for way in ways for half in (" out of place", "")]
    assert [f.label for f in read.figures] == expected
    made = records(read, file=Path("x"), content=b"", form="nccl", run="r", time_utc="")
    assert len({record.case.key for record in made}) == 8
    config = json.loads(nccl_json())["config"] | {"graph": 1, "aggregated_iterations": 1}
    assert as_json.read(nccl_json(config=config)).figures[0].params["graph"] is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + "\n" + FOOTER, "line 3: found nothing of which collective it is; allowed one 'NAME_perf'"),
        ("all_reduce_perf\n" + HEADER, "line 4: found no '# Rank' line above the table; allowed those, or ranks=N"),
        (nccl().replace("#  Rank  3", "#  Ronk  3"), "found ranks missing among the '# Rank' lines"),
    ],
)
def test_what_is_said_nowhere_is_not_guessed(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        nccl_text.read(text)
    assert said in str(raised.value)
    assert nccl_text.read(text.split("\n# Out of", maxsplit=1)[0] + "\n" + FOOTER, "all_reduce", 8).bad == []


def test_json_with_each_iteration() -> None:
    text = nccl_json()
    assert formats.told(text) == "nccl_json"
    read = as_json.read(text)
    assert not read.bad
    out, into = (f.outcome for f in read.figures)
    assert isinstance(out, Measured)
    assert isinstance(into, Measured)
    assert (out.seconds.samples, out.seconds.median) == (1, pytest.approx(100e-6))
    assert (into.seconds.samples, into.seconds.warmup_samples) == (4, 1)
    assert (into.seconds.median, into.seconds.rank_mean) == (pytest.approx(83e-6), pytest.approx(80e-6))
    figure = read.figures[0]
    assert (figure.ranks, figure.hosts, figure.time) == (8, ("n001", "n002"), "2026-05-04 10:20:30")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 9}, "version: found 9; allowed 1, 2, 3"),
        ({"results": None}, "results: found NoneType; allowed a list"),
        ({"args": ["./mine"]}, "args: found 'mine' for the program; allowed all_reduce"),
        ({"config": {}}, "config: found no devices, nthreads and ngpus; allowed those, or ranks=N"),
    ],
)
def test_json_that_is_another(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        as_json.read(nccl_json(**changes))
    assert str(raised.value).startswith(said)


def test_json_of_which_a_part_is_wrong() -> None:
    whole = json.loads(nccl_json())
    whole["results"].append({**whole["results"][0], "size": "big"})
    whole["results"].append({"size": 4})
    read = as_json.read(json.dumps({**whole, "errors": ["a rank died"]}))
    assert len(read.figures) == 2
    assert [b.line for b in read.bad] == [2, 2, 3, 3, 3]
    with pytest.raises(ValueError, match="found no whole JSON"):
        as_json.read(nccl_json()[:-40])


@settings(max_examples=40, deadline=None)
@given(power=st.integers(8, 33), time_us=st.floats(2.0, 9e5))
def test_what_is_printed_is_read_back(power: int, time_us: float) -> None:
    read = nccl_text.read(nccl(row(1 << power, (time_us, time_us), 1.75)))
    assert not read.bad
    for figure in read.figures:
        assert isinstance(figure.outcome, Measured)
        assert figure.outcome.seconds.median == pytest.approx(round(time_us, 2) * 1e-6)
        assert figure.outcome.work.message_bytes == 1 << power


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_garbled_file_never_breaks_the_reader(data: st.DataObject) -> None:
    text = nccl(row(1048576, (100.0, 80.0), 1.75), row(2097152, (200.0, 160.0), 1.75))
    at = data.draw(st.integers(text.index("in-place"), len(text) - 1))
    garbled = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 9)) :]
    try:
        read = nccl_text.read(garbled)
    except ValueError:
        return
    assert len(read.figures) <= 4


def test_a_collective_over_several_nodes_is_a_groups(tmp_path: Path) -> None:
    """What is asked of one node is not asked of two, nor is the first of them blamed."""
    sound, wrong = row(1073741824, (5000.0, 5000.0), 1.75), row(1048576, (100.0, 80.0), 1.75, wrong="3")
    read = nccl_text.read(nccl(sound, wrong))
    made = records(read, file=tmp_path / "x", content=b"", form="nccl", run="r", time_utc="")
    run = run_of(tmp_path / "run", made)
    asked = {"metric": "busbw", "cases": "all_reduce *1 GiB", "at_least": limit(396, "GB/s")}
    found = judge(evidence.read(run), criteria(criterion(**asked, scope="group")), "r")
    assert [(v.scope, v.subject, v.status) for v in found.verdicts] == [("group", "all n001,n002", "FAIL")]
    assert [f.why for f in found.findings if "wrong elements" in f.why]
    with pytest.raises(ValueError, match="found none that speaks to a case"):
        judge(evidence.read(run), criteria(criterion(**asked, scope="node")), "r")
