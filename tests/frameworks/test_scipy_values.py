"""Capture of SciPy's sparse matrices and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.capturing import capture_tree
from tests.unit.capturing.helpers import Case, assert_captures, differing, flip

sparse = pytest.importorskip("scipy.sparse")

FORMATS = ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"]
DENSE = np.array([[1.0, 0, 2], [0, 3, 0]])


def change(matrix: Any) -> None:
    if matrix.format in ("dok", "lil"):
        matrix[1, 1] = np.nextafter(3, 4)
    else:
        flip(matrix.data, tuple(index[0] for index in np.nonzero(matrix.data)))


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("name", FORMATS)
def test_one_bit_of_a_stored_value_is_seen(name: str, kind: str) -> None:
    make = getattr(sparse, f"{name}_{kind}")
    assert_captures(Case(lambda: make(DENSE), change), "result/data")
    assert capture_tree(make(DENSE)).leaves["result"].type_name == f"{name}_{kind}"


def test_an_index_a_shape_and_a_format_are_seen() -> None:
    base = sparse.csr_array(DENSE)
    moved = sparse.csr_array((base.data, np.array([0, 1, 1], base.indices.dtype), base.indptr), shape=base.shape)
    assert differing(capture_tree(base), capture_tree(moved)) == ["result/indices"]
    wide = sparse.csr_array((base.data, base.indices, base.indptr), shape=(2, 4))
    assert differing(capture_tree(base), capture_tree(wide)) == ["result"]
    assert differing(capture_tree(base), capture_tree(sparse.csr_matrix(DENSE))) == ["result"]
    assert differing(capture_tree(base), capture_tree(base.astype("f4"))) == ["result/data"]


@pytest.mark.parametrize("name", ["coo", "csr", "dok"])
def test_a_sparse_vector(name: str) -> None:
    make = getattr(sparse, f"{name}_array")
    try:
        one, other = make(np.array([1.0, 0, 2])), make(np.array([1.0, 2, 0]))
    except ValueError:
        pytest.skip("this release of SciPy has matrices only")
    assert differing(capture_tree(one), capture_tree(one.copy())) == []
    assert differing(capture_tree(one), capture_tree(other)) != []
    assert differing(capture_tree(one), capture_tree(one * 2)) == ["result/data"]


def test_a_sparse_array_of_three_dimensions() -> None:
    def make(*place: int) -> Any:
        return sparse.coo_array((np.ones(1), tuple(np.array([i]) for i in place)), shape=(2, 2, 2))

    try:
        one, other = make(0, 1, 1), make(0, 1, 0)
    except ValueError:
        pytest.skip("this release of SciPy has matrices only")
    assert differing(capture_tree(one), capture_tree(make(0, 1, 1))) == []
    assert differing(capture_tree(one), capture_tree(other)) == ["result/coords_2"]


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_matrix_has_a_shape_and_a_dtype(name: str) -> None:
    def make(rows: int, dtype: str) -> Any:
        return getattr(sparse, f"{name}_array")((rows, 4), dtype=dtype)

    assert differing(capture_tree(make(2, "f8")), capture_tree(make(2, "f8"))) == []
    assert differing(capture_tree(make(2, "f8")), capture_tree(make(4, "f8"))) != []
    assert differing(capture_tree(make(2, "f8")), capture_tree(make(2, "f4"))) != []


def test_the_order_of_insertion_into_a_dictionary_does_not_count() -> None:
    one, other = sparse.dok_array((2, 2)), sparse.dok_array((2, 2))
    one[0, 1], one[1, 0] = 1.0, 2.0
    other[1, 0], other[0, 1] = 2.0, 1.0
    assert differing(capture_tree(one), capture_tree(other)) == []


def test_undefined_elements_of_a_format_do_not_count() -> None:
    def diagonal(corner: float) -> Any:
        return sparse.dia_array((np.array([[1.0, 2.0, corner]]), [-1]), shape=(3, 3))

    assert differing(capture_tree(diagonal(5.0)), capture_tree(diagonal(7.0))) == []

    def spare(last: float) -> Any:
        matrix = sparse.csr_array(DENSE)
        matrix.data, matrix.indices = np.append(matrix.data, last), np.append(matrix.indices, int(last))
        return matrix

    assert differing(capture_tree(spare(1)), capture_tree(spare(2))) == []


def test_a_sparse_vector_has_one_coordinate() -> None:
    vector = sparse.coo_array(np.array([0.0, 1.0, 2.0]))
    assert capture_tree(vector).names == ["result/data", "result/coords_0"]


@pytest.mark.parametrize("name", FORMATS)
@given(st.lists(st.integers(0, 2), min_size=6, max_size=6), st.data())
def test_matrices_are_captured_alike_exactly_if_they_are_equal(name: str, values: Any, data: Any) -> None:
    other = list(values)
    other[data.draw(st.integers(0, 5))] = data.draw(st.integers(0, 2))
    one, near = (getattr(sparse, f"{name}_array")(np.reshape(side, (2, 3)) * 1.0) for side in (values, other))
    assert (differing(capture_tree(one), capture_tree(near)) == []) is (values == other)
    assert differing(capture_tree(one), capture_tree(one.copy())) == []


@pytest.mark.parametrize("name", FORMATS)
def test_an_attribute_of_a_matrix_is_seen_and_its_use_adds_none(name: str) -> None:
    fresh, used, noted = (sparse.csr_array(DENSE).asformat(name) for _ in range(3))
    noted.note = 1
    used.maxprint = fresh.maxprint
    for name_of_use in ("has_sorted_indices", "has_canonical_format"):
        getattr(used, name_of_use, None)
    assert not differing(capture_tree(fresh), capture_tree(used))
    assert differing(capture_tree(fresh), capture_tree(noted))
