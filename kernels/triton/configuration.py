"""Explicit configurations: tile sizes, warps and stages of each Triton kernel, by architecture, as tables in YAML.

A table is data (``conf/triton/ARCHITECTURE.yaml``, or a file that ``perwatt tune`` wrote for one target): for each
kernel a list of entries. An entry's keys are fields of the kernel's configuration, and conditions on the case: a value
or a list of values that the case's parameter must have, or ``PARAMETER_at_most``. The first entry whose conditions all
hold is taken. An entry with ``refused`` says what the compiler answers for this architecture; its configuration is what
was tried. One with ``emulated`` says what the compiler does instead, because the architecture has no such instructions:
its rate would not be what its name says, so it is not run either; nor is one with ``spills``, which the compiler makes,
but not within the registers.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from perwatt.kernels.workload import Unsupported

AT_MOST = "_at_most"
REASONS = ("refused", "emulated", "spills")  # why an entry is not run


@dataclass(frozen=True)
class Configuration:
    """What every kernel is configured with. ``warps`` per program, ``stages`` of the software pipeline.

    ``kernel`` is the name of the table, ``conditions`` the parameters of a case that an entry may depend on. The AMD
    compiler alone looks at ``waves_per_eu`` and ``matrix_instr`` (the side of the matrix instruction, 16 or 32).
    """

    kernel: ClassVar[str]
    conditions: ClassVar[tuple[str, ...]] = ("dtype",)

    warps: int = 4
    stages: int = 3
    waves_per_eu: int = 0
    matrix_instr: int = 0

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if isinstance(item.default, bool):
                if not isinstance(value, bool):
                    raise ValueError(f"{item.name}: {value!r} is not true or false")
            elif not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"{item.name}: {value!r} is not a whole number, 0 or more")
            elif (item.name.startswith("block") or item.name == "warps") and (value < 1 or value & (value - 1)):
                raise ValueError(f"{item.name}: {value!r} is not a power of two")

    def options(self) -> dict[str, Any]:
        """For the compiler. Multiply and add are fused, whatever the version's default: it changes time and energy."""
        options: dict[str, Any] = {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}
        if self.waves_per_eu:
            options["waves_per_eu"] = self.waves_per_eu
        if self.matrix_instr:
            options["matrix_instr_nonkdim"] = self.matrix_instr
        return options

    def values(self) -> dict[str, int | bool]:
        """The configuration as plain values, for a record; what stands at 0 is left out."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not False and v != 0}


@dataclass(frozen=True)
class Tiles(Configuration):
    """Tiles of C and the depth in which A and B are loaded for them; ``group_m`` rows of tiles are walked together, so
    that B's tiles stay in cache."""

    block_m: int = 128
    block_n: int = 128
    block_k: int = 64
    group_m: int = 8


@dataclass(frozen=True)
class MatmulPointer(Tiles):
    """Tiles of the pointer kernel.

    ``fnuz``: the architecture multiplies fp8 without a negative zero, not the OCP formats. The condition ``aligned``
    says whether all rows are multiples of 16 bytes: if not, elements are loaded one by one, which takes registers."""

    kernel: ClassVar[str] = "matmul_pointer"
    conditions: ClassVar[tuple[str, ...]] = ("dtype", "m", "n", "k", "fast_accum", "aligned")

    fnuz: bool = False


@dataclass(frozen=True)
class MatmulDescriptor(MatmulPointer):
    """Tiles of the persistent descriptor kernel. ``programs_per_core`` programs stay on each core and walk over the
    tiles; ``subtiles`` parts into which a tile is cut when it is written; ``specialize``: other warps load and write
    than those that multiply; ``flatten`` turns the loops over tiles and over K into one."""

    kernel: ClassVar[str] = "matmul_descriptor"

    programs_per_core: int = 1
    subtiles: int = 1
    specialize: bool = False
    flatten: bool = False


@dataclass(frozen=True)
class MatmulGrouped(Tiles):
    """Tiles of the persistent kernel over groups; ``descriptors``: A and B come through tensor descriptors; ``fnuz`` as
    in :class:`MatmulPointer`. The condition ``aligned``: all rows are multiples of 16 bytes."""

    kernel: ClassVar[str] = "matmul_grouped"
    conditions: ClassVar[tuple[str, ...]] = ("dtype", "groups", "rows_per_group", "n", "k", "aligned")

    programs_per_core: int = 1
    descriptors: bool = False
    fnuz: bool = False


@dataclass(frozen=True)
class MatmulScaled(Tiles):
    """Tiles of the persistent kernel for block-scaled formats. ``descriptors``: A and B come through tensor
    descriptors; ``blocked``: the scales too, in blocks of 128 x 4; ``specialize`` and ``flatten`` as in
    :class:`MatmulDescriptor`. The condition ``aligned``: rows of C are multiples of 16 bytes, K one of 128."""

    kernel: ClassVar[str] = "matmul_scaled"
    conditions: ClassVar[tuple[str, ...]] = ("dtype", "m", "n", "k", "out_dtype", "aligned")

    block_k: int = 128
    programs_per_core: int = 1
    descriptors: bool = False
    blocked: bool = False
    specialize: bool = False
    flatten: bool = False


Kind = TypeVar("Kind", bound=Configuration)


def kinds() -> dict[str, type[Configuration]]:
    """The configuration of every kernel, by the kernel's name: of this module and of those named after it."""
    for path in Path(__file__).parent.glob("*_configuration.py"):
        importlib.import_module(f"perwatt.kernels.triton.{path.stem}")
    found, rest = {}, [Configuration]
    while rest:
        kind = rest.pop()
        rest += kind.__subclasses__()
        if "kernel" in vars(kind):
            found[kind.kernel] = kind
    return found


@dataclass(frozen=True)
class Table:
    """The configurations of one architecture: ``kernels`` maps a kernel to its entries, as read from YAML.

    ``name`` is that of the target or architecture, ``where`` the file, for messages.
    """

    name: str
    where: str
    kernels: Mapping[str, Sequence[Mapping[str, Any]]]
    cores: int = 1
    architecture: str = ""

    def choose(self, kind: type[Kind], **case: Any) -> Kind:
        """The configuration of ``kind`` for a case with these parameters (those of ``kind.conditions``).

        Raises Unsupported if there is none, or if the entry says that this cannot be had.
        """
        what = " ".join([kind.kernel, *(str(v) for k, v in case.items() if k == "dtype")])
        for entry in self.kernels.get(kind.kernel, ()):
            if self._holds(kind, entry, case):
                if why := [str(entry[reason]) for reason in REASONS if reason in entry]:
                    raise Unsupported(f"{what} on {self.name}: {why[0]}; backend=torch has what the vendor has")
                return self.configuration(kind, entry)
        raise Unsupported(f"{what}: no configuration for {self.name} in {self.where}; use backend=torch")

    def configuration(self, kind: type[Kind], entry: Mapping[str, Any]) -> Kind:
        """The configuration that an entry holds; ValueError, naming file and key, for a wrong one."""
        fields = {item.name for item in dataclasses.fields(kind)}
        at_most = {c + AT_MOST for c in kind.conditions}
        for key in entry:
            if key not in fields and key not in kind.conditions and key not in at_most and key not in REASONS:
                allowed = ", ".join([*kind.conditions, *sorted(at_most), *sorted(fields), *REASONS])
                raise ValueError(f"{self.where}: kernels.{kind.kernel}: {key}: no such key; choices: {allowed}")
        try:
            return kind(**{key: value for key, value in entry.items() if key in fields})
        except ValueError as error:
            raise ValueError(f"{self.where}: kernels.{kind.kernel}: {error}") from None

    @staticmethod
    def _holds(kind: type[Configuration], entry: Mapping[str, Any], case: Mapping[str, Any]) -> bool:
        for key in kind.conditions:
            wanted = entry.get(key)
            if wanted is not None and case[key] not in (wanted if isinstance(wanted, list) else [wanted]):
                return False
            most = entry.get(key + AT_MOST)
            if most is not None and case[key] > most:
                return False
        return True
