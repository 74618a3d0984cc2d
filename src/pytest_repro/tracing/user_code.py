"""The one rule for user code: it is the collected tests and their packages, and what no library or interpreter owns."""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from types import CodeType

#: Name of the code of a module.
MODULE = "<module>"
#: Frames of a single expression: the statement around them shows what they return.
_EXPRESSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"})
_LIBRARY_FOLDERS = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def _prefixes(paths: Iterable[str]) -> tuple[str, ...]:
    """Return folders as prefixes of whole path components, each as given and resolved."""
    return tuple({f"{form}{os.sep}" for path in paths for form in (path, os.path.realpath(path))})


def _standard_folders() -> Iterable[str]:
    yield from (path for name in ("stdlib", "platstdlib") if (path := sysconfig.get_paths().get(name)))
    yield os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib would ask the file system
    yield os.path.join(sys.base_prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}")  # noqa: PTH118


def _installed_folders() -> Iterable[str]:
    yield from (path for name in ("purelib", "platlib") if (path := sysconfig.get_paths().get(name)))
    if hasattr(site, "getsitepackages"):
        yield from site.getsitepackages()


# Resolved once, at import. Files are judged by their text alone from then on, because the probes, which ask at every
# frame, have replaced the functions that would resolve a path.
_PACKAGE = _prefixes([os.path.dirname(os.path.dirname(__file__))])  # noqa: PTH120
_STANDARD = _prefixes(_standard_folders())
_INSTALLED = _prefixes(_installed_folders())


#: Files and folders of collected tests that are installed like a library, as prefixes.
_collected: tuple[str, ...] = ()


def take_collected(files: Iterable[str]) -> None:
    """Take the packages of installed test files, or the files alone that belong to none, for the user's code."""
    global _collected
    roots = {root_of(file) for file in files if _is_installed(file)}
    _collected = tuple({form for root in roots for form in (root, os.path.realpath(root))})
    for judged in (is_user_file, is_standard_file):
        judged.cache_clear()


def collected_roots() -> tuple[str, ...]:
    """Return what :func:`take_collected` took."""
    return _collected


def root_of(file: str) -> str:
    """Return the folder of the outermost package that a file belongs to, with a separator at its end, or the file."""
    folder, root = os.path.dirname(file), file  # noqa: PTH120 - see below
    while os.path.isfile(os.path.join(folder, "__init__.py")):  # noqa: PTH113, PTH118 - see below
        folder, root = os.path.dirname(folder), f"{folder}{os.sep}"  # noqa: PTH120 - see below
    return root


@functools.cache
def is_user_file(name: str) -> bool:
    """Return whether a file, named as code objects name it, holds the user's code."""
    if not name or name.startswith("<") or is_own_file(name):
        return False
    return name.startswith(_collected) or not (name.startswith(_STANDARD) or _is_installed(name))


def is_user_code(code: CodeType) -> bool:
    """Return whether a code object is user code, and is watched statement by statement."""
    return code.co_name not in _EXPRESSIONS and is_user_file(code.co_filename)


@functools.cache
def is_own_file(name: str) -> bool:
    """Return whether a file belongs to this package, which reads the clock while it watches."""
    return name.startswith(_PACKAGE)


@functools.cache
def is_standard_file(name: str) -> bool:
    """Return whether a file belongs to the standard library, which does not include what is installed inside it."""
    return name.startswith(("<frozen", *_STANDARD)) and not _is_installed(name)


def _is_installed(name: str) -> bool:
    return name.startswith(_INSTALLED) or any(folder in name for folder in _LIBRARY_FOLDERS)
