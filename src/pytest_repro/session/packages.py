"""The packages of the collected tests, which are the user's code wherever they lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def take_collected(session: pytest.Session) -> None:
    """Take the packages of all collected tests for the user's code, as of a suite that `--pyargs` runs."""
    files = {str(item.path) for item in session.items}
    if any(part in file for file in files for part in _INSTALLED):
        from pytest_repro.tracing.user_code import take_collected as take  # a project's own suite needs none of it

        take(files)


def find_imported() -> list[str]:
    """Return the files of the user's modules that this process has imported."""
    from pytest_repro.tracing.user_code import is_user_file

    files = {getattr(module, "__file__", None) for module in [*sys.modules.values()]}
    # pytest's own script, which `python -m pytest` does without, has the interpreter's path in it.
    scripts = str(Path(sys.executable).parent)
    found = (file for file in files if isinstance(file, str) and os.path.dirname(file) != scripts)  # noqa: PTH120
    return sorted(file for file in found if is_user_file(file))


def find_libraries() -> list[str]:
    """Return the files of installed packages that this process has imported."""
    files = {getattr(module, "__file__", None) for module in [*sys.modules.values()]}
    return sorted(file for file in files if isinstance(file, str) and any(folder in file for folder in _INSTALLED))


def name_of(item: pytest.Item) -> str:
    """Return a test's name that does not depend on how it was selected.

    That is its node id, except for a test outside of the root folder, whose node id begins at the argument that
    selected it. The name of such a test begins at the outermost package of its file.
    """
    path, within = item.path, str(item.nodeid).partition("::")[2]
    return (
        str(item.nodeid) if path.is_relative_to(item.config.rootpath) else f"{_in_package(path).as_posix()}::{within}"
    )


def seed_of_fixture(base_seed: int, fixturedef: Any) -> int:
    """Return the seed of a fixture that outlives the test, the same whichever test requests it first."""
    from pytest_repro.seeding import derive_seed

    return derive_seed(base_seed, f"{fixturedef.baseid}::{fixturedef.argname}")


def module_of(item: pytest.Item) -> str:
    """Return the name by which ``--pyargs`` finds a test's module."""
    return ".".join(_in_package(item.path).with_suffix("").parts)


def _in_package(path: Path) -> Path:
    from pytest_repro.tracing.user_code import root_of

    root = Path(root_of(str(path)))
    return path.relative_to(root.parent)
