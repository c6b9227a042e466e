"""Tables of power: ``nvidia-smi --query-gpu=timestamp,index,power.draw --format=csv -l 1``, ``nvidia-smi dmon -o DT``
and ``dcgmi dmon -e 155``. The header names the columns; dmon repeats it, and has times only if asked for (dcgmi never).
"""

from __future__ import annotations

import csv
import datetime
import re
from collections.abc import Sequence
from functools import partial

from perwatt.results.imports.figures import LineError, Read, positive, wrong
from perwatt.results.imports.polled import NoTimesError, Polled
from perwatt.results.traces.table import iso_ns
from perwatt.results.traces.trace import Clock

POWER = ("power.draw.instant", "power.draw", "power.draw.average")  # one instant before what was averaged over a second
APART = ("uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id", "serial", "gpu_serial")  # what tells devices apart
DMON = re.compile(r"^#\s*(?:Date\s+)?(?:Time\s+)?gpu\s.*\bpwr\b", re.I)
DCGMI = re.compile(r"^#\s*Entity\s.*\b(?:POWER|PWR)\b", re.I)


def is_it(text: str) -> bool:
    """Whether this is such a log."""
    return any(_query(line) or DMON.match(line) or DCGMI.match(line) for line in text.splitlines()[:50])


def read(text: str, period_s: str = "", timezone: str = "UTC", start: str = "") -> Read:
    """The power of each device. ``period_s``: seconds between readings of a log without times, whose first is at
    ``start``; ``timezone``: of the times. Raises ValueError for a log without times and without a period."""
    clock = Clock(timezone)
    try:
        period = positive("period_s", period_s) if period_s else None
    except LineError as error:
        raise ValueError(f"found {error.args[0]}; allowed {error.args[1]}") from None
    since_ns = iso_ns(clock, start, "start") if start else 0
    polled: Polled | None = None
    columns: Sequence[str] = ()
    for number, content in enumerate(text.splitlines(), 1):
        if header := _query(content):
            polled, columns = polled or Polled("nvidia_smi", period, since_ns), header
        elif DMON.match(content) or DCGMI.match(content):
            name = "dcgmi_dmon" if DCGMI.match(content) else "nvidia_smi_dmon"
            polled, columns = polled or Polled(name, period, since_ns), content.lstrip("# ").lower().split()
        elif polled is not None and content.strip() and not content.startswith(("#", "ID ")):
            how = {"nvidia_smi": _csv, "nvidia_smi_dmon": _dmon, "dcgmi_dmon": _dcgmi}[polled.meter]
            try:
                polled.line(number, content, partial(how, polled, number, content, columns, clock))
            except NoTimesError as error:
                raise ValueError(str(error)) from None
    return polled.read() if polled is not None else Read()


def _query(line: str) -> list[str]:
    """The columns of a header of nvidia-smi, without their units; empty for any other line."""
    told = [name.strip().partition(" [") for name in line.removeprefix("\ufeff").split(",")]
    names = [name for name, _, _ in told]
    if any(name in POWER and unit.rstrip("]") not in ("", "W") for name, _, unit in told):
        return []  # not as nvidia-smi writes it
    return names if len(names) > 1 and set(names) & set(POWER) else []


def _csv(polled: Polled, number: int, content: str, columns: Sequence[str], clock: Clock) -> None:
    cells = [cell.strip() for cell in next(csv.reader([content]))]
    if len(cells) != len(columns):
        wrong(f"{len(cells)} cells", f"{len(columns)}, as in the header")
    row = dict(zip(columns, cells, strict=True))
    uuid = row.get("uuid", row.get("gpu_uuid", ""))
    index = row.get("index", "")
    if not index:  # by the order in which devices first appear, if they are told apart; one alone is the first
        told = next((row[name] for name in APART if row.get(name)), "")
        index = str(polled.told_apart.setdefault(told, len(polled.told_apart)))
    log = polled.log(number, "", index, row.get("name", row.get("gpu_name", "")), uuid)
    stamp = row.get("timestamp", "")
    power = next(name for name in POWER if name in row)
    if row[power][:1].isdigit():  # of a line that was cut off the number may be as well
        polled.unit = polled.unit or row[power].endswith("W")
        if polled.unit and not row[power].endswith("W"):
            wrong(f"power {row[power]!r}", "a number with its W, as in the lines above")
    polled.add(log, row[power], iso_ns(clock, stamp, "timestamp") if stamp else None, stamp)


def _dmon(polled: Polled, number: int, content: str, columns: Sequence[str], clock: Clock) -> None:
    cells = content.split()
    if len(cells) != len(columns):
        wrong(f"{len(cells)} columns", f"{len(columns)}, as in the header")
    row = dict(zip(columns, cells, strict=True))
    stamp = " ".join(row[name] for name in ("date", "time") if name in row)
    t_ns = None
    if "date" in row and "time" in row:
        try:
            t_ns = clock.ns(datetime.datetime.strptime(stamp, "%Y%m%d %H:%M:%S"))
        except ValueError:
            wrong(f"time {stamp!r}", "YYYYMMDD HH:MM:SS, of years 1970 to 2261 and an hour that its zone has once")
    polled.add(polled.log(number, "", row["gpu"]), row["pwr"], t_ns, stamp)


def _dcgmi(polled: Polled, number: int, content: str, columns: Sequence[str], clock: Clock) -> None:
    found = re.match(r"^\s*(GPU|GPU-I|GPU-CI|Switch|CPU)\s+(\d+)\s+(.*)$", content)
    if found is None:
        wrong(repr(content), "GPU N and a value for each column")
    if found[1] != "GPU":
        return  # an instance of a GPU, a switch: what they draw is not asked for here
    cells = re.split(r"\s{2,}|\t|\s(?=\S)", found[3].strip())
    if len(cells) != len(columns) - 1:
        wrong(f"{len(cells)} values", f"{len(columns) - 1}, as in the header")
    at = next(i for i, name in enumerate(columns) if name in ("power", "pwr", "powr")) - 1
    polled.add(polled.log(number, "", found[2]), cells[at], None)
