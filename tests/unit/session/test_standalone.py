"""`check_reproducible`, `assert_reproducible` and `examine`: the same judgement without pytest."""

from __future__ import annotations

import decimal
import functools
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_repro import (
    DivergenceError,
    InconclusiveError,
    Tolerance,
    UsageError,
    Verdict,
    assert_reproducible,
    check_reproducible,
    examine,
)
from pytest_repro.engines.current import Repro

ULP = 2.0**-52


def counting(values: list[Any]) -> Callable[[], Any]:
    """Return a function that returns the next of these values at each call."""
    remaining = iter(values)
    return lambda: next(remaining)


def test_equal_results_are_identical() -> None:
    calls: list[int] = []

    def train() -> dict[str, Any]:
        calls.append(1)
        return {"weights": np.random.rand(3), "draw": random.random()}

    assert check_reproducible(train) is Verdict.IDENTICAL
    assert check_reproducible(train, runs=3) is Verdict.IDENTICAL
    assert len(calls) == 5
    assert_reproducible(train)


def test_a_tolerance_admits_up_to_its_bound_and_not_beyond() -> None:
    for steps, verdict in ((4, Verdict.WITHIN_TOLERANCE), (5, Verdict.DIVERGED)):
        assert check_reproducible(counting([1.0, 1.0 + steps * ULP]), max_ulp=4) is verdict
        policy = {"result": Tolerance(max_ulp=4)}
        assert check_reproducible(counting([1.0, 1.0 + steps * ULP]), tolerance=policy) is verdict


def test_a_divergence_raises_with_the_figures() -> None:
    with pytest.raises(DivergenceError, match="Run 3 of 3 differs from run 1") as caught:
        assert_reproducible(counting([1.0, 1.0, 1.0 + ULP]), runs=3)
    assert "max ulp" in str(caught.value)
    assert isinstance(caught.value, AssertionError)


def test_nothing_and_one_run_are_never_a_pass() -> None:
    for function, arguments in ((lambda: None, {}), (list, {}), (lambda: np.empty(0), {}), (lambda: 1, {"runs": 1})):
        assert check_reproducible(function, **arguments) is Verdict.INCONCLUSIVE
        assert not check_reproducible(function, **arguments)
        with pytest.raises(InconclusiveError):
            assert_reproducible(function, **arguments)


def test_an_examination_is_true_only_for_a_pass_and_holds_the_figures() -> None:
    good, bad = examine(lambda: 1), examine(counting([1, 2]))
    assert good
    assert not bad
    assert str(good) == "2 runs: identical"
    assert str(bad) == bad.message != ""
    for examination in (good, bad, examine(lambda: 1, seed=np.int64(3))):
        json.dumps(examination.to_json())
    assert bad.to_json()["divergences"][0]["actual"] == "2"


def test_a_function_gets_the_seed_and_the_run_by_its_parameters() -> None:
    seen: list[tuple[int, int, float]] = []

    def train(seed: int, repro: Repro) -> None:
        seen.append((seed, repro.run, random.random()))
        repro.capture("draw", repro.rng.random())

    assert examine(train, seed=5)
    assert [entry[:2] for entry in seen] == [(5, 1), (5, 2)]
    assert seen[0][2] == seen[1][2] == random.Random(5).random()


def test_seed_control_finds_an_ignored_seed() -> None:
    def obeys(seed: int) -> float:
        return random.Random(seed).random()

    def ignores(seed: int) -> float:
        return 1.0

    assert examine(obeys, seed_control=True)
    examination = examine(ignores, seed_control=True)
    assert examination.verdict is Verdict.INCONCLUSIVE
    assert "seed ignored" in examination.message


def test_an_argument_of_the_function_can_be_an_axis() -> None:
    def same(workers: int) -> int:
        return 1

    def other(workers: int) -> int:
        return workers

    assert examine(same, across={"workers": [0, 2]})
    examination = examine(other, across={"workers": [0, 2]})
    assert examination.verdict is Verdict.DIVERGED
    assert [(each.run, each.axes) for each in examination.result.divergences] == [(3, ("workers",))]
    with pytest.raises(UsageError, match="need processes of their own, and the function cannot be sent there"):
        examine(lambda: 1, across=["hash_seed"])
    with pytest.raises(UsageError, match="no argument of the test"):
        examine(same, across={"wrokers": [0, 2]})


def test_state_and_flags_are_restored_after_an_exception_too() -> None:
    random.seed(1)
    np.random.seed(1)
    precision = decimal.getcontext().prec

    def train() -> float:
        decimal.getcontext().prec = 5
        return random.random() + np.random.rand()

    def breaks() -> float:
        train()
        raise OSError("by itself")

    examination = examine(train)
    assert "python decimal context was left at prec=5" in " ".join(examination.result.notes)
    with pytest.raises(OSError, match="by itself"):
        examine(breaks)
    assert decimal.getcontext().prec == precision
    assert random.random() == random.Random(1).random()
    assert np.random.rand() == np.random.RandomState(1).rand()


def test_the_results_of_a_run_are_copied_immediately() -> None:
    shared = np.zeros(2)

    def train() -> np.ndarray[Any, Any]:
        shared[:] += 1
        return shared

    assert check_reproducible(train) is Verdict.DIVERGED


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    examine(lambda: 1, runs=3)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_in_no_form_of_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    token = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
    monkeypatch.setenv("SOME_API_TOKEN", token)

    def skips_later(repro: Repro) -> int:
        if repro.run == 2:
            pytest.skip(f"not with {token}")
        return 1

    found = examine(skips_later)
    assert found.verdict is Verdict.DIVERGED
    forms = [str(found), repr(found.result), found._repr_html_(), json.dumps(found.to_json())]
    assert [form for form in forms if token in form] == []
    assert all("not with" in form for form in forms)


def test_a_table_escapes_what_users_wrote() -> None:
    found = examine(counting(["<b>1</b>", "<script>alert(1)</script>"]))
    assert "<script" not in found._repr_html_()
    assert "&lt;script&gt;" in found._repr_html_()


def generator() -> Iterator[int]:
    yield 1


async def coroutine() -> int:
    return 1


@pytest.mark.parametrize(
    "function, arguments, message",
    [
        (3, {}, "must be a function"),
        (generator, {}, "async function or a generator"),
        (coroutine, {}, "async function or a generator"),
        (lambda: 1, {"runs": 0}, "runs must be an integer >= 2, got 0"),
        (lambda: 1, {"runs": True}, "got True"),
        (lambda: 1, {"runs": "3"}, "got '3'"),
        (lambda: 1, {"seed": -1}, "seed"),
        (lambda: 1, {"seed": 2**32}, "seed"),
        (lambda: 1, {"seed_control": 1}, "seed_control must be True or False"),
        (lambda: 1, {"rtol": float("nan")}, "rtol must not be NaN"),
        (lambda: 1, {"atol": -1.0}, "atol must not be negative"),
        (lambda: 1, {"tolerance": Tolerance(), "rtol": 0.1}, "not both"),
        (lambda: 1, {"tolerance": {"x/*": Tolerance(rtol=0.1)}}, "no artifact matches 'x/*'"),
        (lambda: iter([]), {}, "list_iterator"),
        (functools.partial(generator), {}, "generator"),
    ],
)
def test_a_wrong_argument_is_rejected(function: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match="(?s)" + message.replace("*", r"\*")) as caught:
        examine(function, **arguments)
    assert type(caught.value).__module__ == "pytest_repro.errors"
