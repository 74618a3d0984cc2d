"""Compiled functions: arguments are checked before anything is compiled, and causes are named from the evidence."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from pytest_repro import UsageError, assert_compile_equivalent
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing import compare
from pytest_repro.equivalences.compiling import _explain
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
    ("actual", "draws", "cause"),
    [
        (ONES * (1 + 1e-15), False, "compile.rounding"),
        (ONES * 2, False, "compile.semantics"),
        (ONES * 2, True, "compile.random"),
    ],
)
def test_each_cause_is_named_from_its_evidence(actual, draws, cause):
    found = Deviation(Trial("torch.compile", capture_tree(actual)), compare(actual, ONES), capture_tree(ONES))
    assert _explain([found], draws, np.sin).cause.startswith(cause)
