"""The files that a release publishes: their metadata, their content, and a fresh environment that has only the wheel.

`tox -e package` runs it. With REPRO_DIST=DIR it looks at files that were built before, as the release workflow does.
"""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tools import release

pytest.importorskip("build", reason="the package build; `tox -e package` has it")
pytest.importorskip("twine", reason="twine; `tox -e package` has it")

ROOT = Path(__file__).parents[2]
VERSION = release.read_version()
SOURCES = {
    path.relative_to(ROOT / "src").as_posix()
    for path in (ROOT / "src").rglob("*")
    if path.suffix in (".py", ".pyi", ".css", ".js") or path.name == "py.typed"
}
COMPILED = re.compile(r"pytest_repro/numerics/_fused\.(abi3\.so|pyd)")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Build the source distribution and from it the wheel, or find those of REPRO_DIST."""
    if folder := os.environ.get("REPRO_DIST"):
        found = sorted((ROOT / folder).iterdir())
    else:
        place = tmp_path_factory.mktemp("dist")
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place), str(ROOT)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        found = sorted(place.iterdir())
    assert {path.name.rpartition(".")[2] for path in found} == {"gz", "whl"}
    return found


@pytest.fixture(scope="module")
def wheels(files: list[Path]) -> list[Path]:
    return [path for path in files if path.suffix == ".whl"]


@pytest.fixture(scope="module")
def sdist(files: list[Path]) -> Path:
    (found,) = (path for path in files if path.suffix == ".gz")
    return found


def test_twine_finds_nothing_to_warn_about(files: list[Path]) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == len(files)


def test_a_wheel_has_every_module_and_nothing_else(wheels: list[Path]) -> None:
    for wheel in wheels:
        names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("pytest_repro-")}
        compiled = {name for name in names if COMPILED.fullmatch(name)}
        assert names - compiled == SOURCES
        # A wheel for one kind of machine has the kernel, and one for any machine has none.
        assert len(compiled) == ("none-any" not in wheel.name), wheel.name


def test_a_wheel_says_what_pyproject_says(wheels: list[Path]) -> None:
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            info = f"pytest_repro-{VERSION}.dist-info"
            metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
            scripts = archive.read(f"{info}/entry_points.txt").decode()
            assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        assert (metadata["Name"], metadata["Version"]) == ("pytest-repro", VERSION)
        assert metadata.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
        assert "[pytest11]\nrepro = pytest_repro.plugin" in scripts


def test_the_source_has_what_builds_documents_and_tests_it(sdist: Path) -> None:
    assert sdist.name == f"pytest_repro-{VERSION}.tar.gz"
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "tox.ini", "hatch_build.py", "conftest.py"}
    needed |= {"tools/build_kernel.py", "src/pytest_repro/numerics/_fused.c", "tests/plugin/conftest.py"}
    assert needed <= names
    assert {f"src/{name}" for name in SOURCES} <= names
    unwanted = re.compile(r"(^|/)(\.git|\.tox|__pycache__|\.env)(/|$)|\.(so|pyd|pyc|whl|pem|key)$")
    assert [name for name in names if unwanted.search(name)] == []


def test_no_file_names_a_folder_of_the_machine_that_built_it(files: list[Path]) -> None:
    here = [str(ROOT).encode(), str(Path.home()).encode() + b"/"]
    for path in files:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                contents = {name: archive.read(name) for name in archive.namelist()}
        else:
            with tarfile.open(path) as archive:
                contents = {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}  # type: ignore[union-attr]
        assert [name for name, content in contents.items() if any(text in content for text in here)] == []


def test_the_wheel_works_in_an_environment_that_has_nothing_else(wheels: list[Path], tmp_path: Path) -> None:
    machine = os.uname().machine
    wheel = next((each for each in wheels if machine in each.name), wheels[0])
    home = tmp_path / "environment"
    python = home / "bin" / "python"
    project = tmp_path / "project"
    shutil.copytree(ROOT / "docs" / "tutorial" / "code", project)

    def run(*command: str, status: int = 0) -> str:
        # Neither the checkout's code nor this environment's packages.
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST", "COV_"))}
        done = subprocess.run(command, cwd=project, env=outside, capture_output=True, text=True, check=False)
        assert done.returncode == status, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    run(sys.executable, "-m", "venv", str(home))
    run(str(python), "-m", "pip", "install", "--quiet", str(wheel))
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    assert "1 identical" in run(str(python), "-m", "pytest", "test_repaired.py")
    shown = run(str(python), "-m", "pytest", "test_train.py", "--repro-json=report.json", status=1)
    assert "state.rng_object" in shown
    assert "::error file=test_train.py,line=10" in run(str(home / "bin" / "pytest-repro"), "annotate", "report.json")
    version = run(str(python), "-c", "import pytest_repro; print(pytest_repro.__version__, pytest_repro.__file__)")
    assert version.split()[0] == VERSION
    assert str(home) in version
    if "none-any" not in wheel.name:
        run(str(python), "-c", "import pytest_repro.numerics._fused")
    _write_bill(home, python)


def _write_bill(home: Path, python: Path) -> None:
    """Write the bill of materials of the environment: the package and what it brings along."""
    pytest.importorskip("cyclonedx_py", reason="cyclonedx-bom; `tox -e package` has it")
    target = ROOT / os.environ["REPRO_SBOM"] if "REPRO_SBOM" in os.environ else home / "bill.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    command += ["--output-reproducible", "--output-format", "JSON", "--output-file", str(target), str(python)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    bill = json.loads(target.read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == (
        "pytest-repro",
        VERSION,
    )
    assert {"numpy", "pytest"} <= {each["name"] for each in bill["components"]}
    assert str(home) not in target.read_text(encoding="utf-8")
