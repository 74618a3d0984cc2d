"""A record made in one virtual environment and verified in another with another NumPy (`tox -e two-numpys`)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytest_repro

#: The interpreter of an environment with pytest and another release of NumPy.
OTHER = os.environ.get("REPRO_OTHER_PYTHON", "")
SOURCE = """
import numpy as np
import pytest

@pytest.mark.reproducible(rtol=1e-9)
def test_loose(repro):
    a = repro.rng.standard_normal((64, 64))
    return {"product": a @ a.T}

@pytest.mark.reproducible(tier="bits")
def test_bits(repro): return {"drawn": repro.rng.integers(0, 9, 20)}

@pytest.mark.reproducible(rtol=1e-9)
def test_version(): return {"version": np.array([ord(c) for c in np.__version__.ljust(9)])}
"""


def run(python: str, folder: Path, option: str) -> tuple[int, str, dict[str, Any]]:
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    # A copy, because the folder of the installed package also holds this environment's NumPy and pytest.
    if not (folder / "lib").exists():
        shutil.copytree(Path(str(pytest_repro.__file__)).parent, folder / "lib" / "pytest_repro")
    environment["PYTHONPATH"] = str(folder / "lib")
    command = [python, "-m", "pytest", "-p", "pytest_repro.plugin", "-p", "no:cacheprovider", "--repro-json=r.json"]
    done = subprocess.run(
        [*command, option], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    report = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    return done.returncode, done.stdout, {t["nodeid"].partition("::")[2]: t for t in report["tests"]}


@pytest.mark.skipif(not OTHER, reason="REPRO_OTHER_PYTHON names no other environment")
def test_with_another_numpy_a_record_is_compared_within_its_tolerance_and_numpy_is_named(
    tmp_path: Path,
) -> None:
    printed = subprocess.run(
        [OTHER, "-c", "import numpy; print(numpy.__version__)"], capture_output=True, text=True, check=True
    )
    other = printed.stdout.strip()
    assert other != np.__version__
    (tmp_path / "test_it.py").write_text(SOURCE, encoding="utf-8")
    assert run(OTHER, tmp_path, "--repro-record=records")[0] == 0
    # Where it was made, it is compared bit for bit.
    status, _, tests = run(OTHER, tmp_path, "--repro-verify=records")
    assert (status, {t["record"]["tier"] for t in tests.values()}) == (0, {"bits"})
    status, text, tests = run(sys.executable, tmp_path, "--repro-verify=records")
    tiers = {name: test["record"]["tier"] for name, test in tests.items()}
    assert tiers == {"test_loose": "tolerance", "test_bits": "bits", "test_version": "tolerance"}
    assert tests["test_loose"]["verdict"] in ("identical", "within_tolerance")
    assert (tests["test_bits"]["verdict"], tests["test_version"]["verdict"]) == ("identical", "diverged")
    assert status == 1
    first = tests["test_version"]["record"]["circumstances"][0]
    assert (first["name"], first["changes_bits"]) == ("numpy", True)
    assert f"package that computes numpy: {other} -> {np.__version__}" in text
