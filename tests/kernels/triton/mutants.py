"""Mutants: a kernel's own source with one mistake in it, made automatically wherever such a mistake can be made.

A test of a kernel is worth what it finds. For each function under ``@triton.jit`` of a module:

``mask``      a load or store without its mask (its ``other`` goes too)
``bound``     a comparison that is off by one: ``<`` for ``<=``, ``>=`` for ``>``, and the other way round
``rescale``   ``x = x * y`` or ``x *= y`` left out
``stride``    a stride that is one too large
``boundary``  a name with ``start``, ``end``, ``begin``, ``first`` or ``last`` in it that is given one too much

A line that says ``# same:`` and why is left alone: there the mutant would compute the same.
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

FLIPPED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
EDGES = ("start", "end", "begin", "first", "last")


@dataclass(frozen=True)
class Mutant:
    """One mistake: where it is, of which kind, and the module's whole source with it."""

    kind: str
    line: int
    text: str
    source: str

    def __str__(self) -> str:
        return f"{self.kind} in line {self.line}: {self.text}"


def mutants(module: ModuleType) -> list[Mutant]:
    """Every mutant of the kernels of ``module``."""
    assert module.__file__ is not None
    source = Path(module.__file__).read_text()
    lines = source.splitlines()
    tree = ast.parse(source)
    found: list[Mutant] = []
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and any("jit" in ast.unparse(d) for d in function.decorator_list):
            for kind, node, change in _mistakes(function):
                text = lines[node.lineno - 1 : (node.end_lineno or node.lineno)]
                if any("# same:" in line for line in text):
                    continue
                found.append(Mutant(kind, node.lineno, " ".join(" ".join(text).split()), _changed(tree, node, change)))
    return found


Change = Callable[[Any], Any]


def _mistakes(function: ast.FunctionDef) -> Iterator[tuple[str, Any, Change]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("tl.load", "tl.store"):
            if any(k.arg == "mask" for k in node.keywords):
                yield "mask", node, _without_mask
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in FLIPPED:
            yield "bound", node, _off_by_one
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
            if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult) and _named(value.left, name):
                yield "rescale", node, _keep_left
            elif any(edge in name.split("_") for edge in EDGES):
                yield "boundary", node, _one_more
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Mult):
            yield "rescale", node, _leave_out
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id.startswith("stride"):
            yield "stride", node, _stride_more


def _named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _without_mask(node: ast.Call) -> ast.Call:
    node.keywords = [k for k in node.keywords if k.arg not in ("mask", "other")]
    return node


def _off_by_one(node: ast.Compare) -> ast.Compare:
    node.ops[0] = FLIPPED[type(node.ops[0])]()  # type: ignore[index]
    return node


def _keep_left(node: ast.Assign) -> ast.Assign:
    assert isinstance(node.value, ast.BinOp)
    node.value = node.value.left
    return node


def _leave_out(node: ast.AugAssign) -> ast.Pass:
    return ast.copy_location(ast.Pass(), node)


def _one_more(node: ast.Assign) -> ast.Assign:
    node.value = ast.BinOp(node.value, ast.Add(), ast.Constant(1))
    return node


def _stride_more(node: ast.Name) -> ast.BinOp:
    return ast.copy_location(ast.BinOp(copy.copy(node), ast.Add(), ast.Constant(1)), node)


def _changed(tree: ast.Module, target: Any, change: Change) -> str:
    """The source of ``tree`` with ``change`` made at ``target``."""
    changed = copy.deepcopy(tree)
    for before, parent_after in zip(list(ast.walk(tree)), list(ast.walk(changed)), strict=True):
        for name, value in ast.iter_fields(before):
            after = getattr(parent_after, name)
            if value is target:
                setattr(parent_after, name, change(after))
            elif isinstance(value, list):
                for index, item in enumerate(value):
                    if item is target:
                        after[index] = change(after[index])
    return ast.unparse(ast.fix_missing_locations(changed))


def load(source: str, folder: Path, name: str) -> ModuleType:
    """A module of ``source``, written into ``folder``: Triton reads a kernel's source from its file."""
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def survives(mutant: Mutant, folder: Path, name: str, check: Callable[[ModuleType], None]) -> bool:
    """Whether ``check`` finds nothing wrong with the mutant. In a process of its own: a mutant may end it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        code = 1
        try:
            check(load(mutant.source, folder, name))
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0
