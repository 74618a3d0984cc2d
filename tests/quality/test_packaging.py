"""Tests of the installed distribution: entry points, typing marker, licence and dependencies."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution, entry_points
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_pytest_finds_the_plugin_by_its_entry_point():
    (found,) = entry_points(group="pytest11", name="repro")
    assert found.value == "pytest_repro.plugin"
    assert found.load().pytest_addoption


def test_pytest_randomly_finds_the_reseeder_by_its_entry_point():
    (found,) = entry_points(group="pytest_randomly.random_seeder", name="repro")
    assert callable(found.load())


def test_every_console_script_can_be_loaded():
    scripts = [e for e in distribution("pytest-repro").entry_points if e.group == "console_scripts"]
    assert {e.name for e in scripts} == set(PROJECT.get("scripts", {}))
    assert all(callable(e.load()) for e in scripts)


def test_the_package_says_that_it_is_typed():
    assert files("pytest_repro").joinpath("py.typed").is_file()


def test_pytest_and_numpy_are_the_only_hard_needs():
    hard = [Requirement(text) for text in distribution("pytest-repro").requires or [] if "extra ==" not in text]
    assert {r.name for r in hard} == {"pytest", "numpy"}


def test_every_need_has_a_lower_bound_and_none_an_upper_one():
    # An upper bound in a plugin makes a suite that wants both unsolvable; the locked file is where releases are pinned.
    for text in distribution("pytest-repro").requires or []:
        requirement = Requirement(text)
        if requirement.name != "pytest-repro":
            assert [s.operator for s in requirement.specifier] == [">="], text


def test_the_extra_all_holds_every_extra_that_a_user_may_want():
    extras = PROJECT["optional-dependencies"]
    (everything,) = (Requirement(text) for text in extras["all"])
    assert everything.extras == set(extras) - {"all", "test", "plugins", "docs", "lint", "dev"}


def test_the_licence_is_apache_2_and_travels_with_the_package():
    metadata = distribution("pytest-repro").metadata
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (ROOT / metadata["License-File"]).read_text(encoding="utf-8")


def test_pytest_projects_can_find_it_by_its_classifiers():
    classifiers = distribution("pytest-repro").metadata.get_all("Classifier")
    assert {"Framework :: Pytest", "Typing :: Typed"} <= set(classifiers)


@pytest.mark.parametrize("name", ["numpy", "pytest"])
def test_the_lowest_environment_holds_the_lower_bounds_of_the_hard_needs(name):
    (bound,) = (r for text in PROJECT["dependencies"] if (r := Requirement(text)).name == name)
    (specifier,) = bound.specifier
    assert f"{name}=={specifier.version}" in (ROOT / "tox.ini").read_text(encoding="utf-8")


def test_the_torch_that_tox_installs_is_the_torch_that_is_locked():
    locked = (ROOT / "requirements" / "locked.txt").read_text(encoding="utf-8").splitlines()
    (pin,) = (line for line in locked if line.startswith("torch=="))
    asked = re.findall(r"torch==[\d.]+", (ROOT / "tox.ini").read_text(encoding="utf-8"))
    assert set(asked) == {pin}
