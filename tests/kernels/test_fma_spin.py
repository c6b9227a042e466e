"""The CPU's arithmetic peak: the loop does what is declared, in registers, and whatever is missing is named."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perwatt.kernels import c_library, fma_spin
from perwatt.kernels.fma_spin import FmaSpin, Loop
from perwatt.kernels.workload import Place, Size, Unsupported, WrongResult

SHORT = FmaSpin(fma_per_thread=3072 * 100, threads=2)
SOURCE = Path(fma_spin.__file__).with_name("fma_spin.c")
CPU = Place("cpu")

pytestmark = pytest.mark.skipif(not any(map(shutil.which, c_library.COMPILERS)), reason="no C compiler")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache of its own: what is tested is what the source says now, and nobody's cache is filled by tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "perwatt"


def offered(dtype: str) -> bool:
    try:
        Loop(dtype, 1, 3072, 0)
    except Unsupported:
        return False
    return True


def test_work_is_two_operations_for_each_multiply_add_of_each_thread() -> None:
    assert SHORT.work().flops == 2 * 2 * 307200
    assert SHORT.work().bytes == 0
    assert SHORT.work().headline == "flops"
    assert FmaSpin().work().flops == 2 * 503316480 * fma_spin.available_cores()
    assert FmaSpin().params()["threads"] is None  # all cores is the same case on every machine
    assert (SHORT.label(), FmaSpin().label(), FmaSpin(threads=1).label()) == (
        "fp32 2 threads",
        "fp32 all cores",
        "fp32 1 thread",
    )
    assert SHORT.size() == Size("threads", 2.0)


@pytest.mark.parametrize("dtype", ["fp32", "fp64", "bf16", "int8"])
def test_the_loop_takes_exactly_the_declared_steps(dtype: str) -> None:
    if not offered(dtype):
        pytest.skip(f"this CPU's vector instructions have no {dtype}")
    tight = {"fp32": 2e-5, "fp64": 1e-13, "bf16": 0, "int8": 0}[dtype]
    for fma in (3072, 3072 * 3):
        loop = Loop(dtype, 2, fma, 1)
        lanes_and_accumulators = loop.start.size * (2 if dtype == "bf16" else 4 if dtype == "int8" else 1)
        assert loop.pairs * 2 * lanes_and_accumulators == fma
        loop.launch()
        error = np.abs(loop.results().astype(np.float64) - loop.expected().astype(np.float64))
        assert error.shape == (2, *loop.start.shape)
        assert error.max() <= tight
        loop.pairs -= 1  # had one pair of steps been left out, the values would be far away
        assert np.abs(loop.results().astype(np.float64) - loop.expected().astype(np.float64)).min() > 100 * tight


def test_closed_form_agrees_with_steps_taken_one_by_one_in_numpy() -> None:
    loop = Loop("fp32", 1, 3072 * 5, 2)
    x, w, y = (c.astype(np.float64) for c in loop.constants)
    value = loop.start.astype(np.float64)
    for _ in range(loop.pairs):
        value = (value * x + y) * w + y
    assert np.allclose(value, loop.expected(), rtol=0, atol=1e-12)
    loop.launch()
    assert np.allclose(value, loop.results()[0], rtol=0, atol=2e-5)


def test_operands_keep_changing_and_differ_between_accumulators() -> None:
    """Equal or constant operands would switch no transistors and flatter the power."""
    loop = Loop("fp32", 1, 3072 * 200, 3)
    loop.launch()
    results = loop.results()[0]
    assert len(np.unique(results)) == results.size
    assert all(len(np.unique(c)) == c.size for c in loop.constants)
    assert float(np.abs(results).max()) < 10


@pytest.mark.skipif(not shutil.which("objdump"), reason="no disassembler")
def test_the_loop_holds_nothing_but_multiply_adds_on_registers() -> None:
    library = c_library.load(SOURCE)
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", library._name], capture_output=True, text=True, check=True
    ).stdout
    for function in ("spin_fp32", "spin_fp64"):
        body = listing.split(f"<{function}>:")[1].split("\n\n")[0]
        adds = [line for line in body.splitlines() if re.search(r"\tv?fm(add|la)", line)]
        loop = Loop(function.removeprefix("spin_"), 1, 3072, 0)
        assert len(adds) == 2 * loop.accumulators
        assert not any("(" in line or "[" in line for line in adds), "an operand comes from memory"
        lines = body.splitlines()
        between = lines[lines.index(adds[0]) : lines.index(adds[-1])]
        assert len(between) <= len(adds) + 4, "something else is done between the multiply-adds"


def test_a_wrong_lane_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Loop.results

    def corrupted(self: Loop) -> Any:
        results = real(self).copy()
        results[1, 3, 2] *= -1
        return results

    monkeypatch.setattr(Loop, "results", corrupted)
    with pytest.raises(WrongResult, match=r"\[1, 3, 2\] is .* after 1600 pairs|\[1, 3, 2\] is"):
        SHORT.prepare(CPU)


def test_every_launch_runs_on_waiting_threads_that_end_with_it() -> None:
    def count() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = count()
    prepared = dataclasses.replace(SHORT, threads=4).prepare(CPU)
    assert count() == before + 3  # the caller is the fourth
    for _ in range(200):
        prepared.launch()
    assert count() == before + 3
    del prepared
    deadline = time.monotonic() + 60
    while count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert count() == before


def test_the_interpreter_is_released_during_a_launch() -> None:
    prepared, launches = FmaSpin(threads=1, fma_per_thread=3072 * 300_000).prepare(CPU), 20
    ticks, stop = [0], threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.0005)

    other = threading.Thread(target=tick)
    other.start()
    ticks[0] = 0
    for _ in range(launches):
        prepared.launch()
    seen = ticks[0]
    stop.set()
    other.join()
    assert seen > 2 * launches  # were it held, there would be one at most a launch, when it returns


def test_the_library_is_compiled_once_and_again_when_something_changes(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SHORT.prepare(CPU)
    (library,) = cache.glob("fma_spin-*.so")
    with monkeypatch.context() as patch:
        patch.setattr(c_library, "_compile", lambda *_: pytest.fail("compiled again"))
        SHORT.prepare(CPU)
    source = tmp_path / "fma_spin.c"
    source.write_text(SOURCE.read_text() + "\n")
    c_library.load(source)
    monkeypatch.setattr(c_library, "processor", lambda: "another processor")
    c_library.load(SOURCE)
    assert len(list(cache.iterdir())) == 3  # and nothing half-written is left
    assert library.exists()


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert SHORT.prepare(CPU).check.compared > 0


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unsupported, match="drives the registers of a CPU, not cuda:0"):
        SHORT.prepare(Place("cuda:0"))
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(Unsupported, match=r"^no C compiler found \(cc, gcc, clang\): install one$"):
            SHORT.prepare(CPU)
    bad = tmp_path / "bad.c"
    bad.write_text("int main( {\n")
    with pytest.raises(Unsupported, match=r"could not compile bad\.c: .*error"):
        c_library.load(bad)
    monkeypatch.setattr(fma_spin, "cpu_flags", lambda: frozenset({"amx_bf16", "amx_int8"}))
    for dtype in ("bf16", "int8"):
        with pytest.raises(Unsupported, match=rf"computes {dtype} in matrix tiles \(amx_{dtype}\)"):
            dataclasses.replace(SHORT, dtype=dtype).prepare(CPU)
    monkeypatch.setattr(fma_spin, "cpu_flags", lambda: frozenset({"avx2"}))
    if not offered("bf16"):
        with pytest.raises(Unsupported, match="vector instructions have no multiply-add in bf16"):
            dataclasses.replace(SHORT, dtype="bf16").prepare(CPU)


@pytest.mark.parametrize("target", ["sapphirerapids", "haswell", "x86-64"])
def test_the_source_compiles_for_other_processors_too(tmp_path: Path, target: str) -> None:
    compiler = c_library.compiler()
    options = [o for o in c_library.options() if not o.endswith("=native")]
    command = [compiler, *options, f"-march={target}", "-Wall", "-Wextra", "-Werror", "-o", str(tmp_path / "x.so")]
    result = subprocess.run([*command, str(SOURCE)], capture_output=True, text=True, check=False)
    if "bad value" in result.stderr or "unknown target" in result.stderr:
        pytest.skip(f"{compiler} does not know {target}")
    assert result.returncode == 0, result.stderr
