"""Losses of a checkpoint by role, with generators and roundings recognised."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.equivalences.losses import find_losses
from pytest_repro.equivalences.training import role_of


class OneCycle:
    pass


@pytest.mark.parametrize(
    ("name", "value", "role"),
    [
        ("source", random.Random(0), "python_rng"),
        ("source", np.random.default_rng(0), "numpy_rng"),
        ("model_ema", {}, "ema"),
        ("lr_sched", OneCycle(), "scheduler"),
        ("batch_order", [1, 2], "data_order"),
        ("epoch", 3, "data_order"),
        ("anything", OneCycle(), "anything"),
    ],
)
def test_the_role_of_a_value_depends_on_its_class_then_on_its_name(name, value, role):
    assert role_of(name, value) == role


def captured(**values):
    return capture_tree(values)


def test_equal_states_lost_nothing():
    assert find_losses(captured(a=np.ones(3)), captured(a=np.ones(3)), {}) == []


def test_each_part_that_differs_is_listed_once():
    saved = captured(model={"a": np.ones(3), "b": np.ones(2)}, order=[1, 2, 3], same=5)
    loaded = captured(model={"a": np.zeros(3), "b": np.zeros(2)}, order=[1, 3, 2], same=5)
    losses = find_losses(loaded, saved, {"model": "weights", "order": "data_order"})
    assert [(loss.name, loss.role) for loss in losses] == [("model", "weights"), ("order", "data_order")]
    assert losses[0].detail.startswith("2 of 2 values differ")


def test_a_rounded_part_and_a_lost_part_have_different_names():
    saved = captured(model=np.array([0.1, 0.2], np.float32))
    rounded = captured(model=np.array([0.1, 0.2], np.float16).astype(np.float32))
    lost = captured(model=np.array([0.1, 0.25], np.float32))
    assert [loss.role for loss in find_losses(rounded, saved, {})] == ["half_checkpoint"]
    assert [loss.role for loss in find_losses(lost, saved, {})] == ["model"]


def test_a_missing_value_is_a_loss():
    losses = find_losses(captured(opt={"lr": 0.1}), captured(opt={"lr": 0.1, "moment": np.ones(2)}), {})
    assert [(loss.name, loss.detail) for loss in losses] == [("opt", "1 of 2 values differ; opt/moment: missing")]
