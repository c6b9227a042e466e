"""Growth in phases: each is the site with the units that stand by then."""

from __future__ import annotations

import pytest

from perwatt.results.size.phases import KEYS, lines
from perwatt.results.size.request import Request
from tests.fleets_of import bins, changed_site, entry, figures, measured, request

H100, GB200 = entry(units=64, load=measured()), entry("gb200_nvl72", units=100)
GROWTH = (("first", {"dgx_h100": 16}), ("whole", {"dgx_h100": 64, "gb200_nvl72": 100}))


def by_key(asked: Request) -> dict[str, float | None]:
    return {line.key: line.value for line in lines(asked, bins(asked.climate))}


def test_each_phase_is_a_sizing_of_what_stands_by_then() -> None:
    found = by_key(request(H100, GB200, phases=GROWTH))
    assert found.keys() == {f"phase.{name}.{key}" for name in ("first", "whole") for key in KEYS}
    whole = figures(request(H100, GB200))
    # modules and transformers are added, not replaced by larger ones
    ratings = {"ups_module_w": whole["redundancy.ups.module"], "transformer_va": whole["redundancy.transformer.rating"]}
    first = figures(request(entry(units=16, load=measured()), site=changed_site(electrical=ratings)))
    for key in KEYS:
        assert found[f"phase.first.{key}"] == pytest.approx(first[key]), key
        assert found[f"phase.whole.{key}"] == pytest.approx(whole[key]), key


def test_power_grows_from_phase_to_phase() -> None:
    steps = tuple((str(n), {"dgx_h100": n}) for n in (4, 16, 64))
    found = by_key(request(H100, phases=steps))
    watts = [found[f"phase.{n}.power.site.recommended"] or 0 for n in (4, 16, 64)]
    assert watts == sorted(watts)
    assert watts[2] > 3 * watts[1]


def test_a_phase_says_what_it_consists_of() -> None:
    made = lines(request(H100, GB200, phases=GROWTH), bins(request().climate))
    first, whole = made[0], made[-1]
    assert first.label.startswith("phase first: ")
    assert first.basis.startswith("16 NVIDIA DGX H100; ")
    assert whole.basis.startswith("64 NVIDIA DGX H100, 100 NVIDIA GB200 NVL72; ")


def test_no_phases_no_lines() -> None:
    assert by_key(request(H100)) == {}


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ({"dgx_h200": 4}, "phases.one: found 'dgx_h200'; allowed dgx_h100, gb200_nvl72"),
        ({"dgx_h100": -1}, "phases.one.dgx_h100: found -1; allowed 0 or more"),
        ({"dgx_h100": 0}, "phases.one: found no unit; allowed one or more"),
    ],
)
def test_a_phase_that_cannot_be_is_refused(units: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        by_key(request(H100, GB200, phases=(("one", units),)))


def test_a_phase_with_less_than_the_one_before_is_no_growth() -> None:
    shrinking = (("one", {"dgx_h100": 16}), ("two", {"dgx_h100": 4}), ("three", {"dgx_h100": 64}))
    with pytest.raises(ValueError, match=r"phases\.two\.dgx_h100: found 4; allowed 16 or more, as in phase one"):
        by_key(request(H100, phases=shrinking))


def test_two_phases_of_one_name_are_refused() -> None:
    twice = (("one", {"dgx_h100": 4}), ("one", {"dgx_h100": 64}))
    with pytest.raises(ValueError, match="phases: found 'one' twice; allowed names of their own"):
        by_key(request(H100, phases=twice))
