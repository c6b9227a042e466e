"""The JSON of nccl-tests (``-J FILE``, file versions 1 to 3): one object with ``config`` and ``results``.

Ranks are those of ``config.devices`` times the threads and GPUs of each: the program lists one device a process. With
per-iteration timing (``-I 1``) each figure is a distribution: maxima over the processes, as perwatt's own.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from perwatt.results.imports import collective
from perwatt.results.imports.collective import NAMES, Setting
from perwatt.results.imports.figures import Bad, Figure, LineError, Read, positive, wrong
from perwatt.results.imports.nccl_text import device_called, float_or_wrong, version_of
from perwatt.results.record import Seconds
from perwatt.results.stats import summarise

VERSIONS = (1, 2, 3)
MODES = {"0": "rank 0", "1": "mean of ranks", "2": "quickest rank", "3": "slowest rank"}  # -a


def is_it(text: str) -> bool:
    """Whether this is such a file, a cut one included."""
    head = text.lstrip()[:100_000]
    return head.startswith("{") and '"nccl_version"' in head and '"args"' in head


def read(text: str, kernel: str = "", ranks: int = 0) -> Read:
    """The figures; a result's number stands for its line. ``kernel`` and ``ranks`` where the file does not say.

    Raises ValueError for a file that is no JSON (cut off: nccl-tests closes it when it ends), or of an unknown version.
    """
    try:
        whole = json.loads(text)
    except ValueError as error:
        raise ValueError(f"found no whole JSON ({error}); allowed a file that nccl-tests has closed") from None
    if not isinstance(whole, dict) or whole.get("version") not in VERSIONS:
        found = whole.get("version") if isinstance(whole, dict) else type(whole).__name__
        raise ValueError(f"version: found {found!r}; allowed {', '.join(map(str, VERSIONS))}")
    setting = _setting(whole, kernel, ranks)
    results = whole.get("results")
    if not isinstance(results, list):
        raise ValueError(f"results: found {type(results).__name__}; allowed a list")
    out = Read()
    for number, result in enumerate(results, 1):
        for half in ("out_of_place", "in_place"):
            if not isinstance(result, dict) or half not in result:
                out.bad.append(
                    Bad(number, f"a result without {half}", "out_of_place and in_place, null if not measured")
                )
            elif result[half] is not None:
                try:
                    out.figures.append(_half(number, result, half, setting))
                except LineError as error:
                    out.bad.append(Bad(number, *error.args))
    if isinstance(said := whole.get("out_of_bounds"), dict) and said.get("okay") is False:
        out.figures[:] = collective.failed(out.figures, f"out_of_bounds: {said.get('count')}, not okay")
    out.bad.extend(Bad(len(results), f"error {text!r}", "a test without errors") for text in whole.get("errors") or [])
    return out


def _setting(whole: Mapping[str, Any], kernel: str, ranks: int) -> Setting:
    config = whole.get("config")
    config = config if isinstance(config, dict) else {}
    arguments = [str(a) for a in whole.get("args") or []]
    name = kernel or PurePath(arguments[0] if arguments else "").name.removesuffix("_perf")
    if name not in NAMES:
        raise ValueError(f"args: found {name!r} for the program; allowed {', '.join(NAMES)}, or kernel=all_reduce")
    devices = [d for d in config.get("devices") or [] if isinstance(d, dict)]
    mine = [d for d in devices if d.get("group") == devices[0].get("group")]
    each = [config.get(key) for key in ("nthreads", "ngpus")]
    if not ranks and (not mine or not all(isinstance(n, int) and n > 0 for n in each)):
        raise ValueError("config: found no devices, nthreads and ngpus; allowed those, or ranks=N")
    version = whole.get("nccl_version")
    mode = next((b for a, b in itertools.pairwise(arguments) if a in ("-a", "--average")), "1")
    return Setting(
        NAMES[name],
        ranks or len(mine) * each[0] * each[1],  # type: ignore[operator]
        tuple(dict.fromkeys(str(d["hostname"]) for d in mine if d.get("hostname"))),
        device_called({str(d.get("device_info", "")).strip() for d in mine}),
        "nccl",
        version_of(version) if isinstance(version, int) and version > 0 else "",
        _count(config, "iterations"),
        tool=f"nccl-tests, {MODES.get(mode, f'-a {mode}')}",
        time=str(whole.get("start_time") or ""),
        launched=collective.launched(
            _count(config, "graph"), _count(config, "aggregated_iterations"), config.get("blocking_collectives") is True
        ),
    )


def _count(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    return value if isinstance(value, int) else 0


def _half(number: int, result: Mapping[str, Any], half: str, setting: Setting) -> Figure:
    cells = result[half]
    if not isinstance(cells, dict):
        wrong(f"{half} {cells!r}", "an object or null")
    size, count, faulty = result.get("size"), result.get("count"), cells.get("nwrong")
    if not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in (size, count)):
        wrong(f"size {size!r}, count {count!r}", "whole numbers above 0")
    if faulty is not None and (isinstance(faulty, bool) or not isinstance(faulty, int | float) or not faulty >= 0):
        wrong(f"nwrong {faulty!r}", "0 or more, or null")
    cpu = "cpu_time" in cells
    time_s = positive("time", cells.get("cpu_time" if cpu else "time")) * 1e-6
    return collective.figure(
        replace(setting, cpu_time=cpu),
        number,
        size=int(size),  # type: ignore[arg-type]
        dtype=str(result.get("type")),
        op=str(result.get("redop")),
        in_place=half == "in_place",
        time_s=_iterations(result.get(f"{half}_per_iter"), time_s) or time_s,
        printed=(float_or_wrong(cells.get("alg_bw")), float_or_wrong(cells.get("bus_bw"))),
        wrong_elements=faulty,
        elements=int(count),  # type: ignore[arg-type]
    )


def _iterations(told: Any, mean_s: float) -> Seconds | None:
    """Each iteration's time, the first few of them left out that the program left out; None where it told none."""
    if not isinstance(told, dict) or not isinstance(told.get("times_us"), list):
        return None
    skipped = told.get("skipped_iterations")
    skipped = skipped if isinstance(skipped, int) and skipped > 0 else 0
    times = [positive("times_us", t) * 1e-6 for t in told["times_us"]][skipped:]
    return summarise(times, skipped, mean_s) if times else None
