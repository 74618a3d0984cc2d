"""Keep what numba compiles of libraries, so that the runs of one diagnosis compile it once; imported where numba is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

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
    two runs of one test no library does. numba's own functions hold what cannot be kept.

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
        if isinstance(self._cache, NullCache) and is_library(file) and not is_numbas:
            self._cache = _make_cache(self.py_func, folder) or self._cache
        return compile_(self, sig)

    Dispatcher.compile = compile


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
