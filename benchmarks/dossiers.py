"""``perwatt dossier`` and ``perwatt verify``: an acceptance as one folder that can be handed over, and the check of it.

The verdict is made anew from the copy that goes into the folder, so that what is sealed is what was judged.
"""

from __future__ import annotations

import contextlib
import datetime
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from perwatt.benchmarks import folder
from perwatt.benchmarks.accepting import criteria_file, criteria_in, earlier, judged, named, positions_named
from perwatt.benchmarks.commands import last_line
from perwatt.benchmarks.config import BadRequest
from perwatt.benchmarks.options import options
from perwatt.results.store import write_atomically


def dossier(arguments: Sequence[str]) -> int:
    """Judge a run and seal everything in a folder. Returns what ``accept`` would."""
    from perwatt.results.dossier.gather import BEFORE, CRITERIA, RUN, TOPOLOGY, copy, merge_anew
    from perwatt.results.dossier.pages import pages
    from perwatt.results.dossier.seal import seal, sealed_files
    from perwatt.results.dossier.sign import sign

    texts = dict.fromkeys(("before", "criteria", "topology", "out", "sign", "config_dir"), "")
    defaults = {"run": "latest", "runs_dir": "results/runs", "telemetry": True, "pdf": True}
    asked, rest = options(arguments, ", ...", **defaults, **texts)
    if rest:
        raise BadRequest(f"{rest[0]}: choices: {', '.join(f'{key}=' for key in asked)}")
    directories = [asked["config_dir"]] if asked["config_dir"] else []
    found = criteria_file(asked["criteria"], directories)
    criteria = criteria_in(found)
    run = folder.find(asked["run"], Path(asked["runs_dir"]))
    before = earlier(asked["before"], run, Path(asked["runs_dir"]))
    stands = named("topology", asked["topology"], directories) if asked["topology"] else None
    where = positions_named(asked["topology"], directories) if stands else None
    out = Path(asked["out"] or f"{run.resolve().name}-dossier")
    if out.exists():
        raise BadRequest(f"out={out}: found there already; allowed a folder that is not: a dossier is never changed")
    key = Path(asked["sign"]) if asked["sign"] else None
    if key and not key.is_file():
        raise BadRequest(f"sign={key}: found no such file; allowed a key of OpenSSH, as ssh-keygen makes them")
    with _begun(out, run) as begun:
        copies = [begun / RUN, *(begun / BEFORE / f"{n}-{path.resolve().name}" for n, path in enumerate(before, 1))]
        for path, to in zip((run, *before), copies, strict=True):
            print(f"copying {path}", file=sys.stderr)
            copy(path, to, telemetry=asked["telemetry"])
            merge_anew(to, path)
        write_atomically(begun / CRITERIA, found.read_text(encoding="utf-8"))
        if stands:
            write_atomically(begun / TOPOLOGY, stands.read_text(encoding="utf-8"))
        rows, judgement = judged(begun / RUN, copies[1:], criteria, where, run.resolve().name, str(found))
        print(f"{judgement.status}: writing its pages", file=sys.stderr)
        for name, content in pages(begun / RUN, rows, criteria, judgement, pdf=asked["pdf"]):
            write_atomically(begun / name, content)
        records = seal(begun)
        if key:
            sign(begun, key)
    files = sealed_files(out)
    print(f"{judgement.status}: {out}, {files} files and {records} records sealed on {datetime.date.today()}")
    code = judgement.exit_code
    last_line(dossier=str(out), verdict=judgement.status, files=files, records=records, signed=bool(key), exit=code)
    return code


@contextlib.contextmanager
def _begun(out: Path, run: Path) -> Iterator[Path]:
    """A folder that becomes ``out`` once it is filled, and is gone if it never is, Ctrl-C among the reasons. What is
    wrong with the copy of ``run`` is told of the run itself."""
    begun = out.with_name(f".{out.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    try:
        begun.mkdir(parents=True)
        yield begun
        begun.rename(out)
    except OSError as error:
        raise BadRequest(f"out={out}: cannot be written: {error.strerror or error}") from None
    except ValueError as error:
        from perwatt.results.dossier.gather import RUN

        raise BadRequest(str(error).replace(str(begun / RUN), str(run)).replace(f"{begun}/", "")) from None
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def verify(arguments: Sequence[str]) -> int:
    """Check a dossier. Returns 0 if every byte is as it was sealed, and the signature holds if one is asked for."""
    from perwatt.results.dossier.seal import broken, sealed_files, sealed_records
    from perwatt.results.dossier.sign import signer

    given = [f"dossier={a}" if "=" not in a and not a.startswith("-") else a for a in arguments]
    asked, rest = options(given, ", ...", dossier="", signers="")
    if rest or not asked["dossier"]:
        raise BadRequest(f"{rest[0] if rest else 'dossier='}: choices: DIR, signers=FILE")
    where = Path(asked["dossier"])
    signers = Path(asked["signers"]) if asked["signers"] else None
    if signers and not signers.is_file():
        raise BadRequest(f"signers={signers}: found no such file; allowed ALLOWED SIGNERS of ssh-keygen(1)")
    found = broken(where)
    holds, who = signer(where, signers)
    for line in found:
        print(line)
    whole = not found and holds
    files, records = sealed_files(where), sealed_records(where) if whole else 0
    print(f"{'whole' if whole else 'BROKEN'}: {where}, {files} files{f', {records} records' if whole else ''}; {who}")
    last_line(dossier=str(where), whole=whole, broken=len(found), signature=who, exit=0 if whole else 1)
    return 0 if whole else 1
