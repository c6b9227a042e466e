"""A result of nccl-tests or rccl-tests as a figure, whichever way it was written: names, dtypes, bus factors, checks.

Sizes are nccl-tests's own (doc/PERFORMANCE.md): algbw is size / time, busbw algbw times a factor of the number of
ranks. busbw is worked out from the time; where the file prints one that this does not give, the line is refused, for
then ranks or collective are not what they were taken for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from perwatt.results.imports.figures import UNNAMED, Figure, measured, wrong
from perwatt.results.record import Check, Communication, Device, Failed, Seconds, Work
from perwatt.results.reports.units import binary

# The programs of nccl-tests, and what perwatt calls a collective that it has as well.
NAMES = {
    "all_reduce": "all_reduce", "all_gather": "all_gather", "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all", "alltoallv": "alltoallv", "broadcast": "broadcast", "reduce": "reduce",
    "gather": "gather", "scatter": "scatter", "sendrecv": "sendrecv", "hypercube": "hypercube",
}  # fmt: skip
_WHOLE: Callable[[int], float] = lambda n: 1.0  # noqa: E731
_SHARED: Callable[[int], float] = lambda n: (n - 1) / n  # noqa: E731
FACTORS: dict[str, Callable[[int], float]] = {
    **dict.fromkeys(("broadcast", "reduce", "sendrecv", "hypercube"), _WHOLE),
    **dict.fromkeys(("all_gather", "reduce_scatter", "all_to_all", "alltoallv", "gather", "scatter"), _SHARED),
    "all_reduce": lambda n: 2 * (n - 1) / n,
}
DTYPES = {
    "float": "fp32", "half": "fp16", "double": "fp64", "bfloat16": "bf16", "f8e4m3": "fp8_e4m3", "f8e5m2": "fp8_e5m2",
    "fp8_e4m3": "fp8_e4m3", "fp8_e5m2": "fp8_e5m2", "int8": "int8", "uint8": "uint8", "int32": "int32",
    "uint32": "uint32", "int64": "int64", "uint64": "uint64",
}  # fmt: skip
REDUCING = ("all_reduce", "reduce_scatter", "reduce")
ROUNDED = 0.02  # of a bandwidth that is printed with three digits or fewer


@dataclass(frozen=True)
class Setting:
    """What a file says of all its lines. ``ranks`` 0: it does not say how many; ``iterations`` 0 likewise.
    ``launched``: how, where that is not one by one: another case, as another shape is."""

    kernel: str
    ranks: int
    hosts: tuple[str, ...] = ()
    device: Device = UNNAMED
    backend: str = ""  # nccl, rccl
    version: str = ""
    iterations: int = 0
    cpu_time: bool = False
    tool: str = ""
    time: str = ""
    launched: Mapping[str, object] = field(default_factory=dict)


def launched(graph: int, aggregated: int, blocking: bool) -> dict[str, object]:
    """How launches were made, as parameters of the case: from a captured graph, several as one group, each waited for.
    Empty for one by one, as perwatt launches."""
    found: dict[str, object] = {"graph": True} if graph > 0 else {}
    if aggregated > 1:
        found["aggregated"] = aggregated
    return found | ({"blocking": True} if blocking else {})


def failed(figures: Sequence[Figure], said: str) -> list[Figure]:
    """The figures of a table whose last line says that values were wrong: all of them, unless one says so itself."""
    if any(isinstance(one.outcome, Failed) for one in figures):
        return list(figures)
    return [replace(one, outcome=Failed(f"{said}, and no line says which")) for one in figures]


def figure(
    setting: Setting,
    line: int,
    *,
    size: int,
    dtype: str,
    op: str,
    in_place: bool,
    time_s: float | Seconds,
    printed: tuple[float, float] | None,
    wrong_elements: float | None,
    elements: int,
) -> Figure:
    """One out-of-place or in-place half of a line. ``printed``: algbw and busbw in GB/s; ``wrong_elements`` None: not
    checked. Raises LineError for a dtype that is none of nccl-tests, and for bandwidths that do not belong together."""
    kernel = setting.kernel
    if dtype not in DTYPES:
        wrong(f"type {dtype!r}", ", ".join(DTYPES))
    seconds = time_s.rank_mean or time_s.median if isinstance(time_s, Seconds) else time_s
    factor = FACTORS[kernel](setting.ranks)
    if printed is not None:
        _plausible(setting, size / seconds * 1e-9, printed, factor)
    reduction = op if kernel in REDUCING else ""
    # torch, and so perwatt, reduces in place only: there the other way is the one that has to be named
    usual = kernel == "all_reduce"
    how_told = (name if value is True else f"{name} {value}" for name, value in setting.launched.items())
    words = " ".join(["" if in_place == usual else "in place" if in_place else "out of place", *how_told]).strip()
    params = {"message_bytes": size, "dtype": DTYPES[dtype], "in_place": in_place, **setting.launched}
    if reduction:
        params["op"] = reduction
    how = "cpu time" if setting.cpu_time else "host"
    done = Figure(
        line,
        kernel,
        " ".join(filter(None, (DTYPES[dtype], reduction, binary(size), words))),
        " ".join(filter(None, (DTYPES[dtype], reduction, words))),
        ("message bytes", float(size)),
        params,
        Failed(""),
        f"mean of {setting.iterations} iterations" if setting.iterations else "mean of iterations",
        ranks=setting.ranks,
        collective=True,
        hosts=setting.hosts,
        device=setting.device,
        flags=("unchecked",) if wrong_elements is None else (),
        tool=setting.tool,
        time=setting.time,
    )
    if wrong_elements:
        return replace(done, outcome=Failed(f"{wrong_elements:g} wrong elements of {elements} (#wrong)"))
    check = None if wrong_elements is None else Check(0.0, 0.0, "nccl-tests: no wrong element", elements)
    said = (
        Communication(setting.backend, setting.version, reason="the source does not say") if setting.backend else None
    )
    work = Work(0, 0, "message", message_bytes=size, bus_factor=factor)
    return replace(done, outcome=measured(work, time_s, timer=how, check=check, collective=said))


def _plausible(setting: Setting, algbw: float, printed: tuple[float, float], factor: float) -> None:
    """Raise LineError unless size, time, algbw, busbw and ranks belong together, as far as they are printed."""
    for name, found, ours in (("algbw", printed[0], algbw), ("busbw", printed[1], algbw * factor)):
        if abs(found - ours) > ROUNDED * ours + 0.006:
            wrong(f"{name} {found:g} GB/s", f"{ours:.4g}, of size, time and {setting.ranks} ranks of {setting.kernel}")
