"""Compiled functions: arguments are checked before anything is compiled, and causes are named from the evidence."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from pytest_repro import UsageError, assert_compile_equivalent
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing import compare
from pytest_repro.equivalences.compiling import _by_magnitude, _suspect_draws
from pytest_repro.equivalences.experiment import Deviation, Trial
from pytest_repro.errors import MissingExtraError

ONES = np.ones(50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backends": "tvm"}, "backend must be one of .* got 'tvm'"),
        ({"backends": "jax.jit:fast"}, "got 'jax.jit:fast'"),
        ({"backends": [3]}, "got 3"),
        ({}, "neither tensors nor JAX arrays"),
        ({"backends": "jax.jit", "max_upl": 2}, "no argument 'max_upl'"),
    ],
)
def test_wrong_arguments_are_rejected(arguments, message):
    with pytest.raises(UsageError, match=message):
        assert_compile_equivalent(np.sin, ONES, **arguments)


def test_a_backend_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"jax.jit needs jax: pip install 'pytest-repro\[jax\]'"):
        assert_compile_equivalent(np.sin, ONES, backends="jax.jit")


@pytest.mark.parametrize(
    ("actual", "cause"), [(ONES * (1 + 1e-15), "compile.rounding"), (ONES * 2, "compile.semantics")]
)
def test_each_cause_is_named_from_its_evidence(actual, cause):
    found = Deviation(Trial("torch.compile", capture_tree(actual)), compare(actual, ONES), capture_tree(ONES))
    assert _by_magnitude([found]).cause.startswith(cause)


def test_random_numbers_that_no_run_could_hold_are_only_suspected():
    found = Deviation(Trial("torch.export", capture_tree(ONES * 2)), compare(ONES * 2, ONES), capture_tree(ONES))
    explanation = _suspect_draws([found], "another seed gives another result")
    assert (explanation.cause, explanation.suspected[:14]) == ("", "compile.random")
