"""``perwatt run`` and ``perwatt report``: from the command line to a run folder, and from a run folder to text."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perwatt.benchmarks import folder
from perwatt.benchmarks.config import CONFIG_NAME, CONFIG_PATH, BadRequest, explain, quoted, register
from perwatt.benchmarks.options import only
from perwatt.results.reports.formats import FORMATS, render, show
from perwatt.results.run import CONFIG
from perwatt.results.store import Store, StoreError, write_atomically

if TYPE_CHECKING:
    from perwatt.benchmarks.launch.slurm import Slurm


def last_line(**values: Any) -> None:
    """The one line of JSON that ends every command's output."""
    print(json.dumps(values), flush=True)


# What Hydra's command line takes, and what a flag's value is; anything else is a slip, told in one line.
FLAGS = {
    "--cfg": "job, hydra or all",
    "-c": "job, hydra or all",
    "--resolve": "",
    "--package": "a package",
    "-p": "a package",
}
FLAGS |= {"--multirun": "", "-m": "", "--config-dir": "a folder", "-cd": "a folder", "--config-name": "a name"}
FLAGS |= {"-cn": "a name", "--info": "", "-i": "", "--hydra-help": "", "--shell-completion": "", "-sc": ""}


# -- run -----------------------------------------------------------------------------------------------------------


def run(arguments: Sequence[str]) -> int:
    """Compose the configuration with Hydra, then measure. Returns the exit code."""
    flags, overrides = _sorted(arguments)
    codes: list[int] = []
    raised: list[Exception] = []

    def job(config: Any) -> None:
        if raised or 130 in codes:
            return  # of a sweep, what follows a mistake or an interruption is not run
        try:
            codes.append(_job(config))
        except Exception as error:  # kept here: Hydra would wrap it, print it and go on
            raised.append(error)

    _hydra(job, flags, overrides)
    if raised:
        raise raised[0]
    # of several jobs the worst speaks; an interruption ends them all
    return 130 if 130 in codes else max(codes, default=0)


def _sorted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with their values, and the overrides: Hydra takes them in this order only."""
    flags, overrides = [], []
    rest = iter(arguments)
    for argument in rest:
        name, equals, _ = argument.partition("=")
        if argument == "--dry-run":
            overrides.append("dry_run=true")
        elif not argument.startswith("-"):
            overrides.append(quoted(argument))
        elif name not in FLAGS:
            raise BadRequest(f"{argument}: no such flag; choices: --dry-run, {', '.join(FLAGS)}")
        else:
            flags.append(argument)
            if FLAGS[name] and not equals:
                if (value := next(rest, None)) is None:
                    raise BadRequest(f"{name}: needs a value: {FLAGS[name]}")
                flags.append(value)
    return flags, overrides


def _hydra(job: Callable[[Any], None], flags: list[str], overrides: list[str]) -> None:
    """Let Hydra parse its own flags and call back once a job; turn what it complains about into one line."""
    import hydra

    register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # without it Hydra prints and exits by itself, with 1
    before, sys.argv = sys.argv, ["perwatt run", *flags, *overrides]
    try:
        hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name=CONFIG_NAME)(job)()
    except SystemExit as left:
        if left.code:
            raise BadRequest(f"{' '.join(flags)}: a flag's value is not one that Hydra takes") from None
    except Exception as error:
        raise BadRequest(explain(error, overrides, _directories(flags))) from None
    finally:
        sys.argv = before


def _directories(given: Sequence[str]) -> list[str]:
    """What --config-dir named, for messages that list choices."""
    pairs = itertools.pairwise([*given, ""])
    found = [b if "=" not in a else a.split("=", 1)[1] for a, b in pairs if a.startswith(("--config-dir", "-cd"))]
    return [str(Path(d).resolve()) for d in found]


def _job(config: Any) -> int:
    """One run: a new folder, or the one to be resumed."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    about = HydraConfig.get()
    parent = Path(config.runs_dir)
    if config.resume is not None:
        others = [o for o in about.overrides.task if not o.startswith(("resume=", "runs_dir="))]
        if others:
            raise BadRequest(f"resume: the run keeps its own configuration; remove {', '.join(others)}")
        where = folder.find(config.resume, parent, "resume")
        plain = _saved(where / CONFIG)
        return _measure(plain, where, _user_dirs(about), fresh=False)
    plain = _plain(config)
    from perwatt.benchmarks.plan import check

    plan = check(plain, _user_dirs(about))
    plain["kernels"] = dict(plan.entries)  # with the models' shapes: what is kept needs no file of the user's
    barred = plan.sweep is not None and not plain["allow_settings"]
    if barred and not config.dry_run:
        print("perwatt run: nothing is set or measured without allow_settings=true; it would be:", file=sys.stderr)
    if config.dry_run or barred:
        return _dry_run(plain, plan, list(about.overrides.task))
    sweep = about.mode is not None and about.mode.name == "MULTIRUN"
    where = folder.create(
        Path(about.sweep.dir) if sweep else parent, config.suite, str(about.job.num) if sweep else None
    )
    write_atomically(where / CONFIG, OmegaConf.to_yaml(OmegaConf.create(plain)))
    return _measure(plain, where, _user_dirs(about), fresh=True)


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return dict(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))  # type: ignore[arg-type]
    except OmegaConfBaseException as error:
        raise BadRequest(str(error).splitlines()[0]) from None


def _saved(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    try:
        return dict(OmegaConf.to_container(OmegaConf.load(path), resolve=True))  # type: ignore[arg-type]
    except FileNotFoundError:
        raise BadRequest(f"{path}: missing; the run was killed before it was configured, start a new one") from None
    except Exception as error:
        raise BadRequest(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None


def _user_dirs(about: Any) -> list[Path]:
    """Folders of the user's own YAML: wherever Hydra looks for it outside the package."""
    return [Path(s.path) for s in about.runtime.config_sources if s.schema == "file"]


def _measure(plain: dict[str, Any], where: Path, directories: list[Path], fresh: bool) -> int:
    from perwatt.benchmarks.launch.slurm import Slurm
    from perwatt.benchmarks.plan import check
    from perwatt.benchmarks.run import Leader
    from perwatt.benchmarks.watched import Lost

    plan = check(plain)
    leader = Leader(plain, plan, where, directories)
    if isinstance(plan.launcher, Slurm) and not plan.launcher.allocated():
        return _submit(plan.launcher, where, fresh)
    if plan.launcher.remote:
        from perwatt.benchmarks.cluster.fleet import FleetLeader

        leader = FleetLeader(plain, plan, where, directories)
    try:
        tally = leader.measure()
    except ValueError:
        if fresh:
            folder.discard(where)
        raise
    except StoreError as error:  # somebody else measures it
        raise BadRequest(f"resume: {error}") from None
    except Lost as lost:  # the very first rank: there is no device to measure on
        print(f"perwatt run: {lost}\n{lost.log}", file=sys.stderr)
        last_line(run=str(where), measured=0, skipped=0, failed=0, exit=3)
        return 3
    code = tally.exit_code(plain["allow_failed"])
    _conclude(where, tally.lost or tally.stopped)
    last_line(run=str(where), measured=tally.measured, skipped=tally.skipped, failed=tally.failed, exit=code)
    return code


def _submit(launcher: Slurm, where: Path, fresh: bool) -> int:
    """Hand the run to Slurm and say how to follow it."""
    from perwatt.benchmarks.cluster.submission import LOG, submit

    try:
        Store(where).close()  # a job that still measures it holds it
        job = submit(launcher, where)
    except StoreError as error:
        raise BadRequest(f"resume: {error}") from None
    except ValueError:
        if fresh:
            folder.discard(where)
        raise
    print(f"submitted as job {job}: tail -f {where / LOG}; what it leaves undone: perwatt run resume={where}")
    last_line(run=str(where), job=job, exit=0)
    return 0


def _conclude(where: Path, lost: str) -> None:
    """The table on stdout and the report in the folder; what was measured is safe by now, whatever happens here."""
    show(where)
    try:
        write_atomically(where / folder.REPORT, render(where, "html"))
        print(f"report: {where / folder.REPORT}")
    except OSError as error:
        lost = lost or f"cannot write {where / folder.REPORT}: {error.strerror}"
    if lost:
        print(f"perwatt run: {lost}; finish with: perwatt run resume={where}", file=sys.stderr)


def _dry_run(plain: dict[str, Any], plan: Any, overrides: Sequence[str]) -> int:
    """The cases, the estimated time and what would be started, for the device that is here or was named."""
    from perwatt.benchmarks import launching
    from perwatt.benchmarks.plan import estimate_s
    from perwatt.benchmarks.progress import duration

    kind, devices = found = launching.devices(plain["device"])
    started = launching.commands(plan.launcher, plain, [o for o in overrides if not o.startswith("dry_run")], found)
    ranks = plan.launcher.ranks or (2 if kind == "cpu" else max(devices, 2))
    caps_w, times = _caps(plan, kind, devices)
    cases = plan.cases(kind, ranks, caps_w=caps_w)
    for planned in cases:
        known = plan.launcher.ranks or devices or kind == "cpu"
        ranks_text = f"{planned.case.ranks} ranks" if known else "a rank a device"
        group = f"  ({ranks_text})" if planned.case.collective else ""
        print(f"{planned.case.kernel:16} {planned.case.label}{group}")
    count, seconds = times * len(cases), times * estimate_s(cases)
    print(f"\n{count} cases on {kind}, about {duration(seconds)} (h:m:s) for each device, all devices side by side")
    told: dict[str, Any] = {}
    if plan.duration_s is not None:
        told = {"rounds": max(1, round(plan.duration_s / seconds))}
        seconds = plan.duration_s
        print(f"round after round for {duration(seconds)} (h:m:s), about {told['rounds']} of them")
    if plan.launcher.remote:
        from perwatt.benchmarks.cluster.outlook import outlook

        hosts, named = launching.nodes(plan.launcher)
        per_host = -(-plan.launcher.ranks // len(hosts)) if plan.launcher.ranks else 1 if kind == "cpu" else devices
        groups = outlook(plain, plan, kind, hosts, per_host or 1, named)
        print("", *groups.lines, f"groups and pairs: about {duration(groups.estimate_s)} (h:m:s) more", sep="\n")
        told |= {"groups": groups.groups, "pairs": groups.pairs, "rounds": groups.rounds}
    print("", *started, "", sep="\n")
    last_line(suite=plain["suite"], cases=count, estimate_s=round(seconds, 1), **told, exit=0)
    return 0


def _caps(plan: Any, kind: str, devices: int) -> tuple[Sequence[float | None], int]:
    """The power limits of the cases, told; and how often each case is measured, where only its node will know them."""
    if plan.sweep is None:
        return (None,), 1
    caps_w: Sequence[float]
    if plan.launcher.remote:
        caps_w, where = sorted(plan.sweep.caps_w or (), reverse=True), "on each node; groups at those that are set now"
    else:
        from perwatt.benchmarks.caps.sweep import found as limits

        settable, caps_w = limits(plan.sweep, kind, [{"index": index} for index in range(max(devices, 1))])
        where = "of " + ", ".join(f"{limit.name} (now {limit.read():g} W)" for limit in settable)
    levels = f"{plan.sweep.levels} from the most to the least allowed"
    told = ", ".join(f"{cap:g}" for cap in caps_w) + " W" if caps_w else levels
    print(f"power limits {told}, one after the other, {where}\n")
    return (caps_w, 1) if caps_w else ((None,), plan.sweep.levels)


# -- report --------------------------------------------------------------------------------------------------------


def report(arguments: Sequence[str]) -> int:
    """Render a run that has been measured."""
    choices = f"run=RUN, format={'|'.join(FORMATS)}, runs_dir=DIR"
    options = only(arguments, choices, run="latest", format="console", runs_dir="results/runs")
    if options["format"] not in FORMATS:
        raise BadRequest(f"format={options['format']}: choices: {', '.join(FORMATS)}")
    where = folder.find(options["run"], Path(options["runs_dir"]))
    if options["format"] == "console":
        show(where)
        last_line(run=str(where), exit=0)
    elif options["format"] == "html":
        write_atomically(where / folder.REPORT, render(where, "html"))
        last_line(run=str(where), report=str(where / folder.REPORT), exit=0)
    else:  # for other programs: nothing but the document
        print(render(where, options["format"]), end="")
    return 0
