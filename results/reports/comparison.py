"""A comparison as sections of text that every format sets its own way: a title, a table, remarks below it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from perwatt.results.compare.comparison import Comparison, Member, Pair
from perwatt.results.compare.ratio import VERDICTS, Ratio
from perwatt.results.reports.comparison_caps import answer, limited
from perwatt.results.reports.comparison_parts import ABSENT, UNITS, Section, ratio_text
from perwatt.results.reports.comparison_prices import priced
from perwatt.results.reports.units import FACTORS, common_prefix, number, quantity
from perwatt.results.reports.verdicts import columns, table

SPOKEN = {"rate": "rate", "power": "power", "rate_per_watt": "per watt", "energy_per_work": "energy per work"}
WIDTH = 120
TOLD = 6  # remarks of one kind on a terminal


def sections(found: Comparison) -> list[Section]:
    """Everything that there is to show, in the order in which it is read."""
    parts = [
        *_ratios(found),
        _means(found),
        _scores(found),
        _inputs(found),
        *limited(found),
        *priced(found),
        _beside(found),
        _refused(found),
    ]
    return [part for part in parts if part is not None and part.rows]


def headline(found: Comparison) -> str:
    """One line: what most of it comes to, run by run."""
    told = []
    for member in found.members[1:]:
        of = [pair for pair in found.pairs if pair.run == member.name]
        parts = []
        for name in ("rate", "rate_per_watt"):
            verdicts = Counter(pair.ratios[name].verdict for pair in of if name in pair.ratios)
            words = ", ".join(f"{verdicts[v]} {v}" for v in reversed(VERDICTS) if verdicts[v])
            parts.append(f"{SPOKEN[name]} {words or 'not compared'}")
        told.append(f"{member.letter} against {found.reference.letter}: {'; '.join(parts)}")
    if found.limit is not None:
        letters = found.letters
        told += [f"{case.kernel} {case.label}: {answer(case, letters)}" for case in found.limit.cases[:1]]
    return ". ".join(told)


def member_line(member: Member, reference: bool) -> str:
    """Who a letter stands for."""
    devices = ", ".join(f"{n} x {name}" if n > 1 else name for name, n in Counter(member.devices).items())
    software = " ".join(f"{name} {version}" for name, version in member.software.items() if name in ("torch", "triton"))
    words = [devices, *([f"{member.hosts} hosts"] if member.hosts > 1 else []), software, member.time_utc[:10]]
    mark = ", the reference" if reference else ""
    return f"{member.letter}  {member.name}{mark}: {', '.join(filter(None, words))}"


def method(found: Comparison) -> list[str]:
    """What the figures mean, in sentences."""
    effect = 100 * found.effect
    return [
        f"A ratio is the run over the reference, with its 95 % interval: scatter of the repetitions (Student's t under "
        f"ten, else a studentised bootstrap) together with what no repetition removes, above all the gain of the "
        f"meters; the gain of one and the same instrument cancels. Least effect that matters: {effect:g} % "
        f"({found.effect_source or 'given in the request'}).",
        "BETTER, WORSE: the whole interval lies beyond that effect. SAME: within it. AMBIGUOUS: neither can be said. "
        "Power alone has no verdict: less of it is better only for the same work.",
    ]


def console(found: Comparison) -> str:
    """The whole for a terminal."""
    lines = [headline(found), ""]
    lines += [member_line(member, at == 0) for at, member in enumerate(found.members)]
    for section in sections(found):
        lines += ["", section.title, *columns([section.head, *section.rows])]
        lines += [
            line
            for text in section.remarks[:TOLD]
            for line in wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
        ]
        if (more := len(section.remarks) - TOLD) > 0:
            lines.append(f"  and {more} more in the files")
    lines += ["", *(line for text in (*found.notes[:TOLD], *method(found)) for line in wrap(text, WIDTH))]
    return "\n".join([*lines, ""])


def markdown(found: Comparison) -> str:
    """The same as a page for a pull request."""
    lines = [f"# {headline(found)}", ""]
    lines += [f"- {member_line(member, at == 0)}" for at, member in enumerate(found.members)]
    for section in sections(found):
        lines += ["", f"## {section.title}", "", *table(section.head, section.rows)]
        lines += ["", *(f"- {remark}" for remark in section.remarks)] if section.remarks else []
    lines += ["", *(f"- {note}" for note in (*found.notes, *method(found)))]
    return "\n".join([*lines, ""])


def _ratios(found: Comparison) -> Iterator[Section]:
    """A table for each run and kind of work of a kernel."""
    letters = found.letters
    for member in found.members[1:]:
        mine = [pair for pair in found.pairs if pair.run == member.name]
        for kernel, unit in dict.fromkeys((pair.kernel, pair.unit) for pair in mine):
            of = [pair for pair in mine if (pair.kernel, pair.unit) == (kernel, unit)]
            yield _table(kernel, unit, of, letters[member.name], found.reference.letter)


def _table(kernel: str, unit: str, of: Sequence[Pair], run: str, reference: str) -> Section:
    over = f"{run}/{reference}"
    head, cells = ["case"], [[pair.label] for pair in of]
    for name, suffix in (("rate", f"{UNITS[unit]}/s"), ("power", "W"), ("rate_per_watt", f"{UNITS[unit]}/J")):
        ratios = [pair.ratios.get(name) for pair in of]
        known = [r for r in ratios if r is not None]
        if not known:
            continue
        symbol = "" if name == "power" else common_prefix([v for r in known for v in (r.run_value, r.reference_value)])
        judged = name != "power"
        head += [f"{SPOKEN[name]} {reference} {symbol}{suffix}", run, over, *([""] if judged else [])]
        for row, ratio in zip(cells, ratios, strict=True):
            row.extend([*_values(ratio, symbol), ratio_text(ratio)])
            row.extend([ratio.verdict if ratio else ABSENT] if judged else [])
    metered = Counter(f"{p.boundary}, class {p.accuracy_class}" for p in of if p.boundary)
    remarks = [f"power and energy: boundary {text}{_of(n, len(of))}" for text, n in metered.items()]
    reasons = Counter(f"{SPOKEN[r.quantity]}: {r.reason}" for p in of for r in p.ratios.values() if r.reason)
    remarks += [f"{text}{_of(n, len(of))}" for text, n in reasons.items()]
    devices = {pair.devices for pair in of} - {(1, 1)}
    remarks += [f"mean of {a} devices in {run}, {b} in {reference}" for a, b in sorted(devices)]
    return Section(f"{kernel}: {run} against {reference}", tuple(head), tuple(map(tuple, cells)), tuple(remarks))


def _values(ratio: Ratio | None, symbol: str) -> list[str]:
    if ratio is None:
        return [ABSENT, ABSENT]
    return [number(v / FACTORS[symbol], 4) for v in (ratio.reference_value, ratio.run_value)]


def _of(n: int, total: int) -> str:
    return "" if n == total else f" ({n} of {total} cases)"


def _means(found: Comparison) -> Section:
    letters = found.letters
    rows: list[tuple[str, ...]] = []
    remarks: list[str] = []
    for mean in found.means:
        name = f"{letters[mean.run]}: {mean.kernel or 'all kernels'}"
        if mean.reason:
            remarks.append(f"{name}: none, {mean.reason}")
            continue
        cells = [name, str(mean.cases)]
        for quantity_ in ("rate", "power", "rate_per_watt"):
            ratio = mean.ratios.get(quantity_)
            cells += [ratio_text(ratio), *([ratio.verdict if ratio else ABSENT] if quantity_ != "power" else [])]
        rows.append(tuple(cells))
    head: tuple[str, ...] = ("over cases of", "cases", "rate", "", "power", "per watt", "")
    if not rows and remarks:
        head, rows, remarks = ("there is none",), [(remark,) for remark in remarks], []
    return Section("Geometric means", head, tuple(rows), tuple(remarks))


def _scores(found: Comparison) -> Section:
    letters = found.letters
    rows = []
    for score in found.scores:
        cells = [f"{letters[score.run]}: {score.name} {score.what}", "/".join(map(str, reversed(score.shapes)))]
        for name, suffix in (("rate", "FLOP/s"), ("rate_per_watt", "FLOP/J")):
            ratio = score.ratios.get(name)
            values = [quantity(v, suffix) for v in (ratio.reference_value, ratio.run_value)] if ratio else [ABSENT] * 2
            cells += [*values, ratio_text(ratio), ratio.verdict if ratio else ABSENT]
        rows.append(tuple(cells))
    head = ("score", "shapes", "reference", "run", "ratio", "", "reference per watt", "run", "ratio", "")
    remark = "MAF: the best of the shapes that were searched; TAF: ten fixed shapes, work over time of all"
    return Section("MAF and TAF", head, tuple(rows), (remark,) if rows else ())


def _inputs(found: Comparison) -> Section:
    letters = found.letters
    rows = [
        (
            f"{letters[row.run]}: {row.kernel} {row.label}",
            f"{row.init} over {row.against}",
            *(ratio_text(row.ratios.get(name)) for name in ("rate", "power", "rate_per_watt")),
        )
        for row in found.inputs
    ]
    head = ("case", "input data", "rate", "power", "per watt")
    remark = "the same case of the same run on other data: this is how far figures move with what they are computed on"
    return Section("Sensitivity to the input data", head, tuple(rows), (remark,) if rows else ())


def _beside(found: Comparison) -> Section:
    letters = found.letters
    rows = [
        (
            f"{row.kernel} {row.label}",
            letters[row.run],
            row.boundary,
            row.accuracy_class,
            quantity(row.power_w, "W"),
            quantity(row.work_per_joule, f"{UNITS[row.unit]}/J") or ABSENT,
        )
        for row in found.beside
    ]
    head = ("case", "run", "boundary", "class", "power", "per watt")
    remark = "boundaries enclose different things: figures beside each other, and no ratio"
    return Section("At boundaries that differ", head, tuple(rows), (remark,) if rows else ())


def _refused(found: Comparison) -> Section:
    letters = found.letters
    rows = [(f"{r.kernel} {r.label}", letters[r.run], r.what, _lettered(r.why, found.members)) for r in found.refused]
    return Section("Not compared", ("case", "run", "what", "why"), tuple(rows))


def _lettered(text: str, members: Iterable[Member]) -> str:
    """With the letters of runs where their names are, which reasons have after ``in``."""
    letters = {member.name: member.letter for member in members}
    names = "|".join(re.escape(name) for name in sorted(letters, key=len, reverse=True))
    return re.sub(rf"\bin ({names})(?=$|[ ,;])", lambda match: f"in {letters[match[1]]}", text)
