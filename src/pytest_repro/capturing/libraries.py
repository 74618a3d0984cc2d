"""Imported files of installed packages that are not what an installer recorded, whatever the package is for."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

from pytest_repro.capturing.budget import collect
from pytest_repro.capturing.git import printable
from pytest_repro.capturing.installed_files import list_recorded, read_digests
from pytest_repro.capturing.used_files import name_apart
from pytest_repro.model import JSON

BUDGET_S = 60.0
#: Files that are listed; the rest are counted.
MAX_FILES = 500
_FOLDERS = ("site-packages", "dist-packages")


def describe_libraries(files: Iterable[str]) -> JSON:
    """Compare the files that a session imported from installed packages with the installers' RECORDs.

    Parameters
    ----------
    files : iterable of str
        Absolute paths. The ``.pth`` files next to the packages, which run when Python starts, are added.

    Returns
    -------
    dict
        ``outside``: path from the folder of packages -> digest, of each file that no RECORD names with its present
        digest. ``unchecked``: names of the packages among them that conda installed, whose files cannot be compared.
        ``left_out``: a count. Or ``{"unavailable": reason}``.
    """
    return collect(lambda: _describe(files), BUDGET_S)


def _describe(files: Iterable[str]) -> JSON:
    paths = {str(Path(file).resolve()) for file in files}
    paths |= {str(path.resolve()) for entry in sys.path if _is_folder(entry) for path in Path(entry).glob("*.pth")}
    recorded, unchecked = list_recorded(distributions(), paths)
    digests = read_digests(path for path in paths if path not in unchecked)
    found = sorted(path for path, digest in digests.items() if recorded.get(path) != digest)
    return {
        "outside": dict(name_apart((_name(path), digests[path]) for path in found[:MAX_FILES])),
        "unchecked": [*sorted(set(unchecked.values()))],
        "left_out": max(0, len(found) - MAX_FILES),
    }


def _is_folder(entry: object) -> bool:
    return isinstance(entry, str) and Path(entry).name in _FOLDERS


def _name(path: str) -> str:
    parts = Path(path).parts
    last = max((index for index, part in enumerate(parts) if part in _FOLDERS), default=max(0, len(parts) - 3))
    return printable("/".join(parts[last:]))
