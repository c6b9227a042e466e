"""perwatt's own kernels beside the vendor's library: the same case of the same run, through another backend.

Of several backends of torch (attention has four) the fastest is what a kernel of our own is laid beside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from perwatt.results.record import Record

OWN = "triton"  # backends of our own begin with it


@dataclass(frozen=True)
class Beside:
    """One case of our own and the vendor's. ``rate`` and ``per_joule`` are ours over theirs; ``per_joule`` only where
    both were metered by the same instrument."""

    own: Record
    vendor: Record
    rate: float
    per_joule: float | None


def beside(records: Sequence[Record]) -> list[Beside]:
    """Every measured case of a backend of our own whose vendor's counterpart was measured in the same run, in order."""
    vendors: dict[str, Record] = {}
    for record in records:
        if record.rate and not _backend(record).startswith(OWN) and "backend" in record.case.params:
            key = _but_for_the_backend(record)
            if key not in vendors or record.rate > (vendors[key].rate or 0.0):
                vendors[key] = record
    found = []
    for record in records:
        if record.rate and _backend(record).startswith(OWN):
            vendor = vendors.get(_but_for_the_backend(record))
            if vendor is not None and vendor.rate:
                found.append(Beside(record, vendor, record.rate / vendor.rate, _per_joule(record, vendor)))
    return found


def _backend(record: Record) -> str:
    return str(record.case.params.get("backend", ""))


def _but_for_the_backend(record: Record) -> str:
    case = record.case
    params = {k: v for k, v in case.params.items() if k != "backend"}
    where = [record.run, record.host, case.kernel, case.device_index, case.ranks, *case.held]
    return json.dumps([*where, params], sort_keys=True, default=str)


def _per_joule(own: Record, vendor: Record) -> float | None:
    instruments = {(e.meter, e.boundary, e.instrument) for r in (own, vendor) for _, e in r.energies}
    if len(instruments) != 1 or not own.work_per_joule or not vendor.work_per_joule:
        return None
    return own.work_per_joule / vendor.work_per_joule
