"""`perwatt run suite=step` as a user starts it: tokens in records and reports, models by name, in lists, one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from conftest import Perwatt

from perwatt.results.record import Measured
from perwatt.results.store import load

SHORT = ("device=cpu", "profile.warmup_s=0.02", "profile.window_s=0.05", "profile.min_readings=1")


@pytest.mark.slow
def test_the_suite_runs_and_counts_tokens(tmp_path: Path, perwatt: Perwatt) -> None:
    power = ("meter=constant", "meter.constant.power_w=50")  # of the node: the first of the ranks reads it
    done = perwatt("run", "suite=step", *SHORT, "profile.repetitions=1", *power, OMP_NUM_THREADS="1")
    assert done.code == 0, done.err
    records = load(tmp_path / done.run)
    assert [r.case.entry for r in records] == ["train_cpu", "prefill_cpu", "decode_cpu", *(3 * ["parallel_cpu"])]
    tokens = []
    for record in records:
        assert isinstance(record.outcome, Measured), record.outcome
        tokens.append(record.outcome.work.tokens)
        assert record.tokens_per_s is not None
        assert record.joules_per_token is not None
        assert record.case.params["model"]["name"] == "tiny"  # type: ignore[index]
        assert record.case.params["model"]["hidden"] == 256  # type: ignore[index]
        assert "of 4 layers" in record.case.label
        assert "of 4 layers" in record.outcome.note
    assert tokens == [256, 256, 4, 512, 512, 512]
    assert "token/s" in done.out
    assert "per token" in done.out
    kept = yaml.safe_load((tmp_path / done.run / "config.yaml").read_text())
    assert kept["kernels"]["train_cpu"]["model"]["hidden"] == 256
    assert [m["name"] for m in kept["kernels"]["train"]["model"]] == ["llama3_8b", "llama3_70b"]


@pytest.mark.slow
def test_a_list_of_models_is_an_axis_and_ones_own_are_found(tmp_path: Path, perwatt: Perwatt) -> None:
    folder = tmp_path / "mine" / "model"
    folder.mkdir(parents=True)
    shape = {"name": "house", "source": "us", "layers": 3, "hidden": 64, "heads": 2, "kv_heads": 1, "head_dim": 32}
    shape |= {"ffn": 96, "vocab": 10, "gated": True, "rope_theta": 100.0}
    (folder / "house.yaml").write_text(yaml.safe_dump(shape))
    arguments = ("run", "--config-dir", "mine", "suite=step", "only=train_cpu", *SHORT)
    done = perwatt(*arguments, "kernels.train_cpu.model=[tiny,house]", "--dry-run")
    assert done.code == 0, done.err
    assert "fp32 tiny train b2 s128, 1 of 4 layers" in done.out
    assert "fp32 house train b2 s128, 1 of 3 layers" in done.out
    # what was kept needs the file no longer
    done = perwatt(*arguments, "kernels.train_cpu.model=house", "meter=none", OMP_NUM_THREADS="1")
    assert done.code == 0, done.err
    (folder / "house.yaml").unlink()
    again = perwatt("run", f"resume={done.run}")
    assert again.code == 0, again.err
    (record,) = load(tmp_path / done.run)
    assert record.case.params["model"]["hidden"] == 64  # type: ignore[index]
    (folder / "house.yaml").write_text(yaml.safe_dump({**shape, "hiden": 3}))
    wrong = perwatt(*arguments, "kernels.train_cpu.model=house", "--dry-run")
    assert (wrong.code, wrong.out) == (2, "")
    (line,) = wrong.err.splitlines()
    assert line.endswith(
        "house.yaml: hiden: no such key (did you mean hidden?); choices: " + line.split("choices: ")[1]
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("model=llama3_7b", "kernels.train_cpu.model=llama3_7b: no such file in conf/model (did you mean llama3_70b?)"),
        ("model=[tiny,lama]", "kernels.train_cpu.model=lama: no such file in conf/model"),
        ("model={name:x}", "kernels.train_cpu: step.model: layers: missing; needed: name, layers, hidden, "),
        ("model=3", "kernels.train_cpu: step.model: keys and values are needed, not 3"),
        ("layers=9", "kernels.train_cpu: step.layers: 9, but tiny has 4"),
        ("experts=9", "kernels.train_cpu: step.experts: 9, but tiny has none"),
        ("mode=serve", "kernels.train_cpu: step.mode: 'serve' is not one of train, prefill, decode"),
        ("contxt=8", "kernels.train_cpu.contxt: no such key (did you mean context?); choices: model, mode, "),
    ],
)
def test_a_wrong_request_is_one_line(capsys: pytest.CaptureFixture[str], wrong: str, said: str) -> None:
    from perwatt.benchmarks.cli import main

    assert main(["run", "suite=step", "--dry-run", f"kernels.train_cpu.{wrong}"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"perwatt run: {said}")


def test_cases_of_several_models_have_keys_of_their_own(perwatt: Perwatt) -> None:
    done = perwatt("run", "suite=step", "--dry-run", "device=cuda", "only=decode", "kernels.decode.batch=[1,64]")
    assert json.loads(done.out.splitlines()[-1])["cases"] == 4
