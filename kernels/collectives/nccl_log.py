"""What NCCL and RCCL write of themselves (NCCL_DEBUG=INFO, NCCL_DEBUG_SUBSYS=INIT,TUNING), read line by line.

A line is ``host:pid:tid [device] NCCL INFO ...``, from 2.26 on with a time before it where that is asked for; only what
follows ``NCCL INFO`` is looked at. The formats, as read in NVIDIA's and ROCm's sources of the versions named:

* the version, once a process: ``NCCL version 2.21.5+cuda12.4`` (src/init.cc; without the prefix below level INFO),
  ``RCCL version 2.20.5+hip6.2 HEAD:1a2b`` (RCCL of ROCm 6.2), ``RCCL version : 2.21.5-HEAD:1a2b`` (after it);
* the channels of a communicator (src/init.cc): ``16 coll channels, 0 nvls channels, 16 p2p channels, ...`` (2.18) and
  ``16 coll channels, 16 collnet channels, 0 nvls channels, ...`` (2.19 to 2.30);
* ``NVLS multicast support is available on dev 0`` or ``is not available`` (src/transport/nvls.cc, 2.18 to 2.30; 2.27 to
  2.29 add the channels in brackets). Where NVLS is not tried (two GPUs, NCCL_NVLS_ENABLE=0) there is no such line, and
  0 nvls channels say that it is off;
* each collective, at every call and by rank 0 alone (src/enqueue.cc): nothing in 2.18 and 2.19;
  ``1024 Bytes -> Algo 1 proto 2 time 12.3`` (2.20 to 2.22, RCCL of ROCm 6.2), ``AllReduce: 1024 Bytes -> Algo 1 ...``
  (2.23), with numbers as in src/include/nccl_common.h;
  ``AllReduce: 1024 Bytes -> Algo RING proto LL channel{Lo..Hi}={0..3}`` (2.24 to 2.30);
* from 2.27 on what passes those algorithms by: ``AllReduce [Symmetric]: 1024 Bytes -> Kernel AllReduce_AGxLL_R
  nchannels 4 nthreads 512 ...`` (registered symmetric buffers), from 2.29 on ``AllGather [Copy Engine]: 1024 Bytes ->
  cudaMemcpy...``, in 2.30 ``AllGather [Hierarchical CE]: 1024 Bytes -> RMA proxy + CE``.

Sends and receives, of which torch makes its all_to_all, choose no algorithm and write no such line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# In the order of NCCL_ALGO_* and NCCL_PROTO_*, which has only been added to since 2.18.
ALGORITHMS = ("tree", "ring", "collnet_direct", "collnet_chain", "nvls", "nvls_tree", "pat")
PROTOCOLS = ("ll", "ll128", "simple")

_VERSION = re.compile(r"\b([NR]CCL) version (?:: )?(\d+\.\d+\.\d+\S*)")
_CHANNELS = re.compile(r"(\d+) coll channels, (?:\d+ collnet channels, )?(\d+) nvls channels")
_NVLS = re.compile(r"NVLS multicast support is (not )?available")
_CALL = re.compile(r"(?:(\w+): )?(\d+) Bytes -> Algo (\w+) proto (\w+)(?: channel\{Lo\.\.Hi\}=\{(\d+)\.\.(\d+)\})?")
_SYMMETRIC = re.compile(r"(\w+) \[Symmetric\]: (\d+) Bytes -> Kernel (\w+) nchannels (\d+)")
_COPY = re.compile(r"(\w+) \[(Copy Engine|Hierarchical CE)\]: (\d+) Bytes -> ")
_COPIES = {"Copy Engine": "copy_engine", "Hierarchical CE": "hierarchical_copy_engine"}


@dataclass(frozen=True)
class Choice:
    """How one collective was done. ``function`` is NCCL's name for it, empty before 2.23; ``bytes`` as NCCL counts them
    (of one rank, or of all, by version and function); ``channels`` the numbers of those used, None if it does not say.
    """

    function: str
    bytes: int
    algorithm: str
    protocol: str | None = None
    channels: frozenset[int] | None = None


@dataclass(frozen=True)
class Log:
    """What a log says; None, or empty, where it says nothing. Of several communicators the last one speaks.

    ``nvls`` is whether the communicator may reduce and multicast in the switch: it has channels for that.
    """

    implementation: str = ""
    version: str = ""
    coll_channels: int | None = None
    nvls_channels: int | None = None
    nvls: bool | None = None
    choices: tuple[Choice, ...] = ()


def parse(text: str) -> Log:
    """What ``text``, a log or a part of one, says. Lines that it does not know are passed over."""
    implementation = version = ""
    coll: int | None = None
    nvls_channels: int | None = None
    multicast: bool | None = None
    choices: list[Choice] = []
    for line in text.splitlines():
        said = line.rpartition("NCCL INFO ")[2]
        if (found := _choice(said)) is not None:
            choices.append(found)
        elif match := _CHANNELS.search(said):
            coll, nvls_channels = int(match[1]), int(match[2])
        elif match := _NVLS.search(said):
            multicast = match[1] is None
        elif match := _VERSION.search(said):
            implementation, version = match[1], match[2]
    nvls = multicast if nvls_channels is None else nvls_channels > 0
    return Log(implementation, version, coll, nvls_channels, nvls, tuple(choices))


def merged(choices: tuple[Choice, ...]) -> Choice | None:
    """The choices of one launch as one; None if there are none. A launch may take several calls: where they differ
    their names are joined by ``+``, and the channels are those of all, known only if each names its own."""
    if not choices:
        return None
    protocols = {c.protocol for c in choices if c.protocol is not None}
    channels = [c.channels for c in choices if c.channels is not None]
    return Choice(
        "+".join(sorted({c.function for c in choices})),
        sum(c.bytes for c in choices),
        "+".join(sorted({c.algorithm for c in choices})),
        "+".join(sorted(protocols)) or None,
        frozenset().union(*channels) if len(channels) == len(choices) else None,
    )


def _choice(said: str) -> Choice | None:
    """The collective that a line speaks of; None for any other line."""
    if match := _CALL.match(said):
        channels = None if match[5] is None else frozenset(range(int(match[5]), int(match[6]) + 1))
        return Choice(match[1] or "", int(match[2]), _name(match[3], ALGORITHMS), _name(match[4], PROTOCOLS), channels)
    if match := _SYMMETRIC.match(said):
        return Choice(match[1], int(match[2]), f"symmetric:{match[3]}", None, frozenset(range(int(match[4]))))
    if match := _COPY.match(said):
        return Choice(match[1], int(match[3]), _COPIES[match[2]])
    return None


def _name(text: str, names: tuple[str, ...]) -> str:
    """A number or a name of NCCL's as a name of ``names``; what is newer than these is left, in small letters."""
    if text.isdigit():
        return names[int(text)] if int(text) < len(names) else text
    return text.lower()
