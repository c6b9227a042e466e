"""A device that computes wrongly, for tests: one element of what some operations give is not what it must be."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Faulty(TorchDispatchMode):
    """Within it the first element of what each operation of torch gives whose name matches is ``off`` by that much.

    float64, in which references are made on the host, is always right. ``hits`` counts what was spoiled, ``most`` of
    them at most."""

    def __init__(self, operations: str, off: float = 64.0, most: int | None = None) -> None:
        super().__init__()
        self.operations, self.off, self.most, self.hits = re.compile(operations), off, most, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, tuple | list) and result else result
        due = self.most is None or self.hits < self.most
        if due and self.operations.search(str(function)) and first.dtype != torch.float64:
            first[(0,) * first.dim()] += self.off
            self.hits += 1
        return result
