"""The record: one case, measured once, whole and immutable. Everything that perwatt decides is read from these.

Quantities are SI with the unit in the field name. Rates are properties, derived from work, time and energy, never
stored. An outcome is data: a case that was skipped or that failed says why, and no number stands in for a missing one.

Schema history
--------------
1 (2026-11): first.
2 (2026-11): what an energy's uncertainty is made of, the state of the device in each window, idle power and the
  sampler's cost. Everything new may be absent, so that files of schema 1 are read as they are.
3 (2026-11): how a collective was done, and what Triton kernels were compiled to. Both may be absent. The headline
  ``time``, of a case that does no work.
4, 5 (2026-11): over which machines a collective ran, and how its ranks kept step. Both may be absent.
6 (2026-11): where a figure is from that another tool measured; the headline ``samples``; health of devices, outputs
  checked again, rounds of a burn-in, power limits of cases. All may be absent.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from perwatt.results import case, derived
from perwatt.results.health import Health
from perwatt.results.origin import Origin
from perwatt.results.pace import Pace
from perwatt.results.peaks import peak_name
from perwatt.results.recheck import Rechecks
from perwatt.results.rounds import Round
from perwatt.results.static import Static

SCHEMA = 6
READABLE = (1, 2, 3, 4, 5, 6)

Case = case.Case  # parts of a record, named with the others
Over = case.Over

Source = Literal["counter", "integrated", "replayed", "modelled"]


class Quantity(msgspec.Struct, frozen=True):
    """A published or measured constant with its unit and where it was read."""

    value: float
    unit: str
    source: str


class Target(msgspec.Struct, frozen=True):
    """The identity and the datasheet peaks of a kind of hardware, copied into each record so that it stands alone.

    ``peak_flops`` maps a dtype to dense FLOP/s (never the sparse figure, which is twice that). ``architecture`` is what
    kernels are compiled for (``sm_90``, ``gfx942``), ``cores`` the SMs or compute units; empty and None if unknown.
    """

    name: str
    vendor: str
    peak_flops: dict[str, Quantity] = {}
    memory_bandwidth: Quantity | None = None
    memory: Quantity | None = None
    tdp: Quantity | None = None
    llc: Quantity | None = None
    architecture: str = ""
    cores: Quantity | None = None


class Device(msgspec.Struct, frozen=True):
    """The device as its driver reports it. ``uuid`` is empty where the platform has none."""

    type: str
    name: str
    index: int = 0
    uuid: str = ""
    vendor: str = ""
    memory_bytes: int | None = None
    llc_bytes: int | None = None
    cores: int | None = None
    arch: str = ""


class Work(msgspec.Struct, frozen=True):
    """Work of one launch: FLOP, bytes, and for a collective the message size S and the bus factor of nccl-tests;
    ``tokens`` and ``samples`` (of a served model) where work is counted in them, 0 elsewhere."""

    flops: int
    bytes: int
    headline: Literal["flops", "bytes", "message", "samples", "time"]
    message_bytes: int = 0
    bus_factor: float = 0.0
    tokens: int = 0
    samples: int = 0


class Check(msgspec.Struct, frozen=True):
    """The comparison with the reference that preceded the timing."""

    max_error: float
    tolerance: float
    reference: str
    compared: int


class Energy(msgspec.Struct, frozen=True):
    """Energy over one measured window at one boundary.

    ``source`` says how it came about: the difference of a ``counter``, ``integrated`` from polled power, ``replayed``
    from a recorded trace. ``boundary`` is what the meter encloses (``gpu``, ``cpu_package``, ``node_ac``, ...),
    ``packages`` the physical parts summed, ``accuracy_class`` A to E. ``instrument`` identifies sensor and range: the
    gain of one instrument cancels in a ratio. ``terms`` are relative standard uncertainties that no repetition removes
    (``gain``, ``resolution``, ``staleness``, ``aliasing``, ``clock``); without the ``gain`` of a class E estimate no
    uncertainty can be stated. ``calibration`` names the file that corrected and narrowed the gain. ``power`` is the
    distribution of the polled power, each value the mean of ``averaging_s``."""

    meter: str
    boundary: str
    packages: tuple[str, ...]
    accuracy_class: str
    source: Source
    energy_j: float
    readings: int
    flags: tuple[str, ...] = ()
    instrument: str = ""
    terms: dict[str, float] = {}
    calibration: str = ""
    power: Power | None = None


class Power(msgspec.Struct, frozen=True):
    """How the polled power of a window was distributed, in W; each reading is the mean over ``averaging_s``."""

    p50: float
    p95: float
    p99: float
    max: float
    averaging_s: float


class Conditions(msgspec.Struct, frozen=True):
    """The state of the device over one window: ``throttled`` is the fraction of the window by reason, temperatures are
    (start, end) in degrees Celsius by place, clocks (start, end) in Hz by domain, ``limit_w`` the power limits;
    ``ecc`` errors that were counted in the window; ``others`` processes of somebody else on the device (None:
    unknown)."""

    throttled: dict[str, float] = {}
    temperature_c: dict[str, tuple[float, float]] = {}
    clock_hz: dict[str, tuple[float, float]] = {}
    limit_w: dict[str, float] = {}
    ecc: dict[str, int] = {}
    others: int | None = None


class Idle(msgspec.Struct, frozen=True):
    """Power at rest, with the device's context created and nothing running: mean and standard deviation of the readings
    in W, the latter None where only a counter was read."""

    meter: str
    boundary: str
    packages: tuple[str, ...]
    power_w: float
    stdev_w: float | None
    seconds: float


class SamplerCost(msgspec.Struct, frozen=True):
    """What reading the meters costs: relative loss of throughput, and the standard error of that figure."""

    relative: float
    error: float


class Repetition(msgspec.Struct, frozen=True):
    """One measured window: from ``start_ns`` on the host's monotonic clock, ``window_s`` long, time and energy of the
    same ``iterations`` launches. ``energies`` is empty when nothing was metered. A window of a periodic load may be
    made of ``segments`` with evenly spaced phases; ``window_s`` is then their sum. Imported: ``start_ns`` is of UTC."""

    start_ns: int
    window_s: float
    iterations: int
    samples: int
    energies: tuple[Energy, ...] = ()
    conditions: Conditions | None = None
    segments: int = 1


class Seconds(msgspec.Struct, frozen=True):
    """Seconds per launch over all samples of all repetitions (warm-ups excluded, nothing else dropped). ``ci_low`` and
    ``ci_high`` bound the median at 95 % by bootstrap; of a single sample they say nothing, nor do ``stdev`` and
    percentiles. For a collective each sample is the maximum over ranks of the same iteration; ``rank_mean`` is the mean
    over iterations and ranks, which nccl-tests prints.
    """

    samples: int
    warmup_samples: int
    median: float
    mean: float
    stdev: float
    p5: float
    p95: float
    ci_low: float
    ci_high: float
    rank_mean: float | None = None


class Communication(msgspec.Struct, frozen=True):
    """What a collective went through. ``backend`` is gloo, nccl, rccl, xccl or the library beside them; ``algorithm``,
    ``protocol`` and ``channels`` are those of one launch of this case, in small letters as NCCL names them (``ring``,
    ``nvls``; ``ll128``); ``communicator_channels``, ``nvls`` and ``nvls_channels`` what the communicator has;
    ``environment`` the variables that steer the backend. What the library does not say is None, and ``reason`` says
    why there is no algorithm."""

    backend: str
    version: str
    algorithm: str | None = None
    protocol: str | None = None
    channels: int | None = None
    communicator_channels: int | None = None
    nvls: bool | None = None
    nvls_channels: int | None = None
    environment: dict[str, str] = {}
    reason: str = ""


class Measured(msgspec.Struct, frozen=True, tag="measured"):
    """The case ran, its output was right, and this is what it took.

    ``unmetered`` says why no meter's energy belongs to this device; empty when one does. ``steady``: power, temperature
    and rate had settled before the first window; None where that was not asked. ``collective``: how ranks communicated.
    ``static``: what the case's Triton kernels were compiled to, in the order of their launch; empty without any.
    ``pace``: how several ranks kept step. ``health``: of each metered device, what its driver told around the case.
    ``rechecks``: outputs compared again between windows; None where none was.
    """

    work: Work
    check: Check
    seconds: Seconds
    repetitions: tuple[Repetition, ...]
    buffers: int
    timer: str
    unmetered: str = ""
    host_device_clock_error: float | None = None
    note: str = ""
    steady: bool | None = None
    idle: tuple[Idle, ...] = ()
    sampler_cost: SamplerCost | None = None
    collective: Communication | None = None
    static: tuple[Static, ...] = ()
    pace: Pace | None = None
    health: tuple[Health, ...] = ()
    rechecks: Rechecks | None = None


class Skipped(msgspec.Struct, frozen=True, tag="skipped"):
    """The device or the library cannot run this case; ``reason`` says what is missing."""

    reason: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The case should have run and did not. ``rank`` is the culprit if known, ``log`` the last lines that it wrote."""

    error: str
    rank: int | None = None
    log: str = ""


Outcome = Measured | Skipped | Failed


class Record(msgspec.Struct, frozen=True):
    """One case of one run. ``time_utc`` is ISO 8601; ``flags`` are cautions for the reader (``indicative``, ``noisy``,
    ``interrupted``, ...), never reasons to drop it. ``origin``: of an ``imported`` figure; ``round``: of a burn-in."""

    schema: int
    run: str
    time_utc: str
    host: str
    case: Case
    device: Device
    outcome: Outcome
    target: Target | None = None
    flags: tuple[str, ...] = ()
    source: Literal["measured", "imported"] = "measured"
    origin: Origin | None = None
    round: Round | None = None

    @property
    def measured(self) -> Measured | None:
        """The measurement, or None if the case was skipped or failed."""
        return self.outcome if isinstance(self.outcome, Measured) else None

    @property
    def failure(self) -> str | None:
        """Why it failed; or, of one that was measured, which output was wrong between its windows. None: neither."""
        if isinstance(self.outcome, Failed):
            return self.outcome.error
        wrong = m.rechecks.wrong if (m := self.measured) and m.rechecks else ()
        return f"wrong output: {wrong[0].what}" if wrong else None

    @property
    def amount(self) -> int:
        """Headline work of one launch: FLOP, bytes, message bytes or samples. 0 where none was measured, or done."""
        return derived.amount(m.work) if (m := self.measured) else 0

    @property
    def rate(self) -> float | None:
        """Headline work per second at the median time: FLOP/s, byte/s (algbw), sample/s; None without work."""
        return derived.rate(m.work, m.seconds.median) if (m := self.measured) else None

    @property
    def flops_per_s(self) -> float | None:
        """FLOP/s at the median time; None for work that counts no FLOP."""
        m = self.measured
        return m.work.flops / m.seconds.median if m and m.work.flops and m.seconds.median else None

    @property
    def busbw(self) -> float | None:
        """Bus bandwidth in byte/s as nccl-tests defines it; None unless a collective over two ranks or more."""
        return derived.busbw(m.work, self.rate) if (m := self.measured) else None

    @property
    def meter(self) -> str | None:
        """The meter whose boundary speaks for this device, or None when nothing that encloses it was metered."""
        return derived.meter(self.device.type, m.repetitions) if (m := self.measured) else None

    @property
    def energies(self) -> tuple[tuple[Repetition, Energy], ...]:
        """Each repetition with the energy of :attr:`meter`; empty when not metered."""
        return derived.metered(m.repetitions, self.meter) if (m := self.measured) else ()

    @property
    def work_per_joule(self) -> float | None:
        """Headline work per joule: the mean over repetitions of work / energy of the same window; None if not metered,
        and where no work is done.
        For a collective the bus-bandwidth work (message bytes times bus factor) is used where the factor is not 0.
        """
        return derived.figures(m.work, self.energies).work_per_joule if (m := self.measured) else None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens per second at the median time, of a collective case those of all ranks; None if none are counted."""
        return (m.work.tokens / m.seconds.median or None) if (m := self.measured) and m.seconds.median > 0 else None

    @property
    def joules_per_token(self) -> float | None:
        """Energy of the device, or of all ranks' devices, for each token: known as well as :attr:`work_per_joule`."""
        per_joule = self.work_per_joule
        tokens = m.work.tokens if (m := self.measured) else 0
        return self.bus_amount / (tokens * per_joule) if tokens and per_joule else None

    @property
    def bus_amount(self) -> float:
        """:attr:`amount`, for messages times their bus factor (the factor of a single rank is 0: then times 1)."""
        return derived.bus_amount(m.work) if (m := self.measured) else 0.0

    @property
    def power_w(self) -> float | None:
        """Mean power over the measured windows in W: total energy / total time; None if not metered."""
        return derived.figures(m.work, self.energies).power_w if (m := self.measured) else None

    @property
    def of_peak(self) -> float | None:
        """Rate over the target's published peak for the same dtype or memory bandwidth; None if it has none.
        FLOP of a collective case are those of all its ranks, which have a device each, but for a CPU that they share.
        """
        if self.target is None or (m := self.measured) is None or self.rate is None:
            return None
        if m.work.headline == "flops":
            peak = self.target.peak_flops.get(peak_name(self.case.params.get("dtype")))
        else:
            peak = self.target.memory_bandwidth if m.work.headline == "bytes" else None
        devices = self.case.ranks if self.case.collective and self.device.type != "cpu" else 1
        return self.rate / (peak.value * devices) if peak else None

    @property
    def spread(self) -> float | None:
        """(p95 - p5) / median of the seconds per launch; None without several samples."""
        return derived.spread(m.seconds) if (m := self.measured) else None
