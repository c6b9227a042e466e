"""What the index reads of a record says the same of it as the whole record."""

from __future__ import annotations

import re
import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import case, energy, measured, record

from perwatt.results import record as whole
from perwatt.results import store
from perwatt.results.derived import BOUNDARIES, SOURCES
from perwatt.results.fleet import brief
from perwatt.results.fleet.rows import Host, _row
from perwatt.results.record import Energy, Failed, Outcome, Record, Skipped, Work

ENERGIES = st.builds(
    lambda meter, joules, boundary, source: energy(meter, joules, boundary=boundary, source=source),
    st.sampled_from(["a", "b"]),
    st.sampled_from([0.0, 10.0, 400.0]),
    st.sampled_from(sorted({b for bs in BOUNDARIES.values() for b in bs} | {"rack"})),
    st.sampled_from(SOURCES),
)
WORK = st.builds(
    lambda headline, factor: Work(2000, 300, headline, 50, factor),
    st.sampled_from(["flops", "bytes", "message", "time"]),
    st.sampled_from([0.0, 1.75]),
)
MEASURED = st.builds(
    lambda energies, work, median: measured(*energies, work=work, median=median),
    st.lists(ENERGIES, max_size=4),
    WORK,
    st.sampled_from([0.0, 0.01]),
)
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(MEASURED, st.just(Skipped("no")), st.just(Failed("boom", log="...")))


def filled(outcome: Outcome, kind: str) -> Record:
    one = record("k")
    device = msgspec.structs.replace(one.device, type=kind)
    return msgspec.structs.replace(one, outcome=outcome, device=device, flags=("noisy", "indicative"))


def meter_by_the_rule(one: Record) -> str | None:
    """Boundary by boundary, source by source, as the documents say it."""
    energies: list[Energy] = [e for r in one.measured.repetitions for e in r.energies] if one.measured else []
    for boundary in BOUNDARIES.get(one.device.type, BOUNDARIES["gpu"]):
        for source in SOURCES:
            for e in energies:
                if (e.boundary, e.source) == (boundary, source):
                    return e.meter
    return None


@settings(max_examples=40, deadline=None)
@given(OUTCOMES, st.sampled_from(["cpu", "gpu", "cuda"]))
def test_in_brief_a_record_says_what_it_says_as_a_whole(outcome: Outcome, kind: str) -> None:
    one = filled(outcome, kind)
    row = _row(Host("node", "n1", ()), brief.decode(msgspec.json.encode(one), "here"), "f", 7)
    assert one.meter == meter_by_the_rule(one)
    joules = [e.energy_j for _, e in one.energies]
    assert row.energy_j == (sum(joules) if joules else None)
    assert (row.rate, row.power_w, row.per_joule) == (one.rate, one.power_w, one.work_per_joule)
    assert row.time_s == (one.measured.seconds.median if one.measured else None)
    assert row.outcome == type(outcome).__name__.lower()
    assert (row.case, row.device, row.flags, row.offset) == (one.case.key, 0, "noisy indicative", 7)


def test_each_field_is_one_of_the_whole_record_and_of_its_type() -> None:
    names = ("Case", "Device", "Seconds", "Energy", "Repetition", "Measured")
    pairs = [(getattr(brief, name), getattr(whole, name)) for name in names] + [(brief.Brief, Record)]
    for short, full in pairs:
        mine = {f.name: f for f in msgspec.structs.fields(short)}
        theirs = {f.name: f for f in msgspec.structs.fields(full)}
        for name, field in mine.items():
            assert field.default == theirs[name].default, (short, name)
            # a part in brief stands in the place of its namesake
            told = [re.sub(r"perwatt\.results\.(\w+\.)+", "", str(one.type)) for one in (field, theirs[name])]
            assert field.type is msgspec.Raw or told[0] == told[1], (short, name)
    assert typing.get_args(whole.Source) == SOURCES


def test_the_same_case_has_one_test_whatever_the_order_of_its_parameters() -> None:
    one, other = (
        msgspec.structs.replace(record(key), case=case(key, params=params, device_index=at))
        for at, (key, params) in enumerate({"a": {"m": 1, "n": 2}, "b": {"n": 2, "m": 1}}.items())
    )
    host = Host("node", "n1", ())
    rows = [_row(host, brief.decode(msgspec.json.encode(r), ""), "", 0) for r in (one, other)]
    assert rows[0].test == rows[1].test


@pytest.mark.parametrize(
    "change", [(b'"schema":%d' % whole.SCHEMA, b'"schema":99'), (b'"median":', b'"mdian":'), (b"}", b"]")]
)
def test_what_cannot_be_read_is_said_as_for_a_whole_record(change: tuple[bytes, bytes]) -> None:
    line = msgspec.json.encode(filled(measured(energy()), "cpu")).replace(*change)
    with pytest.raises(ValueError, match=r"^f line 3: ") as mine:
        brief.decode(line, "f line 3")
    with pytest.raises(ValueError, match=r"^f line 3: ") as theirs:
        store.decode(line, "f line 3")
    assert str(mine.value) == str(theirs.value)


def test_what_the_index_does_not_read_is_json_all_the_same() -> None:
    line = msgspec.json.encode(filled(measured(energy()), "cpu")).replace(b'"check":{', b'"check":{{')
    with pytest.raises(ValueError, match=r"not a perwatt record"):
        brief.decode(line, "f")
