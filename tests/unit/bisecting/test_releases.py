"""Which releases are bisected: those of an index, between the two ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_repro.bisecting.needs import Needs
from pytest_repro.bisecting.releases import (
    ReleaseSeries,
    choose_releases,
    list_releases,
    parse_releases,
    read_package,
)
from pytest_repro.environments.environment import EnvironmentUnusableError
from pytest_repro.environments.made import EnvironmentStore, Request
from pytest_repro.errors import UsageError
from tests.unit.bisecting.wheels import write_index

LISTED = parse_releases("2.4.0, 2.3.5, 2.3.0, 2.2.6, 2.2.0")


def test_releases_are_sorted_by_version_and_pre_releases_left_out():
    assert list(map(str, parse_releases("1.10, 1.9,1.9.post1, 2.0rc1, 2.0.dev3"))) == ["1.9", "1.9.post1", "1.10"]


def test_both_ends_belong_to_the_chosen_releases():
    assert list(map(str, choose_releases("numpy", LISTED, "2.2.6", "2.4"))) == ["2.2.6", "2.3.0", "2.3.5", "2.4.0"]


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        (None, "2.4.0", "--good=RELEASE is required"),
        ("2.2.9", "2.4.0", "2.2.9 .--good. is not among the releases. There are .*2.2.6"),
        ("2.4.0", "2.2.0", "--good=2.4.0 must be older than --bad=2.2.0"),
        ("2.2.0", "2.2.0", "must be older"),
        ("2.2.0", "2.4rc1", "--bad must be one final release"),
        ("a", "2.4", "'a' is not a release"),
    ],
)
def test_ends_that_cannot_be_used_are_refused(good: str | None, bad: str, message: str):
    with pytest.raises(UsageError, match=message):
        choose_releases("numpy", LISTED, good, bad)


def test_the_bad_end_is_the_installed_release_unless_it_is_named():
    installed = parse_releases(pytest.__version__)
    assert choose_releases("pytest", [*parse_releases("0.1"), *installed], "0.1", None)[-1] == installed[0]
    with pytest.raises(UsageError, match="not installed here"):
        choose_releases("no-such-package", LISTED, "2.2.0", None)


@pytest.mark.parametrize("text", ["numpy==2", "-e .", "numpy[extra]", ""])
def test_a_package_is_named_without_a_release(text: str):
    with pytest.raises(UsageError, match="must be the name of a package"):
        read_package(text)


def test_releases_that_are_withdrawn_or_without_a_wheel_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for release in ("1.0", "1.1", "1.3rc1"):
        write_index(tmp_path, "tinylib", release)
    write_index(tmp_path, "tinylib", "1.2", yanked=True)
    for name in ("tinylib-1.4.tar.gz", "tinylib-1.5-cp27-none-any.whl"):
        (tmp_path / "tinylib" / name).write_bytes(b"")
        with (tmp_path / "tinylib" / "index.html").open("a", encoding="utf-8") as file:
            file.write(f'<a href="{name}">{name}</a>')
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", tmp_path.as_uri())
    assert list(map(str, list_releases("tinylib"))) == ["1.0", "1.1"]
    with pytest.raises(UsageError, match="--releases="):
        list_releases("no-such-package")


class Store(EnvironmentStore):
    """Gives every request this interpreter."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def has(self, request: Request) -> bool:
        return False

    def make(self, request: Request) -> Path:
        self.requests.append(request)
        return Path(sys.executable)


def series(package: str, releases: str, store: Store) -> ReleaseSeries:
    needs = Needs((), ("numpy", "pytest"), ())
    return ReleaseSeries(read_package(package), parse_releases(releases), needs, Path.cwd(), store)


def test_an_environment_with_another_release_than_asked_is_not_used():
    with (
        pytest.raises(EnvironmentUnusableError, match="the environment has pytest "),
        series("pytest", "0.1", Store()).open(0),
    ):
        pass


def test_an_environment_with_the_release_is_used():
    with series("pytest", pytest.__version__, Store()).open(0) as seat:
        assert (seat.python, seat.expected, seat.origin) == (sys.executable, ("pytest", pytest.__version__), "made")


def test_an_environment_gets_one_release_of_the_package_and_this_one_s_of_all_others():
    store = Store()
    with pytest.raises(EnvironmentUnusableError), series("pytest", "0.1", store).open(0):
        pass
    (request,) = store.requests
    assert request.text == "pytest==0.1"
    assert request.lines[0] == "--only-binary pytest"
    assert [each for each in request.lines if each.startswith("pytest")] == ["pytest==0.1"]
    assert not [each for each in request.constraints if each.startswith("pytest==")]
    assert "numpy" in request.lines
