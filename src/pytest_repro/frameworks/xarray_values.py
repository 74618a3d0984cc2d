"""xarray's datasets and arrays, by the hook that is open to all: dimensions, coordinates, attributes and values."""

from __future__ import annotations

from typing import Any

import xarray

from pytest_repro.frameworks.base_values import NotComparableError

LIBRARY = "xarray"


def pytest_repro_capture(value: object) -> dict[str, Any] | None:
    """Return a tree of known values that stands for one of xarray's, or None for any other value.

    Notes
    -----
    What is part of a value is what xarray's ``identical`` compares, and the kinds of indexes. The order of variables
    and the encoding of files are not.

    Raises
    ------
    NotComparableError
        If the values are not computed yet.
    """
    if isinstance(value, xarray.Variable):
        if value.chunks is not None:
            raise NotComparableError("its chunks are not computed yet; return value.compute()")
        return {"dims": value.dims, "data": value.data, "attrs": dict(value.attrs)}
    if isinstance(value, xarray.DataArray):
        return {"name": value.name, "values": value.variable, "coords": dict(_capture_coordinates(value.coords))}
    if isinstance(value, xarray.Dataset):
        variables = {name: array.variable for name, array in value.data_vars.items()}
        return {
            "variables": variables,
            "coords": dict(_capture_coordinates(value.coords)),
            "dims": dict(value.sizes),
            "attrs": dict(value.attrs),
        }
    if isinstance(value, xarray.Coordinates):
        return dict(_capture_coordinates(value))
    if isinstance(value, xarray.DataTree):
        groups = sorted(value.to_dict().items())
        return {"name": value.name, "groups": [{"path": path, "dataset": dataset} for path, dataset in groups]}
    return None


def _capture_coordinates(coordinates: Any) -> list[tuple[str, Any]]:
    variables = {name: array.variable for name, array in coordinates.items()}
    kinds = {name: type(index).__name__ for name, index in coordinates.xindexes.items()}
    return [("variables", variables), ("indexes", kinds)]
