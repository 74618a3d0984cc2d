"""Capture of skorch's nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree
from tests.unit.capturing.helpers import differing

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")
from skorch.callbacks import EpochTimer
from skorch.history import DistributedHistory, History


def fitted(rate: float = 0.1) -> Any:
    torch.manual_seed(0)
    net = skorch.NeuralNetRegressor(
        torch.nn.Linear, module__in_features=2, module__out_features=1, lr=rate, max_epochs=2, verbose=0
    )
    rows = np.linspace(0, 1, 40, dtype=np.float32).reshape(20, 2)
    return net.fit(rows, rows[:, :1])


def test_two_equal_trainings_are_the_same_although_they_take_other_times() -> None:
    one, other = fitted(), fitted()
    assert [row["dur"] for row in one.history] != [row["dur"] for row in other.history]
    assert differing(capture_tree({"net": one}), capture_tree({"net": other})) == []


def test_another_training_differs_in_weights_and_history() -> None:
    found = differing(capture_tree({"net": fitted()}), capture_tree({"net": fitted(0.2)}))
    assert {"net/history_/1/train_loss", "net/lr", "net/module_/weight"} <= set(found)


def history(**values: Any) -> Any:
    made = History()
    made.new_epoch()
    for name, value in values.items():
        made.record(name, value)
    return made


def test_a_history_is_compared_but_for_durations() -> None:
    one = capture_tree({"h": history(loss=1.0, dur=2.0)})
    assert differing(one, capture_tree({"h": history(loss=1.0, dur=3.0)})) == []
    assert differing(one, capture_tree({"h": history(loss=2.0, dur=2.0)})) == ["h/0/loss"]
    assert differing(one, capture_tree({"h": list(history(loss=1.0))})) == ["h"]


def test_the_history_of_several_processes_and_a_timer() -> None:
    found = []
    for loss, duration in ((1.0, 2.0), (1.0, 3.0), (2.0, 2.0)):
        made = DistributedHistory(store=torch.distributed.HashStore(), rank=0, world_size=1)
        made.new_epoch()
        made.record("loss", loss)
        made.record("dur", duration)
        timer = EpochTimer()
        timer.epoch_start_time_ = duration
        found.append(capture_tree({"h": made, "t": timer}))
    assert differing(found[0], found[1]) == []
    assert differing(found[0], found[2]) == ["h/_history/0/loss"]
