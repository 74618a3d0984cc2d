"""Capture of Lightning's modules and of torchmetrics' metrics."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_repro.capturing import capture_tree
from pytest_repro.errors import UnsupportedTypeError
from tests.unit.capturing.helpers import differing

torch = pytest.importorskip("torch")
torchmetrics = pytest.importorskip("torchmetrics")


def mean(*values: float) -> Any:
    metric = torchmetrics.MeanMetric()
    for value in values:
        metric.update(value)
    return metric


def test_a_metric_is_captured_by_what_it_has_accumulated() -> None:
    assert differing(capture_tree(mean(1.0)), capture_tree(mean(1.0))) == []
    assert differing(capture_tree(mean(1.0)), capture_tree(mean(2.0))) == ["mean_value"]
    assert differing(capture_tree(mean(0.0)), capture_tree(mean(0.0, 0.0))) == ["_update_count", "weight"]


def test_a_metric_with_lists_and_a_collection() -> None:
    def make(value: float) -> Any:
        collection = torchmetrics.MetricCollection({"cat": torchmetrics.CatMetric(), "sum": torchmetrics.SumMetric()})
        collection.update(torch.tensor([1.0, value]))
        return collection

    assert differing(capture_tree(make(1.0)), capture_tree(make(1.0))) == []
    assert differing(capture_tree(make(1.0)), capture_tree(make(2.0))) == ["cat.value/0", "sum.sum_value"]
    holders = [torch.nn.ModuleDict({"all": make(value)}) for value in (1.0, 2.0)]
    assert "all.cat.value/0" in differing(*map(capture_tree, holders))


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def lightning(request: Any) -> Any:
    return pytest.importorskip(request.param)


def module(lightning: Any, *values: float, rate: float = 0.1) -> Any:
    class Model(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, rate: float) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(2, 1)
            torch.nn.init.ones_(self.layer.weight)
            torch.nn.init.zeros_(self.layer.bias)
            self.metric = mean(*values)

    return Model(rate)


def test_a_module_has_weights_metrics_and_hyperparameters(lightning: Any) -> None:
    one = module(lightning, 1.0)
    assert differing(capture_tree(one), capture_tree(module(lightning, 1.0))) == []
    assert differing(capture_tree(one), capture_tree(module(lightning, 2.0))) == ["metric.mean_value"]
    assert "hparams/rate" in differing(capture_tree(one), capture_tree(module(lightning, 1.0, rate=0.2)))
    other = module(lightning, 1.0)
    with torch.no_grad():
        other.layer.weight[0, 1] = 2
    assert differing(capture_tree(one), capture_tree(other)) == ["layer.weight"]


def test_a_trainer_is_rejected_with_the_fix(lightning: Any) -> None:
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    with pytest.raises(UnsupportedTypeError, match=r"'t' .*dict\(trainer.callback_metrics\)"):
        capture_tree({"t": trainer})
