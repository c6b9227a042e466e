"""NCCL's log, by lines written after the format strings of each version, and requests through its environment."""

from __future__ import annotations

import os
import re
from typing import Any
from unittest import mock

import pytest
import torch.distributed as dist

from perwatt.kernels.collectives import request
from perwatt.kernels.collectives.all_reduce import AllReduce
from perwatt.kernels.collectives.all_to_all import AllToAll
from perwatt.kernels.collectives.nccl_log import Choice, Log, merged, parse

HEAD = "node-7:4242:4243 [0] NCCL INFO "
TIMED = "[2026-01-31 12:00:00] " + HEAD


@pytest.mark.parametrize(
    ("line", "library", "version"),
    [
        (HEAD + "NCCL version 2.18.1+cuda12.1", "NCCL", "2.18.1+cuda12.1"),
        ("NCCL version 2.21.5+cuda12.4", "NCCL", "2.21.5+cuda12.4"),  # 2.18 to 2.21 print it bare, on stdout
        (TIMED + "NCCL version 2.27.3+cuda12.9", "NCCL", "2.27.3+cuda12.9"),
        (HEAD + "RCCL version 2.20.5+hip6.2 HEAD:d380693+", "RCCL", "2.20.5+hip6.2"),
        (HEAD + "RCCL version : 2.21.5-HEAD:2f1b3ac", "RCCL", "2.21.5-HEAD:2f1b3ac"),
    ],
)
def test_the_version_of_the_library(line: str, library: str, version: str) -> None:
    assert parse(line) == Log(library, version)


@pytest.mark.parametrize("head", ["", HEAD, TIMED])
@pytest.mark.parametrize(
    ("said", "choice"),
    [
        # 2.20 to 2.22, RCCL of ROCm 6.2
        ("1048576 Bytes -> Algo 1 proto 2 time 31.25", Choice("", 1048576, "ring", "simple")),
        ("16 Bytes -> Algo 0 proto 0 time 8.6", Choice("", 16, "tree", "ll")),
        ("16 Bytes -> Algo 4 proto 2 time 8.6", Choice("", 16, "nvls", "simple")),
        # 2.23, which added PAT
        ("AllReduce: 64 Bytes -> Algo 5 proto 1 time 9.0", Choice("AllReduce", 64, "nvls_tree", "ll128")),
        ("AllGather: 64 Bytes -> Algo 6 proto 2 time 9.0", Choice("AllGather", 64, "pat", "simple")),
        # 2.24 to 2.30
        (
            "AllReduce: 8388608 Bytes -> Algo RING proto LL128 channel{Lo..Hi}={0..23}",
            Choice("AllReduce", 8388608, "ring", "ll128", frozenset(range(24))),
        ),
        (
            "ReduceScatter: 64 Bytes -> Algo COLLNET_DIRECT proto SIMPLE channel{Lo..Hi}={2..2}",
            Choice("ReduceScatter", 64, "collnet_direct", "simple", frozenset({2})),
        ),
        # an algorithm that is newer than this reader
        ("AllReduce: 64 Bytes -> Algo 9 proto 2 time 9.0", Choice("AllReduce", 64, "9", "simple")),
        # 2.27, and with the number of works from 2.28 on
        (
            "AllReduce [Symmetric]: 64 Bytes -> Kernel AllReduce_AGxLL_R nchannels 4 nthreads 512",
            Choice("AllReduce", 64, "symmetric:AllReduce_AGxLL_R", None, frozenset(range(4))),
        ),
        (
            "AllGather [Symmetric]: 64 Bytes -> Kernel AllGather_STMC nchannels 2 nthreads 512 nWorks 1",
            Choice("AllGather", 64, "symmetric:AllGather_STMC", None, frozenset(range(2))),
        ),
        # 2.29 and 2.30
        ("AllGather [Copy Engine]: 64 Bytes -> cudaMemcpyBatchAsync", Choice("AllGather", 64, "copy_engine")),
        (
            "AllGather [Hierarchical CE]: 64 Bytes -> RMA proxy + CE",
            Choice("AllGather", 64, "hierarchical_copy_engine"),
        ),
    ],
)
def test_a_collective_as_each_version_writes_it(head: str, said: str, choice: Choice) -> None:
    assert parse(head + said).choices == (choice,)


@pytest.mark.parametrize(
    ("lines", "coll", "channels", "nvls"),
    [
        (("16 coll channels, 0 nvls channels, 16 p2p channels, 8 p2p channels per peer",), 16, 0, False),  # 2.18
        (
            (
                "NVLS multicast support is available on dev 3",
                "24 coll channels, 24 collnet channels, 16 nvls channels, 32 p2p channels, 32 p2p channels per peer",
            ),
            24,
            16,
            True,
        ),
        (
            (
                "NVLS multicast support is not available on dev 0 (NVLS_NCHANNELS 0)",
                "8 coll channels, 8 collnet channels, 0 nvls channels, 8 p2p channels, 2 p2p channels per peer",
            ),
            8,
            0,
            False,
        ),
        (("NVLS multicast support is available on dev 0 (NVLS_NCHANNELS 24)",), None, None, True),
        (("NVLS multicast support is not available on dev 0",), None, None, False),
        ((), None, None, None),
    ],
)
def test_channels_and_nvls_of_a_communicator(
    lines: tuple[str, ...], coll: int | None, channels: int | None, nvls: bool | None
) -> None:
    found = parse("\n".join(HEAD + line for line in lines))
    assert (found.coll_channels, found.nvls_channels, found.nvls) == (coll, channels, nvls)


def test_the_last_communicator_speaks_and_other_lines_are_passed_over() -> None:
    text = f"""
{HEAD}NCCL version 2.26.2+cuda12.2
{HEAD}  Algorithm   |                            Tree        |                            Ring               |
{HEAD}    AllReduce |     8.4/   0.0 |    14.2/   0.0 |    85.0/  90.0 |
{HEAD}16 coll channels, 16 collnet channels, 16 nvls channels, 16 p2p channels, 2 p2p channels per peer
{HEAD}Enabled NCCL Func/Proto/Algo Matrix:
     Function |       LL     LL128    Simple   |          Tree           Ring
    Broadcast |        1         2         1   |             1              1
{HEAD}4 coll channels, 4 collnet channels, 0 nvls channels, 4 p2p channels, 4 p2p channels per peer
{HEAD}ncclCommInitRank comm 0x55 rank 0 nranks 2 cudaDev 0 nvmlDev 0 busId 1 commId 0x1 - Init COMPLETE
{HEAD}AllReduce: 4 Bytes -> Algo RING proto LL channel{{Lo..Hi}}={{0..0}}
not of NCCL at all: 5 Bytes"""
    found = parse(text)
    assert found == Log("NCCL", "2.26.2+cuda12.2", 4, 0, False, (Choice("AllReduce", 4, "ring", "ll", frozenset({0})),))
    assert parse("") == Log()


def test_the_calls_of_one_launch_are_one_choice() -> None:
    first = Choice("AllReduce", 10, "ring", "ll", frozenset({0, 1}))
    assert merged(()) is None
    assert merged((first,)) == first
    assert merged((first, Choice("AllReduce", 6, "ring", "simple", frozenset({1, 2})))) == Choice(
        "AllReduce", 16, "ring", "ll+simple", frozenset({0, 1, 2})
    )
    # one that does not name its channels leaves their number unknown
    assert merged((first, Choice("", 1, "tree", "ll"))) == Choice("+AllReduce", 11, "ring+tree", "ll")


# -- requests ----------------------------------------------------------------------------------------------------------


def test_a_request_is_part_of_a_case_and_no_request_is_not() -> None:
    plain, asked = AllReduce(), AllReduce(algorithm="nvls", protocol="simple")
    assert not {"algorithm", "protocol"} & set(plain.params())
    assert asked.params() == plain.params() | {"algorithm": "nvls", "protocol": "simple"}
    assert asked.label() == "bf16 sum 16 MiB nvls simple"
    assert asked.series() == "bf16 sum nvls simple"
    assert AllReduce(protocol="ll").params() == plain.params() | {"protocol": "ll"}


@pytest.mark.parametrize("field", [{"algorithm": "rings"}, {"protocol": "LL"}, {"algorithm": 1}])
def test_a_name_that_nccl_does_not_know_is_refused(field: dict[str, Any]) -> None:
    (key,) = field
    with pytest.raises(ValueError, match=rf"all_reduce\.{key}: .* is not one of (tree, ring|ll, ll128, simple)"):
        AllReduce(**field)


def test_nccl_is_asked_in_its_own_words_and_only_meanwhile() -> None:
    assert request.variables(("collnet_direct", None)) == {"NCCL_ALGO": "CollNetDirect"}
    assert request.variables(("ring", "ll128")) == {"NCCL_ALGO": "ring", "NCCL_PROTO": "ll128"}
    assert request.variables((None, None)) == {}
    with mock.patch.dict(os.environ, {"NCCL_ALGO": "mine"}):
        os.environ.pop("NCCL_PROTO", None)
        with request.environment(("tree", "ll")):
            assert (os.environ["NCCL_ALGO"], os.environ["NCCL_PROTO"]) == ("tree", "ll")
        assert os.environ["NCCL_ALGO"] == "mine"
        assert "NCCL_PROTO" not in os.environ


def test_a_group_is_made_under_the_request_once_and_left_for_the_next() -> None:
    made: list[tuple[str | None, str | None]] = []

    def new_group() -> object:
        made.append((os.environ.get("NCCL_ALGO"), os.environ.get("NCCL_PROTO")))
        return len(made)

    with mock.patch.object(dist, "new_group", new_group), mock.patch.object(dist, "destroy_process_group") as left:
        assert request.group((None, None)) is None
        first = request.group(("ring", None))
        assert request.group(("ring", None)) is first
        assert not left.called
        assert request.group(("ring", "ll")) is not first
        left.assert_called_once_with(first)
        request.drop()
        assert left.call_count == 2
    assert made == [("ring", None), ("ring", "ll")]


def test_sends_and_receives_have_no_algorithm() -> None:
    assert not AllToAll.tuned
    assert AllReduce.tuned


def test_the_formats_are_those_of_the_docstring() -> None:
    """What the docstring shows of each version, the parser reads."""
    from perwatt.kernels.collectives import nccl_log

    shown = [re.sub(r"\s+", " ", s) for s in re.findall(r"``([^`]+)``", nccl_log.__doc__ or "")]
    calls = [s for s in shown if "Bytes ->" in s and not s.endswith("Algo 1 ...")]
    assert len(calls) == 5
    assert all(parse(HEAD + s).choices for s in calls)
    assert [parse(s).implementation for s in shown if "CL version" in s] == ["NCCL", "RCCL", "RCCL"]
    assert [parse(s).coll_channels for s in shown if "coll channels" in s and s[0] == "1"] == [16, 16]
