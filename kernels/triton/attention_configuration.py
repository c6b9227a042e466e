"""The configurations of the attention kernels: tiles of queries and keys, and how they are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perwatt.kernels.triton.configuration import Configuration


@dataclass(frozen=True)
class Attending(Configuration):
    """Tiles of ``block_m`` queries and ``block_n`` keys. ``descriptors``: what a loop walks over is loaded by the copy
    engine. Conditions ``windowed``: only the last keys are seen; ``packed``: sequences of different lengths."""

    conditions: ClassVar[tuple[str, ...]] = ("dtype", "head_dim", "causal", "windowed", "packed")

    block_m: int = 64
    block_n: int = 64
    descriptors: bool = False


@dataclass(frozen=True)
class FlashForward(Attending):
    """``specialize``: other warps load than those that multiply."""

    kernel: ClassVar[str] = "flash_forward"

    specialize: bool = False


@dataclass(frozen=True)
class FlashBackwardKeys(Attending):
    """The gradients of keys and values: a program keeps ``block_n`` keys and walks over queries."""

    kernel: ClassVar[str] = "flash_backward_keys"


@dataclass(frozen=True)
class FlashBackwardQueries(Attending):
    """The gradient of the queries: a program keeps ``block_m`` queries and walks over keys."""

    kernel: ClassVar[str] = "flash_backward_queries"


@dataclass(frozen=True)
class Decode(Configuration):
    """Tiles of ``block_n`` keys; so many programs share a sequence that each core has ``programs_per_core``, if that
    leaves each at least ``least_tiles`` tiles."""

    block_n: int = 64
    programs_per_core: int = 2
    least_tiles: int = 4


@dataclass(frozen=True)
class DecodePaged(Decode):
    """Decoding with groups of query heads that share a key-value head."""

    kernel: ClassVar[str] = "decode_paged"
    conditions: ClassVar[tuple[str, ...]] = ("dtype", "head_dim", "group")


@dataclass(frozen=True)
class DecodeMla(Decode):
    """Decoding with a latent cache that all heads share; ``block_m`` heads make up a program's tile."""

    kernel: ClassVar[str] = "decode_mla"

    block_m: int = 16
