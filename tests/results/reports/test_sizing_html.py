from __future__ import annotations

import re
from collections import Counter

import msgspec
import pytest
import sizings
from pages import Page

from perwatt.results.reports import sizing_diagram, sizing_html, sizing_sankey
from perwatt.results.size.sizing import Driver, Flow, Series, Stage


@pytest.fixture(scope="module")
def source() -> str:
    return sizing_html.render(sizings.whole())


def test_nests_and_refers_to_nothing_outside(source: str) -> None:
    page = Page(source)
    assert page.tags["script"] == page.tags["link"] == page.tags["img"] == 0
    assert all(reference.startswith("#") for reference in page.references)
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert [i for i, n in Counter(page.ids).items() if n > 1] == []
    assert not re.search(r"https?:|@import|//", re.sub(r"xmlns(:\w+)?=\"[^\"]*\"", "", source))


def test_every_line_and_every_input_is_there(source: str) -> None:
    text = Page(source).text
    whole = sizings.whole()
    for line in whole.lines:
        assert f'id="{line.key}"' in source
        assert line.basis in text
    for *_, origin in whole.inputs:
        assert origin in text
    for warning in whole.warnings:
        assert warning in text


def test_the_answer_stands_before_everything_else(source: str) -> None:
    text = Page(source).text
    assert text.index("Provide 2.12") < text.index("Power chain") < text.index("Power, side by side")
    assert text.index("Power, side by side") < text.index("Inputs and their sources")


def test_a_kind_has_a_colour_and_a_word(source: str) -> None:
    for kind in ("measured", "published", "modelled", "assumed", "given"):
        assert f'<i class="key {kind}"></i>{kind}' in source
        assert re.search(rf"i\.{kind} {{ background", source)


def test_every_figure_has_a_caption_and_an_alternative(source: str) -> None:
    page = Page(source)
    # chain, Sankey, five curves, two tornados
    assert page.tags["figure"] == page.tags["figcaption"] == page.tags["svg"] == 9
    assert source.count('role="img" aria-label="') == 9


def test_is_the_same_each_time(source: str) -> None:
    assert sizing_html.render(sizings.whole()) == source


def test_the_least_sizing_has_no_empty_parts() -> None:
    page = Page(sizing_html.render(sizings.bare()))
    assert page.tags["svg"] == 0
    assert "1.000 MW" in page.text
    assert "Curves" not in page.text
    assert "Inputs" not in page.text


def test_two_sites_stand_beside_each_other() -> None:
    other = msgspec.structs.replace(sizings.whole(), title="the same in Phoenix")
    page = Page(sizing_html.render(sizings.whole(), [other]))
    assert "Beside each other" in page.text
    assert page.text.count("the same in Phoenix") == 1


def test_the_request_is_told_in_short(source: str) -> None:
    head = Page(source[source.index("<header>") : source.index("</header>")] + "</header>").text
    assert "fleet 191 \u00d7 DGX H100" in head
    assert "may be long" not in head


def test_what_is_from_outside_is_escaped() -> None:
    evil = "<script>alert('x')</script>&\"'"
    whole = sizings.whole()
    lines = tuple(msgspec.structs.replace(i, label=evil, basis=evil) for i in whole.lines)
    sizing = msgspec.structs.replace(
        whole,
        title=evil,
        request={evil: evil},
        lines=lines,
        stages=(Stage("ups", evil, 2.0, 1.0, 2, evil, evil),),
        flows=(Flow(evil, "b", 1.0),),
        series=(Series(evil, evil, evil, (1.0, 2.0), {evil: (1.0, 2.0)}, evil),),
        drivers={lines[0].key: (Driver(evil, 0, 1, 1.0, 2.0, 1.0),)},
        inputs=((f"a.{evil}", 0.0, 1.0, 2.0, evil, evil, evil),),
        warnings=(evil,),
    )
    page = Page(sizing_html.render(sizing))
    assert page.tags["script"] == 0
    assert evil in page.text


def texts(markup: str) -> list[str]:
    return [re.sub(r"<[^>]+>", " ", found) for found in re.findall(r"<text .*?</text>", markup)]


def test_diagram_has_a_row_a_stage_with_its_power_and_its_loss() -> None:
    drawn = sizing_diagram.render(sizings.stages())
    told = " | ".join(texts(drawn))
    for stage in sizings.stages():
        assert stage.title in told
    assert "1.851 MW" in told
    assert "loss 70.3 kW" in told
    assert "\u00d7 3, N+1" in told
    assert sizing_diagram.render(()) == ""


def test_a_stage_that_loses_nothing_shows_no_loss() -> None:
    assert "loss" not in sizing_diagram.render((Stage("rack", "Racks", 1e6, 1e6, 4, "", ""),))


def test_parts_of_a_fleet_hang_on_the_trunk_side_by_side() -> None:
    top = sizings.stages()[:6]
    part = (Stage("rack", "Racks", 5e5, 5e5, 12, "2N", ""), Stage("unit", "Nodes", 5e5, 4.7e5, 48, "", ""))
    drawn = sizing_diagram.render((*top, *part, *part))
    # cooling, other, and one dot for each part
    assert drawn.count('r="2.6"') == 4
    assert sizing_diagram.render((*top, *part)).count('r="2.6"') == 2


def heights(markup: str) -> list[float]:
    return [float(h) for h in re.findall(r'<rect [^>]*height="([\d.]+)"', markup)]


def test_sankey_draws_heights_as_energies() -> None:
    drawn = sizing_sankey.render((Flow("a", "b", 3e12), Flow("a", "c", 1e12)))
    assert heights(drawn) == pytest.approx([300, 225, 75], rel=1e-3)
    assert "1.11 GWh, 100 %" in " ".join(texts(drawn))


def test_sankey_labels_keep_apart_and_inside() -> None:
    drawn = sizing_sankey.render(sizings.flows())
    height = float(re.search(r'viewBox="0 0 900 (\d+)"', drawn)[1])  # type: ignore[index]
    placed = [(float(x), float(y)) for x, y in re.findall(r'<text x="([\d.]+)" y="([\d.]+)" font-size="13"', drawn)]
    assert len(placed) == 11
    for at, (x, y) in enumerate(placed):
        assert y + 15 <= height
        assert all(abs(y - other_y) >= 30 for other_x, other_y in placed[:at] if other_x == x)


def ambient_flows() -> tuple[Flow, ...]:
    """As the model has them: losses, fans and pumps end in the ambient like the heat of the machines."""
    beside = ("transformer losses", "UPS and distribution losses", "light, offices, controls", "fans", "pumps")
    lost = [Flow("grid", name, 2e11) for name in beside] + [Flow(name, "ambient", 2e11) for name in beside]
    return (
        Flow("grid", "units", 1e13),
        Flow("units", "heat in air", 1e13),
        Flow("heat in air", "ambient", 1e13),
        *lost,
    )


def test_losses_stand_below_the_machines_and_flow_on_to_the_ambient() -> None:
    drawn = sizing_sankey.render(ambient_flows())
    bars = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="12" height="([\d.]+)"', drawn)
    columns = sorted({float(x) for x, _ in bars})
    assert len(columns) == 4
    assert [sum(float(x) == column for x, _ in bars) for column in columns] == [1, 6, 1, 1]
    ends = [float(height) for x, height in bars if float(x) in (columns[0], columns[3])]
    assert ends == pytest.approx([300, 300], abs=0.1)


def test_no_ribbon_lies_on_the_name_of_a_small_place() -> None:
    drawn = sizing_sankey.render(ambient_flows())
    names = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" font-size="13"[^>]*>([^<]+)<', drawn)
    straight = re.findall(r'<path d="M([\d.]+) ([\d.]+)H([\d.]+)C[^v]*v([\d.]+)', drawn)
    for name_x, name_y, name in ((float(x), float(y), name) for x, y, name in names if "losses" in name):
        own = [path for path in straight if 0 <= name_x - float(path[0]) <= 2 and float(path[2]) > float(path[0])]
        assert len(own) == 5
        for _, top, turn, thick in own:
            assert not name_y - 12 < float(top) + float(thick) < name_y + 15, name
            assert float(turn) >= name_x + 7 * len(name)


def test_sankey_names_are_whole_and_have_room() -> None:
    drawn = sizing_sankey.render(ambient_flows())
    names = re.findall(r'<text x="([\d.]+)" y="[\d.]+" font-size="13"[^>]*>([^<]+)<', drawn)
    told = " ".join(name for _, name in names)
    assert "UPS and distribution losses" in told
    assert "\u2026" not in told
    bars = {float(x) for x in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="12"', drawn)}
    for x, name in names:
        room = min(edge for edge in (*bars, 900.0) if edge > float(x)) - float(x)
        assert len(name) * sizing_sankey.CHARACTER <= room, name


def test_energy_has_one_way() -> None:
    with pytest.raises(ValueError, match="circle"):
        sizing_sankey.render((Flow("a", "b", 1.0), Flow("b", "a", 1.0)))
    assert sizing_sankey.render((Flow("a", "b", 0.0),)) == ""
