"""On a GPU: our kernels are right at full size and near the vendor's library, and the virus draws the most.

``make gpu`` runs these. The figures are those of one run of ``suite=gpu``, whose folder stays under results/runs/.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import require

from perwatt.benchmarks import devices, tables, targets
from perwatt.kernels.attention import Attention
from perwatt.kernels.matmul import Matmul
from perwatt.kernels.workload import Place, Unsupported, Workload
from perwatt.results.beside import beside
from perwatt.results.record import Record
from perwatt.results.store import load

pytestmark = pytest.mark.gpu
MATMUL_BAR, ATTENTION_BAR = 0.90, 0.80  # of the vendor's rate
ROOT = Path(__file__).parent.parent.parent

FORMATS = ("bf16", "fp16", "tf32", "fp8_e4m3", "int8")
STYLES = ("triton_descriptor", "triton_pointer")
LARGE: list[Workload] = [
    *(Matmul(m=m, dtype=dtype, backend=style) for m in (8192, 4000) for dtype in FORMATS for style in STYLES),
    *(
        Attention(heads=16, kv_heads=4, seq_q=8192, head_dim=dim, causal=causal, mode=mode, backend="triton")
        for dim in (64, 128, 256)
        for causal in (True, False)
        for mode in ("forward", "forward_backward")
    ),
]


@pytest.fixture(scope="module")
def place() -> Place:
    """The first GPU with its table."""
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    require("gpu", found is not None and find_spec("triton") is not None)
    assert found is not None
    device = devices.describe(found.type, 0)
    target = targets.recognise(device, targets.load_targets())
    table = tables.load(device.arch, target.name if target else "", device.cores or 1)
    return Place(f"{found.type}:0", device.llc_bytes, device.memory_bytes, table=table)


@pytest.fixture(scope="module")
def records(place: Place) -> list[Record]:
    """One run of suite=gpu."""
    argv = [sys.executable, "-m", "perwatt.benchmarks.cli", "run", "suite=gpu", "allow_failed=true"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-4000:]
    run = max((ROOT / "results" / "runs").glob("*-gpu-*"), key=lambda p: p.stat().st_mtime)
    return load(run)


@pytest.mark.parametrize("workload", LARGE, ids=lambda w: f"{w.name} {w.label()}")
def test_right_at_full_size(place: Place, workload: Workload) -> None:
    try:
        prepared = workload.prepare(place)  # compares with float64
    except Unsupported as reason:
        pytest.skip(str(reason))
    assert prepared.check.max_error <= prepared.check.tolerance
    prepared.launch()
    assert prepared.verify is not None
    assert prepared.verify().max_error <= prepared.check.tolerance  # once more, as between windows


@pytest.mark.parametrize("dtype", ["bf16", "fp8_e4m3"])
def test_matmul_is_near_the_vendors_library(records: list[Record], dtype: str) -> None:
    (pair,) = (p for p in beside(records) if p.own.case.kernel == "matmul" and p.own.case.params["dtype"] == dtype)
    assert pair.rate >= MATMUL_BAR


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_near_the_best_of_torchs_backends(records: list[Record], causal: bool) -> None:
    (pair,) = (p for p in beside(records) if p.own.case.kernel == "attention" and p.own.case.params["causal"] == causal)
    assert pair.rate >= ATTENTION_BAR


def test_the_virus_draws_at_least_what_any_matrix_product_draws(records: list[Record]) -> None:
    power = {r.case.key: r.power_w for r in records if r.power_w is not None}
    (virus,) = (power[r.case.key] for r in records if r.case.kernel == "virus")
    assert virus >= max(power[r.case.key] for r in records if r.case.kernel == "matmul")


def test_each_of_our_records_says_what_it_was_compiled_to(records: list[Record]) -> None:
    own = [r for r in records if r.measured and str(r.case.params.get("backend", "")).startswith("triton")]
    assert own
    assert all(r.measured and r.measured.static for r in own)
