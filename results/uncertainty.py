"""How well a work per joule is known: an uncertainty budget in the manner of the GUM (JCGM 100), from a record alone.

Every term is a relative standard uncertainty. Type A, ``repeatability``, comes from the scatter of the repetitions,
widened by Student's factor because they are few. Type B terms are what the energies carry: a gain known within +-a is
taken as rectangular and gives a / sqrt(3); no repetition removes it. The terms add in quadrature, and a result is
stated as value +- U with U = 2 u (k = 2). What lies outside a meter's boundary is no uncertainty: it is another
quantity.

A replayed or modelled energy, an estimate (class E), and a sensor whose gain nobody states have no U, and the budget
says why. In the ratio of two results of one and the same instrument its gain cancels.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from perwatt.results.record import Energy, Record, Repetition
from perwatt.results.stats import student_cdf, student_quantile

K = 2.0  # coverage factor of every U
ONE_SIGMA = 0.8413447460685429  # what lies below one standard deviation of a normal distribution
QUIET = 0.01  # phases that differ by less than this show a load that does not beat with the sensor
LEAST_COVERAGE = 0.93  # an interval of k = 2 that covers less than this is said to
MOST_FREEDOM = 1000  # Student's t is normal from here on
# Half-widths of the gain of a class where nobody states it, and what they rest on.
CLASS_GAIN: dict[str, tuple[float, str]] = {
    "A": (0.01, "the limit for accepted wall analysers"),
    "B": (0.01, "the usual limit of metered PDUs"),
    "C": (0.10, "assumed: nobody states it"),
    "D": (0.05, "typical of sensors on a board"),
}
UNITS = {"flops": "FLOP", "bytes": "byte", "message": "bus byte", "samples": "sample", "time": "nothing"}


def gain_term(accuracy_class: str, accuracy: float | None = None) -> tuple[float | None, str]:
    """Relative standard uncertainty of a sensor's gain and where it is from: the stated half-width ``accuracy``, else
    that of the class; None for class E, whose figures are estimates whatever they state, and for an unknown class.

    Raises ValueError for an accuracy that is negative or not finite.
    """
    if accuracy is not None and not (math.isfinite(accuracy) and accuracy >= 0):
        raise ValueError(f"accuracy: found {accuracy!r}, allowed a relative half-width of 0 or more")
    if accuracy_class == "E":
        return None, "class E is an estimate"
    if accuracy is not None:
        return accuracy / math.sqrt(3), f"stated: within {100 * accuracy:.3g} %"
    if accuracy_class not in CLASS_GAIN:
        return None, f"class {accuracy_class} is not known"
    half, why = CLASS_GAIN[accuracy_class]
    return half / math.sqrt(3), f"class {accuracy_class}: within {100 * half:.3g} %, {why}"


def resolution_term(quantum: float, energy_j: float, kind: Literal["energy", "power"], power_w: float, n: int) -> float:
    """From a resolution of ``quantum`` (J or W): a counter is rounded at both ends of ``energy_j``, a gauge at each of
    ``n`` readings of about ``power_w``. Readings that repeat one value are one reading: they are rounded alike."""
    if kind == "energy":
        return quantum / (math.sqrt(6) * energy_j)
    return quantum / (math.sqrt(12 * max(n, 1)) * power_w)


def staleness_term(period_s: float, window_s: float) -> float:
    """From a counter that is renewed every ``period_s`` and read at both ends of a steady window whenever it suits."""
    return period_s / (math.sqrt(6) * window_s)


def tick_aligned(poll_s: float, window_s: float) -> float:
    """The same where both ends lie on renewals of the counter that were looked for every ``poll_s``."""
    return staleness_term(poll_s, window_s)


def aliasing_term(spread: float, eps_s: float, period_s: float, stratified: bool) -> float:
    """From a load that beats with a sensor of ``period_s``: ``spread`` is (max - min) / mean over phases. Evenly spaced
    (``stratified``) phases leave what their scatter ``eps_s`` (standard deviation of the starts) lets through, an upper
    estimate; uncontrolled ones half the spread as a rectangle. Below 1 % there is no beat: 0."""
    if spread <= QUIET:
        return 0.0
    return spread * 2 * eps_s / period_s if stratified else spread / (2 * math.sqrt(3))


def clock_term(
    u_s: float, window_s: float, offset_s: float = 0.0, step_w: float = 0.0, energy_j: float = math.inf
) -> float:
    """From the length of a window, known to ``u_s``, and from a remote meter's clock that is off by up to ``offset_s``
    where power steps by ``step_w`` at the edges (0 between guard bands)."""
    return math.hypot(u_s / window_s, step_w * offset_s / (math.sqrt(3) * energy_j))


def sum_of_boards(u: float, n: int, common_level: float = 0.0) -> float:
    """For the sum of ``n`` like boards whose own gains scatter by ``u`` round a level that they share and that is
    itself known to ``common_level``: only the scatter averages out. A bias of the driver or of the model belongs to the
    level. Raises ValueError for no board."""
    if n < 1:
        raise ValueError(f"a sum needs one board or more, not {n}")
    return math.hypot(u / math.sqrt(n), common_level)


@dataclass(frozen=True)
class Budget:
    """A work per joule (FLOP/J, byte/J) with what is known of its error.

    ``expanded``: U of k = 2 in the unit of ``value``, None where none can be stated, and ``reason`` says why;
    ``terms``: relative standard uncertainties by name, those that are known; ``repetitions`` that have an energy;
    ``coverage``: the probability that U covers, None without U; ``note``: what a reader of U should know.
    """

    value: float
    expanded: float | None
    terms: dict[str, float]
    repetitions: int
    reason: str = ""
    note: str = ""
    coverage: float | None = None

    @property
    def relative(self) -> float | None:
        """U / value."""
        return None if self.expanded is None else self.expanded / self.value

    @property
    def shares(self) -> dict[str, float]:
        """Each known term's part in the variance, the largest first; empty where all are 0."""
        total = math.fsum(u * u for u in self.terms.values())
        ordered = sorted(self.terms.items(), key=lambda item: -item[1])
        return {name: u * u / total for name, u in ordered} if total else {}

    @property
    def dominant(self) -> str:
        """The largest term; empty where U is not stated, since what is not known may be larger."""
        return next(iter(self.shares), "") if self.expanded is not None else ""


def budget(record: Record) -> Budget | None:
    """The budget of :attr:`Record.work_per_joule`; None if nothing was metered."""
    pairs = [(r, e) for r, e in record.energies if e.energy_j > 0]
    value = record.work_per_joule
    if not pairs or not value or not math.isfinite(value):
        return None
    terms, note = known_terms(record, pairs, value)
    notes = [note] if note else []
    if (m := record.measured) is not None and len(pairs) < len(m.repetitions):
        notes.append(f"{len(m.repetitions) - len(pairs)} of {len(m.repetitions)} windows have no energy")
    reason = unstated(record, [e for _, e in pairs], gain_needed=True)
    if reason:
        return Budget(value, None, terms, len(pairs), reason, "; ".join(notes))
    u = math.hypot(*terms.values())
    covered = _coverage(terms.get("repeatability", 0.0), u, len(pairs))
    if covered < LEAST_COVERAGE:
        notes.append(f"U covers about {100 * covered:.0f} %, not 95 %: {len(pairs)} repetitions decide it")
    return Budget(value, K * u * value, terms, len(pairs), "", "; ".join(notes), covered)


def known_terms(
    record: Record, pairs: Sequence[tuple[Repetition, Energy]], value: float
) -> tuple[dict[str, float], str]:
    """All that is known, repeatability first, and a note where a single repetition leaves that out."""
    n, terms, note = len(pairs), {}, ""
    if n > 1:
        spread = statistics.stdev([r.iterations * record.bus_amount / e.energy_j for r, e in pairs]) / value
        terms["repeatability"] = student_quantile(ONE_SIGMA, n - 1) * spread / math.sqrt(n)
    else:
        note = "one repetition: how well it repeats is not known, and not in U"
    for name in dict.fromkeys(name for _, e in pairs for name in e.terms):
        # not divided by sqrt(n): one program starts all windows, so that they may meet a sensor at like phases
        terms[name] = math.sqrt(statistics.fmean(e.terms.get(name, 0.0) ** 2 for _, e in pairs))
    if (m := record.measured) is not None and m.host_device_clock_error and "clock" not in terms:
        terms["clock"] = abs(m.host_device_clock_error) / math.sqrt(3)
    return terms, note


def unstated(record: Record, energies: Sequence[Energy], gain_needed: bool) -> str:
    """Why no U can be stated; empty if one can."""
    sources = {e.source for e in energies} | {"modelled" for e in energies if "modelled" in e.flags}
    classes = {e.accuracy_class for e in energies}
    if "modelled" in sources:
        return "the energy is modelled, not metered"
    if "replayed" in sources:
        return "the energy is replayed from a recorded trace"
    if "E" in classes:
        return "class E is an estimate, whose error nobody knows"
    wrong = [name for e in energies for name, u in e.terms.items() if not (math.isfinite(u) and u >= 0)]
    if wrong:
        return f"the term {wrong[0]} is not a number"
    if gain_needed and any("gain" not in e.terms for e in energies):
        return f"how true {energies[0].meter} reads (its gain) was not recorded"
    risky = "aliasing_risk" in {*record.flags, *(f for e in energies for f in e.flags)}
    if risky and "D" in classes and any("aliasing" not in e.terms for e in energies):
        return "the load beats with the sensor, and its phases were not spread: the error may be tens of per cent"
    return ""


def _coverage(repeatability: float, u: float, n: int) -> float:
    """The probability that k u covers, with the degrees of freedom of Welch and Satterthwaite: n - 1 for the scatter of
    the repetitions, endless for the other terms."""
    normal = math.erf(K / math.sqrt(2))
    if n < 2 or repeatability <= 0 or u <= 0:
        return normal
    plain = repeatability / student_quantile(ONE_SIGMA, n - 1)
    true = math.sqrt(max(u * u - repeatability**2, 0.0) + plain**2)
    freedom = (n - 1) * (true / plain) ** 4
    return 2 * student_cdf(K * u / true, int(freedom)) - 1 if freedom < MOST_FREEDOM else normal


@dataclass(frozen=True)
class Ratio:
    """One work per joule over another. ``terms`` are those of both, joined in quadrature; ``shared_gain``: both
    energies come from one instrument, whose gain has cancelled. ``expanded``: U of k = 2, None where ``reason`` says
    why."""

    value: float
    expanded: float | None
    terms: dict[str, float]
    shared_gain: bool
    reason: str = ""
    note: str = ""

    @property
    def differ(self) -> bool | None:
        """Whether the two differ by more than the uncertainty; None where that is not known."""
        return None if self.expanded is None else abs(self.value - 1) > self.expanded


def ratio(a: Record, b: Record) -> Ratio | None:
    """The work per joule of ``a`` over that of ``b``; None if one of them was not metered.

    Raises ValueError if they count different kinds of work.
    """
    first, second = budget(a), budget(b)
    if first is None or second is None or a.measured is None or b.measured is None:
        return None
    kinds = a.measured.work.headline, b.measured.work.headline
    if kinds[0] != kinds[1]:
        raise ValueError(f"{UNITS[kinds[0]]} per joule cannot be compared with {UNITS[kinds[1]]} per joule")
    of_a, of_b = [e for _, e in a.energies], [e for _, e in b.energies]
    shared = _same_instrument([*of_a, *of_b])
    names = [name for name in dict.fromkeys([*first.terms, *second.terms]) if not (shared and name == "gain")]
    terms = {name: math.hypot(first.terms.get(name, 0.0), second.terms.get(name, 0.0)) for name in names}
    reason = unstated(a, of_a, not shared) or unstated(b, of_b, not shared)
    if of_a[0].boundary != of_b[0].boundary:
        reason = f"the boundaries differ: {of_a[0].boundary} and {of_b[0].boundary}"
    notes = [budget.note for budget in (first, second)]
    if a.device.name != b.device.name and not shared and {e.accuracy_class for e in (*of_a, *of_b)} & {"C", "D"}:
        notes.append("two models by sensors below class B: one external meter on both would tell more")
    value = first.value / second.value
    expanded = None if reason else K * math.hypot(*terms.values()) * value
    return Ratio(value, expanded, terms, shared, reason, "; ".join(dict.fromkeys(filter(None, notes))))


def _same_instrument(energies: Sequence[Energy]) -> bool:
    """One sensor, in one range, corrected in one way. A sum over several packages may be the sum of several sensors, so
    that their number has to agree as well."""
    sensors = {(e.instrument, e.calibration, len(e.packages)) for e in energies}
    return len(sensors) == 1 and next(iter(sensors))[0] != ""
