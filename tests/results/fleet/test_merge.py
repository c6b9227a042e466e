"""Merging a fleet loses nothing and doubles nothing, whatever the order, truncation or duplication of its files."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from acceptances import devices, fleet_of
from hypothesis import given, settings
from hypothesis import strategies as st
from records import case, energy, measured, record

from perwatt.results.fleet.merge import MERGED, load, merge, unchanged
from perwatt.results.record import Failed, Record, Skipped
from perwatt.results.rounds import Round


def write(path: Path, records: list[Record], torn: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in records) + torn)


def fleet(run: Path, nodes: dict[str, list[Record]], hosts: list[str] | None = None, devices: object = None) -> Path:
    run.mkdir(parents=True, exist_ok=True)
    (run / "fleet.json").write_text(json.dumps({"hosts": hosts or list(nodes), "devices": devices}))
    for host, records in nodes.items():
        write(run / "nodes" / host / "records.jsonl", records)
    return run


def one(key: str, device: int = 0, time: str = "2026-01-01T00:00:00Z", median: float = 0.01, **more: object) -> Record:
    return msgspec.structs.replace(
        record(key), case=case(key, device_index=device, **more), time_utc=time, outcome=measured(median=median)
    )


def in_round(one: Record, number: int) -> Record:
    """The same in a round of a burn-in; of 0 in none."""
    return msgspec.structs.replace(one, round=Round(number, 1.0) if number else None)


def bytes_of(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((run / MERGED).iterdir())}


RECORDS = st.builds(
    in_round,
    st.builds(
        one,
        st.sampled_from(["a", "b", "c"]),
        time=st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-02T00:00:00Z"]),
        median=st.sampled_from([0.01, 0.02, 0.04]),
    ),
    st.sampled_from([0, 1, 9, 10]),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(RECORDS, max_size=8), st.data())
def test_order_truncation_and_duplication_change_nothing(records: list[Record], data: st.DataObject) -> None:
    shuffled = data.draw(
        st.permutations(records + data.draw(st.lists(st.sampled_from(records)) if records else st.just([])))
    )
    cut = data.draw(st.integers(0, len(shuffled)))
    torn = msgspec.json.encode(one("torn"))[: data.draw(st.integers(0, 300))]
    with tempfile.TemporaryDirectory() as folder:
        run = fleet(Path(folder) / "run", {"n1": []})
        write(run / "nodes/n1/records.jsonl", shuffled[:cut], torn)
        write(run / "nodes/n1.copy/records.jsonl", shuffled[cut:])
        merge(run)
        first = bytes_of(run)
        merge(run)
        assert bytes_of(run) == first
        index = load(run).index
        found = [
            (row.case, row.round, row.last, (run / row.file).read_bytes()[row.offset :].split(b"\n")[0])
            for row in index.itertuples()
        ]
        assert found == kept(records)
        assert load(run).devices["measured"].sum() == load(run).cases["devices"].sum() == len({r[0] for r in found})


def kept(records: list[Record]) -> list[tuple[str, int, bool, bytes]]:
    """Of each case the newest, and those of all rounds before it if that is of one."""
    out = []
    for key in sorted({r.case.key for r in records}):
        same = [r for r in records if r.case.key == key]
        mine = sorted({(r.time_utc, r.round.number if r.round else 0, msgspec.json.encode(r)) for r in same})
        before = [one for one in mine[:-1] if one[1] and mine[-1][1]]
        out += [(key, number, False, line) for _, number, line in before] + [(key, mine[-1][1], True, mine[-1][2])]
    return out


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(RECORDS, max_size=6), st.lists(RECORDS, max_size=6))
def test_two_allocations_merge_the_same_either_way(left: list[Record], right: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        a, b = (fleet(Path(folder) / n, {"n1": rs}) for n, rs in (("a", left), ("b", right)))
        merge(a, [b])
        merge(b, [a])
        same = [c for c in load(a).index.columns if c not in ("file", "offset")]
        assert load(a).index[same].equals(load(b).index[same])
        assert load(a).cases.equals(load(b).cases)


def test_rounds_within_one_second_are_in_their_order(tmp_path: Path) -> None:
    rounds = [in_round(one("k", median=0.01 * number), number) for number in (10, 9, 2)]
    index = load(merge(fleet(tmp_path, {"n1": rounds})).parent).index
    assert list(index["round"]) == [2, 9, 10]
    assert list(index["last"]) == [False, False, True]


def test_whoever_has_no_record_is_named_with_a_reason(tmp_path: Path) -> None:
    whole = [one(f"k{d}", d) for d in range(3)]
    nodes = {"n1": whole, "n2": whole[:2], "n3": [], "n4": whole}
    run = fleet(tmp_path, nodes, ["n1", "n2", "n3", "n4", "n5"])
    path = run / "nodes/n4/records.jsonl"
    good = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(good[0] + b"{nonsense\n" + good[1] + good[2])
    merge(run)
    found = load(run)
    assert found.missing == (
        "MISSING n2 device 2: 2 devices of this node have a record",
        "MISSING n3: no readable record",
        "MISSING n5: the node never wrote",
    )
    assert [text.split(":")[0] for text in found.damaged] == ["nodes/n4/records.jsonl line 2"]
    assert len(found.index) == 8
    (run / "fleet.json").write_text(json.dumps({"hosts": ["n1"], "devices": {"n1": 4}}))
    merge(run)
    assert load(run).missing == ("MISSING n1 device 3: 3 devices of this node have a record",)


def test_the_summary_is_that_of_numpy_and_names_the_ends(tmp_path: Path) -> None:
    medians = [0.010, 0.012, 0.011, 0.030, 0.009]
    nodes: dict[str, list[Record]] = {f"n{i}": [one("k", 1, median=m)] for i, m in enumerate(medians)}
    nodes["n0"].append(msgspec.structs.replace(record("x", Skipped("no"))))
    nodes["n1"].append(msgspec.structs.replace(record("x", Failed("boom"))))
    found = load(merge(fleet(tmp_path, nodes)).parent)
    (row,) = found.cases[found.cases["label"] == "fp32 k"].itertuples()
    rates = 2e6 / np.array(medians)
    known = np.percentile(rates, [1, 50, 99])
    assert (row.rate_p1, row.rate_p50, row.rate_p99) == pytest.approx(tuple(known))
    assert row.rate_mad == pytest.approx(np.median(np.abs(rates - known[1])))
    assert (row.rate_min_device, row.rate_max_device) == ("n3:1", "n4:1")
    assert set(found.index["outcome"]) == {"measured", "skipped", "failed"}
    assert {"no", "boom"} <= set(found.index["reason"])


def test_energy_is_what_the_record_says_and_absent_is_not_zero(tmp_path: Path) -> None:
    metered = msgspec.structs.replace(record("m"), outcome=measured(energy(joules=50.0)))
    run = fleet(tmp_path, {"n1": [metered, one("u")]})
    merge(run)
    rows = load(run).index.set_index("case")
    assert rows.loc["m", "energy_j"] == sum(e.energy_j for _, e in metered.energies) == 100.0
    assert rows.loc["m", "per_joule"] == metered.work_per_joule
    assert np.isnan(rows.loc["u", "energy_j"])


def test_what_is_no_fleet_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no run of a fleet"):
        merge(tmp_path)
    (tmp_path / "fleet.json").write_text("[]")
    with pytest.raises(ValueError, match=r"'hosts' was expected"):
        merge(tmp_path)
    shutil.rmtree(tmp_path / MERGED, ignore_errors=True)
    (tmp_path / "fleet.json").write_text('{"hosts": ["n1"]}')
    with pytest.raises(ValueError, match=r"not merged yet"):
        load(tmp_path)


def test_many_hosts_by_two_processes_are_what_one_makes(tmp_path: Path) -> None:
    nodes = {f"n{i}": [one(f"k{i}", i % 8)] for i in range(130)}
    run = fleet(tmp_path, nodes)
    merge(run, jobs=1)
    alone = bytes_of(run)
    merge(run, jobs=2)
    assert bytes_of(run) == alone


@pytest.mark.parametrize("name", ["merged.json", "index.parquet", "cases.parquet", "devices.parquet"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "spoiled"])
def test_what_was_merged_and_is_damaged_is_told_in_one_line(tmp_path: Path, name: str, damage: str) -> None:
    path = fleet_of(tmp_path / "run", {"n1": devices(8, 3)}) / "merged" / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        middle = len(data) // 2
        spoiled = {"empty": b"", "cut": data[:middle], "spoiled": bytes(middle) + data[middle:]}
        path.write_bytes(spoiled[damage])
    said = "not merged yet" if (name, damage) == ("merged.json", "gone") else f"{path}: not as it was merged "
    with pytest.raises(ValueError, match=re.escape(said)) as told:
        _ = load(tmp_path / "run").index
    assert str(told.value).endswith(f": perwatt merge run={tmp_path / 'run'}")
    assert "\n" not in str(told.value)


def test_records_that_are_not_those_that_were_merged_are_told_by_file_and_by_what_to_do(tmp_path: Path) -> None:
    other = fleet(tmp_path / "other", {"n3": [one("k")]})
    run = fleet(tmp_path / "run", {"n1": [one("k")], "n2": [one("k")]})
    path = run / "nodes/n1/records.jsonl"
    merge(run, [other])
    shutil.copytree(run, tmp_path / "copy")  # that it was copied changes nothing
    for whole in (run, tmp_path / "copy"):
        unchanged(load(whole))
    before = path.read_bytes()
    again = f"perwatt merge runs=[{run},{other}]"
    for now, told in ((before + before, "changed"), (before.replace(b"0.01", b"0.02"), "changed"), (None, "gone")):
        path.unlink() if now is None else path.write_bytes(now)
        said = f"{run}: found nodes/n1/records.jsonl {told} since it was merged: {again}"
        with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
            unchanged(load(run))
    path.write_bytes(before.replace(b"0.01", b"0.02"))
    os.utime(path, (1e9, 1e9))  # as whoever copies a file with its times
    with pytest.raises(ValueError, match=r"nodes/n1/records.jsonl changed since it was merged"):
        unchanged(load(run))
    path.write_bytes(before)
    fleet_json = (run / "fleet.json").read_text()
    (run / "fleet.json").write_text(json.dumps({"hosts": ["n1", "n2", "n9"]}))
    with pytest.raises(ValueError, match=r"fleet.json changed since it was merged"):
        unchanged(load(run))
    (run / "fleet.json").write_text(fleet_json)
    write(run / "nodes/n4/records.jsonl", [one("k")])
    write(other / "nodes/n5/records.jsonl", [one("k")])
    with pytest.raises(ValueError, match=r"nodes/n4/records.jsonl new and 1 more since it was merged"):
        unchanged(load(run))
    merge(run, [other])
    unchanged(load(run))
