"""Which code is the user's own: what lies in no library's folder, and not in this package."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from types import CodeType

_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep  # noqa: PTH120
_LIBRARY_FOLDERS = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
#: Frames of a single expression: what they give is seen at the statement around them.
_EXPRESSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>"})


class UserCode:
    """Tells the user's code from that of libraries.

    Parameters
    ----------
    roots : iterable of path
        Folders whose code is watched wherever they lie, also below site-packages.
    """

    def __init__(self, roots: Iterable[str | os.PathLike[str]] = ()) -> None:
        # The root of a project holds its virtual environment too, so that a root excuses only what lies in a library.
        self._roots = tuple(
            root for given in roots if any(f in (root := os.path.realpath(given) + os.sep) for f in _LIBRARY_FOLDERS)
        )
        self._libraries = tuple({os.path.realpath(path) + os.sep for path in _library_paths()})
        self._files: dict[str, bool] = {}

    def takes(self, code: CodeType) -> bool:
        """Tell whether a code object is to be watched, statement by statement."""
        if code.co_name in _EXPRESSIONS:
            return False
        return self.takes_file(code.co_filename)

    def takes_file(self, name: str) -> bool:
        """Tell whether a file holds code of the user's."""
        known = self._files.get(name)
        if known is None:
            known = self._files[name] = self._is_user(name)
        return known

    def _is_user(self, name: str) -> bool:
        if name.startswith("<"):
            return False
        path = os.path.realpath(name)
        if path.startswith(_PACKAGE):
            return False
        if path.startswith(self._roots):
            return True
        return not path.startswith(self._libraries) and not any(folder in path for folder in _LIBRARY_FOLDERS)


def _library_paths() -> Iterable[str]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    yield from (path for name in names if (path := sysconfig.get_paths().get(name)))
    yield os.path.dirname(os.__file__)  # noqa: PTH120
    yield os.path.join(sys.base_prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}")  # noqa: PTH118
    if hasattr(site, "getsitepackages"):
        yield from site.getsitepackages()
