from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pages import Page

from perwatt.results.record import Failed, Skipped
from perwatt.results.reports import html
from perwatt.results.run import Run


def test_nests_and_refers_to_nothing_outside(page: str) -> None:
    found = Page(page)
    assert found.tags["script"] == 0
    assert found.tags["link"] == 0
    assert all(reference.startswith("#") for reference in found.references)
    assert {reference[1:] for reference in found.references} <= set(found.ids)
    assert not re.search(r"https?:|@import|//", re.sub(r"xmlns(:\w+)?=\"[^\"]*\"", "", page))


def test_ids_are_unique(page: str) -> None:
    ids = Page(page).ids
    assert len(ids) > 20
    assert [i for i, n in Counter(ids).items() if n > 1] == []


def test_every_case_is_there(page: str, whole: Any) -> None:
    text = Page(page).text
    for index, record in enumerate(whole.records):
        assert record.case.label in text
        assert f'id="case-{index}"' in page
    assert "1 case failed" in text
    assert "skipped mxfp4 needs a device with block-scaled multiplication; this one has none" in text
    assert "rank 3: RuntimeError: out of memory <while allocating 64 GiB>" in text


def test_figures_have_captions_and_alternatives(page: str) -> None:
    found = Page(page)
    assert found.tags["figure"] == found.tags["figcaption"] == found.tags["svg"] > 10
    assert page.count('role="img" aria-label="') == found.tags["svg"]


def test_is_the_same_each_time(whole: Any, page: str) -> None:
    assert html.render(whole) == page


def test_colours_are_those_of_the_page(page: str) -> None:
    body = page[page.index("</style>") :]
    assert "#00f0" not in body
    assert set(re.findall(r"#[0-9a-f]{6}\b", body)) <= {"#000000"}
    assert "var(--plot-c0)" in body


def test_what_users_wrote_is_escaped(made: Any) -> None:
    evil = "<script>alert('x')</script>&\"'"
    device = made.GPU.__class__(type="gpu", name=evil)
    target = made.TARGET.__class__(name=evil, vendor="v", peak_flops={evil: made.TARGET.peak_flops["bf16"]})
    records = [
        made.record(Skipped(evil), evil, evil, evil, evil, device=device, target=target, flags=(evil,)),
        made.record(Failed(evil, log=evil), evil, evil, evil, evil, device=device, target=target, host=evil),
        *(
            made.record(
                made.measured(made.flops(10**12), power_w=power, unmetered="" if power else evil),
                evil,
                evil,
                series,
                evil,
                size,
                device=device,
                flags=(evil,),
            )
            for power in (None, 100.0)
            for series in (evil, "other")
            for size in (1.0, 2.0)
        ),
    ]
    environment = {"host": evil, "variables": {evil: evil}, "meters": [{"name": evil, "reason": evil}], evil: [evil]}
    run = Run(Path(evil), records, environment, evil, made.samples(records, 20))
    page = html.render(run)
    found = Page(page)
    assert found.tags["script"] == 0
    assert "<script" not in page
    assert evil in found.text


def test_unmetered_is_said_once_across_both_columns(made: Any) -> None:
    page = html.render(Run(Path("r"), [made.matmul(1000, power_w=None, unmetered="nothing to read")]))
    assert '<td class="power" colspan="2"><span class="muted">not metered</span></td>' in page
    assert "not metered: nothing to read." in page
    assert not re.search(r'class="(power|per_watt)"[^>]*>[^<]*\d', page[page.index("<tbody>") :])


def test_of_several_kernels_each_has_its_best(page: str) -> None:
    text = Page(page).text
    # the fastest matmul of the made-up run: fp8, 2.5e14 + 3 * 2.3e14 FLOP/s, of 2 PFLOP/s
    assert re.search(r"matmul\s*940 TFLOP/s\s*fp8 4096x4096x4096, 47.0 % of datasheet peak", text)


@pytest.mark.parametrize("outcome", [Skipped("cannot"), Failed("did not", log="tail")])
def test_skipped_or_failed_only(made: Any, outcome: Any) -> None:
    found = Page(html.render(Run(Path("r"), [made.record(outcome)])))
    assert found.tags["svg"] == 0
    assert outcome.__class__.__name__.lower() in found.text
    assert "TFLOP/s/W" not in found.text


def test_an_empty_run(made: Any) -> None:
    found = Page(html.render(Run(Path("20261101-empty"))))
    assert "20261101-empty" in found.text
    assert "nothing has been measured" in found.text


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"cpu": None, "packages": [], "torch": "2.13", "devices": {}, "meters": None, "variables": None},
        {"cpu": {"cores": None}, "devices": [None, 3, {"name": None}], "meters": [{}], "new": {"a": [1, {"b": 2}]}},
    ],
)
def test_any_shape_of_environment_is_rendered(made: Any, environment: dict[str, Any]) -> None:
    Page(html.render(Run(Path("r"), [made.matmul(1000)], environment)))


def test_environment_shows_meters_with_their_reasons(page: str) -> None:
    text = Page(page).text
    assert "wall no node_ac" in text
    assert "no such meter is connected" in text
    assert "512 GiB" in text


@pytest.mark.slow
def test_sixty_cases_of_two_thousand_samples_stay_small(made: Any) -> None:
    import time

    run = made.whole_run(per_case=2000, per_kernel=8)
    assert len(run.records) >= 60
    # of this process, because the machine may be busy with others
    start = time.process_time()
    page = html.render(run)
    assert time.process_time() - start < 10
    assert len(page.encode()) < 3_000_000
