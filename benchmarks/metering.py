"""``perwatt meter``: which meters there are, what they say now, and what a board's sensor really does."""

from __future__ import annotations

import json
import math
import signal
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from typing import Any

from perwatt.benchmarks.build import build
from perwatt.benchmarks.calibrated import calibrate
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest, composed
from perwatt.benchmarks.meters.meter import Meter, Part, Unavailable
from perwatt.benchmarks.options import options
from perwatt.benchmarks.sampler import Channel, Sampler, open_meters
from perwatt.results import calibration
from perwatt.results.uncertainty import gain_term

READS, REMOTE_READS = 20, 3


def meter(arguments: Sequence[str]) -> int:
    """Dispatch to ``list``, ``watch``, ``characterise`` or ``import``. Raises BadRequest for anything else."""
    commands = {"list": listing, "watch": watch, "characterise": characterise, "import": _import}
    name = arguments[0] if arguments else ""
    if name not in commands:
        raise BadRequest(f"{name or 'nothing'}: no such command; choices: {', '.join(commands)}")
    return commands[name](arguments[1:])


def _import(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.importing import import_trace

    return import_trace(arguments)


def _open(overrides: Sequence[str], part: Part | None = None) -> tuple[list[Channel], dict[str, Unavailable], Any]:
    """Compose the configuration and open its meters for the first device, without asking torch unless it must."""
    config = composed(overrides)
    if not config["meter"]:
        return [], {}, Part("cpu")
    if part is None:
        from perwatt.benchmarks import devices

        kind = devices.device_type(config["device"])
        part = Part(kind, 0, devices.describe(kind, 0).uuid)
    meters: dict[str, Meter] = {
        name: build(node, "perwatt.benchmarks.meters", f"meter.{name}") for name, node in config["meter"].items()
    }
    channels, missing = open_meters(meters, part, host=True)
    calibrate(channels)
    return channels, missing, part


# -- list ----------------------------------------------------------------------------------------------------------


def listing(arguments: Sequence[str]) -> int:
    """Each configured meter: what it is, what reading it costs, what it says now; or why it is missing."""
    mine, rest = options(arguments, format="console")
    if mine["format"] not in ("console", "json"):
        raise BadRequest(f"format={mine['format']}: choices: console, json")
    channels, missing, _ = _open(rest)
    found = [_about(c) for c in channels]
    absent = [{"name": n, "reason": m.reason, "remedy": m.remedy} for n, m in missing.items()]
    if mine["format"] == "json":
        print(json.dumps({"meters": found, "missing": absent}, indent=2))
        return 0
    for about in found:
        print("\n".join(_lines(about)))
    for lack in absent:
        print(
            f"missing  {lack['name']}: {lack['reason']}" + (f"\n         -> {lack['remedy']}" if lack["remedy"] else "")
        )
    last_line(meters=len(found), missing=[m["name"] for m in absent], exit=0)
    return 0


def _about(channel: Channel) -> dict[str, Any]:
    about = channel.capabilities
    readings = [channel.poll() for _ in range(REMOTE_READS if about.remote else READS)]
    costs = [r.call_ns * 1e-9 for r in readings if r is not None]
    last = readings[-1]
    found = calibration.load(about.packages[0], about.name) if len(about.packages) == 1 else None
    return {
        "name": about.name,
        "kind": about.kind,
        "boundary": about.boundary,
        "packages": list(about.packages),
        "accuracy_class": about.accuracy_class,
        "accuracy": about.accuracy,
        "accuracy_source": about.accuracy_source,
        "period_s": about.period_s,
        "poll_s": about.poll_s,
        "averaging_s": about.averaging_s,
        "delay_s": about.delay_s,
        "attention": about.attention,
        "quantum": about.quantum,
        "limit_w": about.limit_w,
        "source": "modelled" if about.modelled else "replayed" if about.replayed else "measured",
        "read_s": statistics.median(costs),
        "value": last.value if last else None,
        "status": last.status if last else "lost",
        "calibration": channel.calibration,
        "characterised": found.date if found else "",
        "facts": about.facts,
    }


def _lines(about: dict[str, Any]) -> list[str]:
    unit = "J" if about["kind"] == "energy" else "W"
    stated = f" +-{about['accuracy']:.1%}" if about["accuracy"] else ""
    value = f"{about['value']:.1f} {unit}" if about["value"] is not None else about["status"]
    quantum = f", steps of {about['quantum']:g} {unit}" if about["quantum"] else ""
    averaging = f", mean of {about['averaging_s']:g} s" if about["averaging_s"] else ""
    lines = [
        f"ok       {about['name']}: {about['boundary']}, {about['kind']}, class {about['accuracy_class']}{stated}"
        + ("" if about["source"] == "measured" else f", {about['source']}"),
        f"         of {', '.join(about['packages'])}",
        f"         now {value}; renewed every {about['period_s']:g} s{averaging}{quantum}; "
        f"a reading takes {about['read_s'] * 1e3:.2f} ms",
    ]
    if about["limit_w"] or about["delay_s"] or about["attention"] is not None:
        known = [f"limit {about['limit_w']:g} W"] if about["limit_w"] else []
        known += [f"delay {about['delay_s']:.3g} s"] if about["delay_s"] else []
        known += [f"looks {about['attention']:.0%} of the time"] if about["attention"] is not None else []
        lines.append("         " + ", ".join(known))
    if about["accuracy_source"]:
        lines.append(f"         accuracy: {about['accuracy_source']}")
    if about["characterised"]:
        by = f", corrected by {about['calibration']}" if about["calibration"] else ""
        lines.append(f"         characterised on {about['characterised']}{by}")
    if about["facts"]:
        lines.append("         " + ", ".join(f"{k} {v}" for k, v in about["facts"].items()))
    return lines


# -- watch ---------------------------------------------------------------------------------------------------------


def watch(arguments: Sequence[str]) -> int:
    """Power of each meter, live, until Ctrl-C or for ``seconds``; then what was seen."""
    mine, rest = options(arguments, seconds=0.0, interval_s=1.0)
    if mine["interval_s"] <= 0 or mine["seconds"] < 0:
        raise BadRequest("interval_s: needs to be above 0, and seconds 0 (until Ctrl-C) or more")
    channels, missing, _ = _open(rest)
    if not channels:
        raise BadRequest("no meter can be read here: " + "; ".join(f"{n}: {m.reason}" for n, m in missing.items()))
    # where the shell that started it ignores interrupts, it would go on for ever
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seen: dict[str, list[float]] = {c.capabilities.name: [] for c in channels}
    began = last_ns = time.monotonic_ns()
    try:
        with Sampler(channels), _Screen() as screen:
            while not mine["seconds"] or (time.monotonic_ns() - began) * 1e-9 < mine["seconds"]:
                time.sleep(mine["interval_s"])
                now_ns = time.monotonic_ns()
                for channel in channels:
                    # a counter needs two renewals: look back further than one interval
                    back_ns = max(now_ns - last_ns, round(4e9 * max(channel.capabilities.period_s, 0.05)))
                    watts = Sampler([channel]).mean_w(now_ns - back_ns, now_ns)
                    if watts is not None:
                        seen[channel.capabilities.name].append(watts)
                last_ns = now_ns
                screen.show(channels, seen, (now_ns - began) * 1e-9)
    except KeyboardInterrupt:
        pass
    summary = {
        name: {"min_w": min(w), "mean_w": statistics.fmean(w), "max_w": max(w)} if w else None
        for name, w in seen.items()
    }
    last_line(seconds=round((time.monotonic_ns() - began) * 1e-9, 1), power=summary, exit=0)
    return 0


class _Screen:
    """A table that is renewed in place on a terminal, a line each time elsewhere."""

    def __enter__(self) -> _Screen:
        from rich.live import Live

        self._live = Live(auto_refresh=False) if sys.stderr.isatty() and sys.stdout.isatty() else None
        self._throttled: dict[str, dict[str, int]] = {}
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, channels: Sequence[Channel], seen: dict[str, list[float]], elapsed_s: float) -> None:
        """The state of each meter now."""
        rows = [
            (c.capabilities.name, c.capabilities.boundary, seen[c.capabilities.name], self._state(c)) for c in channels
        ]
        if self._live is None:
            each = ", ".join(f"{name} {w[-1]:.1f} W" if w else f"{name} no reading" for name, _, w, _ in rows)
            states = dict.fromkeys(state for *_, state in rows if state)  # meters of one board say the same
            each = "; ".join([each, *states])
            print(f"{elapsed_s:8.1f} s  {each}", file=sys.stderr, flush=True)
            return
        from rich.table import Table

        table = Table("meter", "boundary", "now W", "min W", "mean W", "max W", "state")
        for name, boundary, w, state in rows:
            figures = [f"{x:.1f}" for x in (w[-1], min(w), statistics.fmean(w), max(w))] if w else ["-"] * 4
            table.add_row(name, boundary, *figures, state)
        self._live.update(table, refresh=True)

    def _state(self, channel: Channel) -> str:
        """Temperatures and clocks, and what has held the clocks down since the last look."""
        found = Sampler([channel]).snapshots()
        if not found:
            return ""
        now = found[0].throttle_ns
        before = self._throttled.get(channel.capabilities.name, now)
        self._throttled[channel.capabilities.name] = now
        held = [reason for reason, ns in now.items() if ns > before.get(reason, ns)]
        degrees = ", ".join(f"{place} {c:.0f} C" for place, c in found[0].temperature_c.items())
        clocks = ", ".join(f"{domain} {hz / 1e6:.0f} MHz" for domain, hz in found[0].clock_hz.items())
        return "; ".join(filter(None, (degrees, clocks, "throttled: " + ", ".join(held) if held else "")))


# -- characterise --------------------------------------------------------------------------------------------------


def characterise(arguments: Sequence[str]) -> int:
    """Find out what the sensors of the first device do, and keep it for every later run on that board."""
    from perwatt.benchmarks.characterise import QUICK, Characteriser, Durations
    from perwatt.benchmarks.loads import Matmul

    mine, rest = options(arguments, quick=False, reference="")
    channels, missing, part = _open(rest)
    real = [c for c in channels if not (c.capabilities.modelled or c.capabilities.replayed)]
    reference = next((c for c in channels if c.capabilities.name == mine["reference"]), None)
    if mine["reference"] and reference is None:
        names = ", ".join(c.capabilities.name for c in channels) or "none"
        raise BadRequest(f"reference={mine['reference']}: no such meter is open; open: {names}")
    if reference is not None:
        _trust(reference)
    sensors = [c for c in real if c is not reference]
    if not sensors:
        why = "; ".join(f"{n}: {m.reason}" for n, m in missing.items()) or "no meter was asked for"
        raise BadRequest(f"no sensor to characterise: {why}")
    for channel in sensors:  # the sensor itself, not what an earlier calibration makes of it
        channel.correction, channel.calibration = (1.0, 0.0), ""
    durations = QUICK if mine["quick"] else Durations()
    load = Matmul(part.type, part.index)
    try:
        told = lambda text: print(f"  {text}", file=sys.stderr, flush=True)  # noqa: E731
        work = Characteriser([*sensors, reference] if reference else sensors, load, durations, told)
        print(f"about {work.total_s:.0f} s of switched load on {part.type}:{part.index}", file=sys.stderr)
        found = work.run()
        fitted, trouble = _fitted(work, reference, found)
    except KeyboardInterrupt:
        print("perwatt meter: interrupted; what was known of the sensors before stays", file=sys.stderr)
        raise
    finally:
        load.close()
    files = [str(_keep(c, found, fitted, reference)) for c in sensors if len(c.capabilities.packages) == 1]
    if trouble:
        print(f"perwatt meter: what was found of the sensors is kept; not calibrated: {trouble}", file=sys.stderr)
    code = 3 if trouble else 0
    last_line(files=files, exit=code)
    return code


def _fitted(work: Any, reference: Channel | None, found: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The lines through the levels, or why there are none: what was found before then is not lost."""
    if reference is None:
        return {}, ""
    try:
        return work.against(reference, found), ""
    except ValueError as why:
        return {}, str(why)


def _trust(reference: Channel) -> None:
    """Give a reference that states no accuracy that of its class: none at all would pass for a perfect meter."""
    about = reference.capabilities
    gain, why = gain_term(about.accuracy_class, about.accuracy)
    if gain is None or about.modelled or about.replayed:
        what = "modelled" if about.modelled else "a recorded trace" if about.replayed else why
        raise BadRequest(f"reference={about.name}: {what}; allowed a meter that measures this machine, class A to D")
    if not gain:
        raise BadRequest(f"reference={about.name}: states an accuracy of 0; allowed what its data sheet says")
    reference.capabilities = replace(about, accuracy=math.sqrt(3) * gain)


def _keep(channel: Channel, found: dict[str, Any], fitted: dict[str, Any], reference: Channel | None) -> Any:
    """Print and store what was found of one sensor."""
    about, what = channel.capabilities, found[channel.capabilities.name]
    line = fitted.get(about.name)
    before = calibration.load(about.packages[0], about.name)
    kept = calibration.Characteristic(
        package=about.packages[0],
        meter=about.name,
        date=date.today().isoformat(),
        perwatt=version("perwatt"),
        host=socket.gethostname(),
        facts=about.facts,
        period_s=what.period_s,
        delay_s=what.step.delay_s if what.step else what.lag_s,
        rise_s=what.step.rise_s if what.step else None,
        averaging_s=what.step.averaging_s if what.step else None,
        attention=what.attention,
        counter_vs_poll=what.counter_vs_poll,
        u=what.u,
        # a calibration outlives a look at the sensor that had no reference beside it
        calibration=(before.calibration if before else None)
        if line is None or reference is None
        else calibration.Calibration(
            line.gain,
            line.offset_w,
            max(line.u_relative(line.low_w), line.u_relative(line.high_w)),
            reference.capabilities.name,
            reference.capabilities.accuracy or 0.0,
            line.low_w,
            line.high_w,
            date.today().isoformat(),
        ),
    )
    print(f"{about.name} on {about.packages[0]}")
    for key in ("period_s", "delay_s", "rise_s", "averaging_s", "attention"):
        value, u = getattr(kept, key), kept.u.get(key)
        around = f" +- {2 * u:.2g} (k=2)" if u else ""
        print(f"  {key:16} {'could not be told' if value is None else f'{value:.4g}{around}'}")
    for name, value in kept.counter_vs_poll.items():
        print(f"  counter over poll, {name}: {value:+.2%}")
    if kept.calibration:
        fit = kept.calibration
        print(
            f"  true power = {fit.gain:.4f} * reading {fit.offset_w:+.2f} W, u = {fit.u_gain:.2%}, by {fit.reference}"
        )
    return calibration.store(kept)
