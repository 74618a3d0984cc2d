"""Keep what numba compiles of libraries, so that the runs of one diagnosis compile it once; imported where numba is."""

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
    """A cache that has nothing where it cannot read, and keeps nothing where it cannot write."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(Exception):
            return super().load_overload(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):
            super().save_overload(sig, data)


def keep_compiled(folder: str, is_library: Callable[[str], bool]) -> None:
    """Keep compiled functions in a folder from now on, and take from it what another process compiled.

    numba does so only for functions that ask for it, since it does not see when what they refer to changes. Between
    two runs of one test no library does, nor does a function of the user's that refers to no value at all. numba's own
    functions hold what cannot be kept.

    Parameters
    ----------
    folder : str
    is_library : callable (str) -> bool
        Tells by its file's name whether a function is a library's.
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
    """Tell whether all that a function refers to is libraries', or compiled functions of which the same holds.

    numba takes the value of any other name as it is when it compiles.

    Parameters
    ----------
    function : function
    is_library : callable (str) -> bool
        As for :func:`keep_compiled`.
    above : tuple of function
        Those that led here.
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
    """Return a module's file; "" for one that is built in."""
    return getattr(module, "__file__", None) or ""


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _make_cache(function: Callable[..., Any], folder: str) -> _WillingCache | None:
    """Return a cache in that folder; None for a function without a file, or where nothing can be written there."""
    kept, config.CACHE_DIR = config.CACHE_DIR, folder
    try:
        cache = _WillingCache(function)
    except Exception:
        return None
    finally:
        config.CACHE_DIR = kept
    # numba would write beside the source otherwise.
    return cache if cache.cache_path.startswith(folder) else None
