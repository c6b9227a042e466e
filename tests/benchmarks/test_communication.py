"""How a collective was done: NCCL's log switched on and off, by a stand-in library that obeys its variables as NCCL."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import require

from perwatt.benchmarks import communication
from perwatt.benchmarks.communication import Observer
from perwatt.benchmarks.nccl_switch import NcclSwitch, find_reset
from perwatt.kernels.collectives.all_reduce import AllReduce
from perwatt.kernels.workload import Check, Place, Prepared, Unsupported, Work
from perwatt.results.record import Communication

HEAD = "node:1:1 [0] NCCL INFO "
CHANNELS = "{} coll channels, {} collnet channels, {} nvls channels, 8 p2p channels, 8 p2p channels per peer"


class Library:
    """NCCL 2.24 and later as far as its log goes: the variables are read at the first line and after a reset, a file is
    opened anew, subsystems that were not asked for stay silent."""

    def __init__(self, environment: dict[str, str], rank: int = 0) -> None:
        self.environment, self.rank, self.lines, self.asked = environment, rank, 0, False
        self.reset()

    def reset(self) -> None:
        self.level: str | None = None

    def info(self, subsystem: str, text: str) -> None:
        if self.level is None:
            self.level = self.environment.get("NCCL_DEBUG", "")
            self.wanted = self.environment.get("NCCL_DEBUG_SUBSYS", "INIT,ENV").split(",")
            self.file = Path(self.environment.get("NCCL_DEBUG_FILE", "/dev/null").replace("%%", "%"))
            if self.level == "INFO":
                self.file.write_text("")
        if self.level == "INFO" and (subsystem in self.wanted or subsystem == "ALL"):
            self.lines += 1
            with self.file.open("a") as file:
                file.write(HEAD + text + "\n")

    def communicator(self, channels: int = 16, nvls: int = 8) -> None:
        self.info("ALL", "NCCL version 2.27.5+cuda12.9")
        self.info("INIT", f"NVLS multicast support is {'' if nvls else 'not '}available on dev 0")
        self.info("INIT", CHANNELS.format(channels, channels, nvls))

    def all_reduce(self, algorithm: str = "NVLS", protocol: str = "SIMPLE", high: int = 7) -> None:
        if self.rank == 0:
            call = f"AllReduce: 64 Bytes -> Algo {algorithm} proto {protocol} channel{{Lo..Hi}}={{0..{high}}}"
            self.info("TUNING", call)


class Case(AllReduce):
    """An all_reduce on the stand-in. With a request it makes a communicator of its own while it is prepared."""

    does = ("NVLS", "SIMPLE", 7)

    def over(self, library: Library) -> Case:
        object.__setattr__(self, "stand_in", library)
        return self

    def prepare(self, place: Place) -> Prepared:
        library: Library = self.stand_in  # type: ignore[attr-defined]
        if any(self.requested) and not library.asked:
            library.communicator(4, 0)
            library.asked = True
        library.all_reduce("RING", "LL", 0)  # what checks the values, and how ranks agree
        return Prepared(lambda: library.all_reduce(*self.does), Check(0, 0, "", 1), 1)


@pytest.fixture
def agreeing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(communication, "together", lambda place, step: step())
    monkeypatch.setattr(communication, "_nccl_version", lambda: ("nccl", "2.27.5"))


def observed(
    tmp_path: Path, case: Case, resettable: bool = True, rank: int = 0, **environment: str
) -> tuple[Communication, Library, NcclSwitch]:
    """``case`` prepared, then launched a thousand times as if it were timed."""
    library = Library(environment, rank)
    switch = NcclSwitch(tmp_path / "nccl" / "50%-rank0", library.reset if resettable else None, environment)
    with Observer("nccl", rank, 2, "", switch) as observer:
        library.communicator()
    before = dict(environment)
    prepared, found = observer.prepare(case.over(library), Place("cpu", rank=rank, ranks=2), lambda: None)
    lines = library.lines
    for _ in range(1000):
        prepared.launch()
    assert library.lines == lines, "the log was on while launches were timed"
    assert environment == before
    assert found is not None
    return found, library, switch


@pytest.mark.usefixtures("agreeing")
def test_a_case_says_how_it_was_done_and_nothing_is_logged_while_it_is_timed(tmp_path: Path) -> None:
    found, _, _ = observed(tmp_path, Case())
    assert found == Communication("nccl", "2.27.5+cuda12.9", "nvls", "simple", 8, 16, True, 8)
    kept = sorted(p.name for p in (tmp_path / "nccl").iterdir())
    assert kept == ["50%-rank0-1.log", "50%-rank0-2.log"]


@pytest.mark.usefixtures("agreeing")
def test_the_other_ranks_know_the_communicator_only(tmp_path: Path) -> None:
    found, _, _ = observed(tmp_path, Case(), rank=1)
    assert (found.algorithm, found.protocol, found.channels, found.nvls) == (None, None, None, True)
    assert found.reason == "NCCL wrote no algorithm for it"


@pytest.mark.usefixtures("agreeing")
def test_without_a_way_to_switch_it_off_only_the_communicator_is_logged(tmp_path: Path) -> None:
    found, _, switch = observed(tmp_path, Case(), resettable=False)
    assert (found.version, found.nvls_channels, found.algorithm) == ("2.27.5+cuda12.9", 8, None)
    assert found.reason == switch.reason
    assert "cannot be switched off" in found.reason


@pytest.mark.usefixtures("agreeing")
def test_a_log_of_the_users_is_left_alone(tmp_path: Path) -> None:
    file = str(tmp_path / "users.log")
    environment = {"NCCL_DEBUG": "info", "NCCL_DEBUG_FILE": file}
    switch = NcclSwitch(tmp_path / "nccl" / "x", lambda: pytest.fail("reset"), environment)
    switch.on()
    switch.off()
    assert environment == {"NCCL_DEBUG": "info", "NCCL_DEBUG_FILE": file}
    assert not (tmp_path / "nccl").exists()
    assert "NCCL_DEBUG=info is set" in switch.reason


@pytest.mark.usefixtures("agreeing")
def test_a_quiet_level_of_the_users_comes_back(tmp_path: Path) -> None:
    _, library, _ = observed(tmp_path, Case(), NCCL_DEBUG="WARN")
    assert library.level in ("WARN", None)


@pytest.mark.usefixtures("agreeing")
def test_what_was_asked_for_has_a_communicator_of_its_own(tmp_path: Path) -> None:
    found, _, _ = observed(tmp_path, Case(algorithm="nvls", protocol="simple"))
    assert (found.algorithm, found.communicator_channels, found.nvls) == ("nvls", 4, False)


@pytest.mark.usefixtures("agreeing")
def test_a_communicator_that_was_made_for_an_earlier_case_is_remembered(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    library = Library(environment)
    switch = NcclSwitch(tmp_path / "nccl" / "x", library.reset, environment)
    with Observer("nccl", 0, 2, "", switch) as observer:
        library.communicator()
    seen = []
    for asked in ("nvls", None, "nvls"):
        case = Case(algorithm=asked).over(library)
        _, found = observer.prepare(case, Place("cpu", ranks=2), lambda: None)
        assert found is not None
        seen.append((found.communicator_channels, found.nvls, found.version))
    own, default = (4, False, "2.27.5+cuda12.9"), (16, True, "2.27.5+cuda12.9")
    assert seen == [own, default, own]


@pytest.mark.usefixtures("agreeing")
@pytest.mark.parametrize(
    ("asked", "resettable", "reason"),
    [
        ({"algorithm": "ring"}, True, r"algorithm ring was asked for, NCCL 2\.27\.5\+cuda12\.9 used nvls"),
        ({"protocol": "ll"}, True, r"protocol ll was asked for, NCCL .* used simple"),
        ({"algorithm": "nvls"}, False, r"algorithm nvls was asked for, .* does not say what it used: .*switched off"),
    ],
)
def test_what_was_not_done_as_asked_is_skipped(
    tmp_path: Path, asked: dict[str, Any], resettable: bool, reason: str
) -> None:
    with pytest.raises(Unsupported, match=reason):
        observed(tmp_path, Case(**asked), resettable)


@pytest.mark.usefixtures("agreeing")
def test_gloo_has_a_version_and_no_algorithm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("NCCL_ALGO", "ring")
    with Observer("gloo", 0, 2, str(tmp_path)) as observer:
        pass
    case = Case().over(Library({}))
    _, found = observer.prepare(case, Place("cpu", ranks=2), lambda: pytest.fail("nothing to wait for"))
    assert found == Communication("gloo", f"torch {torch.__version__}", environment={"GLOO_SOCKET_IFNAME": "lo"})
    assert not list(tmp_path.iterdir())


def test_a_case_without_messages_communicates_through_nothing(tmp_path: Path) -> None:
    class Silent(Case):
        def work(self, ranks: int = 1) -> Work:
            return Work(1, 1, "flops")

    with Observer("gloo", 0, 2, "") as observer:
        pass
    assert observer.prepare(Silent().over(Library({})), Place("cpu", ranks=2), lambda: None)[1] is None


def test_a_process_without_nccl_has_nothing_to_reset() -> None:
    import torch

    if torch.version.cuda or torch.version.hip:
        assert find_reset() is None or callable(find_reset())
    else:
        assert find_reset() is None


REAL = """
import ctypes, json, sys
from pathlib import Path
library = ctypes.CDLL(sys.argv[1])
from perwatt.benchmarks.nccl_switch import NcclSwitch, find_reset
switch, communicator, sizes = NcclSwitch(Path(sys.argv[2]) / "log", find_reset()), ctypes.c_void_p(), []
for _ in range(2):
    switch.on()
    library.ncclCommInitAll(ctypes.byref(communicator), 1, None)  # fails without a driver, and says so
    on = len(switch.text())
    switch.off()
    library.ncclCommInitAll(ctypes.byref(communicator), 1, None)
    sizes.append((on, len(switch.text())))
print(json.dumps({"reason": switch.reason, "sizes": sizes}))
"""


def test_the_real_library_obeys(tmp_path: Path) -> None:
    """NCCL itself, where it is installed; it needs no GPU to say that there is none."""
    spec = importlib.util.find_spec("nvidia.nccl") if importlib.util.find_spec("nvidia") else None
    found = [
        p for place in (spec.submodule_search_locations or [] if spec else []) for p in Path(place).glob("lib/*.so*")
    ]
    require("nccl", bool(found))
    command = [sys.executable, "-c", REAL, str(found[0]), str(tmp_path)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NCCL_DEBUG")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    if said["reason"]:
        pytest.skip(f"before 2.24: {said['reason']}")
    for on, after in said["sizes"]:
        assert on == after > 0
