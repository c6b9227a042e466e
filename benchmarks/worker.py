"""One rank: a process on one device that prepares and measures the cases it is sent, and answers each.

It never decides what runs next and writes no records; it leaves its samples in the run's telemetry and sends the rest
to the leader. If the leader goes away, so does the rank. While it works it tells how far it is, so that when one of
several ranks dies or hangs the leader knows which one and where.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import gc
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from perwatt.benchmarks import devices
from perwatt.benchmarks.build import build
from perwatt.benchmarks.calibrated import calibrate
from perwatt.benchmarks.channel import VARIABLE, Message, connect
from perwatt.benchmarks.communication import Observer
from perwatt.benchmarks.group import BACKENDS, Group
from perwatt.benchmarks.idle import idle
from perwatt.benchmarks.launch.identity import adopt
from perwatt.benchmarks.link import Link
from perwatt.benchmarks.measure import Measurer
from perwatt.benchmarks.measurement import Measurement, Progress, alone
from perwatt.benchmarks.meters.meter import Meter, Part, Unavailable
from perwatt.benchmarks.pace import Own, own
from perwatt.benchmarks.profile import Profile
from perwatt.benchmarks.rechecking import Rechecker
from perwatt.benchmarks.sampler import Channel, Sampler, open_meters
from perwatt.benchmarks.task import Answer, Task
from perwatt.benchmarks.timers import EventTimer, HostTimer, Timer
from perwatt.kernels.triton.configuration import Table
from perwatt.kernels.workload import Place, Prepared, Unsupported, Workload, WrongResult
from perwatt.results.derived import BOUNDARIES
from perwatt.results.recheck import WRONG_OUTPUT
from perwatt.results.record import Check, Failed, Idle, Measured, Outcome, Skipped, Work
from perwatt.results.static import Static
from perwatt.results.stats import summarise
from perwatt.results.telemetry import write_part

T = TypeVar("T")
TELL_S = 0.5  # seldom: on a CPU the leader and its bar share the cores under test


class Worker:
    """The state of one rank between cases: its device, its meters, its group."""

    def __init__(
        self,
        link: Link,
        kind: str,
        index: int,
        ranks: int,
        timeout_s: float,
        run: str = "",
        store: tuple[str, int] | None = None,
    ) -> None:
        self.link, self.kind, self.ranks = link, devices.device_type(kind), ranks
        self.rank, self.local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
        index = 0 if self.kind == "cpu" else index + self.local if ranks > 1 else index
        self.device = devices.describe(self.kind, index)
        self.place_device = "cpu" if self.kind == "cpu" else f"{self.kind}:{index}"
        if self.kind != "cpu":
            import torch

            torch.accelerator.set_device_index(index)
        # longer than the leader waits: the leader, who sees every rank, says which one hung
        timeout_s = 2 * timeout_s + 30
        with Observer(BACKENDS[self.kind], self.rank, ranks, run if ranks > 1 else "") as self.observer:
            self.group = Group(self.kind, self.place_device, timeout_s, store) if ranks > 1 else None
        self._meters: tuple[list[Channel], dict[str, Unavailable]] | None = None
        self._idle: tuple[Idle, ...] | None = None
        self._told = 0.0

    # -- one case ------------------------------------------------------------------------------------------------

    def answer(self, task: Task) -> Answer:
        """Prepare, measure, summarise; whatever goes wrong becomes the outcome."""
        self.link.entered = 0
        try:
            return self._measure(task)
        except Unsupported as reason:
            outcome: Outcome = Skipped(str(reason))
        except WrongResult as error:
            outcome = Failed(f"wrong result: {error}", rank=self.rank)
        except Exception as error:
            outcome = Failed(f"{type(error).__name__}: {_first_line(error)}", self.rank, traceback.format_exc()[-4000:])
        return Answer(self.rank, self.device, outcome)

    def _measure(self, task: Task) -> Answer:
        workload: Workload = build(task.spec, "perwatt.kernels", "kernel")
        channels, missing = self._open(task.meters)
        cold = task.cache == "cold"
        self._tell("prepare")
        place = self._place(task)
        if self.group:
            prepared, collective = self.observer.prepare(workload, place, self._synchronize)
        else:
            prepared, collective = workload.prepare(place), None
        used = [] if cold else channels
        self._rest(task, used)
        self._await(task)
        self._tell("warm-up")
        every = int(task.profile.get("recheck", 0))
        rechecker = Rechecker(self._comparing(prepared.verify) if prepared.verify else None, every)
        measurement = self._measurer(task, prepared, used, rechecker).run()
        measured = np.asarray(measurement.repetition) >= 0
        if not measured.any():
            return Answer(self.rank, self.device, Skipped("interrupted"), taken=False)
        self._tell("write")
        try:
            write_part(Path(task.run), task.key, self.rank, _series(measurement, used))
        except OSError as error:  # a full disk costs the samples, not what they amount to
            print(f"telemetry of {task.key}: {error}", flush=True)
            measurement.flags.add("telemetry_lost")
        slowest = np.asarray(measurement.slowest)[measured]
        weights = [n for _, n in measurement.rank_means]
        mean = float(np.average([m for m, _ in measurement.rank_means], weights=weights))
        outcome = Measured(
            work=Work(**dataclasses.asdict(prepared.work or workload.work(self.ranks))),
            check=Check(**dataclasses.asdict(prepared.check)),
            seconds=summarise(slowest, int((~measured).sum()), mean if workload.collective else None),
            repetitions=tuple(measurement.windows),
            buffers=prepared.buffers,
            timer=self.timer.name,
            unmetered=self._unmetered(channels, missing, cold),
            host_device_clock_error=measurement.clock_error,
            note=_note(prepared, every),
            steady=measurement.steady,
            idle=(self._idle or ()) if used else (),
            sampler_cost=measurement.sampler_cost,
            health=measurement.health,
            rechecks=(rechecks := rechecker.result(prepared.check)),
            collective=collective,
            static=_static(workload, place, task),
        )
        metered = any(r.energies for r in measurement.windows)
        flags = measurement.flags | ({"indicative"} if metered and task.profile["indicative"] else set())
        flags |= {WRONG_OUTPUT} if rechecks and rechecks.wrong else set()
        return Answer(
            self.rank, self.device, outcome, tuple(sorted(flags)), pace=self._pace(task, measurement, measured)
        )

    def _pace(self, task: Task, measurement: Measurement, measured: Any) -> Own | None:
        if self.group is None or task.straggler is None:
            return None
        columns = (measurement.seconds, measurement.slowest, measurement.middle, measurement.fastest)
        seconds, slowest, middle, fastest = (np.asarray(column)[measured] for column in columns)
        return own(seconds, slowest, middle, fastest, task.straggler)

    def _rest(self, task: Task, channels: list[Channel]) -> None:
        """Idle power, once for each device: the context exists, the first operands lie ready, nothing runs."""
        profile = Profile(**task.profile)
        if self._idle is None and profile.idle_s and channels:
            self._tell("idle power")
            self._synchronize()
            self._idle = idle(channels, profile.idle_s, profile.idle_settle_s, self.link.stop.wait)

    def _await(self, task: Task) -> None:
        """All is prepared: the load begins when it does on the other machines of a fleet."""
        while (left_s := ((task.begin_ns or 0) - time.monotonic_ns()) * 1e-9) > 0 and not self.link.stop.is_set():
            self._tell("start")
            self.link.stop.wait(min(left_s, 1.0))

    def _place(self, task: Task) -> Place:
        return Place(
            device=self.place_device,
            llc_bytes=task.llc_bytes or self.device.llc_bytes,
            memory_bytes=self._free_bytes(),
            rank=self.rank,
            ranks=self.ranks,
            cache=task.cache,  # type: ignore[arg-type]
            table=Table(**task.table) if task.table else None,
        )

    def _free_bytes(self) -> int | None:
        """Memory for this rank: what the driver says is free; on a CPU the ranks share it."""
        gc.collect()  # the operands of the case before
        if self.kind == "cpu":
            free = devices.memory_available_bytes()
            return free // self.ranks if free else None
        import torch

        module = torch.get_device_module(self.kind)
        module.empty_cache()  # what torch keeps for itself is free as well
        return int(module.mem_get_info()[0]) if hasattr(module, "mem_get_info") else self.device.memory_bytes

    def _measurer(self, task: Task, prepared: Prepared, channels: list[Channel], rechecker: Rechecker) -> Measurer:
        self.timer = self._timer(task, prepared.whole)
        launch = self._counted(prepared.launch) if self.group else prepared.launch
        return Measurer(
            launch=launch,
            timer=self.timer,
            sampler=Sampler(channels),
            profile=Profile(**task.profile),
            rule=lambda: build(task.stopping, "perwatt.benchmarks.stopping", "stopping"),
            exchange=self.group.exchange if self.group else alone,
            stop=self.link.stop.is_set,
            tell=self._progress,
            synchronize=self._synchronize,
            one_by_one=self.group is not None,
            rechecker=rechecker,
        )

    def _comparing(self, verify: Callable[[], T]) -> Callable[[], T]:
        """A comparison between windows, entered as a launch is, and told: it may take long."""

        def comparing() -> T:
            self._tell("compare")
            try:
                return self._counted(verify)()
            finally:
                self._tell("warm-up")

        return comparing

    def _counted(self, call: Callable[[], T]) -> Callable[[], T]:
        """What the ranks of a group do together, counted as it is entered: that is how a hung rank is told apart."""
        link = self.link

        def counted() -> T:
            link.entered += 1
            return call()

        return counted

    def _synchronize(self) -> None:
        """The device is idle, and all ranks are here."""
        if self.kind != "cpu":
            import torch

            torch.accelerator.synchronize()
        if self.group:
            self.group.barrier()

    def _timer(self, task: Task, whole: bool) -> Timer:
        if self.kind == "cpu" or whole:
            timer: Timer = HostTimer()
        else:
            import torch

            timer = EventTimer(torch.get_device_module(self.kind), may_hold=self.group is None)
        if task.cache == "cold" and whole:
            raise Unsupported("cache=cold: a launch that rests has no cache to be flushed before it")
        if task.cache == "cold":
            timer = timer.flush_between(_flush(self.place_device, task.llc_bytes or self.device.llc_bytes))
        return timer

    # -- meters --------------------------------------------------------------------------------------------------

    def _open(self, nodes: dict[str, dict[str, Any]]) -> tuple[list[Channel], dict[str, Unavailable]]:
        if self._meters is None:  # opened once: a meter's zero lies where the rank began
            meters: dict[str, Meter] = {
                name: build(node, "perwatt.benchmarks.meters", f"meter.{name}") for name, node in nodes.items()
            }
            part = Part(self.kind, self.device.index, self.device.uuid)
            self._meters = open_meters(meters, part, host=self.local == 0)
            calibrate(self._meters[0])
        return self._meters

    def _unmetered(self, channels: list[Channel], missing: dict[str, Unavailable], cold: bool) -> str:
        """Why no energy belongs to this device; empty if one does."""
        if cold:
            return "cold cache: the energy of the flush cannot be told from the kernel's"
        boundaries = BOUNDARIES.get(self.kind, BOUNDARIES["gpu"])
        if any(c.capabilities.boundary in boundaries for c in channels):
            return ""
        # what belongs to other hardware is no reason, unless it was all that was asked for
        mine = {name: m for name, m in missing.items() if "the device under test is not" not in m.reason}
        reasons = [f"{name}: {reason.reason}" for name, reason in (mine or missing).items()]
        reasons += [f"{c.capabilities.name}: encloses {c.capabilities.boundary} only" for c in channels]
        return "; ".join(reasons) or "no meter was asked for"

    # -- progress ------------------------------------------------------------------------------------------------

    def _tell(self, phase: str) -> None:
        self.link.send({"event": "progress", "phase": phase, "entered": self.link.entered})

    def _progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if self.rank == 0 and now - self._told >= TELL_S:
            self._told = now
            self.link.send({"event": "progress", "entered": self.link.entered, **dataclasses.asdict(progress)})


def _static(workload: Workload, place: Place, task: Task) -> tuple[Static, ...]:
    """What the case's Triton kernels were compiled to. It explains a result: that it cannot be had costs nothing."""
    if place.table is None:
        return ()
    from perwatt.benchmarks.compiling import launched

    try:
        return launched(workload, place, task.target, task.directories)
    except Exception as error:
        print(f"static record of {task.key}: {type(error).__name__}: {_first_line(error)}", flush=True)
        return ()


def _note(prepared: Prepared, recheck: int) -> str:
    """What the kernel says of itself; also why its output was not compared again, where that was asked for."""
    if not recheck or prepared.verify is not None:
        return prepared.note
    why = prepared.unverified or "the kernel offers no comparison"
    return "; ".join(filter(None, (prepared.note, f"not compared again: {why}")))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]


def _flush(device: str, llc_bytes: int | None) -> Any:
    """A launch that writes twice the last-level cache."""
    import torch

    if not llc_bytes:
        raise Unsupported("cache=cold: the size of this device's last-level cache is unknown")
    buffer = torch.empty(2 * llc_bytes, dtype=torch.int8, device=device)
    return lambda: buffer.fill_(1)


def _series(measurement: Measurement, channels: list[Channel]) -> dict[str, dict[str, Any]]:
    """The telemetry of one case: the samples, and what each meter said from warm-up to end."""
    out: dict[str, dict[str, Any]] = {
        "seconds": {
            "t_ns": measurement.end_ns,
            "value": measurement.seconds,
            "n": measurement.launches,
            "repetition": measurement.repetition,
        }
    }
    for channel in channels:
        readings = [r for r in channel.readings if r.value is not None]
        t = np.array([r.mono_ns for r in readings], dtype=np.int64)
        repetition = np.full(len(t), -1)
        for index, window in enumerate(measurement.windows):
            inside = (t >= window.start_ns) & (t <= window.start_ns + window.window_s * 1e9)
            repetition[inside] = index
        value = [r.value for r in readings]
        out[channel.series] = {"t_ns": t, "value": value, "repetition": repetition, "n": np.zeros(len(t), dtype=int)}
    return out


def main() -> None:
    """Connect, say hello, and serve one group after another until told to leave."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the leader's to handle
    faulthandler.register(signal.SIGUSR1)  # where it hangs, when the leader asks
    adopt(os.environ)
    rank = int(os.environ["RANK"])
    line = connect(os.environ[VARIABLE])
    line.send({"event": "hello", "rank": rank, "pid": os.getpid(), "host": socket.gethostname(), "secret": line.secret})
    link = Link(line)
    link.start()
    order = link.orders.get()
    while order["do"] == "setup":
        order = _serve(link, order)


def _serve(link: Link, setup: Message) -> Message:
    """One group: formed, and its cases answered. Returns the order that came after it."""
    try:
        store = None
        if join := setup.get("join"):  # which rank it is changes from group to group, its device does not
            os.environ.update(RANK=str(join["rank"]), WORLD_SIZE=str(join["ranks"]))
            store = (join["store"][0], join["store"][1])
        ranks, run = int(os.environ["WORLD_SIZE"]), setup.get("run", "")
        worker = Worker(link, setup["device"], setup["index"], ranks, setup["timeout_s"], run, store)
        environment = None
        if worker.rank == 0 and setup["environment"]:
            from perwatt.benchmarks.environment import describe

            environment = describe(worker.kind, setup["meters"])
    except Exception as error:
        traceback.print_exc()
        link.send({"event": "refused", "error": _first_line(error)})
        raise SystemExit(1) from None
    link.send({"event": "ready", "environment": environment, "device": msgspec.to_builtins(worker.device)})
    while (order := link.orders.get())["do"] == "task":
        answer = worker.answer(msgspec.convert(order["task"], Task))
        link.send({"event": "answer", "answer": msgspec.to_builtins(answer)})
    if worker.group:
        worker.group.close()
    if order["do"] == "rest":
        link.send({"event": "rested"})
        order = link.orders.get()
    return order


if __name__ == "__main__":
    main()
