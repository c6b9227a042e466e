"""A case that does no work: it has power and energy, no rate and nothing per watt, and every report copes with that."""

from __future__ import annotations

import pytest
from records import energy, measured, record

from perwatt.results.record import Record, Work
from perwatt.results.reports import console, text
from perwatt.results.reports.layout import groups
from perwatt.results.reports.table import rows
from perwatt.results.uncertainty import budget, ratio

NOTHING = Work(0, 0, "time")


def resting(*joules: float) -> Record:
    energies = [energy(joules=j) for j in joules]
    return record(outcome=measured(*energies, work=NOTHING), kernel="idle", label="context", params={"seconds": 0.01})


def test_there_is_power_but_no_rate() -> None:
    idle = resting(100.0)
    assert idle.amount == 0
    assert idle.rate is None
    assert idle.flops_per_s is None
    assert idle.work_per_joule is None
    assert idle.power_w == pytest.approx(100.0)
    assert budget(idle) is None
    assert ratio(idle, idle) is None


def test_its_row_is_metered_and_not_called_unresolved() -> None:
    (row,) = rows([resting(100.0)])
    assert (row.power_w, row.per_joule, row.words) == (100.0, None, "")
    (still,) = rows([resting(0.0)])
    assert still.words == "not resolved"
    (without,) = rows([resting()])
    assert without.words == "not metered"


def test_its_table_has_neither_a_rate_nor_a_figure_per_watt() -> None:
    (group,) = groups([resting(100.0)])
    keys = [column.key for column in group.columns]
    assert "power" in keys
    assert not {"rate", "per_watt", "of_peak"} & set(keys)


def test_reports_show_its_power_and_no_zero_rate() -> None:
    records = [resting(100.0), record()]
    idle = next(line for line in console.render(records).splitlines() if line.startswith("context"))
    assert "100" in idle
    markdown = text.markdown(records)
    assert "context" in markdown
    assert "FLOP/s" not in next(line for line in markdown.splitlines() if "context" in line)
    header, line, *_ = text.csv(records).splitlines()
    cells = dict(zip(header.split(","), line.split(","), strict=False))
    assert cells["rate_flop_per_s"] == cells["flop_per_joule"] == ""
    assert float(cells["power_w"]) == 100.0
