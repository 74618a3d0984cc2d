"""Devices of these tests: the accelerator, and a simulated device on the CPU that runs the tests everywhere."""

from __future__ import annotations

import pytest
import torch

from pytest_repro.frameworks.device_probe import why_missing

ACCELERATOR = next((kind for kind in ("cuda", "mps", "xpu") if why_missing(kind) is None), None)
SIMULATED = "cpu:1"

on_accelerator = pytest.mark.skipif(ACCELERATOR is None, reason="needs an accelerator that torch finds")
on_cuda = pytest.mark.skipif(ACCELERATOR != "cuda", reason="needs a CUDA device")

#: For ``parametrize("device", DEVICES)``.
DEVICES = [SIMULATED, pytest.param(ACCELERATOR or "cuda", marks=on_accelerator)]


def is_simulated(device: str) -> bool:
    """Return whether a device is on the CPU, so that a test must simulate the behaviour of an accelerator."""
    return torch.device(device).type == "cpu"
