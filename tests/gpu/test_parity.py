"""Parity of several models with the CPU in float32 and bfloat16, and detection of a fault on the device."""

from __future__ import annotations

from functools import partial

import pytest

torch = pytest.importorskip("torch")

from pytest_repro import Axis, Verdict, examine
from tests.gpu.devices import DEVICES
from tests.gpu.models import MODELS, train


def examine_on(device, **arguments):
    across = {"device": Axis(["cpu", device], auto=True)}
    return examine(partial(train, **arguments), runs=1, across=across, seed=1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", MODELS)
def test_float32_training_passes_and_a_fault_of_1e_4_is_found(name, device):
    sound = examine_on(device, name=name)
    assert sound, str(sound)
    assert sound.result.matrix == {"device": str(sound.verdict)}
    broken = examine_on(device, name=name, fault=1e-4)
    assert broken.verdict is Verdict.DIVERGED
    assert [cause.code for cause in broken.result.diagnosis.causes] == ["device.kernels"]


@pytest.mark.parametrize("device", DEVICES)
def test_bfloat16_training_passes_and_a_fault_of_a_fifth_is_found(device):
    sound = examine_on(device, name="mlp", dtype=torch.bfloat16)
    assert sound, str(sound)
    assert examine_on(device, name="mlp", dtype=torch.bfloat16, fault=0.2).verdict is Verdict.DIVERGED
