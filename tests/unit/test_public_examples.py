"""Every example in the docstring of a public name is executed, and gives what it shows."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import sys

import pytest

import pytest_repro

OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL | doctest.NORMALIZE_WHITESPACE
#: Names whose examples need more than NumPy.
NEEDS = {"assert_compile_equivalent": "jax"}
#: Functions whose examples cannot run here, since other processes must import their module. Their own tests run them.
SHOWN = {"assert_world_size_invariant", "reproducible_estimator_checks"}


def examples_of(name: str) -> list[doctest.DocTest]:
    value = getattr(pytest_repro, name)
    module = sys.modules[value.__module__]
    finder = doctest.DocTestFinder(exclude_empty=True)
    known = {public: getattr(pytest_repro, public) for public in pytest_repro.__all__}
    return [test for test in finder.find(value, name, module=module, globs=known) if test.examples]


def is_shown_with_an_example(name: str) -> bool:
    """Whether a name is a function that a user calls, or a class that a user makes."""
    value = getattr(pytest_repro, name)
    return inspect.isfunction(value) or name in {"Axis", "Tolerance", "Comparison", "Verdict", "Repro", "Examination"}


@pytest.mark.parametrize("name", [name for name in pytest_repro.__all__ if is_shown_with_an_example(name)])
def test_a_function_and_a_class_that_users_make_have_an_example(name: str) -> None:
    assert "Examples\n" in (inspect.getdoc(getattr(pytest_repro, name)) or "")
    assert bool(examples_of(name)) != (name in SHOWN)


@pytest.mark.parametrize("name", [name for name in pytest_repro.__all__ if name not in SHOWN])
def test_an_example_gives_what_it_shows(name: str) -> None:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"needs {NEEDS[name]}")
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    printed: list[str] = []
    for test in examples_of(name):
        runner.run(test, out=printed.append)
    assert not runner.failures, "".join(printed)
