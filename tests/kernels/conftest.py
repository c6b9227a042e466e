"""What the tests of the kernels share: a CPU to prepare on, with one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from perwatt.kernels.workload import Place


@pytest.fixture
def cpu() -> Place:
    """A place whose last-level cache is a mebibyte, so that small operands rotate over a few sets."""
    return Place("cpu", llc_bytes=1 << 20, memory_bytes=1 << 32)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small operands on one thread: where cores are shared, threads that wait for each other cost more than they do."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
