"""Parts of a tree that were captured in part, and then listed as not compared: nothing else depends on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_repro.capturing import capture_tree, tree
from pytest_repro.frameworks.base_values import Elsewhere, Held, Internal, Passing

WEIGHTS = np.ones(3)


@pytest.fixture(params=["too much", "refused"])
def undo(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the part of a library's bookkeeping that begins with a value and cannot be captured."""
    monkeypatch.setattr(tree, "MAX_INTERNAL_LEAVES", 20)
    rest: list[Any] = list(range(50)) if request.param == "too much" else [iter([])]
    return lambda first: Internal([first, *rest])


def test_what_a_run_leaves_is_listed_where_only_an_undone_part_had_it_before(undo: Any) -> None:
    found = capture_tree({"library": undo(Passing(1.0, "gradient")), "model": [Passing(1.0, "gradient")]})
    assert [value.name for value in found.not_compared] == ["library", "model/0"]


def test_a_tensor_is_not_tied_to_one_of_an_undone_part(undo: Any) -> None:
    held = Held(WEIGHTS, ("memory", 1))
    found = capture_tree({"library": undo(held), "model": [held]}, gradients=True)
    assert list(found.leaves) == ["", "library", "model", "model/0"]


def test_a_value_of_another_object_is_captured_unless_it_is_there_already(undo: Any) -> None:
    found = capture_tree({"library": undo(Held(WEIGHTS, None)), "optimizer": [Elsewhere(WEIGHTS)]}, gradients=True)
    assert list(found.leaves) == ["", "library", "optimizer", "optimizer/0"]
    assert found.leaves["optimizer/0"].form == "array"


def test_a_value_of_another_object_that_an_undone_part_refers_to_is_left_out(undo: Any) -> None:
    found = capture_tree({"library": undo(Elsewhere(WEIGHTS))}, gradients=True)
    assert list(found.leaves) == ["", "library"]
