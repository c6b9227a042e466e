"""A wrong request dies before anything runs: one line that names the key, what was found and the choices; exit 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Perwatt

WRONG = [
    # what is asked for, and what the one line must say
    ("suite=smok", "suite=smok: no such file in conf/suite (did you mean smoke?); choices: acceptance, "),
    ("suit=smoke", "suit: no such key (did you mean suite?)"),
    ("kernels.matmul.mm=1", "kernels.matmul.mm: no such key (did you mean m?); choices: m, n, k, "),
    ("kernels.attention.seq_q=1", "kernels.attention: no such key; choices: matmul"),
    ("+kernels.matmul.x=3", "kernels.matmul.x: no such key; choices: m, n, k, "),
    ("+foo=1", "foo: no such key; choices: suite, "),
    ("kernels.matmul.dtype=bf17", "matmul.dtype: 'bf17' is not one of fp64, fp32, tf32, bf16, "),
    ("kernels.matmul.m=[64,-1]", "matmul.m: -1 is not a positive integer"),
    ("kernels.matmul.m=[]", "kernels.matmul.m: an empty list leaves nothing to run"),
    ("kernels.matmul.m=[1,", "kernels.matmul.m=[1,: "),
    ("kernels.matmul.init=nromal", "matmul.init: "),
    ("+kernels.matmul.cache=hot", "kernels.matmul.cache: 'hot' is not one of rotate, warm, cold"),
    ("+kernels.matmul.points=[{q:1}]", "kernels.matmul.points: q: no such parameter; choices: m, n, k, "),
    ("kernels.matmul._target_=os.system", "kernels.matmul._target_: 'os.system' does not lie in perwatt.kernels"),
    ("stopping._target_=perwatt.kernels.matmul.Matmul", "stopping._target_: "),
    ("profile=fast", "profile=fast: no such file in conf/profile; choices: acceptance, burnin, quick, smoke, standard"),
    ("profile.windw_s=1", "profile.windw_s: no such key (did you mean window_s?)"),
    ("profile.window_s=long", "profile.window_s: Value 'long' of type 'str' could not be converted to Float"),
    ("profile.repetitions=0", "profile: needs at least one repetition"),
    ("stopping.samples=3", "stopping.samples: no such key (did you mean min_samples?); choices: seconds, min_samples"),
    ("stopping.seconds=-1", "stopping.seconds: -1 is not a positive number"),
    ("meter=watt", "meter=watt: no such file in conf/meter; choices: amd, auto, constant, cray, "),
    ("meter.rapl.poll_s=99", "meter.rapl.poll_s: 99 is not between "),
    ("launcher.ranks=0", "launcher.ranks: 0 is not a positive whole number"),
    ("launcher=slrm", "launcher=slrm: no such file in conf/launcher (did you mean slurm?)"),
    ("target=h1000", "target=h1000: no such file in conf/target (did you mean h100_sxm?)"),
    ("device=tpu", "device: 'tpu' is not one of auto, cpu, cuda, xpu"),
    ("only=nothing", "only=nothing: matches no case; kernels here: matmul"),
    ("resume=nothing", "resume: the run keeps its own configuration; remove suite=matmul"),
    ("--fast", "--fast: no such flag; choices: --dry-run, "),
    ("--config-dir", "--config-dir: needs a value: a folder"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG, ids=[w for w, _ in WRONG])
def test_one_line_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: str, said: str
) -> None:
    from perwatt.benchmarks.cli import main

    monkeypatch.chdir(tmp_path)
    # in this process: thirty starts of the command would tell no more
    assert main(["run", "suite=matmul", wrong]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"perwatt run: {said}")
    assert not (tmp_path / "results").exists()


def test_from_the_shell_as_well(tmp_path: Path, perwatt: Perwatt) -> None:
    done = perwatt("run", "suite=matmul", "kernels.matmul.mm=1")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "perwatt run: kernels.matmul.mm: no such key (did you mean m?); "
        "choices: m, n, k, batch, dtype, out_dtype, fast_accum, backend, init, seed\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rn"], "perwatt: rn: no such command; choices: run, report, merge, launch, accept"),
        (["run", "resume=nothing"], "perwatt run: resume=nothing: no run there"),
        (["report"], "perwatt report: run=latest: results/runs holds no run"),
        (["report", "run=x"], "perwatt report: run=x: no run there (a folder with records.jsonl)"),
        (["report", "form=csv"], "perwatt report: form=csv: choices: run=RUN, format="),
        (["report", "format=pdf"], "perwatt report: format=pdf: choices: console, html, markdown, csv, json"),
        (["doctor", "meter=x"], "perwatt doctor: meter=x: no such file in conf/meter (did you mean xe?); choices: "),
        (["doctor", "--measure"], "perwatt doctor: --measure: no such flag; choices: --measure-peaks"),
    ],
)
def test_the_other_commands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    from perwatt.benchmarks.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)


@pytest.mark.slow
def test_a_device_that_is_not_there_leaves_no_run(tmp_path: Path, perwatt: Perwatt) -> None:
    done = perwatt("run", "suite=matmul", "devices=[7]", "device=cpu")
    assert done.code == 2
    assert done.err.splitlines()[-1] == "perwatt run: devices=[7]: choices: first, all, or a list of indices below 1"
    assert list((tmp_path / "results" / "runs").iterdir()) == []


@pytest.mark.parametrize("command", ["run", "report", "doctor"])
def test_help_teaches(capsys: pytest.CaptureFixture[str], command: str) -> None:
    from perwatt.benchmarks.cli import main

    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"perwatt {command} ")


@pytest.mark.slow
def test_a_users_own_suite_and_target_are_found(tmp_path: Path, perwatt: Perwatt) -> None:
    suite, target = tmp_path / "mine" / "suite" / "tiny.yaml", tmp_path / "mine" / "target" / "toaster.yaml"
    for path in (suite, target):
        path.parent.mkdir(parents=True)
    suite.write_text(
        "# @package _global_\ndefaults:\n  - /kernel@kernels.tiny: matmul\n  - _self_\n"
        "suite: tiny\nkernels:\n  tiny: {m: [32, 64], dtype: fp32}\n"
    )
    target.write_text(
        "name: toaster\nvendor: me\nmatch:\n  - {type: cpu}\n"
        "peak_flops:\n  fp32: {value: 1.0e+15, unit: FLOP/s, source: 'a guess'}\n"
    )
    shown = perwatt("run", "--config-dir", "mine", "suite=tiny", "--dry-run", "device=cpu")
    assert shown.code == 0, shown.err
    assert shown.last["cases"] == 2
    done = perwatt(
        "run",
        "--config-dir",
        "mine",
        "suite=tiny",
        "target=toaster",
        "device=cpu",
        "profile.window_s=0.05",
        "meter=none",
    )
    assert done.code == 0, done.err
    assert '"toaster"' in (tmp_path / done.run / "records.jsonl").read_text()
