"""``perwatt doctor``: what can be measured here, why the rest cannot, and what would enable it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest, compose, explain
from perwatt.benchmarks.environment import describe, host
from perwatt.benchmarks.launch.inline import Inline
from perwatt.benchmarks.launch.job import Launcher
from perwatt.benchmarks.launch.mpi import Mpi
from perwatt.benchmarks.launch.slurm import Slurm
from perwatt.benchmarks.launch.ssh import Ssh
from perwatt.benchmarks.launch.torchrun import Torchrun

LAUNCHERS: tuple[type[Launcher], ...] = (Inline, Torchrun, Slurm, Ssh, Mpi)


def doctor(arguments: Sequence[str]) -> int:
    """Look, and print what was found. 0 if there is a device to measure on, which a CPU always is."""
    from omegaconf import OmegaConf

    overrides = [a for a in arguments if a != "--measure-peaks"]
    if flags := [o for o in overrides if o.startswith("-")]:
        raise BadRequest(f"{flags[0]}: no such flag; choices: --measure-peaks")
    try:
        config: Any = OmegaConf.to_container(compose(overrides), resolve=True)
    except Exception as error:
        raise BadRequest(explain(error, overrides)) from None
    from perwatt.benchmarks.devices import device_type

    kind = device_type(config["device"])
    found = {**host(), **describe(kind, config["meter"])}
    sections = [_machine(found), _devices(found), _meters(found), _launchers()]
    peaks: dict[str, dict[str, float]] = {}
    if "--measure-peaks" in arguments:
        peaks, lacking = _peaks()
        sections.append(_peak_lines(peaks, lacking))
    print("\n\n".join("\n".join(section) for section in sections))
    missing = [m["name"] for m in found["meters"] if not m["available"]]
    last_line(devices=len(found["devices"]), kind=kind, meters_missing=missing, peaks=peaks, exit=0)
    return 0


def _machine(found: dict[str, Any]) -> list[str]:
    cpu, torch = found["cpu"], found["torch"]
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return [
        f"machine    {found['host']}: {cpu['model']}, {cpu['cores']} cores, {cpu['memory_bytes'] / 2**30:.0f} GiB",
        f"software   {found['os']}, Linux {found['kernel']}, Python {found['python']}",
        f"           {packages}",
        f"torch      {torch['version']} ({torch['build']}), {torch['threads']} threads, {torch['cpu_capability']}",
    ]


def _devices(found: dict[str, Any]) -> list[str]:
    from perwatt.benchmarks.targets import load_targets, recognise
    from perwatt.results.record import Device

    files = load_targets(())
    lines = ["devices"]
    for about in found["devices"]:
        target = recognise(Device(**about), files)
        known = f"target {target.name}" if target else "no target knows it: no percentage of a datasheet peak"
        lines.append(f"  ok       {about['type']}:{about['index']} {about['name']} ({known})")
    if found["kind"] == "cpu":
        lines.append(f"  missing  no accelerator that torch {found['torch']['version']} can use")
        if found["torch"]["build"] == "CPU":
            lines.append(
                "           this torch is built for the CPU: install the build for your accelerator, or work in"
            )
            lines.append(
                "           the vendor's container with `pip install -e .`, which keeps the torch that is there"
            )
    return lines


def _meters(found: dict[str, Any]) -> list[str]:
    lines = ["meters"]
    for meter in found["meters"]:
        if meter["available"]:
            detail = f" {meter['detail']}" if meter["detail"] else ""
            what = (
                f"{meter['boundary']}, {meter['kind']}, class {meter['accuracy_class']}, {', '.join(meter['packages'])}"
            )
            lines.append(f"  ok       {meter['name']}: {what}{detail}")
        else:
            lines.append(f"  missing  {meter['name']}: {meter['reason']}")
            if meter["remedy"]:
                lines.append(f"           -> {meter['remedy']}")
    if len(lines) == 1:
        lines.append("  none was asked for (meter=none)")
    return lines


def _launchers() -> list[str]:
    lines = ["launchers"]
    for launcher in LAUNCHERS:
        why = launcher.missing()
        lines.append(f"  missing  {launcher.name}: {why}" if why else f"  ok       {launcher.name}")
    return lines


def _peaks() -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """FLOP/s of fused multiply-adds in registers by dtype, on one thread and on all; by dtype why one is lacking."""
    import statistics
    import time

    from perwatt.benchmarks.devices import cpu
    from perwatt.kernels.fma_spin import FmaSpin
    from perwatt.kernels.workload import Place, Unsupported

    cores = cpu().cores or 1
    out: dict[str, dict[str, float]] = {}
    lacking = {}
    for dtype in ("fp32", "fp64", "bf16", "int8"):
        for threads in dict.fromkeys((1, cores)):
            spec = FmaSpin(dtype=dtype, threads=threads)
            try:
                prepared = spec.prepare(Place("cpu"))
            except Unsupported as why:
                lacking[dtype] = str(why)
                break
            seconds: list[float] = []
            end = time.monotonic() + 1.0
            while time.monotonic() < end or len(seconds) < 5:
                start = time.perf_counter()
                prepared.launch()
                seconds.append(time.perf_counter() - start)
            out.setdefault(dtype, {})[str(threads)] = spec.work().flops / statistics.median(seconds)
    return out, lacking


def _peak_lines(peaks: dict[str, dict[str, float]], lacking: dict[str, str]) -> list[str]:
    lines = ["register-resident peak of this CPU, measured"]
    for dtype, by_threads in peaks.items():
        each = ", ".join(
            f"{flops / 1e9:.1f} GFLOP/s on {n} thread{'s' * (n != '1')}" for n, flops in by_threads.items()
        )
        lines.append(f"  ok       {dtype}: {each}")
    return lines + [f"  missing  {dtype}: {why}" for dtype, why in lacking.items()]
