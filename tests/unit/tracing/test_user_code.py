"""One rule for what is the user's file, for tracing and for the probes alike."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import pytest_repro
from pytest_repro.tracing.user_code import is_own_file, is_standard_file, is_user_code, is_user_file

PACKAGE = str(Path(pytest_repro.__file__).parent)
STANDARD = sysconfig.get_paths()["stdlib"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (__file__, True),
        ("/home/me/train.py", True),
        ("train.py", True),
        ("", False),
        ("<string>", False),
        ("<frozen importlib._bootstrap>", False),
        (os.__file__, False),
        (pytest.__file__, False),
        ("/usr/lib/python3/dist-packages/numpy/__init__.py", False),
        ("/venv/lib/python3.11/site-packages/torch/nn.py", False),
        ("/home/me/my-site-packages/train.py", True),
        (f"{PACKAGE}/cli.py", False),
        (f"{STANDARD}/json/decoder.py", False),
        (f"{STANDARD}_of_mine/train.py", True),
    ],
)
def test_a_file_is_the_users_by_whole_components_of_its_path(name: str, expected: bool) -> None:
    assert is_user_file(name) is expected


def test_a_folder_beside_this_package_is_not_this_package() -> None:
    assert is_own_file(f"{PACKAGE}/cli.py")
    assert not is_own_file(f"{PACKAGE}_extras/train.py")


def test_what_is_installed_inside_the_standard_library_does_not_belong_to_it() -> None:
    assert is_standard_file(f"{STANDARD}/json/decoder.py")
    assert not is_standard_file(f"{STANDARD}/site-packages/numpy/__init__.py")
    assert not is_standard_file(f"{STANDARD}/dist-packages/numpy/__init__.py")


def test_a_single_expression_is_watched_as_part_of_its_statement() -> None:
    assert is_user_code(test_a_single_expression_is_watched_as_part_of_its_statement.__code__)
    assert not is_user_code((lambda: 0).__code__)


def test_a_file_is_judged_without_asking_the_file_system() -> None:
    # In an interpreter of its own, where nothing is cached yet.
    code = """if True:
        import os, sys
        from pytest_repro.tracing.user_code import is_user_file
        asked = []
        for name in ("stat", "lstat", "readlink", "getcwd"):
            setattr(os, name, lambda *args, name=name: asked.append(name))
        print(is_user_file("some/train.py"), is_user_file("/x/dist-packages/numpy.py"), asked)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False []\n"
