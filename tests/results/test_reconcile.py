"""What lies in what: made-up nodes whose truth is known, and the traps of scope that double or hide power."""

from __future__ import annotations

import math

import msgspec
import pytest
from records import energy, record, windows

from perwatt.results.reconcile import Line, reconcile
from perwatt.results.record import Energy, Failed


def at(boundary: str, joules: float, *packages: str, **changes: object) -> Energy:
    base: dict[str, object] = {
        "boundary": boundary,
        "packages": packages or (f"{boundary}-0",),
        "terms": {"gain": 0.01},
    }
    return energy(str(changes.pop("meter", f"{boundary}_meter")), joules, **{**base, **changes})


def lines(*energies: Energy, repetitions: int = 2) -> dict[str, Line]:
    return {line.name: line for line in reconcile(record(outcome=windows(*[energies] * repetitions, window_s=10.0)))}


def test_a_node_with_two_gpus_and_two_sockets() -> None:
    found = lines(
        at("gpu", 7000, "gpu0", "gpu1"), at("cpu_package", 3000, "p0", "p1"), at("node_ac", 12_500, accuracy_class="A")
    )
    assert list(found) == ["GPUs", "CPU packages", "node, AC", "unexplained"]
    gpus, node, rest = found["GPUs"], found["node, AC"], found["unexplained"]
    assert (gpus.power_w, gpus.energy_j, gpus.packages) == (700, 14_000, 2)
    assert gpus.expanded_w == pytest.approx(14)
    assert (node.power_w, node.accuracy_class) == (1250, "A")
    assert rest.power_w == pytest.approx(250)
    assert rest.energy_j == pytest.approx(5000)
    assert rest.share == pytest.approx(0.2)
    # three instruments of their own, each known to 1 %
    assert rest.expanded_w == pytest.approx(2 * 0.01 * math.hypot(700, 300, 1250))
    assert rest.flags == ()
    assert rest.note == "node, AC - (GPUs + CPU packages). Packages metered inside: GPUs 2, CPU packages 2."


def test_boards_of_several_meters_are_added_each_once() -> None:
    found = lines(at("gpu", 7000, "gpu0", meter="a"), at("gpu", 5000, "gpu1", meter="b"))
    assert found["GPUs"].power_w == pytest.approx(1200)
    assert found["GPUs"].meters == ("a", "b")
    assert found["GPUs"].packages == 2


def test_the_counter_is_preferred_to_the_polled_power_of_the_same_board() -> None:
    polled = at("gpu", 9000, "gpu0", meter="a_polled", source="integrated")
    found = lines(polled, at("gpu", 7000, "gpu0", meter="counter"))
    assert found["GPUs"].power_w == pytest.approx(700)
    assert found["GPUs"].meters == ("counter",)
    assert found["GPUs"].source == "counter"


def test_two_partitions_of_one_board_are_one_board() -> None:
    found = lines(*(at("gpu", 7000, "0000:01:00", meter=f"partition_{i}") for i in range(8)))
    assert found["GPUs"].power_w == pytest.approx(700)
    assert found["GPUs"].packages == 1


def test_a_module_contains_its_gpu_and_its_cpu() -> None:
    found = lines(at("gpu", 5000), at("cpu_package", 2000), at("module", 8000), at("node_dc", 10_000))
    assert found["unexplained in modules"].power_w == pytest.approx(100)
    assert found["unexplained"].power_w == pytest.approx(200)
    assert found["unexplained"].note.startswith("node, DC - (modules).")


def test_power_supplies_rack_and_facility_are_told_apart() -> None:
    found = lines(
        at("gpu", 7000), at("node_dc", 9000), at("node_ac", 10_000), at("rack", 50_000), at("facility", 90_000)
    )
    assert found["unexplained"].power_w == pytest.approx(200)
    assert found["power supplies"].power_w == pytest.approx(100)
    assert found["power supplies"].share == pytest.approx(0.1)
    assert found["rest of the rack"].power_w == pytest.approx(4000)
    assert found["rest of the facility"].power_w == pytest.approx(4000)
    assert "CPU packages not metered" in found["unexplained"].note


def test_parts_that_draw_more_than_the_whole_are_flagged() -> None:
    found = lines(at("gpu", 7000), at("node_ac", 6000))
    assert found["unexplained"].power_w == pytest.approx(-100)
    assert found["unexplained"].flags == ("scopes_disagree",)


def test_within_the_uncertainty_they_are_not() -> None:
    found = lines(at("gpu", 7000, terms={"gain": 0.05}), at("node_ac", 6500))
    assert found["unexplained"].power_w == pytest.approx(-50)
    assert found["unexplained"].expanded_w == pytest.approx(2 * math.hypot(35, 6.5))
    assert found["unexplained"].flags == ()


def test_without_a_gain_there_is_no_uncertainty_but_the_watts_stand() -> None:
    found = lines(at("gpu", 7000, terms={}), at("node_ac", 10_000))
    assert found["GPUs"].expanded_w is None
    assert found["unexplained"].expanded_w is None
    assert found["unexplained"].power_w == pytest.approx(300)


@pytest.mark.parametrize("source", ["replayed", "modelled"])
def test_estimates_and_traces_are_never_laid_against_meters(source: str) -> None:
    found = lines(at("gpu", 7000), at("node_ac", 10_000, source=source))
    assert list(found) == ["GPUs", "node, AC"]
    assert found["node, AC"].source == source
    assert found["node, AC"].expanded_w is None
    # nor added to them
    found = lines(at("gpu", 7000, "gpu0", meter="real"), at("gpu", 7000, "gpu1", meter="made up", source=source))
    assert found["GPUs"].power_w == pytest.approx(700)
    assert found["GPUs"].packages == 1


def test_only_windows_that_both_meters_have_are_compared() -> None:
    outcome = windows((at("gpu", 7000), at("node_ac", 10_000)), (at("gpu", 1000),), window_s=10.0)
    found = {line.name: line for line in reconcile(record(outcome=outcome))}
    assert found["GPUs"].power_w == pytest.approx(400)
    assert found["unexplained"].power_w == pytest.approx(300)


def test_a_window_in_which_a_board_was_lost_is_no_sum() -> None:
    both = (at("gpu", 7000, "gpu0", meter="a"), at("gpu", 5000, "gpu1", meter="b"))
    found = reconcile(record(outcome=windows(both, both[:1], window_s=10.0)))
    assert [line.power_w for line in found] == [pytest.approx(1200)]


def test_no_window_in_common_is_no_difference() -> None:
    outcome = windows((at("gpu", 7000),), (at("node_ac", 9000),), window_s=10.0)
    assert [line.name for line in reconcile(record(outcome=outcome))] == ["GPUs", "node, AC"]


def test_terms_that_are_not_of_the_gain_add_in_quadrature_over_windows() -> None:
    found = lines(at("gpu", 7000, terms={"gain": 0.0, "staleness": 0.01}), repetitions=4)
    assert found["GPUs"].expanded_w == pytest.approx(2 * 700 * 0.01 / 2)


def test_a_boundary_of_a_name_of_its_own_is_shown_and_nothing_more() -> None:
    found = lines(at("gpu", 7000), at("cooling_loop", 3000), at("node_ac", 9000))
    assert list(found) == ["GPUs", "node, AC", "cooling loop", "unexplained"]


def test_flags_of_the_meters_are_passed_on() -> None:
    assert lines(at("gpu", 7000, flags=("gappy",)))["GPUs"].flags == ("gappy",)


def test_nothing_metered_has_no_line() -> None:
    assert reconcile(record()) == []
    assert reconcile(record(outcome=Failed("boom"))) == []
    assert reconcile(msgspec.structs.replace(record(), outcome=windows((), ()))) == []
