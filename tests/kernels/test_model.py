"""Published shapes: their parameter counts are the published ones, and a wrong file is told in one line."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import perwatt.conf
from perwatt.benchmarks import models
from perwatt.benchmarks.config import BadRequest
from perwatt.kernels import transformer
from perwatt.kernels.model import Model, parse

CONF = Path(next(iter(perwatt.conf.__path__))) / "model"
NAMES = sorted(p.stem for p in CONF.glob("*.yaml"))


def node(name: str) -> dict[str, Any]:
    found = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert isinstance(found, dict)
    return found


def model(name: str) -> Model:
    return parse(node(name), name)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("llama3_8b", 8.03e9),  # sizes of the released weights
        ("llama3_70b", 70.55e9),
        ("llama3_405b", 405.85e9),
        ("deepseek_v3", 671e9),  # arXiv 2412.19437
        ("gpt3_175b", 174.6e9),  # arXiv 2005.14165, table D.1: 174,600 million
    ],
)
def test_the_number_of_parameters_is_the_published_one(name: str, published: float) -> None:
    assert model(name).parameters == pytest.approx(published, rel=5e-4)


def test_a_token_of_deepseek_v3_meets_37_billion_parameters() -> None:
    # "37B activated" in the paper; README_WEIGHTS.md of the release says 36.7B
    active = model("deepseek_v3").active_parameters
    assert active == pytest.approx(36.7e9, rel=5e-3)
    assert round(active / 1e9) == 37


def test_a_token_of_a_dense_model_meets_all_but_the_embedding() -> None:
    one = model("llama3_8b")
    assert one.parameters - one.active_parameters == one.vocab * one.hidden


def test_llama_8b_by_hand() -> None:
    attention = 4096 * 4096 * 2 + 4096 * 1024 * 2
    network = 3 * 4096 * 14336
    assert model("llama3_8b").parameters == 32 * (attention + network + 2 * 4096) + 2 * 128256 * 4096 + 4096


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_that_a_layer_has_are_those_that_are_counted(name: str) -> None:
    one = model(name)
    for mixture in set(one.mixes(one.layers)):
        resident = 16 if mixture else 0
        shapes = transformer.shapes(one, mixture, resident)
        elements = {name: math.prod(shape) for name, shape in shapes.items()}
        assert sum(elements.values()) == one.layer_parameters(mixture, resident)
        vectors = sum(n for name, n in elements.items() if len(shapes[name]) == 1)
        assert vectors == one.vector_parameters(mixture)


def test_the_last_layers_are_taken() -> None:
    mixes = model("deepseek_v3").mixes
    assert mixes(1) == (True,)
    assert mixes(59) == (False, *(58 * [True]))
    assert sum(mixes(61)) == 58
    assert model("llama3_8b").mixes(3) == (False, False, False)


@pytest.mark.parametrize("name", NAMES)
def test_each_file_says_where_its_numbers_were_read(name: str) -> None:
    shipped = models.load(name, "x")
    assert shipped["name"] == name
    assert "arXiv" in shipped["source"] or name == "tiny"
    assert "source" not in parse(shipped, "x").shape()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"hiden": 3}, "hiden: no such key (did you mean hidden?); choices: name, layers, hidden, heads, "),
    ({"hidden": None}, "hidden: None is not a positive integer"),
    ({"hidden": "wide"}, "hidden: 'wide' is not a positive integer"),
    ({"layers": 0}, "layers: 0 is not a positive integer"),
    ({"layers": True}, "layers: True is not a positive integer"),
    ({"gated": 1}, "gated: 1 is not false or true"),
    ({"norm": "batch"}, "norm: 'batch' is not one of rms, layer"),
    ({"rope_theta": -1}, "rope_theta: -1 is not a number above 0"),
    ({"kv_heads": 3}, "kv_heads: 3 does not divide the 8 query heads"),
    ({"head_dim": None}, "head_dim: None, but a positive integer is needed"),
    ({"head_dim": 33}, "head_dim: odd, rotary needs pairs"),
    ({"latent": {"q_lora_rank": 4}}, "latent.kv_lora_rank: missing; needed: q_lora_rank, kv_lora_rank, "),
    ({"latent": 3}, "latent: keys and values are needed, not 3"),
    (
        {"experts": {"dense_layers": 0, "count": 4, "ffn": 8, "active": 5, "shared": 0}},
        "experts.active: 5 of 4 experts",
    ),
    (
        {"experts": {"dense_layers": 4, "count": 4, "ffn": 8, "active": 2, "shared": 0}},
        "experts.dense_layers: 4 of 4 layers",
    ),
    ({"latent": dict.fromkeys(("q_lora_rank", "kv_lora_rank", "qk_nope", "qk_rope", "v"), 8)}, "kv_heads: 2, but null"),
    ({"name": ""}, "name: '' is not a line of text"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said[:30] for _, said in WRONG])
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "model" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({**node("tiny"), "name": "mine", **change}))
    with pytest.raises(ValueError, match=re.escape(f"{path}: {said}")) as error:
        models.load("mine", "kernels.step.model", [tmp_path])
    assert "\n" not in str(error.value)


def test_a_file_needs_a_source_and_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "model" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({**node("tiny"), "name": "yours"}))
    with pytest.raises(BadRequest, match="name: 'yours' must be the name of the file"):
        models.load("mine", "x", [tmp_path])
    without = {key: value for key, value in node("tiny").items() if key != "source"}
    path.write_text(yaml.safe_dump({**without, "name": "mine"}))
    with pytest.raises(BadRequest, match="source: missing"):
        models.load("mine", "x", [tmp_path])
    path.write_text("a: [")
    with pytest.raises(BadRequest, match=re.escape(str(path))) as error:
        models.load("mine", "x", [tmp_path])
    assert "\n" not in str(error.value)


def test_names_are_resolved_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tiny.yaml").write_text(yaml.safe_dump({**node("tiny"), "layers": 7}))
    target = {"_target_": "perwatt.kernels.step.Step"}
    entries = {
        "a": {**target, "model": "tiny"},
        "b": {**target, "model": ["tiny", "llama3_8b"], "points": [{"model": "gpt3_175b", "seq": 8}, {"seq": 16}]},
        "c": {**target, "model": {"name": "mine"}},
        "d": {"_target_": "perwatt.kernels.matmul.Matmul", "m": 8},
    }
    before = copy.deepcopy(entries)
    found = models.resolve(entries, [tmp_path])
    assert entries == before
    assert found["a"]["model"]["layers"] == 7  # the user's own replaces the shipped one
    assert [m["name"] for m in found["b"]["model"]] == ["tiny", "llama3_8b"]
    assert found["b"]["points"][0]["model"]["name"] == "gpt3_175b"
    assert found["c"] == entries["c"]
    assert found["d"] == entries["d"]
    assert models.resolve(found, [tmp_path]) == found


def test_an_unknown_name_is_told_with_the_choices() -> None:
    entry = {"_target_": "perwatt.kernels.step.Step", "model": ["tiny", "llama3_7b"]}
    with pytest.raises(BadRequest, match=r"^kernels\.s\.model=llama3_7b: no such file in conf/model \(did you mean"):
        models.resolve({"s": entry})
