"""Functional dropout that draws while its module is in eval: named with its line, and with a fix that helps."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_repro import DivergenceError, assert_batch_invariant
from pytest_repro.equivalences.draws import explain_draws
from tests.plugin.helpers import unwrap

torch: Any = pytest.importorskip("torch")
F = torch.nn.functional


class Forgetful(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
        torch.nn.init.normal_(self.linear.weight)

    def forward(self, x: Any) -> Any:
        return F.dropout(self.linear(x), 0.5)


class Attentive(torch.nn.Module):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)


class Sampling(torch.nn.Module):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return x + torch.randn_like(x)


class Right(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: Any) -> Any:
        x = F.dropout(x, 0.5, self.training) + F.dropout(x, training=self.training)
        return self.dropout(x) + F.scaled_dot_product_attention(x, x, x, dropout_p=0.5 if self.training else 0.0)


def failure(model: Any, shape: tuple[int, ...] = (8, 4)) -> str:
    with pytest.raises(DivergenceError) as caught:
        assert_batch_invariant(model, torch.ones(shape))
    return unwrap(str(caught.value))


def test_functional_dropout_in_eval_is_named_and_eval_is_no_fix() -> None:
    text = failure(Forgetful().eval())
    assert "cause     batch.random" in text
    assert "evidence  every module is in eval" in text
    assert "in F.dropout of Forgetful.forward" in text
    assert "fix       pass training=self.training to F.dropout\n" in text
    assert "model.eval()" not in text


def test_functional_dropout_in_training_needs_both() -> None:
    assert "fix       pass training=self.training to F.dropout; then model.eval()\n" in failure(Forgetful())


def test_attention_takes_another_argument() -> None:
    text = failure(Attentive().eval(), (8, 3, 4))
    assert "fix       pass dropout_p=p if self.training else 0.0 to F.scaled_dot_product_attention\n" in text


def test_a_model_that_samples_is_told_to_do_so_in_training_alone() -> None:
    text = failure(Sampling().eval())
    assert "fix       call torch.randn_like only if self.training, or with one generator per sample\n" in text


def test_a_layer_in_training_keeps_its_fix() -> None:
    text = failure(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5)))
    assert "in training mode: 1 (Dropout)" in text
    assert "fix       switch dropout and sampling off: model.eval()" in text


def test_a_model_that_asks_for_its_mode_is_not_accused() -> None:
    from pytest_repro.frameworks.torch_draws import find_draws

    assert find_draws(Right(), lambda file: True) == []


def test_the_same_is_said_of_a_compiled_function() -> None:
    evidence, fix = explain_draws(Forgetful().eval())
    assert evidence[0] == "every module is in eval"
    assert fix == "pass training=self.training to F.dropout"
    assert explain_draws(lambda x: x + 1) == ([], "")
