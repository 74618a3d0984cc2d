"""Replacement of the C library's functions in compiled libraries: the clock, entropy, threads.

A library written in C++ reads the clock or starts a thread without Python. It finds the function in its table of
imported addresses, which the loader filled in: another address is written there, and the old one restored afterwards.
This works on Linux on 64-bit x86 and ARM. Elsewhere nothing is replaced.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import platform
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from pytest_repro.axes.native import is_pool, open_loaded, read_memory_map

#: Relocations that hold the address of an imported function: GLOB_DAT, JUMP_SLOT.
_RELOCATIONS = {"x86_64": (6, 7), "aarch64": (1025, 1026)}
_PT_DYNAMIC = 2
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_STRSZ, _DT_JMPREL = 2, 5, 6, 7, 8, 10, 23
#: Number of relocations at the beginning that name no symbol, which are most of a large library's.
_DT_RELACOUNT = 0x6FFFFFF9
_RELA = np.dtype([("offset", "<u8"), ("kind", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])
_DYNAMIC = np.dtype([("tag", "<i8"), ("value", "<u8")])
_HEADER = np.dtype(
    [("type", "<u4"), ("flags", "<u4")]
    + [(name, "<u8") for name in ("offset", "vaddr", "paddr", "filesz", "memsz", "align")]
)
_SYMBOL = np.dtype([("name", "<u4"), ("rest", "V20")])
#: Beginnings of the names of the system's own libraries, in which nothing is replaced: they hold the functions.
_SYSTEM = ("libc.", "libc-", "ld-linux", "libm.", "libpthread", "librt.", "libdl.", "libpython", "libffi", "linux-vdso")
#: Name in the C or C++ library -> its signature.
SIGNATURES: dict[str, Any] = {
    "time": ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p),
    "gettimeofday": ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
    "clock_gettime": ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p),
    "_ZNSt6chrono3_V212system_clock3nowEv": ctypes.CFUNCTYPE(ctypes.c_int64),
    "_ZNSt6chrono3_V212steady_clock3nowEv": ctypes.CFUNCTYPE(ctypes.c_int64),
    "_ZNSt13random_device9_M_getvalEv": ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p),
    "opendir": ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p),
    "getrandom": ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint),
    "pthread_create": ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4),
}
#: Mangled name -> name in C++.
CPP_NAMES = {
    "_ZNSt6chrono3_V212system_clock3nowEv": "std::chrono::system_clock::now",
    "_ZNSt6chrono3_V212steady_clock3nowEv": "std::chrono::steady_clock::now",
    "_ZNSt13random_device9_M_getvalEv": "std::random_device",
}
#: Replacements, never freed: a thread may still be inside one when it is removed.
_kept: list[Any] = []

#: Takes the library's path and the real function, and returns the function to call instead.
Maker = Callable[[str, Any], Callable[..., Any]]


class _Info(ctypes.Structure):
    _fields_ = (
        ("base", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.c_void_p),
        ("count", ctypes.c_uint16),
    )


@contextmanager
def replaced_calls(makers: Mapping[str, Maker], takes: Callable[[str], bool]) -> Iterator[list[str]]:
    """Replace functions of the C library in the libraries that are loaded now.

    Parameters
    ----------
    makers : mapping of name -> callable (path, real) -> callable
        Names are keys of `SIGNATURES`. The function that a maker returns is called with the real one's arguments, on
        the calling thread and with the GIL held, and must not raise.
    takes : callable (path) -> bool
        Selects the libraries: `is_library`, `reads_clock` or another predicate.

    Yields
    ------
    list of str
        Paths of the libraries in which something was replaced.
    """
    written: list[tuple[int, int]] = []
    found: list[str] = []
    try:
        for path, slots in _find_slots(frozenset(makers), takes):
            for name, address in slots:
                real = _find_real(name)
                if real is None:
                    continue
                replacement = SIGNATURES[name](makers[name](path, real))
                _kept.append(replacement)
                written.append((address, _write(address, ctypes.cast(replacement, ctypes.c_void_p).value or 0)))
                found.append(path)
        yield list(dict.fromkeys(found))
    finally:
        for address, before in reversed(written):
            _write(address, before)


def is_library(path: str) -> bool:
    """Return whether a file is neither the interpreter's nor the system's own, nor a runtime of threads.

    A runtime's threads wait for points in time, and their number has a setting of its own.
    """
    name = os.path.basename(path)  # noqa: PTH119 - a string from the loader
    is_system = name.startswith(_SYSTEM) or path.startswith(_standard_folders())
    return bool(name) and not is_system and not is_pool(path)


def reads_clock(path: str) -> bool:
    """Return whether a clock reading of a library may reach a result.

    The C++ library's readings do not: it reads the clock for its deadlines.
    """
    return is_library(path) and not is_cxx(path)


def is_cxx(path: str) -> bool:
    """Return whether a file is the C++ library, through which other libraries start threads."""
    return os.path.basename(path).startswith("libstdc++")  # noqa: PTH119


def find_library(address: int) -> str:
    """Return the path of the library that contains an address, or an empty string."""
    return next((path for begin, end, path in read_memory_map() if begin <= address < end), "")


@functools.cache
def _standard_folders() -> tuple[str, ...]:
    # Only the folder of extensions: the folder of installed packages is below that of the standard library.
    folder = os.path.join(sysconfig.get_paths()["platstdlib"], "lib-dynload")  # noqa: PTH118
    return (os.path.realpath(folder), folder, os.path.realpath(sys.executable))


def _find_slots(names: frozenset[str], takes: Callable[[str], bool]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return the path of each library with the places of its table that hold the addresses of these functions."""
    kinds = _RELOCATIONS.get(platform.machine())
    if kinds is None or sys.platform != "linux":
        return []
    result: list[tuple[str, list[tuple[str, int]]]] = []
    visit_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Info), ctypes.c_size_t, ctypes.c_void_p)
    objects: list[tuple[str, int, int, int]] = []

    def visit(info: Any, size: int, data: Any) -> int:
        entry = info.contents
        objects.append(((entry.name or b"").decode("utf-8", "replace"), entry.base, entry.headers, entry.count))
        return 0

    # Listed first and read afterwards: the loader's lock is held while it lists.
    ctypes.CDLL(None).dl_iterate_phdr(visit_type(visit), None)
    for path, base, headers, count in objects:
        if takes(path) and (slots := _read_slots(path, base, headers, count, names, kinds)):
            result.append((path, slots))
    return result


@functools.cache
def _read_slots(
    path: str, base: int, headers: int, count: int, names: frozenset[str], kinds: tuple[int, ...]
) -> list[tuple[str, int]]:
    """Return the places of a library's table. The path tells it from another that was loaded to the same address."""
    table = _view(headers, count, _HEADER)
    dynamic = table[table["type"] == _PT_DYNAMIC]
    if len(dynamic) != 1:
        return []
    entries = _view(base + int(dynamic["vaddr"][0]), int(dynamic["memsz"][0]) // _DYNAMIC.itemsize, _DYNAMIC)
    values = {int(entry["tag"]): int(entry["value"]) for entry in entries}
    symbols, strings, size = values.get(_DT_SYMTAB, 0), values.get(_DT_STRTAB, 0), values.get(_DT_STRSZ, 0)
    if symbols < base or strings < base:
        return []
    wanted = _find_names(ctypes.string_at(strings, size), names)
    if not wanted:
        return []
    found = []
    for start, total in ((_DT_JMPREL, _DT_PLTRELSZ), (_DT_RELA, _DT_RELASZ)):
        relocations = _view(values.get(start, 0), values.get(total, 0) // _RELA.itemsize, _RELA)
        relocations = relocations[values.get(_DT_RELACOUNT, 0) if start == _DT_RELA else 0 :]
        relocations = relocations[np.isin(relocations["kind"], kinds)]
        if not len(relocations):
            continue
        table = _view(symbols, int(relocations["symbol"].max()) + 1, _SYMBOL)
        offsets = table["name"][relocations["symbol"]]
        for at in np.flatnonzero(np.isin(offsets, list(wanted))):
            found.append((wanted[int(offsets[at])], base + int(relocations["offset"][at])))
    return found


def _find_names(text: bytes, names: frozenset[str]) -> dict[int, str]:
    """Return the offsets at which names end a string of the table.

    A name may be the end of a longer one, whose symbol begins at an earlier offset.
    """
    found = {}
    for name in names:
        encoded = name.encode() + b"\0"
        at = text.find(encoded)
        while at >= 0:
            found[at] = name
            at = text.find(encoded, at + 1)
    return found


def _view(address: int, count: int, dtype: Any) -> Any:
    if not address or count <= 0:
        return np.empty(0, dtype)
    return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype)


@functools.cache
def _find_real(name: str) -> Any:
    for library in _candidates():
        try:
            return SIGNATURES[name]((name, library))
        except AttributeError:
            continue
    return None


def _candidates() -> Iterator[ctypes.CDLL]:
    yield ctypes.CDLL(None)
    path = next((path for _, _, path in read_memory_map() if is_cxx(path)), None)
    if path is not None:
        yield open_loaded(path)


def _write(address: int, value: int) -> int:
    """Write an address into a table, which the loader may have made read-only, and return the old one."""
    page = address & -mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE):
        return value
    slot = ctypes.c_uint64.from_address(address)
    before, slot.value = int(slot.value), value
    return before
