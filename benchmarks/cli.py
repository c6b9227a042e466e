"""The command ``perwatt``: a thin front that starts fast and hands over to the module that does the work.

Exit codes: 0 done, 1 a gate failed, 2 the request was wrong, 3 nothing could be measured, 4 not decided,
130 interrupted. The last line on stdout is one line of JSON; progress goes to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from perwatt import __version__
from perwatt.benchmarks import helps


def _size(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.sizing import size

    return size(arguments)


def _tune(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.tuning import tune

    return tune(arguments)


def _kernels(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.inspecting import kernels

    return kernels(arguments)


def _run(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.commands import run

    return run(arguments)


def _report(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.commands import report

    return report(arguments)


def _merge(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.merging import merge

    return merge(arguments)


def _launch(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.launching import launch

    return launch(arguments)


def _accept(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.accepting import accept

    return accept(arguments)


def _baseline(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.baselines import baseline

    return baseline(arguments)


def _dossier(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.dossiers import dossier

    return dossier(arguments)


def _verify(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.dossiers import verify

    return verify(arguments)


def _compare(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.comparing import compare

    return compare(arguments)


def _import(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.foreign import import_results

    return import_results(arguments)


def _doctor(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.doctor import doctor

    return doctor(arguments)


def _meter(arguments: Sequence[str]) -> int:
    from perwatt.benchmarks.metering import meter

    return meter(arguments)


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "run": (_run, helps.RUN),
    "report": (_report, helps.REPORT),
    "merge": (_merge, helps.MERGE),
    "launch": (_launch, helps.LAUNCH),
    "accept": (_accept, helps.ACCEPT),
    "baseline": (_baseline, helps.BASELINE),
    "dossier": (_dossier, helps.DOSSIER),
    "verify": (_verify, helps.VERIFY),
    "compare": (_compare, helps.COMPARE),
    "import": (_import, helps.IMPORT),
    "doctor": (_doctor, helps.DOCTOR),
    "meter": (_meter, helps.METER),
    "kernels": (_kernels, helps.KERNELS),
    "tune": (_tune, helps.TUNE),
    "size": (_size, helps.SIZE),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. A wrong request ends in one line on stderr and 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(helps.PERWATT, end="")
        return 0
    if given[0] in ("-V", "--version"):
        print(f"perwatt {__version__}")
        return 0
    name, rest = given[0], given[1:]
    if name not in COMMANDS:
        print(f"perwatt: {name}: no such command; choices: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    command, text = COMMANDS[name]
    if "-h" in rest or "--help" in rest:
        print(text, end="")
        return 0
    try:
        return command(rest)
    except ValueError as error:  # the user's mistake: the first line says it all
        print(f"perwatt {name}: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
