"""Node power through IPMI: the DCMI reading of the baseboard controller, by ``ipmitool``.

Most controllers report the input of the power supplies, as a whole number of watts renewed about once a second; some
leave accelerators out, so that the reading is a trend and a cross-check (class C). In band it needs ``/dev/ipmi0``;
over the network a host and a user, whose password comes from ``PERWATT_IPMI_PASSWORD`` or a 0600 file and reaches
ipmitool through its environment. Cipher suite 3 is named because asking for the list takes ten seconds on some.
Source: Intel, Data Center Manageability Interface 1.5; ipmitool(1).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time

from perwatt.benchmarks.meters.meter import Capabilities, Meter, Part, Reading, Status, Unavailable
from perwatt.benchmarks.meters.secret import Secret, secret
from perwatt.benchmarks.meters.sysfs import number

RULE = (
    "as root: groupadd -f perwatt; usermod -aG perwatt $USER; modprobe ipmi_devintf; put this line into "
    '/etc/udev/rules.d/60-perwatt.rules and reboot: KERNEL=="ipmi*", GROUP="perwatt", MODE="0660"'
)
WATTS = re.compile(r"Instantaneous power reading:\s*(\d+)\s*Watts", re.I)
STATE = re.compile(r"Power reading state is:\s*(\w+)", re.I)


class Ipmi(Meter):
    """DCMI power of this node (``host`` null) or of the controller at ``host``."""

    scope = "host"

    def __init__(
        self,
        host: str | None = None,
        port: int = 623,
        user: str | None = None,
        credentials: str | None = None,
        boundary: str = "node_ac",
        poll_s: float = 1.0,
        timeout_s: float = 5.0,
    ) -> None:
        number("ipmi", "port", port, 1, 65535)
        number("ipmi", "poll_s", poll_s, 0.1, 600)
        number("ipmi", "timeout_s", timeout_s, 0.1, 60)
        self.host, self.port, self.user, self.credentials = host, port, user, credentials
        self.boundary, self.poll_s, self.timeout_s = boundary, poll_s, timeout_s

    def open(self, part: Part) -> Capabilities:
        """Take one reading. Raises :class:`Unavailable` with ipmitool's own words."""
        tool = shutil.which("ipmitool")
        if tool is None:
            raise Unavailable("ipmitool is not installed", "apt install ipmitool, or dnf install ipmitool")
        self._environment = dict(os.environ)
        self._argv = [tool]
        if self.host is not None:
            found = secret("ipmi", self.credentials) or Secret()
            user = self.user or found.user
            if not found.password or not user:
                raise Unavailable(
                    f"no user and password for {self.host}", "set PERWATT_IPMI_USER and PERWATT_IPMI_PASSWORD"
                )
            self._environment["IPMI_PASSWORD"] = found.password
            self._argv += ["-I", "lanplus", "-C", "3", "-H", self.host, "-p", str(self.port), "-U", user, "-E"]
        self._argv += ["dcmi", "power", "reading"]
        self._said = ""
        first = self.read()
        if first.value is None:
            remedy = RULE if self.host is None else "check the address, the user and that IPMI over LAN is enabled"
            raise Unavailable(f"ipmitool: {self._said or first.status}", remedy)
        package = f"bmc:{self.host}" if self.host else f"bmc:{os.uname().nodename}"
        return Capabilities(
            name="ipmi",
            kind="power",
            boundary=self.boundary,
            packages=(package,),
            period_s=1.0,
            poll_s=self.poll_s,
            quantum=1.0,
            accuracy_class="C",
            remote=True,
            instrument=package,
            facts={"through": "network" if self.host else "/dev/ipmi0"},
        )

    def read(self) -> Reading:
        """One run of ipmitool, ended after ``timeout_s``."""
        start = time.monotonic_ns()
        status: Status = "ok"
        value: float | None = None
        try:
            done = subprocess.run(
                self._argv,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=self.timeout_s,
            )
        except subprocess.TimeoutExpired:
            status, self._said = "lost", f"no answer in {self.timeout_s:g} s"
        except OSError as error:
            status, self._said = "lost", str(error.strerror)
        else:
            value, status = self._parsed(done)
        end = time.monotonic_ns()
        return Reading((start + end) // 2, end - start, value, status)

    def _parsed(self, done: subprocess.CompletedProcess[str]) -> tuple[float | None, Status]:
        self._said = (done.stderr.strip().splitlines() or [""])[0]
        watts, state = WATTS.search(done.stdout), STATE.search(done.stdout)
        if done.returncode != 0:
            return None, "no_permission" if "ermission" in done.stderr else "lost"
        if watts is None:
            self._said = self._said or "no power in its answer"
            return None, "out_of_range"
        # a controller that has switched its reading off goes on saying 0
        if state is not None and state[1].lower() != "activated":
            self._said = f"the power reading is {state[1]}"
            return None, "unsupported"
        return float(watts[1]), "ok"
