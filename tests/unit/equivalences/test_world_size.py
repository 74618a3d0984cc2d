"""World sizes: arguments are checked before torchrun is started, and causes are named from the evidence."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from pytest_repro import DivergenceError, UsageError, assert_world_size_invariant
from pytest_repro.capturing import capture_tree
from pytest_repro.comparing import compare
from pytest_repro.equivalences.experiment import Deviation, Experiment, Trial
from pytest_repro.equivalences.world_size import _explain
from pytest_repro.errors import MissingExtraError
from tests.unit.equivalences import loops

ONES = np.ones(50)


@pytest.mark.parametrize(
    ("func", "arguments", "message"),
    [
        (lambda: 1, {}, "it is a lambda; move it to module level"),
        (loops.sum_of_sines, {"world_sizes": (2,)}, "only one number"),
        (loops.sum_of_sines, {"world_sizes": (0, 2)}, ">= 1"),
        (loops.sum_of_sines, {"backend": "mpi"}, "backend must be one of"),
        (3, {}, "func must be a function"),
    ],
)
def test_wrong_arguments_are_rejected(func, arguments, message):
    with pytest.raises(UsageError, match=message):
        assert_world_size_invariant(func, **arguments)


def test_a_missing_torch_names_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pytest-repro\[torch\]"):
        assert_world_size_invariant(loops.sum_of_sines)


@pytest.mark.parametrize(
    ("actual", "is_replica", "cause"),
    [
        (ONES * (1 + 1e-15), False, "world_size.rounding"),
        (ONES * 2, False, "world_size.scale: the result is 2 times"),
        (ONES + np.arange(50), False, "world_size.other"),
        (ONES * 2, True, "world_size.replicas"),
    ],
)
def test_each_cause_is_named_from_its_evidence(actual, is_replica, cause):
    trial = Trial("2 processes, rank 1", capture_tree(actual))
    found = Deviation(trial, compare(actual, ONES), capture_tree(ONES))
    explanation = _explain([found], [trial] if is_replica else [], 1)
    assert explanation.cause.startswith(cause)


def test_a_replica_is_compared_with_a_rank_of_its_own_world_and_the_message_says_so():
    trial = Trial(
        "2 processes, rank 1", capture_tree(ONES * 2), expected=capture_tree(ONES), against="2 processes, rank 0"
    )
    begun = Experiment.begin("assert_this", None, {})
    with pytest.raises(DivergenceError) as caught:
        begun.conclude(Trial("1 process", capture_tree(ONES)), [trial], lambda found: _explain(found, [trial], 1))
    message = str(caught.value)
    assert message.startswith("assert_this: 1 of 1 variants differ from 2 processes, rank 0\n")
    assert "  varied    2 processes, rank 0 -> 2 processes, rank 1\n" in message
    assert "1 process" not in message.replace("1 processes", "")
    told = str(caught.value.equivalence)
    assert told == "assert_this: diverged: 2 processes, rank 1 against 2 processes, rank 0"
