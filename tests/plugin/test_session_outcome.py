"""Reports have pytest's own outcome, and a statement passes only if every test of the session did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.errors import RecordError
from pytest_repro.records.bundle import read_bundle

MIXED = """
    import itertools, pytest
    from pytest_repro import assert_order_invariant
    count = itertools.count()

    @pytest.mark.reproducible
    def test_good(): return 1

    @pytest.mark.xfail(strict=True)
    @pytest.mark.reproducible
    def test_known(): return next(count)

    def test_unmarked():
        assert_order_invariant(lambda rows: [row * (i + 1) for i, row in enumerate(rows)], [1.0, 2.0, 3.0])

    @pytest.fixture
    def broken(): raise ValueError

    def test_broken(broken): pass
    def test_skipped(): pytest.skip("no")
    @pytest.mark.xfail
    def test_xpassed(): pass
"""


def run(pytester: pytest.Pytester, *options: str) -> tuple[Any, Path, str]:
    """Run with reports, and return the JSON report, the bundle's folder, and the terminal's text."""
    result = pytester.runpytest_subprocess(
        "--repro-json=r.json", "--repro-evidence=bundle", "--repro-html=r.html", "-p", "no:randomly", *options
    )
    return json.loads((pytester.path / "r.json").read_text()), pytester.path / "bundle", result.stdout.str()


@pytest.mark.parametrize("options", [(), ("-n", "1")])
def test_every_test_counts_whether_the_plugin_ran_it_or_not(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    if options:
        pytest.importorskip("xdist")
    pytester.makepyfile(test_it=MIXED)
    document, folder, _ = run(pytester, *options)
    outcome = document["pytest"]
    counts = {name: value for name, value in outcome.items() if isinstance(value, int)}
    assert counts == {
        "exit_status": 1, "passed": 1, "failed": 1, "errors": 1, "skipped": 1, "xfailed": 1, "xpassed": 1,
        "deselected": 0, "collected": 6, "not_run": 0,
        "cut_off": 0, "vanished": 0,
    }  # fmt: skip
    assert sorted(outcome["failing_tests"]) == ["test_it.py::test_broken", "test_it.py::test_unmarked"]
    assert outcome["xfailed_tests"] == ["test_it.py::test_known"]
    predicate = json.loads((folder / "statement.json").read_text())["predicate"]
    assert (predicate["result"], predicate["passedTests"]) == ("FAILED", ["test_it.py::test_good"])
    assert sorted(predicate["failedTests"]) == ["test_it.py::test_broken", "test_it.py::test_unmarked"]
    assert read_bundle(folder).result == "FAILED"
    summary = (folder / "summary.md").read_text()
    assert "failed as expected: test\\_it.py::test\\_known" in summary
    assert "1 xfailed" in (pytester.path / "r.html").read_text()
    # A statement that hides a failed test is refused.
    statement = json.loads((folder / "statement.json").read_text())
    statement["predicate"] |= {"result": "PASSED", "failedTests": []}
    (folder / "statement.json").write_text(json.dumps(statement))
    with pytest.raises(RecordError, match="contradicts"):
        read_bundle(folder)


def test_an_expected_failure_does_not_fail_the_statement(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=MIXED)
    document, folder, _ = run(pytester, "-k", "good or known")
    assert (document["pytest"]["exit_status"], document["pytest"]["deselected"]) == (0, 4)
    assert read_bundle(folder).result == "PASSED"


def test_a_file_that_cannot_be_collected_fails_the_statement(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=MIXED, test_wrong="import no_such_module")
    document, folder, _ = run(pytester, "-k", "good", "--continue-on-collection-errors")
    assert document["pytest"]["failing_tests"] == ["test_wrong.py"]
    assert read_bundle(folder).result == "FAILED"
