"""Every case of the Triton suites, compiled for every architecture: the right instructions, no spill, memory that fits.

What the tables say cannot be had is tried all the same: once a compiler takes it, the test fails until the table does.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
import triton

from perwatt.benchmarks import architectures
from perwatt.benchmarks.build import build
from perwatt.benchmarks.compiling import Job, Outcome, compile_all
from perwatt.benchmarks.inspecting import specs
from perwatt.benchmarks.tables import load
from perwatt.kernels.triton.configuration import REASONS

ARCHITECTURES = architectures.names()
SUITES = ("triton", "power")

# What multiplies, by architecture and format: warp by warp on Ampere and on Blackwell's small chips, by warp groups on
# Hopper, by the tensor memory's engine on Blackwell, matrix cores on CDNA.
WARP = {"bf16": "^HMMA", "fp16": "^HMMA", "tf32": "^HMMA", "int8": "^IMMA"}
HOPPER = {"bf16": "HGMMA", "fp16": "HGMMA", "tf32": "HGMMA", "fp8": "QGMMA", "int8": "IGMMA"}
ENGINE = {"bf16": "UTCHMMA", "fp16": "UTCHMMA", "tf32": "UTCHMMA", "fp8": "UTCQMMA", "int8": "IMMA$"}
SCALED = {"mxfp8": "UTCQMMA", "mxfp4": "UTCOMMA", "nvfp4": "UTCOMMA"}
CDNA = {
    "bf16": "_bf16",
    "fp16": "_f16",
    "tf32": "_xf32",
    "fp8": "_fp8|_bf8|f8f6f4",
    "int8": "_i8",
    "fp32": "x[24]_?f32",
}
PRODUCTS = {
    "sm_80": WARP,
    "sm_90": HOPPER,
    "sm_100": ENGINE | SCALED,
    "sm_103": ENGINE | SCALED,
    "sm_120": WARP | {"fp8": "^QMMA", "mxfp8": "^QMMA", "mxfp4": "^OMMA", "nvfp4": "^OMMA"},
    "gfx942": CDNA,
    "gfx950": CDNA | {"mxfp8": "_scale_", "mxfp4": "_scale_"},
}
# What a format that is emulated must not have been compiled to, or it is none.
NATIVE = {"fp8": "QMMA|QGMMA", "mxfp8": "QMMA|_scale_", "mxfp4": "OMMA|_scale_", "nvfp4": "OMMA|_scale_"}
# What a spin of one pipe consists of.
PIPES = {
    "NVIDIA": {"fp32": "FFMA", "fp16": "HFMA2", "bf16": "HFMA2", "fp64": "DFMA", "exp2": "MUFU"},
    "AMD": {"fp32": "v_pk_fma_f32", "fp16": "v_pk_fma_f16", "fp64": "v_fma_f64", "exp2": "v_exp"},
}
MULTIPLIES_NOTHING = ("memory",)
TENSOR_MEMORY = 512  # columns; beyond them a compiler makes an empty kernel without a word
FEW_ROWS = "HMMA|HGMMA|_bf16"  # of a tile of 16 rows: warp by warp where larger instructions have no such shape


SPECS = {
    f"{(w := build(s, 'perwatt.kernels', 'kernels')).name} {w.label()}": s
    for suite in SUITES
    for s in specs([f"suite={suite}"])
}


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> dict[tuple[str, str], Outcome]:
    """What the selected tests ask for, compiled once; what the tables refuse is tried as well."""
    asked = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    pairs = [(p["architecture"], p["label"]) for p in asked if "label" in p]
    jobs = [Job(SPECS[label], name, even_refused=True) for name, label in sorted(pairs)]
    done = compile_all(jobs, int(os.environ.get("PERWATT_JOBS", "0")) or None)
    return {(o.job.architecture, o.label): o for o in done}


def reason(architecture: str, spec: dict[str, Any]) -> dict[str, str]:
    """What the table says against a case, one of REASONS with its words; empty if it can be had."""
    from perwatt.kernels.triton.device import ABSENT
    from perwatt.kernels.workload import Place, Unsupported

    table = load(architecture, cores=128)
    assert table is not None
    try:
        build(spec, "perwatt.kernels", "kernels").programs(Place(ABSENT, table=table))
    except Unsupported as unsupported:
        entries = [
            e for es in table.kernels.values() for e in es for r in REASONS if r in e and str(e[r]) in str(unsupported)
        ]
        return {r: str(entries[0][r]) for r in REASONS if r in entries[0]} if entries else {"absent": str(unsupported)}
    return {}


def wanted(architecture: str, label: str) -> str | None:
    """The instruction that does a case's work on ``architecture``; None where no single one does."""
    spec = SPECS[label]
    if label.split(maxsplit=1)[0] in MULTIPLIES_NOTHING:
        return None
    form = str(spec.get("dtype") or spec.get("pipe")).removeprefix("tensor_")
    if label.startswith("decode bf16"):
        return FEW_ROWS
    if "pipe" in spec and not spec["pipe"].startswith("tensor_"):
        return PIPES[architectures.load(architecture).vendor].get(form)
    return PRODUCTS[architecture].get(form.split("_", maxsplit=1)[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("label", SPECS)
def test_compiles_to_what_its_table_promises(
    outcomes: dict[tuple[str, str], Outcome], architecture: str, label: str
) -> None:
    outcome, against = outcomes[architecture, label], reason(architecture, SPECS[label])
    if "refused" in against:
        assert not outcome.static, f"it compiles with Triton {triton.__version__}: take it into the table"
        assert against["refused"] in outcome.refused
        return
    families = {family for static in outcome.static for family in static.families}
    if "emulated" in against:
        form = str(SPECS[label].get("dtype")).split("_", maxsplit=1)[0]
        native = NATIVE.get(form) or wanted(architecture, label)
        made = {f for f in families if native and re.search(native, f)}
        assert not made, f"{made}: it is not emulated, take it into the table"
        return
    assert not outcome.refused
    if "spills" in against:
        assert any(s.spills.any for s in outcome.static), "it spills no more: take it into the table"
        return
    for static in outcome.static:
        assert not static.spills.any, static.spills
        assert static.shared_bytes <= static.shared_limit_bytes
        assert (static.tensor_memory_columns or 0) <= TENSOR_MEMORY
        assert static.blocks_per_core >= 1
    if (name := wanted(architecture, label)) is not None:
        assert any(re.search(name, f) for f in families), f"{name} not among {sorted(families)}"


@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES if a.startswith("sm_") and a != "sm_80"])
def test_descriptors_become_bulk_copies_and_specialized_warps_are(
    outcomes: dict[tuple[str, str], Outcome], architecture: str
) -> None:
    seen = 0
    for (name, label), outcome in outcomes.items():
        if name == architecture and "descriptor" in label:
            for static in outcome.static:
                assert static.families.get("UTMALDG"), label
                if static.configuration.get("SPECIALIZE"):
                    assert static.warps > (static.warps_asked or 0), label
                    seen += 1
    assert seen or architecture not in ("sm_100", "sm_103")


def test_every_entry_of_every_table_is_used_by_a_case() -> None:
    """A configuration that no case takes is one that nobody has compiled."""
    from perwatt.kernels.triton import configuration
    from perwatt.kernels.triton.device import ABSENT
    from perwatt.kernels.workload import Place, Unsupported

    for architecture in ARCHITECTURES:
        table = load(architecture, cores=128)
        assert table is not None
        used: set[int] = set()
        real = configuration.Table.configuration

        def noting(self: Any, kind: Any, entry: Any, used: set[int] = used, real: Any = real) -> Any:
            used.add(id(entry))
            return real(self, kind, entry)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(configuration.Table, "configuration", noting)
            patch.setattr(configuration, "REASONS", ())
            for spec in SPECS.values():
                try:
                    build(spec, "perwatt.kernels", "kernels").programs(Place(ABSENT, table=table))
                except (Unsupported, ValueError):
                    continue
        unused = [
            e for entries in table.kernels.values() for e in entries if id(e) not in used and not set(REASONS) & set(e)
        ]
        assert not unused, f"{architecture}: {unused}"
