"""The public names: each resolves, each has a docstring, and none comes or goes unnoticed."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_repro

REFERENCE_FOLDER = Path(__file__).parents[2] / "docs" / "reference"
REFERENCE = REFERENCE_FOLDER.joinpath("options.md").read_text(encoding="utf-8")

# Fixed by the design. Removing one breaks users: it needs a `breaking` fragment in changelog.d/ and a change here.
PUBLIC = {
    "ArtifactComparison",
    "Axis",
    "CaptureError",
    "Cause",
    "ChildError",
    "Comparison",
    "DataError",
    "DeterministicMode",
    "DivergenceError",
    "Equivalence",
    "Examination",
    "FirstDivergence",
    "InconclusiveError",
    "Location",
    "MissingExtraError",
    "NotCompared",
    "Omission",
    "RecordError",
    "ReportedDiagnosis",
    "ReportedRun",
    "ReportedTest",
    "Repro",
    "ReproError",
    "ReproWarning",
    "RunDifference",
    "Setting",
    "StepPoint",
    "StepSeries",
    "StoreError",
    "Tolerance",
    "TolerancePolicy",
    "UnsupportedTypeError",
    "UsageError",
    "Verdict",
    "assert_accumulation_equivalent",
    "assert_batch_invariant",
    "assert_close",
    "assert_compile_equivalent",
    "assert_identical",
    "assert_metrics_close",
    "assert_metrics_equivalent",
    "assert_order_invariant",
    "assert_predictions_close",
    "assert_reproducible",
    "assert_resume_equivalent",
    "assert_roundtrip",
    "assert_thread_invariant",
    "assert_weights_close",
    "assert_workers_equivalent",
    "assert_world_size_invariant",
    "check_reproducible",
    "compare",
    "deterministic",
    "examine",
    "reproducible_estimator_checks",
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


COMPARE_TWO = [
    "assert_close",
    "assert_identical",
    "assert_metrics_close",
    "assert_metrics_equivalent",
    "assert_predictions_close",
    "assert_weights_close",
    "compare",
]


@pytest.mark.parametrize("name", COMPARE_TWO)
def test_what_compares_two_values_takes_actual_first_and_expected_second(name):
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


def test_the_reference_page_has_an_entry_for_every_public_name():
    page = REFERENCE_FOLDER.joinpath("api.md").read_text(encoding="utf-8")
    entries = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)$", page, re.MULTILINE)
    assert sorted(entries) == sorted(PUBLIC)


def test_the_page_of_hooks_has_an_entry_for_every_hook():
    from pytest_repro import hookspecs

    page = REFERENCE_FOLDER.joinpath("hooks.md").read_text(encoding="utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("pytest_repro_")]
    assert re.findall(r"^\.\. autofunction:: (\w+)$", page, re.MULTILINE) == hooks != []


def test_the_reference_page_tells_of_every_function():
    functions = [name for name in sorted(PUBLIC) if inspect.isfunction(getattr(pytest_repro, name))]
    assert [name for name in functions if f"`{name}" not in REFERENCE] == []


def test_the_reference_page_tells_of_every_option_and_of_no_other():
    done = subprocess.run([sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True)
    existing = set(re.findall(r"^ +(--repro-[a-z-]+)", done.stdout, re.MULTILINE))
    assert len(existing) > 10
    told = set(re.findall(r"`(--repro-[a-z-]+)", REFERENCE.partition("## Status")[0]))
    assert told == existing


def test_the_reference_page_tells_of_every_argument_of_the_marker():
    from pytest_repro.session.settings import MARKER_ARGUMENTS

    assert [name for name in MARKER_ARGUMENTS if f"`{name}`" not in REFERENCE] == []
