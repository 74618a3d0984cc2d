"""Settings of NumPy for the axes: CPU features, and the content of new memory."""

from __future__ import annotations

import ctypes
import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

#: Indices of PyDataMem_SetHandler and _GetHandler in NumPy's table of C functions since 1.22, fixed by its ABI.
_SET_HANDLER, _GET_HANDLER = 304, 305


def find_enabled_features() -> tuple[str, ...]:
    """Return the dispatched CPU features in use, which NPY_DISABLE_CPU_FEATURES can disable."""
    internals = _load_internals()
    return tuple(name for name in internals.__cpu_dispatch__ if internals.__cpu_features__.get(name))


def read_cpu_kernels() -> dict[str, str]:
    """Return the dispatched features in use, and a digest of a matrix product, which identifies the BLAS kernels.

    The matrices are so small that any BLAS uses one thread.
    """
    values = (np.arange(48 * 48) % 97 / 97 - 0.5) * np.pi
    matrix = values.reshape(48, 48)
    product = np.concatenate([(matrix @ matrix.T[::-1]).ravel(), [values @ values]])
    digest = hashlib.sha256(product.tobytes()).hexdigest()[:16]
    return {"numpy": " ".join(find_enabled_features()) or "baseline only", "numpy matmul": digest}


def read_new_memory() -> str:
    """Return the distinct bytes of new uninitialised arrays, small and large, in hexadecimal."""
    found: set[int] = set()
    for size in (64, 4096, 1 << 20):
        found.update(np.empty(size, np.uint8).tobytes())
    return bytes(sorted(found)[:4]).hex()


@contextmanager
def fill_new_arrays(byte: int) -> Iterator[None]:
    """Fill the uninitialised memory of every new array, also of ufuncs and compiled extensions.

    Only the `malloc` of NumPy's allocation hook (NEP 49) is replaced. Memory whose content is defined comes from
    `calloc`, which is not changed. The hook is a context variable, so threads started within the context use NumPy's
    own. It costs 1.5 us for each new array.

    Raises
    ------
    OSError
        If this NumPy has no such hook.
    """
    set_handler, get_handler = _find_handler_functions()
    original = _read_handler(get_handler())
    allocate = _MALLOC(original.allocator.malloc)

    def fill(ctx: int, size: int) -> int | None:
        pointer: int | None = allocate(ctx, size)
        if pointer:
            ctypes.memset(pointer, byte, size)
        return pointer

    hook = _MALLOC(fill)
    handler = _Handler(b"pytest_repro_fill", original.version, original.allocator)
    handler.allocator.malloc = ctypes.cast(hook, ctypes.c_void_p).value
    capsule = _new_capsule(ctypes.addressof(handler), _CAPSULE_NAME, None)
    # Kept because arrays refer to the handler until they are freed, which may be at the end of the process. They are
    # freed by NumPy's own C function, never by Python.
    _KEPT.append((hook, handler, capsule))
    before = set_handler(capsule)
    try:
        yield
    finally:
        set_handler(before)


class _Allocator(ctypes.Structure):
    _fields_ = (
        ("ctx", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )


class _Handler(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("allocator", _Allocator))


_MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_CAPSULE_NAME = b"mem_handler"
_KEPT: list[Any] = []


def _load_internals() -> Any:
    package = "numpy._core" if int(np.__version__.partition(".")[0]) >= 2 else "numpy.core"
    return importlib.import_module(f"{package}._multiarray_umath")


def _open_capsule(capsule: Any, name: bytes | None) -> int:
    read = ctypes.pythonapi.PyCapsule_GetPointer
    read.restype, read.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return int(read(capsule, name))


def _new_capsule(pointer: int, name: bytes, destructor: None) -> Any:
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return make(pointer, name, destructor)


def _find_handler_functions() -> tuple[Any, Any]:
    table = ctypes.cast(_open_capsule(_load_internals()._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])
    return set_handler, ctypes.PYFUNCTYPE(ctypes.py_object)(table[_GET_HANDLER])


def _read_handler(capsule: Any) -> _Handler:
    handler = ctypes.cast(_open_capsule(capsule, _CAPSULE_NAME), ctypes.POINTER(_Handler)).contents
    if handler.version != 1:
        raise OSError(f"NumPy {np.__version__} has version {handler.version} of its allocation hook, not 1")
    return handler
