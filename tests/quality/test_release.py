"""One version: pyproject.toml has it, and everything else agrees with it or is refused before a release."""

from __future__ import annotations

import hashlib
import re
import shutil
import tomllib
from pathlib import Path

import pytest

import pytest_repro
from tools import release

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy what a release compares, as it is on the day of a release."""
    for name in ("pyproject.toml", "CHANGELOG.md", "conda.recipe/recipe.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d" / "README.md").write_text("what it is for", encoding="utf-8")
    change(tmp_path / "CHANGELOG.md", r"^## \S+ \(.+\)$", f"## {release.read_version()} (2026-12-24)")
    return tmp_path


def change(path: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, path.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text, encoding="utf-8")


def test_the_package_has_the_version_of_pyproject() -> None:
    assert pytest_repro.__version__ == release.read_version()


def test_no_other_file_of_the_package_names_the_version() -> None:
    found = [p for p in (ROOT / "src").rglob("*.py") if f'"{release.read_version()}"' in p.read_text(encoding="utf-8")]
    assert found == []


def test_changelog_and_recipe_agree_with_pyproject() -> None:
    assert release.find_problems() == []


def test_a_release_that_is_ready_has_no_problems(checkout: Path) -> None:
    assert release.find_problems(checkout, tag=f"v{release.read_version()}") == []


@pytest.mark.parametrize(
    ("name", "pattern", "new", "problem"),
    [
        ("pyproject.toml", r'^version = ".+"$', 'version = "9.9.9"', "conda.recipe/recipe.yaml has version"),
        ("pyproject.toml", r'^version = ".+"$', 'version = "9.9.9"', "CHANGELOG.md begins with"),
        ("pyproject.toml", r'^version = ".+"$', 'version = "9.9.9"', "the tag must be v9.9.9"),
        ("conda.recipe/recipe.yaml", r'^  version: ".+"$', '  version: "9.9.9"', "has version ['9.9.9']"),
        ("CHANGELOG.md", r"^## \S+ \(.+\)$", "## 9.9.9 (2026-12-24)", "CHANGELOG.md begins with 9.9.9"),
        ("CHANGELOG.md", r"\(2026-12-24\)$", "(unreleased)", "put the day of the release there"),
    ],
)
def test_what_contradicts_the_version_is_found(checkout: Path, name: str, pattern: str, new: str, problem: str) -> None:
    change(checkout / name, pattern, new)
    found = release.find_problems(checkout, tag=f"v{release.read_version()}")
    assert any(problem in each for each in found), found


def test_a_release_with_fragments_left_or_an_empty_section_is_not_ready(checkout: Path) -> None:
    (checkout / "changelog.d" / "1.feature.md").write_text("new", encoding="utf-8")
    (checkout / "CHANGELOG.md").write_text(f"## {release.read_version()} (2026-12-24)\n\n", encoding="utf-8")
    found = release.find_problems(checkout, tag=f"v{release.read_version()}")
    assert len(found) == 2
    assert "is empty" in found[0]
    assert "still has 1 fragments" in found[1]


def test_the_notes_are_the_newest_section_alone(checkout: Path) -> None:
    text = "# Changelog\n\n## 2.0.0 (2026-12-24)\n\nnew\n\n## 1.0.0 (2026-01-01)\n\nold\n"
    (checkout / "CHANGELOG.md").write_text(text, encoding="utf-8")
    assert release.read_section(checkout) == ("2.0.0", "2026-12-24", "new")


def test_the_recipe_for_conda_forge_names_the_released_source_by_its_digest(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    sdist = tmp_path / f"pytest_repro-{release.read_version()}.tar.gz"
    sdist.write_bytes(b"released")
    recipe = yaml.safe_load(release.make_recipe(sdist))
    assert recipe["source"] == {"url": release.SDIST, "sha256": hashlib.sha256(b"released").hexdigest()}
    other = sdist.rename(tmp_path / "pytest_repro-9.9.9.tar.gz")
    with pytest.raises(SystemExit, match="is not the source of this version"):
        release.make_recipe(other)


def test_the_recipe_needs_what_the_package_needs() -> None:
    yaml = pytest.importorskip("yaml")
    recipe = yaml.safe_load((ROOT / "conda.recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    needs = [*project["dependencies"], f"python{project['requires-python']}"]
    assert sorted(text.replace(" ", "") for text in recipe["requirements"]["run"]) == sorted(needs)
    built = {text.replace(" ", "") for text in recipe["requirements"]["host"]} - {"python", "pip"}
    assert built == set(document["build-system"]["requires"])
    scripts = [f"{name} = {target}" for name, target in project["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts
    assert recipe["about"]["summary"] == project["description"]
    assert recipe["about"]["license"] == project["license"]


def test_hooks_before_a_commit_use_the_locked_releases() -> None:
    yaml = pytest.importorskip("yaml")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    pins = {pin for hook in hooks for pin in hook["additional_dependencies"] if "==" in pin}
    lines = (ROOT / "requirements" / "locked.txt").read_text(encoding="utf-8").splitlines()
    locked = dict(line.split("==") for line in lines if not line.startswith("#"))
    known = {pin for pin in pins if pin.split("==")[0] in locked}
    assert {pin.split("==")[0] for pin in known} == {"ruff", "codespell", "validate-pyproject"}
    assert [pin for pin in known if locked[pin.split("==")[0]] != pin.split("==")[1]] == []


def test_the_classifiers_claim_no_python_that_tox_and_a_release_do_not_test() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = {text.rpartition(" ")[2] for text in project["classifiers"] if re.search(r":: 3\.\d+$", text)}
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    tested = {f"3.{minor}" for minor in re.findall(r"^\[testenv:py3(\d+)\]$", tox, re.MULTILINE)}
    lowest = project["requires-python"].removeprefix(">=")  # `bare` and all other environments
    assert lowest in claimed
    assert claimed <= tested | {lowest}
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    (matrix,) = re.findall(r"^ +python: \[(.+)\]$", workflow, re.MULTILINE)
    assert set(re.findall(r"3\.\d+", matrix)) == claimed
