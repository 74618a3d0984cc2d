"""NumPy's arrays, scalars, masked arrays and random generators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pytest_repro.frameworks.base_values import (
    Branch,
    Captured,
    FreshLeaf,
    Handler,
    NotComparableError,
    Parts,
    Reader,
    Traits,
    make_fresh,
    text_leaf,
)
from pytest_repro.frameworks.function_values import capture_compiled
from pytest_repro.model import Leaf
from pytest_repro.numerics.array_digest import describe_array

#: dtype -> (logical name, how it is captured). Printing a dtype costs more than capturing the array.
_known_dtypes: dict[np.dtype[Any], tuple[str, str]] = {}
#: Names of the dtypes that are captured as they are.
_plain_names: dict[np.dtype[Any], str] = {}


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Name a dtype as NumPy prints it, but a ``float128``, which few machines compute, ``longdouble``."""
    if dtype.char in "gG":
        name = "longdouble" if dtype.char == "g" else "clongdouble"
        return name if dtype.isnative else dtype.str
    if dtype.kind == "U" and dtype.isnative:
        return f"<U{dtype.itemsize // 4}"  # the same on a big-endian host
    return str(dtype)


def _classify(dtype: np.dtype[Any]) -> tuple[str, str]:
    if dtype.names is not None:
        entry = (str(dtype), "fields")
    elif dtype.kind in "biufcSUMm" and dtype.type.__module__ == "numpy":
        entry = (dtype_name(dtype), "plain")
    elif dtype.type.__module__.partition(".")[0] == "ml_dtypes":
        entry = (dtype.name, "carrier")
    elif dtype.kind == "O":
        entry = ("object", "elements")
    elif dtype.kind == "T":
        entry = (repr(dtype).removesuffix("()"), "elements")  # with what stands for a missing text
    elif dtype.type is np.void:
        entry = (dtype.str, "void")
    else:
        entry = (str(dtype), "unknown")
    _known_dtypes[dtype] = entry
    if entry[1] == "plain":
        _plain_names[dtype] = entry[0]
    return entry


def capture_array(value: np.ndarray[Any, Any]) -> Captured:
    """Capture a plain ndarray, sharing its memory."""
    plain_name = _plain_names.get(value.dtype)
    if plain_name is not None:
        return Leaf("array", value, "ndarray", plain_name, value.shape)
    name, kind = _known_dtypes.get(value.dtype) or _classify(value.dtype)
    return _capture_unusual(value, "ndarray", name, kind)


def _capture_unusual(value: np.ndarray[Any, Any], type_name: str, name: str, kind: str) -> Captured:
    if kind == "plain":
        return Leaf("array", value, type_name, name, value.shape)
    if kind == "carrier":
        return Leaf("array", value.view(f"u{value.dtype.itemsize}"), type_name, name, value.shape)
    if kind == "void":
        return _capture_void(value, type_name, name)
    if kind == "fields":
        traits = (("fields", ", ".join(map(repr, value.dtype.names or ()))), ("shape", str(value.shape)))
        return Branch(type_name, [(field, value[field]) for field in value.dtype.names or ()], traits)
    if kind == "elements":
        traits = (("dtype", name), ("shape", str(value.shape)))
        return Branch(type_name, _iterate_elements(value), traits, whole=False)
    raise NotComparableError(f"NumPy dtype {name} has no known layout; convert it to a numeric dtype")


def _capture_void(value: np.ndarray[Any, Any], type_name: str, name: str) -> Leaf:
    if not value.dtype.itemsize:
        raise NotComparableError("its elements have zero bytes, so there is nothing to compare")
    data = np.ascontiguousarray(value).reshape(-1).view(np.uint8).reshape(*value.shape, value.dtype.itemsize)
    return Leaf("array", data, type_name, "uint8", data.shape, (("dtype", name),))


def _iterate_elements(value: np.ndarray[Any, Any]) -> Iterator[tuple[str, Any]]:
    for index in np.ndindex(value.shape):
        yield ",".join(map(str, index)) or "item", value[index]


def capture_array_subclass(value: np.ndarray[Any, Any]) -> Captured:
    """Capture the elements of a subclass (memmap, matrix, recarray)."""
    plain = np.ndarray.view(value, np.ndarray)
    name, kind = _known_dtypes.get(plain.dtype) or _classify(plain.dtype)
    return _capture_unusual(plain, type(value).__name__, name, kind)


def capture_scalar(value: np.generic) -> Captured:
    """Capture a NumPy scalar as an array without dimensions, under its own type's name."""
    type_name = type(value).__name__
    if isinstance(value, (np.str_, np.bytes_)):  # among local variables only: elsewhere it is captured as a str
        raise NotComparableError("text is not data among local variables")
    array = np.asarray(value)
    name, kind = _known_dtypes.get(array.dtype) or _classify(array.dtype)
    if kind == "plain":
        return FreshLeaf("array", array, type_name, name, ())
    return _capture_unusual(array, type_name, name, kind)


def capture_masked(value: np.ma.MaskedArray[Any, Any]) -> Captured:
    """Capture a masked array by its mask and the elements that are not masked."""
    if value is np.ma.masked:
        return Leaf("value", None, "MaskedConstant", "None")
    if value.dtype.names is not None:
        traits = (("fields", ", ".join(map(repr, value.dtype.names))), ("shape", str(value.shape)))
        return Branch(type(value).__name__, [(field, value[field]) for field in value.dtype.names], traits)
    mask = np.ma.getmaskarray(value)
    data = np.array(np.ma.getdata(value), subok=False)
    data[mask] = None if data.dtype.hasobject else np.zeros((), data.dtype)
    children = [("data", make_fresh(capture_array(data))), ("mask", mask)]
    is_hard: Traits = (("hardmask", "True"),) if value.hardmask else ()
    return Branch(type(value).__name__, [*children, ("fill_value", value.fill_value)], is_hard)


def capture_bit_generator(value: np.random.BitGenerator) -> Branch:
    """Capture a bit generator's state, and how many generators it has spawned, which decides what it spawns next."""
    children = list(_without_stale_cache(value.state).items())
    spawned = getattr(getattr(value, "seed_seq", None), "n_children_spawned", 0)
    return Branch(type(value).__name__, [*children, ("spawned", spawned)] if spawned else children)


def capture_random_state(value: np.random.RandomState) -> Branch:
    """Capture a legacy RandomState."""
    state = value.get_state(legacy=False)
    assert isinstance(state, dict)
    return Branch(type(value).__name__, list(_without_stale_cache(state).items()))


def _without_stale_cache(generator_state: Any) -> dict[str, Any]:
    # A cached half draw is state only while its flag is set. Afterwards it is a leftover of an earlier draw.
    state: dict[str, Any] = dict(generator_state)
    if "has_uint32" in state and not state["has_uint32"]:
        state["uinteger"] = 0
    if "has_gauss" in state and not state["has_gauss"]:
        state["gauss"] = 0.0
    return state


def capture_seed_sequence(value: np.random.SeedSequence) -> Branch:
    """Capture a SeedSequence by its entropy and its spawned children."""
    names = ("entropy", "spawn_key", "pool_size", "n_children_spawned")
    return Branch(type(value).__name__, [(name, getattr(value, name)) for name in names])


def capture_ufunc(value: Any) -> Captured:
    """Capture a ufunc by its name, unless it hides a Python function."""
    if value.__name__.endswith("(vectorized)"):
        raise NotComparableError("np.frompyfunc hides the function that it calls; return that function")
    return capture_compiled(value)


HANDLERS: dict[type, Handler] = {
    np.ndarray: capture_array,
    np.ma.MaskedArray: capture_masked,
    np.generic: capture_scalar,
    np.dtype: text_leaf,
    np.random.Generator: lambda value: Branch(type(value).__name__, [("bit_generator", value.bit_generator)]),
    np.random.RandomState: capture_random_state,
    np.random.BitGenerator: capture_bit_generator,
    np.random.SeedSequence: capture_seed_sequence,
    np.ufunc: capture_ufunc,
    type(np.mean): capture_compiled,  # functions that arrays of other libraries may replace
}

SUBCLASS_HANDLERS: dict[type, Handler] = {np.ndarray: capture_array_subclass}


def _read_array(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return value if type(value) is np.ndarray else np.ndarray.view(value, np.ndarray)


def _read_bit_generator(value: Any) -> Parts:
    return Parts([("state", value.state)])


def _read_seed_sequence(value: np.random.SeedSequence) -> Parts:
    return Parts([("entropy", value.entropy), ("spawn_key", value.spawn_key), ("children", value.n_children_spawned)])


_SCALAR = Reader(
    lambda value: value.dtype.str.encode() + value.tobytes(), lambda value: f"{type(value).__name__}({value.item()!r})"
)

READERS: dict[type, Reader] = {
    np.ndarray: Reader(
        _read_array,
        lambda value: describe_array(np.ndarray.view(value, np.ndarray), type(value).__name__),
        is_data=True,
    ),
    # The last two come before the str and bytes that they inherit from.
    **dict.fromkeys([np.generic, np.str_, np.bytes_], _SCALAR),
    np.random.Generator: Reader(lambda value: _read_bit_generator(value.bit_generator), is_data=True, is_complete=True),
    np.random.RandomState: Reader(
        lambda value: _read_bit_generator(value._bit_generator), is_data=True, is_complete=True
    ),
    np.random.BitGenerator: Reader(_read_bit_generator, is_data=True, is_complete=True),
    np.random.SeedSequence: Reader(_read_seed_sequence, is_complete=True),
}
