"""The hook ``pytest_repro_capture``: other plugins and conftest files say what their values consist of."""

from __future__ import annotations

import pytest

CONFTEST = """
from index import Index

def pytest_repro_capture(value):
    if isinstance(value, Index):
        return {"metric": value.metric(), "vectors": value.vectors()}
    return None
"""

#: A class whose objects have nothing to read: a compiled one, as far as a capture can see.
MODULE = """
import sqlite3

class Index(sqlite3.Connection):
    def __init__(self, vectors):
        super().__init__(":memory:")
        STATE[id(self)] = vectors

    def metric(self):
        return "l2"

    def vectors(self):
        return STATE[id(self)]

STATE = {}
"""

TESTS = """
import numpy as np
import pytest
from index import Index
from pytest_repro import compare

class Search:
    def __init__(self, index):
        self.index, self.k = index, 3

@pytest.mark.reproducible
def test_same(repro):
    return {"index": Index(np.ones(3)), "search": Search(Index(np.ones(2)))}

@pytest.mark.reproducible
def test_different(repro):
    return {"search": [Search(Index(np.full(3, float(repro.run))))]}

@pytest.mark.reproducible
def test_captured(repro):
    repro.capture("index", Index(np.full(3, float(repro.run))))

def test_compare():
    assert compare(Index(np.ones(3)), Index(np.ones(3)))
    assert not compare(Index(np.ones(3)), Index(np.zeros(3)))
"""


@pytest.mark.parametrize("engine", [[], ["--repro-isolate"], ["-n", "1"]], ids=" ".join)
def test_a_value_is_compared_by_the_tree_that_stands_for_it(pytester: pytest.Pytester, engine: list[str]) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(index=MODULE, test_it=TESTS)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "--no-repro-diagnose", "-v", *engine)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*search/0/index/vectors: the values differ*", "*index/vectors: the values differ*"])


def test_without_the_hook_the_value_is_refused_or_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(index=MODULE, test_it=TESTS)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "--no-repro-diagnose")
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        ["*cannot capture 'index' (a index.Index)*", "*state was not compared*", "*index.Index*"]
    )


@pytest.mark.parametrize(
    "body, words",
    [
        ("return value", "pytest_repro_capture returned a Index for it"),
        ("return Index(None)", "pytest_repro_capture returned a Index for it"),
        ("raise ZeroDivisionError('in the hook')", "ZeroDivisionError: in the hook"),
        ("return {'it': (x for x in [1])}", "cannot capture 'index/it' (a generator)"),
    ],
)
def test_a_hook_that_fails_is_told_with_the_path(pytester: pytest.Pytester, body: str, words: str) -> None:
    pytester.makeconftest(f"""
        from index import Index
        def pytest_repro_capture(value):
            if isinstance(value, Index):
                {body}
    """)
    pytester.makepyfile(index=MODULE, test_it=TESTS)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "--no-repro-diagnose", "-k", "captured")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*index*", f"*{words}*"])
