"""What a test's file imports, read from its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.environments.imports import find_imports


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import numpy as np, os.path", ["numpy"]),
        ("from sklearn.linear_model import Ridge", ["sklearn"]),
        ("def test():\n    import torch", []),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", []),
        ("try:\n    import torch\nfinally:\n    pass", ["torch"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", []),
        ("with open('x'):\n    import torch", ["torch"]),
        ("import pytest_repro", []),
        ("import torch\nthis is no Python", []),
    ],
)
def test_modules_that_are_surely_imported(tmp_path: Path, source: str, found: list[str]) -> None:
    write(tmp_path, {"test_it.py": source})
    assert find_imports(tmp_path / "test_it.py", tmp_path) == found


def test_own_modules_are_followed(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "src/model/__init__.py": "from . import layers",
            "src/model/layers.py": "import torch",
            "src/model/unused.py": "import jax",
            "tests/conftest.py": "import pandas",
            "tests/helpers.py": "from scipy import stats\nimport helpers",
            "tests/test_it.py": "import helpers\nfrom model.layers import f\nimport data.tables",
            "data/tables.py": "import polars",
        },
    )
    found = find_imports(tmp_path / "tests" / "test_it.py", tmp_path)
    assert found == ["pandas", "polars", "scipy", "torch"]


def test_a_test_outside_of_the_project_has_its_own_folder_searched(tmp_path: Path) -> None:
    write(tmp_path, {"other/near.py": "import jax", "other/test_it.py": "import near"})
    assert find_imports(tmp_path / "other" / "test_it.py", tmp_path / "project") == ["jax"]
