"""Every way to the word "identical": what was not compared is told there, and state that was left out prevents it."""

from __future__ import annotations

import json
import re
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytest_repro
from pytest_repro import (
    DivergenceError,
    InconclusiveError,
    Verdict,
    assert_batch_invariant,
    assert_close,
    assert_identical,
    assert_metrics_close,
    assert_order_invariant,
    assert_predictions_close,
    assert_reproducible,
    assert_resume_equivalent,
    assert_thread_invariant,
    check_reproducible,
    examine,
)
from tests.plugin.helpers import PLUGINS, is_installed, unwrap

#: In each test file: an object with a lock, which holds no result, and one with a generator, whose place is unknown.
HOLDERS = """
import threading
import numpy as np
import pytest

class Holder:
    def __init__(self, part):
        self.weights, self.part = np.ones(3), part

def locked():
    return Holder(threading.Lock())

def hiding():
    return Holder(i for i in [1, 2])
"""

TESTS = {
    "returned": """
@pytest.mark.reproducible
def test_it(repro):
    return {"it": make()}
""",
    "captured": """
@pytest.mark.reproducible
def test_it(repro):
    repro.capture("it", make())
""",
    "stepped": """
@pytest.mark.reproducible
def test_it(repro):
    repro.step(0, it=make())
""",
    "across processes": """
@pytest.mark.reproducible(across=["hash_seed"])
def test_it(repro):
    return {"it": make()}
""",
    "examples": """
from hypothesis import given, settings, strategies as st

@pytest.mark.reproducible
@settings(max_examples=2, database=None)
@given(x=st.just(1.5))
def test_it(x):
    return {"it": make(), "x": x}
""",
    "an assertion as an axis": """
from pytest_repro import assert_order_invariant

@pytest.mark.reproducible(across={"order": assert_order_invariant})
def test_it(repro, order):
    order(lambda items: {"it": make(), "sum": sum(items)}, [1, 2, 3])
""",
}


def run_session(pytester: pytest.Pytester, *options: str) -> tuple[Any, dict[str, dict[str, Any]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        plugins = [f"-p{PLUGINS[name]}" for name in ("hypothesis", "xdist") if is_installed(name)]
        result = pytester.runpytest_subprocess(
            "-ppytest_repro.plugin", *plugins, "--repro-json=out.json", "--no-repro-diagnose", *options
        )
    document: dict[str, Any] = json.loads(Path(pytester.path / "out.json").read_text())
    return result, {test["nodeid"]: test for test in document["tests"]}


def run(pytester: pytest.Pytester, body: str, maker: str, *options: str) -> tuple[Any, dict[str, Any]]:
    pytester.makepyfile(test_it=f"{HOLDERS}\nmake = {maker}\n{body}")
    result, found = run_session(pytester, *options)
    return result, found["test_it.py::test_it"]


@pytest.mark.parametrize("engine", [[], ["--repro-isolate"], ["-n", "1"]], ids=" ".join)
def test_what_holds_no_result_is_told_and_state_that_was_left_out_is_inconclusive(
    pytester: pytest.Pytester, engine: list[str]
) -> None:
    ways = [way for way in TESTS if way != "examples" or is_installed("hypothesis")]
    files = {}
    for number, way in enumerate(ways):
        for maker in ("locked", "hiding"):
            files[f"test_{maker}_{number}"] = way
            pytester.makepyfile(**{f"test_{maker}_{number}": f"{HOLDERS}\nmake = {maker}\n{TESTS[way]}"})
    result, found = run_session(pytester, *engine)
    result.assert_outcomes(passed=len(ways), failed=len(ways))
    shown, told = unwrap(result.stdout.str()), 0
    for name, way in files.items():
        test = found[f"{name}.py::test_it"]
        if "hiding" in name:
            assert test["verdict"] == "inconclusive", way
            assert "state was not compared" in test["reason"], way
            continue
        assert test["verdict"] == "identical", way
        assert {(value["type"], value["reason"]) for value in test["not_compared"]} == {
            ("_thread.lock", "a lock holds no result")
        }, way
        assert all(value["name"].endswith("part") for value in test["not_compared"]), way
        told += len(test["not_compared"])
    assert re.search(rf"^not compared: {told} values", shown, re.M), shown
    assert re.search(
        rf"^  _thread\.lock: a lock holds no result: .*part of .*::test_it and {told - 1} more", shown, re.M
    )
    # Once for each test that says in its failure what it left out.
    assert len(re.findall(r"state was not compared.*part \(generator\)", shown)) >= len(ways)


def test_the_reports_tell_what_was_not_compared(pytester: pytest.Pytester) -> None:
    run(pytester, TESTS["returned"], "locked", "--repro-html=out.html", "--repro-evidence=bundle")
    assert "a lock holds no result" in Path(pytester.path / "out.html").read_text()
    assert "it/part (\\_thread.lock): a lock holds no result" in Path(pytester.path / "bundle/summary.md").read_text()
    evidence = json.loads(Path(pytester.path / "bundle/evidence.json").read_text())
    assert evidence["tests"][0]["not_compared"] == [
        {"name": "it/part", "type": "_thread.lock", "reason": "a lock holds no result"}
    ]


def test_a_test_that_leaves_out_state_is_not_recorded_or_verified(pytester: pytest.Pytester) -> None:
    run(pytester, TESTS["returned"], "locked", "--repro-record=records", "--repro-runs=2")[0].assert_outcomes(passed=1)
    for option in ("--repro-verify=records", "--repro-record=other"):
        result, found = run(pytester, TESTS["returned"], "hiding", option, "--repro-runs=1")
        result.assert_outcomes(failed=1)
        assert found["verdict"] in ("inconclusive", "diverged")
    assert not list(Path(pytester.path / "other").glob("**/*.json"))


class Holder:
    def __init__(self, part: Any) -> None:
        self.weights, self.part = np.ones(3), part


def locked(*_: Any) -> Any:
    return {"it": Holder(threading.Lock()), "x": 1.5}


def hiding(*_: Any) -> Any:
    return {"it": Holder(i for i in [1]), "x": 1.5}


class Loop:
    def __init__(self, make: Any) -> None:
        self.it, self.steps = make(), 0

    def step(self, i: int) -> None:
        self.steps += i

    def save(self, path: Path) -> None:
        path.write_text(str(self.steps))

    def load(self, path: Path) -> None:
        self.steps = int(path.read_text())


def by_rows(make: Any, batch: Any) -> Any:
    return [{"it": make()["it"], "x": x} for x in batch]


ASSERTIONS = {
    "identical": lambda make: assert_identical(make(), make()),
    "close": lambda make: assert_close(make(), make(), rtol=0.1),
    "order": lambda make: assert_order_invariant(make, [1, 2, 3]),
    "threads": lambda make: assert_thread_invariant(make),
    "batch": lambda make: assert_batch_invariant(partial(by_rows, make), np.arange(4.0), batch_sizes=(1, 2)),
    "resume": lambda make: assert_resume_equivalent(partial(Loop, make), steps=4, process="same"),
    "reproducible": lambda make: assert_reproducible(make),
}


@pytest.mark.parametrize("name", ASSERTIONS)
def test_an_assertion_passes_without_what_holds_no_result(name: str) -> None:
    shown = ASSERTIONS[name](locked)
    if hasattr(shown, "notes"):
        assert any("a lock holds no result" in note for note in shown.notes)


@pytest.mark.parametrize("name", ASSERTIONS)
def test_no_assertion_passes_where_state_was_left_out(name: str) -> None:
    with pytest.raises(InconclusiveError, match="state was not compared"):
        ASSERTIONS[name](hiding)


def test_an_examination_tells_what_was_not_compared() -> None:
    assert examine(locked).verdict is Verdict.IDENTICAL
    assert [value.reason for value in examine(locked).result.not_compared] == ["a lock holds no result"]
    assert check_reproducible(hiding) is Verdict.INCONCLUSIVE


def test_metrics_and_predictions_take_no_objects() -> None:
    for check in (assert_metrics_close, assert_predictions_close):
        with pytest.raises((pytest_repro.ReproError, InconclusiveError, DivergenceError)):
            check(hiding(), hiding())
