"""Triton is interpreted or it compiles: which, is decided when it is imported. Hence a process for each.

``interpreted_*.py`` run under TRITON_INTERPRET=1, ``compiled_*.py`` without. Other versions of Triton than the one
installed are tried where PERWATT_TRITONS (folders, separated by colons) holds them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import require

HERE = Path(__file__).parent
OTHERS = list(filter(None, os.environ.get("PERWATT_TRITONS", "").split(":")))
INTERPRETED = sorted(HERE.glob("interpreted_*.py"))
LONG = (
    *("interpreted_attention", "interpreted_flash_backward", "interpreted_flash_forward"),
    "interpreted_rechecked",
)
MUTATED = [path for path in INTERPRETED if "mutants" in path.read_text()]
COMPILED = sorted(HERE.glob("compiled_*.py"))
ONE_OF_EACH = "sm_80 or sm_90 or sm_100 or gfx950"


def own_process(path: Path, tmp_path: Path, *arguments: str, triton: str = "", **environment: str) -> None:
    """Run the tests of one file in a process of their own, with the Triton in folder ``triton`` if one is named."""
    require("triton", bool(triton) or find_spec("triton") is not None)
    search = os.pathsep.join(filter(None, [triton, str(HERE), os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PYTHONPATH": search, **environment}
    env.setdefault("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    options = ["-q", "-p", "no:cacheprovider", "-o", f"python_files={path.name}", *arguments]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(path)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout.strip().splitlines()[-1])


def side_by_side(paths: list[Path], tmp_path: Path, *arguments: str, triton: str = "") -> None:
    """The same for several files in the interpreter, which works on one core: two at a time."""
    alone = {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    with ThreadPoolExecutor(2) as pool:
        started = [
            pool.submit(own_process, path, tmp_path / path.stem, *arguments, triton=triton, **alone) for path in paths
        ]
        for one in started:
            one.result()


@pytest.mark.slow
def test_right_in_the_interpreter(tmp_path: Path) -> None:
    side_by_side([path for path in INTERPRETED if path.stem not in LONG], tmp_path, "-k", "not mutant")


@pytest.mark.slow
def test_what_takes_long_is_right_in_the_interpreter(tmp_path: Path) -> None:
    side_by_side([path for path in INTERPRETED if path.stem in LONG], tmp_path, "-k", "not mutant")


@pytest.mark.slow
def test_no_mutant_survives_in_the_interpreter(tmp_path: Path) -> None:
    """In the newest interpreter there is: an older one lacks scaled products."""
    side_by_side(MUTATED, tmp_path, "-k", "mutant", triton=OTHERS[-1] if OTHERS else "")


@pytest.mark.slow
@pytest.mark.parametrize("triton", OTHERS, ids=lambda folder: Path(folder).name)
def test_right_in_another_versions_interpreter(triton: str, tmp_path: Path) -> None:
    side_by_side(INTERPRETED, tmp_path, "-k", "not mutant", triton=triton)


@pytest.mark.slow
@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_compiled_for_every_architecture(path: Path, tmp_path: Path) -> None:
    own_process(path, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("triton", OTHERS, ids=lambda folder: Path(folder).name)
@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_compiled_by_another_version(path: Path, triton: str, tmp_path: Path) -> None:
    """For one architecture of each kind of matrix unit; all of them by ``-m pytest`` on the file itself."""
    own_process(path, tmp_path, "-k", ONE_OF_EACH, triton=triton)
