"""DuckDB's number of threads, which belongs to a database. Imported only if duckdb is loaded."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import duckdb

_SETTING = "threads"


def get_threads() -> int:
    """Return the number of threads of the default database."""
    row = duckdb.cursor().execute(f"SELECT current_setting('{_SETTING}')").fetchone()
    return int(row[0]) if row else 0


def set_threads(count: int) -> None:
    """Set the number of threads of the default database."""
    duckdb.cursor().execute(f"SET {_SETTING} = {int(count)}")


@contextmanager
def threads_set(count: int, is_user_file: Callable[[str], bool], *, is_forced: bool = False) -> Iterator[None]:
    """Set the number of threads of all databases that are opened in the block, and of those that modules hold.

    Parameters
    ----------
    count : int
    is_user_file : callable (file) -> bool
        Whether a file is the user's, whose databases are found by the global names of its module.
    is_forced : bool
        Also where the code asks for a number of its own.
    """
    real = duckdb.connect

    def connect(*args: Any, **kwargs: Any) -> Any:
        names = ("database", "read_only", "config")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        config = dict(given.get("config") or {})
        given["config"] = {**config, _SETTING: count} if is_forced else {_SETTING: count, **config}
        return real(**given)

    duckdb.connect = connect
    restores = [restore for cursor in _find_databases(is_user_file) if (restore := _set(cursor, count)) is not None]
    try:
        yield
    finally:
        for restore in restores:
            with suppress(Exception):  # the test may have closed it
                restore()
        if duckdb.connect is connect:
            duckdb.connect = real


def _set(cursor: Any, count: int) -> Callable[[], object] | None:
    with suppress(Exception):  # a database that is closed
        before = int(cursor.execute(f"SELECT current_setting('{_SETTING}')").fetchone()[0])
        cursor.execute(f"SET {_SETTING} = {int(count)}")
        return lambda: cursor.execute(f"SET {_SETTING} = {before}")
    return None


def _find_databases(is_user_file: Callable[[str], bool]) -> Iterator[Any]:
    """Yield a cursor of the default database and of each that a user's module holds, which keeps pending results."""
    yield duckdb.cursor()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None) if type(module) is types.ModuleType else None
        if isinstance(file, str) and is_user_file(file):
            for value in list(vars(module).values()):
                if isinstance(value, duckdb.DuckDBPyConnection):
                    with suppress(Exception):
                        yield value.cursor()
