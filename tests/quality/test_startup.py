"""What the plugin loads in a session that does not need it: neither NumPy nor a framework."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("jax", "numpy", "pandas", "scipy", "sklearn", "torch")

REPORT = f"""
import sys

def pytest_unconfigure():
    print("loaded:", sorted({set(HEAVY)!r} & set(sys.modules)))
"""


def run(folder, *arguments):
    """Run pytest with this plugin and no other; return its output."""
    command = [sys.executable, "-m", "pytest", "-s", "-p", "pytest_repro.plugin", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_importing_the_plugin_loads_nothing_heavy():
    code = f"import sys, pytest_repro.plugin; print(sorted({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [[], ["--collect-only"], ["--markers"], ["--fixtures"], ["--help"]], ids=str)
def test_a_session_of_unmarked_tests_loads_nothing_heavy(tmp_path, arguments):
    (tmp_path / "conftest.py").write_text(REPORT, encoding="utf-8")
    (tmp_path / "test_plain.py").write_text("def test_one():\n    assert 1 + 1 == 2\n", encoding="utf-8")
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loaded: []" in done.stdout


def test_the_check_above_sees_what_a_marked_test_loads(tmp_path):
    (tmp_path / "conftest.py").write_text(REPORT, encoding="utf-8")
    text = "import pytest\n\n@pytest.mark.reproducible\ndef test_one():\n    return 1\n"
    (tmp_path / "test_marked.py").write_text(text, encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loaded: ['numpy']" in done.stdout


@pytest.mark.parametrize(("body", "loads"), [("return 1", False), ("return next(runs)", True)], ids=str)
def test_the_diagnosis_is_loaded_only_where_a_test_diverged(tmp_path, body, loads):
    report = REPORT.replace(f"{set(HEAVY)!r}", "{'pytest_repro.session.diagnosing', 'pytest_repro.tracing'}")
    (tmp_path / "conftest.py").write_text(report, encoding="utf-8")
    head = "import itertools, pytest\nruns = itertools.count()\n"
    text = f"{head}@pytest.mark.reproducible\ndef test_one():\n    {body}\n"
    (tmp_path / "test_marked.py").write_text(text, encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == int(loads), done.stdout + done.stderr
    assert ("'pytest_repro.session.diagnosing'" in done.stdout) == loads
    assert "loaded: " in done.stdout
