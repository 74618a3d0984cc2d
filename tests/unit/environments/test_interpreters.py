"""What a value of the axis `python` names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_repro.environments.environment import Environment
from pytest_repro.environments.interpreters import find_interpreter, request_of
from pytest_repro.environments.made import EnvironmentStore, Request, python_of
from pytest_repro.errors import UsageError


class Store(EnvironmentStore):
    """Notes requests, and makes nothing."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def make(self, request: Request) -> Path:
        self.requests.append(request)
        return Path("/made/bin/python")


@pytest.fixture
def store() -> Store:
    return Store()


def find(text: str, root: Path, store: Store, **declared: Environment) -> str:
    return find_interpreter(text, root, declared, store).python


def test_an_interpreter_and_a_virtual_environment(tmp_path: Path, store: Store) -> None:
    python = python_of(tmp_path / "old")
    python.parent.mkdir(parents=True)
    python.touch()
    assert find("old", tmp_path, store) == str(python)
    assert find(str(python), tmp_path, store) == str(python)
    assert find(str(python.relative_to(tmp_path)), tmp_path, store) == str(python)
    assert find(sys.executable, tmp_path, store) == sys.executable
    assert not store.requests


def test_a_name_comes_before_a_folder(tmp_path: Path, store: Store) -> None:
    (tmp_path / "old").mkdir()
    named = Environment("old", sys.executable)
    assert find("old", tmp_path, store, old=named) == sys.executable


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("numpy==2.2.*", ("numpy==2.2.*", "pytest>=8.4")),
        ("torch==2.12.*, numpy<2.4", ("numpy<2.4", "torch==2.12.*", "pytest>=8.4")),
        ("numpy>=2,<2.3; pytest==9.0", ("numpy<2.3,>=2", "pytest==9.0")),
        ("NumPy == 2.2", ("NumPy==2.2", "pytest>=8.4")),
        ("jax[cpu]==0.4.*", ("jax[cpu]==0.4.*", "numpy>=1.26", "pytest>=8.4")),
    ],
)
def test_requirements_and_what_the_plugin_needs(
    tmp_path: Path, store: Store, text: str, lines: tuple[str, ...]
) -> None:
    assert find(text, tmp_path, store) == "/made/bin/python"
    assert store.requests[0].lines == lines


def test_other_packages_keep_their_releases_and_the_named_ones_do_not() -> None:
    constraints = request_of("NumPy<2.4").constraints
    assert f"pytest=={pytest.__version__}" in constraints
    assert not any(line.startswith("numpy==") for line in constraints)


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("pylock.toml", '[[packages]]\nname = "numpy"\nversion = "2.2.0"\n', ["numpy==2.2.0"]),
        (
            "poetry.lock",
            '[[package]]\nname = "numpy"\nversion = "2.2.0"\n'
            '[[package]]\nname = "colorama"\nversion = "1"\nmarkers = "sys_platform == \'nowhere\'"\n',
            ["numpy==2.2.0"],
        ),
        (
            "uv.lock",
            '[[package]]\nname = "mine"\nversion = "1"\nsource = { editable = "." }\n'
            '[[package]]\nname = "numpy"\nversion = "2.2.0"\nsource = { registry = "https://pypi.org/simple" }\n',
            ["numpy==2.2.0"],
        ),
    ],
)
def test_lock_files(tmp_path: Path, store: Store, name: str, content: str, lines: list[str]) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    find(name, tmp_path, store)
    assert list(store.requests[0].lines[: len(lines)]) == lines
    assert len(store.requests[0].lines) == len(lines) + 2


def test_a_changed_requirements_file_is_another_request(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "requirements.txt"
    for text in ("numpy==2.2.0\n", "numpy==2.3.0\n"):
        path.write_text(text, encoding="utf-8")
        find("requirements.txt", tmp_path, store)
    one, other = store.requests
    assert one.lines == other.lines
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("./nowhere", "there is no such file or folder"),
        ("python9.99", "no such command"),
        ("numpy=2.2", "names no environment"),
        ("numpy==2.2 and more", "names no environment"),
        ("empty", "is a folder without"),
        ("broken.lock", "no lock file that can be read"),
        ("none.toml", "locks no packages"),
        ("odd.lock", "no lock file that can be read"),
    ],
)
def test_what_names_nothing_is_told(tmp_path: Path, store: Store, text: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.lock").write_text("= 1", encoding="utf-8")
    (tmp_path / "none.toml").write_text("packages = []", encoding="utf-8")
    (tmp_path / "odd.lock").write_text("package = [1]", encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        find(text, tmp_path, store)
    assert not store.requests
