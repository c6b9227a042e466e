"""One Triton kernel as it is launched: the function, its arguments and constants, its grid and its options.

The same object is launched on a device, run by the interpreter, and compiled ahead of time for a device that is not
there (:mod:`perwatt.kernels.triton.ahead`): what was checked and what was compiled is what is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Program:
    """``function[grid](**arguments, **constants, **options)``.

    ``arguments`` are tensors, tensor descriptors and numbers by the names of the function's parameters, ``constants``
    its ``constexpr`` parameters, ``options`` what the compiler is told (``num_warps``, ``num_stages``, ...).
    ``flops_per_iteration`` is what one program multiplies and adds in one pass of its innermost product loop, for
    architectures whose instructions do not say their shape; None where there is no such loop. ``bytes_per_iteration``
    is what it loads in that pass, ``iterations`` the number of passes that all programs make together.
    """

    name: str
    function: Any
    grid: tuple[int, ...]
    arguments: Mapping[str, Any]
    constants: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    flops_per_iteration: int | None = None
    bytes_per_iteration: int | None = None
    iterations: int | None = None

    def __post_init__(self) -> None:
        given = [*self.arguments, *self.constants]
        wanted = list(self.function.arg_names)
        # a constant that is missing from the signature would be accepted, and an unknown option ignored
        assert sorted(given) == sorted(wanted), f"{self.name}: {sorted(set(given) ^ set(wanted))}"

    def call(self) -> Callable[[], Any]:
        """The launch as a call without arguments; on a device it returns the compiled kernel."""
        return partial(self.function[self.grid], **self.arguments, **self.constants, **self.options)


def sequence(programs: Sequence[Program]) -> Callable[[], Any]:
    """The launches of several programs, one after the other, as one call."""
    calls = [program.call() for program in programs]
    if len(calls) == 1:
        return calls[0]

    def launch() -> None:
        for call in calls:
            call()

    return launch
