"""What ``perwatt compare run=RUN baseline=... store=DIR`` asks for: a run against a baseline of the same machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perwatt.benchmarks import folder
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.results.compare import baselines
from perwatt.results.compare.baselines import Identity
from perwatt.results.compare.pairing import Cases, read

STORED = "store"  # the baseline that is looked up
FIRST = "store one first: perwatt compare run=RUN store=DIR keep=true"


@dataclass(frozen=True)
class Regression:
    """``run`` against ``baseline`` (None: it is only to be kept) with both identities; ``stored`` are the runs of the
    machine in ``store``, the oldest first."""

    run: Path
    about: Identity
    baseline: Path | None
    before: Identity | None
    store: Path | None
    stored: tuple[tuple[Path, Identity], ...]

    @property
    def paths(self) -> list[Path]:
        """The baseline, which is the reference, and the run."""
        assert self.baseline is not None
        return [self.baseline, self.run]

    def history(self) -> Sequence[Cases]:
        """The stored runs whose software is the baseline's: what differs among them is no change of anybody's."""
        if self.before is None:
            return ()
        same = [(path, about) for path, about in self.stored if about.software == self.before.software]
        return [Cases(about.run, read(path)) for path, about in same if path.resolve() != self.run.resolve()]

    def told(self) -> list[str]:
        """What changed between baseline and run."""
        assert self.before is not None
        software = baselines.changed(self.before.software, self.about.software)
        return [f"software since the baseline: {'; '.join(software) or 'unchanged'}"]

    def kept(self) -> Path:
        """Copy the run into the store."""
        assert self.store is not None
        try:
            return baselines.keep(self.run, self.store, self.about)
        except OSError as error:
            raise BadRequest(f"store={self.store}: cannot be written: {error.strerror}") from None

    def keep(self) -> int:
        """Only keep the run, and say where. Returns 0."""
        where = self.kept()
        print(f"kept for machine {self.about.machine}: {where}")
        last_line(run=str(self.run), kept=str(where), exit=0)
        return 0


def asked(options: dict[str, str]) -> Regression | None:
    """The regression that the command's options ask for; None if they ask for none. Raises BadRequest."""
    store = Path(options["store"]) if options["store"] else None
    if not any(options[key] for key in ("run", "baseline", "store")):
        if options["keep"] == "true":
            raise BadRequest("keep=true: needs the run and the store: run=RUN store=DIR")
        return None
    if options["runs"] or options["reference"]:
        raise BadRequest("runs= and run=: found both; allowed runs=[A,B,...], or run=RUN with baseline= or store=")
    run = folder.find(options["run"] or "latest", Path(options["runs_dir"]))
    about = baselines.identity(run)
    if options["keep"] == "true" and store is None:
        raise BadRequest("keep=true: needs store=DIR")
    stored = tuple(baselines.kept(store, about.machine)) if store else ()
    if not options["baseline"]:
        if options["keep"] != "true":
            raise BadRequest("run=: needs baseline=RUN, baseline=store with store=DIR, or keep=true to store it")
        if options["fail_on"]:
            raise BadRequest("fail_on=worse: needs a baseline: baseline=RUN or baseline=store")
        return Regression(run, about, None, None, store, stored)
    baseline, before = _baseline(options, store, about, stored)
    if differ := baselines.changed(before.hardware, about.hardware):
        raise BadRequest(f"baseline={options['baseline']}: is of another machine: {'; '.join(differ)}")
    if before.run == about.run:
        raise BadRequest(f"baseline={options['baseline']}: found {about.run}, the run itself; allowed another run")
    return Regression(run, about, baseline, before, store, stored)


def _baseline(
    options: dict[str, str], store: Path | None, about: Identity, stored: Sequence[tuple[Path, Identity]]
) -> tuple[Path, Identity]:
    """The newest stored run of the machine other than the run itself, or the one that is named."""
    if options["baseline"] != STORED:
        path = folder.find(options["baseline"], Path(options["runs_dir"]), "baseline")
        return path, baselines.identity(path)
    if store is None:
        raise BadRequest("baseline=store: needs store=DIR")
    others = [(path, before) for path, before in stored if before.run != about.run]
    if not others:
        known = ", ".join(baselines.machines(store)) or "none"
        raise BadRequest(f"baseline=store: {store} holds no other run of {about.machine}; it holds: {known}; {FIRST}")
    return others[-1]
