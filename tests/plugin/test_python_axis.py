"""The axis `python`: runs by other interpreters and releases, each in its own virtual environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_repro import cli
from pytest_repro.environments.interpreters import request_of
from pytest_repro.environments.made import FOLDER_VARIABLE, EnvironmentStore
from tests.plugin.helpers import Sessions

#: Another release of NumPy than the one that these tests run with.
OTHER = "numpy==2.2.6" if np.__version__ != "2.2.6" else "numpy==2.3.5"
RELEASE = OTHER.rpartition("=")[2]

SUITE = """
    import numpy as np
    import pytest

    @pytest.mark.reproducible
    def test_same(repro):
        repro.capture("weights", np.random.rand(4))
        return np.arange(10.0).sum()

    @pytest.mark.reproducible
    def test_release():
        return np.__version__
"""


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made environments, which all workers share: each takes some 15 s to make."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return folder / "environments"


@pytest.fixture
def other(environments: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The interpreter of an environment with another release of NumPy."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(environments))
    return EnvironmentStore().make(request_of(OTHER))


def test_a_requirement_is_an_environment_of_its_own(sessions: Sessions, other: Path) -> None:
    session = sessions.run(SUITE, f"--repro-across=python:{OTHER}", "--no-repro-diagnose")
    assert session.verdicts == {
        "test_same": "identical",
        "test_release": "diverged",
    }, session.text
    assert session.test("test_same")["matrix"] == {"python": "identical"}
    assert session.test("test_release")["matrix"] == {"python": "diverged"}
    assert f"python={OTHER}: numpy {RELEASE} (here {np.__version__})" in session.text
    assert f"actual    {RELEASE!r}" in session.text
    assert [run["engine"] for run in session.test("test_same")["runs"]] == ["fork", "spawn"]


@pytest.mark.parametrize("form", ["folder", "interpreter", "named"])
def test_an_environment_may_be_given_by_its_place_or_its_name(sessions: Sessions, other: Path, form: str) -> None:
    folder = str(other.parent.parent)
    given = {"folder": folder, "interpreter": str(other), "named": "old"}[form]
    sessions.write(f'[tool.pytest_repro.environments]\nold = "{folder}"\n', "pyproject.toml")
    session = sessions.run(SUITE, f"--repro-across=python={given}", "--no-repro-diagnose")
    assert session.verdicts["test_same"] == "identical", session.text
    assert session.verdicts["test_release"] == "diverged", session.text


def test_the_cause_is_the_environment_and_its_line_is_named(sessions: Sessions, other: Path) -> None:
    source = """
        import numpy as np
        import pytest

        def scale():
            base = 2.0
            return base * float(np.__version__.split(".")[1])

        @pytest.mark.reproducible
        def test_scaled():
            factor = scale()
            return np.arange(3.0) * factor
    """
    session = sessions.run(source, f"--repro-across=python={OTHER}", "--repro-diagnose")
    test = session.test("test_scaled")
    assert test["verdict"] == "diverged"
    assert test["matrix"] == {"python": "diverged"}
    first, (cause,) = test["diagnosis"]["first_divergence"], test["diagnosis"]["causes"]
    here = 2.0 * float(np.__version__.split(".")[1])
    assert (first["function"], first["expected"], first["actual"]) == ("scale", str(here), "4.0"), session.text
    assert (cause["code"], cause["axis"], cause["location"]["function"]) == ("env.packages", "python", "scale")


def test_the_same_environment_is_told_as_not_varied(sessions: Sessions) -> None:
    session = sessions.run(SUITE, f"--repro-across=python={sys.executable}", "--no-repro-diagnose")
    assert session.verdicts == dict.fromkeys(("test_same", "test_release"), "inconclusive")
    assert session.test("test_same")["matrix"] == {"python": "not_varied"}
    assert "the same releases of all packages that both have" in session.text


def test_a_plugin_that_is_missing_there_takes_its_options_along(sessions: Sessions, other: Path) -> None:
    conftest = "def pytest_configure(config):\n    assert config.rootpath"
    ini = "addopts = -p hypothesispytest --hypothesis-seed=1" if "hypothesispytest" in sys.modules else ""
    session = sessions.run(
        SUITE,
        f"--repro-across=python={OTHER}",
        "--no-repro-diagnose",
        "-p",
        "pytest_timeout",
        "--timeout=90",
        conftest=conftest,
        ini=ini,
        apart=True,
    )
    assert session.verdicts["test_same"] in ("identical", "error"), session.text


def test_what_the_file_imports_is_asked_for_before_anything_runs(sessions: Sessions, other: Path) -> None:
    source = """
        import hypothesis
        import pytest

        @pytest.mark.reproducible
        def test_it():
            open("ran", "w").close()
            return 1
    """
    session = sessions.run(source, f"--repro-across=python={OTHER}")
    assert session.verdicts == {"test_it": "error"}
    text = " ".join(session.text.split())
    assert f"the environment '{OTHER}' lacks hypothesis, which test_it.py imports: add hypothesis==" in text
    assert not (sessions.folder / "ran").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("broken", "its Python ended with exit code 3"),
        ("bare", "lacks numpy and pytest, without which no test runs"),
        ("silent", "its Python printed no description"),
        ("nowhere/python", "there is no such file or folder"),
        ("numpy==0.0.99", "the environment 'numpy==0.0.99' could not be made"),
        ("not a requirement", "names no environment"),
    ],
)
def test_an_environment_that_cannot_be_used_is_an_error_that_names_it(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, environments: Path, given: str, message: str
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(environments))
    for name, script in (("broken", "echo 'no libpython'; exit 3"), ("silent", "exit 0")):
        path = sessions.write(f"#!/bin/sh\n{script}\n", name)
        path.chmod(0o755)
    if given == "bare":
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(sessions.folder / "bare")], check=True)
    session = sessions.run(SUITE, f"--repro-across=python={given}")
    assert set(session.verdicts.values()) == {"error"}, session.text
    assert message in " ".join(session.text.split())
    if given == "broken":
        assert "no libpython" in session.text


def test_made_environments_are_listed_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    assert cli.main(["environments"]) == 0
    assert "no environments in" in capsys.readouterr().out
    whole = tmp_path / "none" / "abc"
    whole.mkdir(parents=True)
    content = {
        "digest": "abc",
        "python": "CPython 3.11.7",
        "packages": {"numpy": "2.2.6"},
        "requests": ["r"],
        "texts": ["numpy==2.2.*"],
        "made_by": "pip",
        "is_constrained": True,
    }
    (whole / "environment.json").write_text(json.dumps(content), encoding="utf-8")
    assert cli.main(["environments"]) == 0
    listed = capsys.readouterr().out
    assert "abc  CPython 3.11.7, numpy 2.2.6" in listed
    assert "numpy==2.2.*" in listed
    assert cli.main(["environments", "--clear", "other"]) == 2
    assert whole.exists()
    assert cli.main(["environments", "--clear"]) == 0
    assert not whole.exists()
