"""What is known of one sensor on one board: how it behaves, and by how much it reads wrong.

``perwatt meter characterise`` writes one JSON file a board and meter; every later run on that board reads it. A board
known by a UUID is the same in any host; what is known by its place only (a socket, a PCI address) belongs to its host,
since the nodes of a cluster share their home folders. The folder is ``$PERWATT_METERS_DIR``, else
``$XDG_CONFIG_HOME/perwatt/meters`` or ``~/.config/perwatt/meters``.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import msgspec

from perwatt.results.store import write_atomically

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Calibration(msgspec.Struct, frozen=True):
    """True power = ``gain`` times what the sensor says plus ``offset_w``, fitted between ``low_w`` and ``high_w``.

    ``u_gain`` is the relative standard uncertainty of a corrected reading there, the reference's own included.
    """

    gain: float
    offset_w: float
    u_gain: float
    reference: str
    reference_accuracy: float
    low_w: float
    high_w: float
    date: str


class Characteristic(msgspec.Struct, frozen=True):
    """How one sensor behaves. None: could not be told. ``attention`` is the part of a period in which it looks;
    ``counter_vs_poll`` the relative difference of the counter to the integral of the polled power, by load; ``u`` the
    standard uncertainties of what has one, by the name of the value."""

    package: str
    meter: str
    date: str
    perwatt: str
    host: str
    facts: dict[str, str] = {}
    period_s: float | None = None
    delay_s: float | None = None
    rise_s: float | None = None
    averaging_s: float | None = None
    attention: float | None = None
    counter_vs_poll: dict[str, float] = {}
    u: dict[str, float] = {}
    calibration: Calibration | None = None


def folder() -> Path:
    """Where the files lie."""
    if found := os.environ.get("PERWATT_METERS_DIR"):
        return Path(found)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "perwatt" / "meters"


def path(package: str, meter: str) -> Path:
    """The file of one sensor."""
    owner = package if UUID.search(package) else f"{socket.gethostname()}.{package}"
    return folder() / (_plain(f"{owner}.{meter}") + ".json")


def _plain(name: str) -> str:
    """As it may stand in the name of a file."""
    return re.sub(r"[^\w.-]", "_", name)


def load(package: str, meter: str) -> Characteristic | None:
    """What is known of a sensor, or None. Raises ValueError for a file that cannot be read."""
    file = path(package, meter)
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Characteristic)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"{file}: not a characteristic of a meter ({error}); remove it or characterise anew") from None
    _check(file, found)
    return found


def of_package(package: str) -> tuple[Characteristic, ...]:
    """What is known of the sensors of a package, under whatever names of meters and from whichever host it was found: a
    meter behind a network is the same from everywhere. Raises ValueError for a file that cannot be read."""
    found = []
    for file in sorted(folder().glob(f"*{_plain(package)}.*.json")):
        try:
            one = msgspec.json.decode(file.read_bytes(), type=Characteristic)
        except (OSError, msgspec.MsgspecError) as error:
            raise ValueError(f"{file}: not a characteristic of a meter ({error}); remove it") from None
        if one.package == package:
            _check(file, one)
            found.append(one)
    return tuple(found)


def _check(file: Path, found: Characteristic) -> None:
    for key in ("period_s", "delay_s", "rise_s", "averaging_s", "attention"):
        value = getattr(found, key)
        if value is not None and not 0 <= value < 1e4:
            raise ValueError(f"{file}: {key}: {value!r} is not between 0 and 10000")
    fitted = found.calibration
    if fitted is not None and not (0.5 <= fitted.gain <= 2 and 0 < fitted.u_gain < 1):
        raise ValueError(f"{file}: calibration: gain {fitted.gain!r} is not within 0.5..2, or u_gain not within 0..1")


def store(found: Characteristic) -> Path:
    """Write the file of a sensor, replacing an earlier one; where it lies."""
    file = path(found.package, found.meter)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    return file
