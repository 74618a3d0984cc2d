"""Rows: samples picked from containers, and results gathered in their order."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_repro import UsageError
from pytest_repro.equivalences.rows import Gathered, count_rows, pick_rows

X = np.arange(12).reshape(6, 2)


def test_rows_are_picked_in_the_requested_order():
    assert pick_rows(X, [3, 0]).tolist() == [[6, 7], [0, 1]]
    assert pick_rows(["a", "b", "c"], [2, 0]) == ["c", "a"]
    picked = pick_rows({"x": X, "y": (X, ["a"] * 6)}, [1])
    assert picked["x"].tolist() == [[2, 3]]
    assert picked["y"][1] == ["a"]


def test_rows_of_a_frame_are_picked_by_position():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"v": [10, 20, 30]}, index=[2, 1, 0])
    assert pick_rows(frame, [0, 2])["v"].tolist() == [10, 30]


@pytest.mark.parametrize("samples", [3, "text", b"bytes", np.float64(1), {1, 2}])
def test_values_without_samples_are_rejected(samples):
    with pytest.raises(UsageError, match="f: items must be"):
        count_rows("f", "items", samples)


def test_results_are_gathered_in_the_order_of_the_samples():
    gathered = Gathered("f")
    gathered.add({"p": X[[4, 1]]}, [4, 1])
    gathered.add({"p": X[[0]]}, [0])
    assert gathered.artifacts().leaves["p"].data.tolist() == X[[0, 1, 4]].tolist()
    assert gathered.artifacts(only=4).leaves["p"].data.tolist() == [X[4].tolist()]


def test_a_tuple_is_several_outputs_and_a_list_is_several_samples():
    gathered = Gathered("f")
    gathered.add((X[:2], X[:2] + 1), [1, 0])
    assert sorted(gathered.artifacts().names) == ["predictions/0", "predictions/1"]
    gathered = Gathered("f")
    gathered.add([5, 6], [1, 0])
    assert gathered.artifacts().leaves["sample 0/predictions"].data == 6
