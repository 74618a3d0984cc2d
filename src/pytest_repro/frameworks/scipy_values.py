"""SciPy's sparse matrices and arrays, by the arrays that store them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from pytest_repro.frameworks.attributes import package_of, read_dict
from pytest_repro.frameworks.base_values import Branch, Handler, NotComparableError, make_fresh
from pytest_repro.frameworks.numpy_values import capture_array


def capture_sparse(matrix: Any) -> Branch:
    """Capture a sparse matrix or array as stored.

    Notes
    -----
    Entries are neither sorted nor summed: their order decides the rounding of the next product. Undefined elements
    (spare capacity, the corners of a diagonal) are not part of the value.
    """
    read_parts = _parts_of.get(matrix.format)
    if read_parts is None:
        raise NotComparableError(f"the sparse format {matrix.format!r} is unknown; return matrix.tocsr()")
    parts = read_parts(matrix)
    traits = (("format", matrix.format), ("shape", str(matrix.shape)))
    children = list(parts.items())
    if package_of(type(matrix)) == "scipy":  # a subclass' additions are found with its handler
        children += [(f".{name}", part) for name, part in read_dict(matrix) if name not in _OWN_NAMES]
    return Branch(type(matrix).__name__, children, traits)


#: Attributes in which SciPy keeps a matrix, and what it knows of their order.
_OWN_NAMES = frozenset(
    [
        "_shape",
        "maxprint",
        "indices",
        "indptr",
        "data",
        "coords",
        "row",
        "col",
        "offsets",
        "rows",
        "dtype",
        "_dict",
        "blocksize",
        "has_canonical_format",
        "_has_canonical_format",
        "has_sorted_indices",
        "_has_sorted_indices",
    ]
)


def _compressed_parts(matrix: Any) -> dict[str, Any]:
    stored = int(matrix.indptr[-1])  # the arrays may be longer
    return {"data": matrix.data[:stored], "indices": matrix.indices[:stored], "indptr": matrix.indptr}


def _coordinate_parts(matrix: Any) -> dict[str, Any]:
    coords = matrix.coords if hasattr(matrix, "coords") else (matrix.row, matrix.col)
    return {"data": matrix.data, **{f"coords_{axis}": index for axis, index in enumerate(coords)}}


def _diagonal_parts(matrix: Any) -> dict[str, Any]:
    rows, columns = matrix.shape
    width = matrix.data.shape[1]
    column = np.arange(width)
    row = column - np.asarray(matrix.offsets)[:, None]
    inside = (row >= 0) & (row < rows) & (column < columns)
    data = np.where(inside, matrix.data, np.zeros((), matrix.data.dtype))
    return {"data": make_fresh(capture_array(data)), "offsets": matrix.offsets}


def _dictionary_parts(matrix: Any) -> dict[str, Any]:
    # Sorted: a dictionary's order of insertion has no meaning.
    entries = _coordinate_parts(matrix.tocoo())
    order = np.lexsort([part for name, part in reversed(entries.items()) if name != "data"])
    return {name: make_fresh(capture_array(part[order])) for name, part in entries.items()}


def _list_parts(matrix: Any) -> dict[str, Any]:
    return _compressed_parts(matrix.tocsr())


_parts_of: dict[str, Callable[[Any], dict[str, Any]]] = {
    "csr": _compressed_parts,
    "csc": _compressed_parts,
    "bsr": _compressed_parts,
    "coo": _coordinate_parts,
    "dia": _diagonal_parts,
    "dok": _dictionary_parts,
    "lil": _list_parts,
}

HANDLERS: dict[type, Handler] = dict.fromkeys(
    # The dictionaries of keys by name: they inherit from `dict` before the two base classes.
    [sparse.spmatrix, sparse.sparray, sparse.dok_matrix, sparse.dok_array],
    capture_sparse,
)

#: Modules whose objects keep their state in plain attributes.
READABLE = ("scipy.sparse",)
