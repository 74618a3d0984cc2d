"""Cache of the code that numba compiles of libraries, so that the runs of one diagnosis compile it once.

Imported only where numba is loaded already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core import config
from numba.core.caching import FunctionCache, NullCache
from numba.core.dispatcher import Dispatcher


class _WillingCache(FunctionCache):  # type: ignore[misc]
    """Cache that is empty where it cannot read, and keeps nothing where it cannot write."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(Exception):
            return super().load_overload(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):
            super().save_overload(sig, data)


def keep_compiled(folder: str, is_library: Callable[[str], bool]) -> None:
    """Keep compiled functions in a folder from now on, and load those that another process compiled.

    numba does so only for functions that request it, since it does not notice when the values that they refer to
    change. Between two runs of one test no library changes, nor does a user function that refers to no value at all.
    numba's own functions hold objects that cannot be kept.

    Parameters
    ----------
    folder : str
    is_library : callable (str) -> bool
        Returns by the name of its file whether a function belongs to a library.
    """
    compile_ = Dispatcher.compile

    def compile(self: Any, sig: Any) -> Any:
        file = self.py_func.__code__.co_filename
        is_numbas = str(self.py_func.__module__).startswith("numba.")
        may_be_kept = not is_numbas and (is_library(file) or refers_to_no_value(self.py_func, is_library))
        if isinstance(self._cache, NullCache) and may_be_kept:
            self._cache = _make_cache(self.py_func, folder) or self._cache
        return compile_(self, sig)

    Dispatcher.compile = compile


def refers_to_no_value(function: Any, is_library: Callable[[str], bool], above: tuple[Any, ...] = ()) -> bool:
    """Return whether a function refers only to libraries, and to compiled functions of which the same holds.

    numba compiles the value of any other name into the function.

    Parameters
    ----------
    function : function
    is_library : callable (str) -> bool
        As for :func:`keep_compiled`.
    above : tuple of function
        The functions that refer to this one.
    """
    if function.__code__.co_freevars:
        return False
    named = [name for name in _names_in(function.__code__) if name in function.__globals__]
    for value in map(function.__globals__.__getitem__, named):
        if isinstance(value, Dispatcher):
            callee = value.py_func
            is_known = callee is function or callee in above
            if not is_known and not refers_to_no_value(callee, is_library, (*above, function)):
                return False
        elif isinstance(value, ModuleType):
            if not is_library(_file_of(value)):
                return False
        elif isinstance(value, (type, FunctionType, BuiltinFunctionType)):
            module = sys.modules.get(str(value.__module__))
            if module is None or not is_library(_file_of(module)):
                return False
        elif not isinstance(value, np.ufunc):
            return False
    return True


def _file_of(module: ModuleType) -> str:
    """Return a module's file, or "" for one that is built in."""
    return getattr(module, "__file__", None) or ""


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _make_cache(function: Callable[..., Any], folder: str) -> _WillingCache | None:
    """Return a cache in that folder, or None without a file of the function or where the folder cannot be written."""
    kept, config.CACHE_DIR = config.CACHE_DIR, folder
    try:
        cache = _WillingCache(function)
    except Exception:
        return None
    finally:
        config.CACHE_DIR = kept
    # numba writes next to the source where it cannot use the folder.
    return cache if cache.cache_path.startswith(folder) else None
