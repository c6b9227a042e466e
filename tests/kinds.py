"""Kinds of device that a test runs on, one after the other: the CPU, and an accelerator where there is one."""

from __future__ import annotations

import pytest
from conftest import require

DEVICES = ["cpu", pytest.param("accelerator", marks=pytest.mark.gpu)]
SHORT = ("profile.warmup_s=0.05", "profile.window_s=0.2", "profile.min_readings=1")


def resolve(device: str) -> str:
    if device == "cpu":
        return device
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    require("gpu", found is not None)
    assert found is not None
    return found.type
