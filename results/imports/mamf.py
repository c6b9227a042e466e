"""The report of mamf-finder (stas00/ml-engineering): one line a shape, with mean, median and most TFLOPS.

It multiplies normal values (torch.randn) with torch.mm, clears the cache before each launch, and writes C in the
operands' own dtype. The lines were overwritten on its terminal: in a file each stands alone, or behind the end of
another. Of a file that holds the summary only, its best median is the one figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from perwatt.results.imports.figures import Bad, Figure, LineError, Read, measured, positive, wrong
from perwatt.results.record import Device, Seconds, Work

LINE = re.compile(
    r"(\d+) \|\s*(\S+)\(mean\)\s*(\S+)\(median\)\s*(\S+)\(max\) @ (\d+)x(\d+)x(\d+)\s*\| best:"
)  # fmt: skip
OLDER = re.compile(r"\d+ \|\s*\S+\(max\) / (\S+)\(median\) TFLOPS @ (\d+)x(\d+)x(\d+)\s*\| best:")
OLDEST = re.compile(r"\d+ \|\s*[\d.]+ TFLOPS @ \d+x\d+x\d+\s*\| best:")  # of the quickest launch alone
BEST = re.compile(r"^median:\s+(\S+) TFLOPS @ (\d+)x(\d+)x(\d+) \(MxNxK\)\s*$")
DTYPE = re.compile(r"^\*\* Dtype: (?:torch\.)?(\w+)\s*$")
NAME = re.compile(r"name='([^']*)'")
STARTED = re.compile(r"^Benchmark started on (.+?)\s*$")
ITERATIONS = re.compile(r"--num_iterations[ =](\d+)")
VERSION = re.compile(r"^- benchmark version: (\S+)")
DTYPES = {
    "bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float64": "fp64",
    "float8_e4m3fn": "fp8_e4m3", "float8_e4m3fnuz": "fp8_e4m3fnuz", "float8_e5m2": "fp8_e5m2",
}  # fmt: skip
NOTE = "mamf-finder: B column-major, cache cleared before each launch"


def is_it(text: str) -> bool:
    """Whether this is such a report."""
    summary = r"\(median\).*\(max\) @ \d+x\d+x\d+|^Tried \d+ shapes => the best outcomes"
    return any(re.search(pattern, text, re.M) for pattern in (summary, OLDER.pattern, OLDEST.pattern))


def read(text: str, dtype: str = "") -> Read:
    """The figures. ``dtype`` where the file's header is missing. Raises ValueError where neither says it."""
    out, best = Read(), []
    about = {"dtype": "", "device": "", "time": "", "iterations": "", "version": ""}
    patterns = {"dtype": DTYPE, "time": STARTED, "iterations": ITERATIONS, "version": VERSION}
    for number, line in enumerate(re.sub(r"\r(?!\n)|\x1b\[K", " ", text).split("\n"), 1):
        for key, pattern in patterns.items():
            if said := pattern.search(line.strip()):
                about[key] = said[1]
        if "DeviceProperties(" in line and (named := NAME.search(line)):
            about["device"] = named[1]
        try:
            if summary := BEST.match(line.strip()):
                best.append((number, summary.groups()))
            for mean, median, shape in _shapes(line):
                out.figures.append(_figure(number, mean, median, shape, about, dtype))
        except LineError as error:
            out.bad.append(Bad(number, *error.args))
    if not out.figures:
        for number, (median, *sides) in best:
            try:
                out.figures.append(_figure(number, "", str(median), tuple(sides), about, dtype))
            except LineError as error:
                out.bad.append(Bad(number, *error.args))
    return out


def _shapes(line: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Mean (empty where it has none), median and M, N, K of each result on a line. Raises LineError."""
    if OLDEST.search(line):
        wrong(repr(line[-80:]), "a median: this version of mamf-finder printed the quickest launch only")
    for median, *shape in OLDER.findall(line):
        yield "", median, tuple(shape)
    lines = LINE.findall(line)
    if len(lines) < line.count("(mean)") // 2 or ("(mean)" in line and not lines):
        wrong(repr(line[-80:]), "N | x(mean) x(median) x(max) @ MxNxK | best: ...")
    for _, mean, median, _, *shape in lines:
        yield mean, median, tuple(shape)


def _figure(
    line: int, mean: str, median: str, shape: tuple[str, ...], about: dict[str, str], dtype: str
) -> Figure:  # fmt: skip
    m, n, k = (int(positive("dimension", side)) for side in shape)
    name = dtype or DTYPES.get(about["dtype"], about["dtype"])
    if not name:
        raise ValueError("found no '** Dtype:' line above the results; allowed that, or dtype=bf16")
    flops = 2 * m * n * k
    at_median = flops / (positive("median", median) * 1e12)
    seconds = Seconds(1, 0, at_median, at_median, 0.0, at_median, at_median, at_median, at_median)
    if mean:
        at_mean = flops / (positive("mean", mean) * 1e12)
        seconds = Seconds(1, 0, at_median, at_mean, 0.0, at_median, at_median, at_median, at_median)
    count = about["iterations"] or ("100, its default" if about["version"] else "")
    vendor = next((v for v in ("NVIDIA", "AMD") if about["device"].startswith(v)), "")
    return Figure(
        line,
        "matmul",
        f"{name} {m}x{n}x{k}",
        name,
        ("mean dimension", float(m) if m == n == k else (m * n * k) ** (1 / 3)),
        {"m": m, "n": n, "k": k, "batch": 1, "dtype": name, "out_dtype": name, "init": "normal", "backend": "torch"},
        measured(Work(flops, 0, "flops"), seconds, timer="device events", note=NOTE),
        f"median of iterations{f' ({count})' if count else ''}",
        device=Device(type="cuda" if vendor else "gpu", name=about["device"], vendor=vendor),
        flags=("unchecked",),
        tool=f"mamf-finder version {about['version']}" if about["version"] else "mamf-finder",
        time=about["time"],
    )
