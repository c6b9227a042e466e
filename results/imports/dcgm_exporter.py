"""What dcgm-exporter serves (Prometheus text), scraped several times into one file: ``DCGM_FI_DEV_POWER_USAGE`` in W
and, if it is there, the counter ``DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION`` in mJ, with the labels gpu, UUID, modelName
and Hostname. A line may end with its time in ms since 1970; where none does, ``period_s`` says how far scrapes are
apart.
"""

from __future__ import annotations

import re

from perwatt.results.imports.figures import LineError, Read, positive, wrong
from perwatt.results.imports.polled import NoTimesError, Polled, number

POWER, ENERGY = "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
LINE = re.compile(r"^(\w+)\{(.*)\}\s+(\S+)(?:\s+(\d+))?\s*$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def is_it(text: str) -> bool:
    """Whether this is such a file."""
    return f"{POWER}{{" in text


def read(text: str, period_s: str = "") -> Read:
    """The power of each device of each host. Raises ValueError for scrapes without times and without a period."""
    try:
        period = positive("period_s", period_s) if period_s else None
    except LineError as error:
        raise ValueError(f"found {error.args[0]}; allowed {error.args[1]}") from None
    polled = Polled("dcgm", period)
    energies: dict[tuple[str, str], int] = {}
    for line, content in enumerate(text.splitlines(), 1):
        if content.startswith((f"{POWER}{{", f"{ENERGY}{{")):  # and not those of which they are only the beginning
            try:
                polled.line(line, content, lambda at=line, c=content: _reading(polled, at, c, energies))  # type: ignore[misc]
            except NoTimesError as error:
                raise ValueError(str(error)) from None
    return polled.read()


def _reading(polled: Polled, line: int, content: str, energies: dict[tuple[str, str], int]) -> None:
    found = LINE.match(content)
    if found is None:
        wrong(repr(content), f'{POWER}{{gpu="0",...}} 71.3')
    labels = dict(LABEL.findall(found[2]))
    if "gpu" not in labels:
        wrong(repr(content), "a label gpu")
    if labels.get("GPU_I_ID"):
        return  # a part of a GPU: its board is counted by a line of its own
    host, index = labels.get("Hostname", ""), labels["gpu"]
    log = polled.log(line, host, index, labels.get("modelName", ""), labels.get("UUID", ""))
    t_ns = int(found[4]) * 1_000_000 if found[4] else None
    if found[1] == POWER:
        polled.add(log, found[3], t_ns)
        return
    count = energies[host, index] = energies.get((host, index), 0) + 1
    value = number(found[3], "energy in mJ")
    if value is not None:
        log.counted.append((polled.moment(count) if t_ns is None else t_ns, value * 1e-3))
