"""The devices of these tests: the CPU once more, as a stand-in on which their code is checked, and the accelerator."""

from __future__ import annotations

import pytest
import torch

from pytest_repro.frameworks.device_probe import why_missing

ACCELERATOR = next((kind for kind in ("cuda", "mps", "xpu") if why_missing(kind) is None), None)
STAND_IN = "cpu:1"

on_accelerator = pytest.mark.skipif(ACCELERATOR is None, reason="needs an accelerator that torch finds")
on_cuda = pytest.mark.skipif(ACCELERATOR != "cuda", reason="needs a CUDA device")

#: For ``parametrize("device", DEVICES)``: each test's own checks are seen at work wherever it runs.
DEVICES = [STAND_IN, pytest.param(ACCELERATOR or "cuda", marks=on_accelerator)]


def is_stand_in(device: str) -> bool:
    """Tell whether a fault has to be planted, since a CPU has none."""
    return torch.device(device).type == "cpu"
