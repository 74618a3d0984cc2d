"""The public names: each resolves, each has a docstring, and none comes or goes unnoticed."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_repro

# Fixed by the design. Removing one breaks users: it needs a `breaking` fragment in changelog.d/ and a change here.
PUBLIC = {
    "Axis",
    "Comparison",
    "DivergenceError",
    "InconclusiveError",
    "ReproError",
    "ReproWarning",
    "Tolerance",
    "UsageError",
    "Verdict",
    "assert_close",
    "assert_identical",
    "assert_metrics_close",
    "assert_metrics_equivalent",
    "assert_predictions_close",
    "assert_reproducible",
    "assert_weights_close",
    "check_reproducible",
    "compare",
    "deterministic",
    "examine",
    "seed_everything",
}


def test_the_public_names_are_those_that_were_agreed():
    assert set(pytest_repro.__all__) == PUBLIC
    assert list(pytest_repro.__all__) == sorted(pytest_repro.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_resolves_and_says_what_it_is(name):
    value = getattr(pytest_repro, name)
    assert inspect.getdoc(value), f"{name} has no docstring"
    assert value.__name__ == name


@pytest.mark.parametrize("name", sorted(n for n in PUBLIC if n.startswith(("assert_", "compare"))))
def test_what_compares_takes_actual_first_and_expected_second(name):
    if name == "assert_reproducible":
        pytest.skip("takes a function")
    first, second, *others = inspect.signature(getattr(pytest_repro, name)).parameters.values()
    assert (first.name.removesuffix("_runs"), second.name.removesuffix("_runs")) == ("actual", "expected")
    assert {p.name for p in others if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)} <= {"tolerance"}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_is_typed_throughout(name):
    value = getattr(pytest_repro, name)
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        assert signature.return_annotation is not signature.empty
        assert all(p.annotation is not p.empty for p in signature.parameters.values())


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'assert_clos'"):
        pytest_repro.assert_clos


def test_dir_lists_every_public_name():
    assert set(dir(pytest_repro)) >= PUBLIC


def test_importing_the_package_imports_neither_numpy_nor_pytest():
    code = "import sys, pytest_repro; print(sorted({'numpy', 'pytest', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_reference_page_tells_of_every_public_name_and_option():
    page = Path(__file__).parents[2] / "docs" / "reference" / "options.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in sorted(PUBLIC) if f"`{name}" not in text] == []
    plugin = importlib.import_module("pytest_repro.plugin")
    flags = ["--" + name.replace("_", "-") for name, *_ in plugin.OPTIONS]
    assert [flag for flag in [*flags, "--repro-json"] if f"`{flag}" not in text] == []


def test_the_reference_page_tells_of_every_argument_of_the_marker():
    from pytest_repro.session.settings import MARKER_ARGUMENTS

    text = (Path(__file__).parents[2] / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
    assert [name for name in MARKER_ARGUMENTS if f"`{name}`" not in text] == []
