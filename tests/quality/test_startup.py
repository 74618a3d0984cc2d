"""Modules that the plugin adds to a session: its own few at start-up, NumPy and the diagnosis only when needed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: All that the plugin adds to a session without reproducible tests, of the standard library and of others, too.
#: benchmarks/startup.py measures the cost. A module that is added here costs every pytest session of every user.
AT_START = {
    "pytest_repro",
    "pytest_repro.frameworks",
    "pytest_repro.frameworks.asking",
    "pytest_repro.hookspecs",
    "pytest_repro.plugin",
}
CONFTEST = """
import sys

def pytest_unconfigure():
    print("loaded:", *sys.modules)
"""
PLAIN = "def test_one():\n    assert 1 + 1 == 2\n"


def loaded_modules(folder, source, *arguments, plugin=True, exitcode=0, conftest=CONFTEST):
    """Run pytest on one test file, and return the names of all modules that are loaded where the conftest says so."""
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-s",
        "-pno:cacheprovider",
        *(["-ppytest_repro.plugin"] if plugin else []),
    ]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == exitcode, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("loaded: ")]
    return set(line.split()[1:])


@pytest.mark.parametrize("arguments", [[], ["--collect-only"], ["--fixtures"], ["--help"]], ids=str)
def test_a_session_of_unmarked_tests_loads_only_the_modules_at_start(tmp_path, arguments):
    without = loaded_modules(tmp_path, PLAIN, *arguments, plugin=False)
    assert loaded_modules(tmp_path, PLAIN, *arguments) - without == AT_START


def test_importing_the_plugin_loads_no_numpy():
    code = "import sys, pytest_repro.plugin; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


LAZY = {"numpy", "pytest_repro.session.diagnosing"}


@pytest.mark.parametrize(
    ("body", "exitcode", "loaded"),
    [("return 1", 0, {"numpy"}), ("return next(runs)", 1, LAZY)],
    ids=["identical", "diverged"],
)
def test_numpy_is_loaded_by_a_marked_test_and_the_diagnosis_only_by_a_divergence(tmp_path, body, exitcode, loaded):
    head = "import itertools, pytest\nruns = itertools.count()\n"
    source = f"{head}@pytest.mark.reproducible\ndef test_one():\n    {body}\n"
    assert loaded_modules(tmp_path, source, exitcode=exitcode) & LAZY == loaded


AFTER_CONFIGURE = """
import sys
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_collection():
    print("loaded:", *sys.modules)
"""


@pytest.mark.parametrize("option", ["--repro-collect=out/here", "--repro-record=out", "--repro-json=out.json"])
def test_an_option_loads_no_numpy_before_the_tests_are_collected(tmp_path, option):
    source = "import pytest\n@pytest.mark.reproducible\ndef test_one():\n    return 1\n"
    assert "numpy" not in loaded_modules(tmp_path, source, option, conftest=AFTER_CONFIGURE)
