"""The house rules that a machine can hold: floors, imports, start-up, the README's tree."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "kernels": {"kernels"},
    "results": {"results"},
    "benchmarks": {"benchmarks", "kernels", "results", "conf"},
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_what_lies_below_it(floor: str) -> None:
    files = sorted((ROOT / floor).rglob("*.py"))
    assert files
    for path in files:
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == "perwatt" and len(parts) > 1 and parts[1] in {*FLOORS, "conf"}:
                assert parts[1] in FLOORS[floor], f"{path.relative_to(ROOT)} imports {module}"
            assert parts[0] not in {*FLOORS, "conf"}, f"{path.relative_to(ROOT)}: {module} must be perwatt.{module}"


def test_results_never_import_torch_hydra_or_nvml_even_inside_a_function() -> None:
    for path in (ROOT / "results").rglob("*.py"):
        heavy = {m.split(".")[0] for m in imports(path)} & {"torch", "hydra", "omegaconf", "pynvml", "triton"}
        assert not heavy, f"{path.relative_to(ROOT)} imports {heavy}"


def test_nothing_in_a_kernel_names_a_kind_of_accelerator() -> None:
    """Strings in the code, docstrings aside: a kernel runs wherever torch's accelerator API leads it."""
    for path in (ROOT / "kernels").rglob("*.py"):
        tree = ast.parse(path.read_text())
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                assert not {"cuda", "hip", "xpu"} & set(node.value.replace(":", " ").split()), f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("cuda", "xpu"), f"{path}:{node.lineno}"


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after ``code``."""
    code += "\nimport sys; print(' '.join(sorted({m.split('.')[0] for m in sys.modules})))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return set(out.stdout.split())


def test_results_load_neither_torch_nor_hydra() -> None:
    modules = ["record", "store", "stats", "energy", "telemetry", "run", "reports.formats", "reports.console"]
    found = loaded_by("; ".join(f"import perwatt.results.{m}" for m in modules))
    assert "perwatt" in found
    assert not found & {"torch", "hydra", "omegaconf", "matplotlib", "pandas"}


def test_the_leader_of_a_run_loads_no_torch() -> None:
    assert "torch" not in loaded_by("import perwatt.benchmarks.commands, perwatt.benchmarks.run")


def test_help_starts_fast_and_loads_little() -> None:
    found = loaded_by("from perwatt.benchmarks.cli import main; main(['--help'])")
    assert not found & {"torch", "hydra", "numpy", "msgspec", "rich"}
    # the best of several: what the command costs, not what else this machine was doing
    times = []
    for _ in range(5):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "perwatt.benchmarks.cli", "--help"], capture_output=True, check=True
        )
        times.append(time.perf_counter() - start)
    assert b"perwatt run" in done.stdout
    assert min(times) < 0.5


def test_a_bare_import_from_the_checkout_never_shadows_an_installed_package(tmp_path: Path) -> None:
    for name in ("kernels", "benchmarks", "results"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("installed = True\n")
        code = f"import sys; sys.path.append({str(tmp_path)!r}); import {name}; assert {name}.installed"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_links_lead_to_the_folders_at_the_top() -> None:
    for name in (*FLOORS, "conf"):
        link = ROOT / "src" / "perwatt" / name
        assert link.is_symlink()
        assert link.resolve() == ROOT / name


def tracked() -> list[Path]:
    out = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if out.returncode:
        pytest.skip("not a git checkout")
    return [Path(line) for line in out.stdout.splitlines()]


def test_the_readme_carries_the_tree() -> None:
    """Every module and every folder of YAML has its line in the README, and every line its file."""
    text = (ROOT / "README.md").read_text()
    tree = text.split("```text tree\n")[1].split("```")[0]
    listed = set()
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0] if line.split() else ""
        depth = (len(line) - len(line.lstrip())) // 2
        folders = folders[:depth]
        if name.endswith("/"):
            folders.append(name)
        listed.add("".join(folders) + ("" if name.endswith("/") else name))
    code = {
        str(p) for p in tracked() if p.suffix in (".py", ".c", ".css") and p.parts[0] in FLOORS and (ROOT / p).is_file()
    }
    assert code <= listed, f"not in the README's tree: {sorted(code - listed)}"
    for entry in listed:
        assert (ROOT / entry).exists(), f"the README's tree names {entry}, which is not there"


def test_modules_stay_small_and_say_what_they_are_for() -> None:
    for path in sorted(p for floor in FLOORS for p in (ROOT / floor).rglob("*.py")):
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)), f"{path} has no opening sentence"
        assert len(text.splitlines()) <= 400, f"{path} is too long"
