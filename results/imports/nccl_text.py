"""What nccl-tests and rccl-tests print. The header of the table names its columns, which differ between versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from perwatt.results.imports import collective
from perwatt.results.imports.collective import NAMES, Setting
from perwatt.results.imports.figures import Bad, Figure, LineError, Read, positive, wrong
from perwatt.results.record import Device

# mpirun --tag-output, srun --label: who printed the line
PREFIX = re.compile(r"^(?:\[\d+,\d+\]<std(?:out|err)>:\s?|\s*\d+:\s(?=\s*(?:#|\d)))")
RANK = re.compile(r"#\s*Rank\s+(\d+)(?:\s+Group\s+(\d+))?\s+Pid\s+\d+\s+on\s+(\S+)\s+device\s+(\d+)\s+\[[^]]*\]\s*(.*)")
PROGRAM = re.compile(r"\b(" + "|".join(NAMES) + r")_perf(?:_mpi)?\b")
STARTING = re.compile(r"# Collective test starting: " + PROGRAM.pattern)
ITERATIONS = re.compile(r"\biters:?\s+(\d+)")
GRAPH, AGGREGATED = re.compile(r"\bgraph: (\d+)"), re.compile(r"\bagg iters: (\d+)")
BLOCKING = "# Blocking Enabled"
OUT_OF_BOUNDS = re.compile(r"# Out of bounds values\s*:\s*\d+ FAILED")
LIBRARY = re.compile(r"nccl-library=(\d+)")
VERSION = re.compile(r"\b([NR]CCL) version[ :]+(\d+\.\d+\.\d+)")
TOOL = re.compile(r"#\s*((?:nccl|rccl)-tests version \S+)")
FAILED = re.compile(r"Test (?:NCCL|CUDA|HIP|RCCL) failure|Test timeout|: Test failure|Out of memory", re.I)
TABLE = {"size", "count", "type", "algbw", "busbw"}
COLUMNS = "size, count, type, redop, root, time, algbw, busbw, #wrong"


def is_it(text: str) -> bool:
    """Whether this is such an output."""
    return bool(re.search(r"^\S*\s*#\s+size\s+count\s+type\b.*\balgbw\b.*\bbusbw\b", text, re.M))


def read(text: str, kernel: str = "", ranks: int = 0) -> Read:
    """The figures of one or several outputs, one after another. ``kernel`` and ``ranks`` stand where it does not say.

    Raises ValueError for what it says nowhere and the request neither: which collective, over how many ranks.
    """
    found = Read()
    told: list[str] = []
    columns: list[str] = []
    setting: Setting | None = None
    number = begun = 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = PREFIX.sub("", raw).strip()
        words = line.lstrip("# ").split()
        if line.startswith("#") and words[:3] == ["size", "count", "type"]:
            columns, setting = words, _setting(told, kernel, ranks, number)
            begun = len(found.figures)
            if not TABLE.issubset(columns) or not {"time", "cputime"} & set(columns):
                found.bad.append(Bad(number, repr(line), COLUMNS))
                columns = []
        elif line.startswith(("# Out of bounds", "# Avg bus")):
            if OUT_OF_BOUNDS.match(line):  # where lines print an error and not what it may be, this alone tells
                found.figures[begun:] = collective.failed(found.figures[begun:], line.lstrip("# "))
            columns, told = [], []
        elif FAILED.search(line):
            found.bad.append(Bad(number, repr(line), "a test that came to its end"))
        elif not columns or line.startswith("#") or not line:
            told.append(line)
        elif setting is not None and (line[0].isdigit() or not _noise(line)):
            try:
                found.figures.extend(_line(line, number, columns, setting))
            except LineError as error:
                found.bad.append(Bad(number, *error.args))
    if columns:
        found.bad.append(Bad(number, "the end of the file within a table", "its last line, '# Out of bounds values'"))
    return found


def _noise(line: str) -> bool:
    """Whether a line within the table is somebody else's: the log of the library, warnings."""
    return bool(re.search(r"\bN?R?CCL (INFO|WARN|TRACE)\b|\bwarn(ing)?\b", line, re.I))


def _setting(told: list[str], kernel: str, ranks: int, number: int) -> Setting:
    """What was printed above a table."""
    above = "\n".join(told)
    started = STARTING.findall(above)  # what newer versions say; a log of several tests names the one before as well
    names = {NAMES[name] for name in started[-1:] or PROGRAM.findall(above)}
    if kernel and NAMES.get(kernel, kernel) not in collective.FACTORS:
        raise ValueError(f"kernel={kernel}: choices: {', '.join(NAMES)}")
    if len(names) != 1 and not kernel:
        said = f"{len(names)} of them" if names else "nothing of which collective it is"
        raise ValueError(f"line {number}: found {said}; allowed one 'NAME_perf' above the table, or kernel=all_reduce")
    lines = [m for text in told if (m := RANK.match(text))]
    group = lines[0][2] if lines else None
    mine = [m for m in lines if m[2] == group]  # what is printed is of the group of the first rank
    if not (ranks or mine):
        raise ValueError(f"line {number}: found no '# Rank' line above the table; allowed those, or ranks=N")
    if not ranks and [int(m[1]) for m in lines] != list(range(len(lines))):
        raise ValueError(
            f"line {number}: found ranks missing among the '# Rank' lines; allowed all of them, or ranks=N"
        )
    models = {m[5].strip() for m in mine}
    library, version = _library(above, models)
    iterations = ITERATIONS.findall(re.sub(r"(warmup|agg) iters", "", above))
    tool = TOOL.search(above)
    graph, aggregated = (int((pattern.findall(above) or ["0"])[-1]) for pattern in (GRAPH, AGGREGATED))
    return Setting(
        NAMES.get(kernel, kernel) or names.pop(),
        ranks or len(mine),
        tuple(dict.fromkeys(m[3] for m in mine)),
        device_called(models),
        library,
        version,
        int(iterations[-1]) if iterations else 0,
        tool=tool[1] if tool else "",
        launched=collective.launched(graph, aggregated, BLOCKING in above),
    )


def device_called(models: set[str]) -> Device:
    """The device of all ranks; without a name where they differ, or where none is stated."""
    name = models.pop() if len(models) == 1 else ""
    vendor = next((v for v in ("NVIDIA", "AMD") if name.upper().startswith(v)), "")
    return Device(type="cuda" if vendor else "gpu", name=name, vendor=vendor)


def _library(above: str, models: set[str]) -> tuple[str, str]:
    if said := VERSION.search(above):
        return said[1].lower(), said[2]
    if coded := LIBRARY.search(above):
        return "rccl" if "rccl" in above.lower() else "nccl", version_of(int(coded[1]))
    return "rccl" if any(m.upper().startswith("AMD") for m in models) else "", ""


def version_of(code: int) -> str:
    """``22809`` is 2.28.9; before 2.9 the minor version had one digit less."""
    step = 1000 if code < 10_000 else 10_000
    return f"{code // step}.{code % step // 100}.{code % 100}"


def _line(line: str, number: int, columns: list[str], setting: Setting) -> Iterator[Figure]:
    """The out-of-place and the in-place half of a line; a half that was not measured is left out."""
    words = line.split()
    first = next(i for i, name in enumerate(columns) if name in ("time", "cputime"))
    second = next((i for i in range(first + 1, len(columns)) if columns[i] in ("time", "cputime")), len(columns))
    stamped = 2 if columns[-1] == "timestamp" else 0  # one column of two words: day and time
    halves = [part for part in (columns[first:second], columns[second : len(columns) - bool(stamped)]) if part]
    width = len(halves[0])
    if any(half != halves[0] for half in halves) or not {"algbw", "busbw"} <= set(halves[0]):
        wrong(f"the header {' '.join(columns)}", COLUMNS)
    whole = second + (width if len(halves) > 1 else 0) + stamped
    alone = len(words) == whole - width and len(halves) > 1  # in place only
    if len(words) != whole and not alone:
        wrong(f"{len(words)} columns", f"{whole}: {COLUMNS}")
    about = dict(zip(columns[:first], words, strict=False))
    parts = [(1, words[first : first + width])]
    if not alone:
        parts = [(i, words[first + i * width : first + (i + 1) * width]) for i in range(len(halves))]
    for index, values in parts:
        yield _half(number, about, index == 1, dict(zip(halves[0], values, strict=True)), setting)


def _half(number: int, about: dict[str, str], in_place: bool, cells: dict[str, str], setting: Setting) -> Figure:
    errors = cells.get("#wrong", "N/A")  # older versions print an error instead, and not what it may be
    try:
        size, elements = int(about["size"]), int(about["count"])
        faulty = None if errors == "N/A" else float(errors)
    except ValueError:
        wrong(f"{about['size']} {about['count']} ... {errors}", "a size, a count and a number of wrong elements")
    if faulty is not None and not 0 <= faulty < float("inf"):
        wrong(f"#wrong {errors}", "0 or more, or N/A")
    cpu = "cputime" in cells
    time_us = positive("time", cells["cputime" if cpu else "time"])
    bandwidths = float_or_wrong(cells["algbw"]), float_or_wrong(cells["busbw"])
    positive("size", size)
    return collective.figure(
        replace(setting, cpu_time=cpu),
        number,
        size=size,
        dtype=about["type"],
        op=about.get("redop", "none"),
        in_place=in_place,
        time_s=time_us * 1e-6,
        printed=bandwidths,
        wrong_elements=faulty,
        elements=elements,
    )


def float_or_wrong(text: object) -> float:
    """A finite number, 0 or more. Raises LineError."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value < float("inf"):
        wrong(repr(text), "a bandwidth in GB/s")
    return value
