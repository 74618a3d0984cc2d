"""Libraries loaded in this process that have threads or kernels of their own.

Native ones are found in the process' memory map, so that searching loads nothing. That works on Linux alone; elsewhere
threadpoolctl is used where it is installed.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAPS = Path("/proc/self/maps")

#: Family, parts of the file's name, functions that get and set threads. scipy's builds add a prefix to the functions'
#: names, 64-bit builds add a suffix.
_FAMILIES: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("openblas", ("openblas",), "openblas_get_num_threads", "openblas_set_num_threads"),
    ("mkl", ("libmkl_rt",), "MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ("blis", ("libblis",), "bli_thread_get_num_threads", "bli_thread_set_num_threads"),
    ("openmp", ("libgomp", "libomp", "libiomp"), "omp_get_max_threads", "omp_set_num_threads"),
)
_PREFIXES, _SUFFIXES = ("", "scipy_"), ("", "64_", "_64", "_64_", "64")


@dataclass(frozen=True)
class Pool:
    """One loaded library with threads of its own.

    Attributes
    ----------
    name : str
        Family and file: ``openblas libscipy_openblas64_-32a4b2a6.so``.
    get_threads, set_threads : callable
    architecture : str
        Kernels in use (``Haswell``), empty where the library does not report them.
    """

    name: str
    get_threads: Callable[[], int]
    set_threads: Callable[[int], Any]
    architecture: str = ""


def find_pools() -> list[Pool]:
    """Return every library with threads that is loaded now, sorted by path."""
    if not _MAPS.exists():
        return list(_ask_threadpoolctl())
    paths = {path for _, _, path in read_memory_map() if ".so" in path or ".dylib" in path}
    return [pool for path in sorted(paths) if (pool := _open(path)) is not None]


def read_memory_map() -> list[tuple[int, int, str]]:
    """Return the first address, the end and the file of every mapping of this process.

    The file is empty for memory that belongs to no file. Linux only.
    """
    mappings = []
    # Not splitlines(), which also splits at characters that a file's name may contain.
    for line in _MAPS.read_bytes().decode("utf-8", "replace").split("\n"):
        addresses, _, rest = line.partition(" ")
        begin, dash, end = addresses.partition("-")
        if dash:
            _, slash, path = rest.partition("/")
            mappings.append((int(begin, 16), int(end, 16), (slash + path).removesuffix(" (deleted)")))
    return mappings


def open_loaded(path: str) -> ctypes.CDLL:
    """Return a handle of a library, or raise OSError if it is not loaded already."""
    return ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)


def find_adapters(*frameworks: str) -> dict[str, Any]:
    """Return the adapter, ``frameworks/<name>_axes.py``, of each of these frameworks that is loaded."""
    return {
        name: importlib.import_module(f"pytest_repro.frameworks.{name}_axes")
        for name in frameworks
        if name in sys.modules
    }


def is_pool(path: str) -> bool:
    """Return whether the threads of a library have a count of their own, by the library's path."""
    file = os.path.basename(path)  # noqa: PTH119 - a string from the loader
    return any(part in file for _, parts, _, _ in _FAMILIES for part in parts)


def _open(path: str) -> Pool | None:
    file = os.path.basename(path)  # noqa: PTH119 - a string from the kernel
    for family, parts, get_name, set_name in _FAMILIES:
        if not any(part in file for part in parts):
            continue
        try:
            library = open_loaded(path)
        except OSError:
            return None
        get, put = _find_symbol(library, get_name), _find_symbol(library, set_name)
        if get is None or put is None:
            return None
        get.restype, put.argtypes, put.restype = ctypes.c_int, (ctypes.c_int,), None
        return Pool(f"{family} {file}", get, put, _read_core_name(library) if family == "openblas" else "")
    return None


def _find_symbol(library: ctypes.CDLL, name: str) -> Any:
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            with contextlib.suppress(AttributeError):
                return getattr(library, f"{prefix}{name}{suffix}")
    return None


def _read_core_name(library: ctypes.CDLL) -> str:
    read = _find_symbol(library, "openblas_get_corename")
    if read is None:
        return ""
    read.restype = ctypes.c_char_p
    return (read() or b"").decode("ascii", "replace")


def _ask_threadpoolctl() -> Iterator[Pool]:
    if importlib.util.find_spec("threadpoolctl") is None:
        return
    for controller in importlib.import_module("threadpoolctl").ThreadpoolController().lib_controllers:
        architecture = str(getattr(controller, "architecture", "") or "")
        name = f"{controller.internal_api} {Path(controller.filepath).name}"
        yield Pool(name, controller.get_num_threads, controller.set_num_threads, architecture)
