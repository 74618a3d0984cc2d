"""What an environment gets, as this one has it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pytest_repro.bisecting.needs import find_needs, source_folder


def install(place: Path, name: str, origin: str, requires: str = "") -> None:
    """Put the metadata of a package into a folder of the search path."""
    info = place / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}"
    (info / "METADATA").write_text(lines, encoding="utf-8")
    (info / "direct_url.json").write_text(origin, encoding="utf-8")


def test_packages_of_imports_are_required_and_plugins_as_well(tmp_path: Path):
    file = tmp_path / "test_it.py"
    file.write_text("import numpy as np\nimport packaging.version\n", encoding="utf-8")
    needs = find_needs(file, tmp_path, ["scipy==1.15.3"])
    assert needs.modules == ("numpy", "packaging")
    assert {"scipy==1.15.3", "numpy", "packaging"} <= set(needs.requirements)
    assert "pytest-repro" not in needs.requirements
    assert needs.paths == (tmp_path,)


def test_sources_of_an_editable_package_are_used_in_place_with_its_dependencies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sources, place, tests = tmp_path / "lib" / "python", tmp_path / "lib" / "site-packages", tmp_path / "tests"
    for folder in (sources / "ourlib_x", tests):
        folder.mkdir(parents=True)
    (sources / "ourlib_x" / "__init__.py").write_text("", encoding="utf-8")
    (tests / "test_it.py").write_text("import ourlib_x\n", encoding="utf-8")
    origin = {"url": (tmp_path / "lib").as_uri(), "dir_info": {"editable": True}}
    requires = "Requires-Dist: pandas>=2\nRequires-Dist: torch; extra == 'gpu'\n"
    install(place, "ourlib-x", json.dumps(origin), requires)
    for path in (place, sources):
        monkeypatch.syspath_prepend(path)
    needs = find_needs(tests / "test_it.py", tests)
    assert source_folder("ourlib_x") == sources
    assert sources in needs.paths
    assert "pandas>=2" in needs.requirements
    assert not [each for each in needs.requirements if each.startswith(("ourlib", "torch"))]


def test_a_package_that_was_installed_from_a_folder_is_required_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "site-packages"
    url = (tmp_path / "folder").as_uri()
    install(place, "ourlib-y", json.dumps({"url": url, "dir_info": {}}))
    (place / "ourlib_y.py").write_text("", encoding="utf-8")
    (place / "ourlib-y-1.0.dist-info" / "top_level.txt").write_text("ourlib_y\n", encoding="utf-8")
    monkeypatch.syspath_prepend(place)
    (tmp_path / "test_it.py").write_text("import ourlib_y\n", encoding="utf-8")
    assert f"ourlib-y @ {url}" in find_needs(tmp_path / "test_it.py", tmp_path).requirements


def test_installed_and_standard_modules_have_no_source_folder():
    assert source_folder("numpy") is None
    assert source_folder("no_such_module") is None
    assert source_folder(next(iter(sys.builtin_module_names))) is None
