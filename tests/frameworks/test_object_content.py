"""Models, optimizers and tables that a run changed, restored in place."""

from __future__ import annotations

import pytest

from pytest_repro.sources.object_content import Content


def test_a_model_and_its_optimizer_are_restored_in_place() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Dropout(0.5))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(3)

    def train() -> list[float]:
        optimizer.zero_grad()
        data = torch.rand(8, 3, generator=generator)
        model[:2](data).pow(2).mean().backward()
        optimizer.step()
        return [*model[0].weight.detach().flatten().tolist(), *model[1].running_mean.tolist()]

    content = Content([model, optimizer, generator])
    weight = model[0].weight
    first = train()
    assert content.find_changed()
    content.restore()
    assert content.find_changed() == []
    assert train() == first
    content.restore()
    assert train() == first
    assert model[0].weight is weight


def test_a_table_is_restored() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    content = Content({"table": table})
    before = table.copy()
    for _ in range(2):
        table["c"] = table["a"] * 2
        table.loc[0, "a"] = 9.0
        assert content.find_changed()
        content.restore()
        pandas.testing.assert_frame_equal(table, before)


def test_an_estimator_is_restored() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    model = linear_model.SGDRegressor(random_state=0)
    content = Content(model)
    model.partial_fit([[1.0], [2.0]], [1.0, 2.0])
    first = model.coef_.tolist()
    assert content.find_changed()
    content.restore()
    assert not hasattr(model, "coef_")
    model.partial_fit([[1.0], [2.0]], [1.0, 2.0])
    assert model.coef_.tolist() == first
