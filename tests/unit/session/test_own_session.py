"""A function that `examine` runs in processes of its own: the same verdicts, the cause, and no trace of it left."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from pytest_repro import Axis, ChildError, Tolerance, UsageError, Verdict, assert_order_invariant, examine
from pytest_repro.model import TolerancePolicy
from pytest_repro.session.own_session import _written
from pytest_repro.session.written_values import NotSendableError

WORDS = {"red", "green", "blue", "white"}


def in_some_order(seed: int, length: int = 3) -> dict[str, Any]:
    return {"words": list(WORDS | {str(seed)}), "length": length}


def always_three(workers: int) -> float:
    return 3.0 + workers * 1e-12


def breaks() -> None:
    raise OSError("no such data")


def test_an_axis_that_needs_processes_works_for_a_plain_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = examine(in_some_order, across={"hash_seed": [1, 2]}, runs=1)
    assert found.verdict is Verdict.DIVERGED
    assert found.result.matrix == {"hash_seed": "diverged"}
    assert {each.axes for each in found.result.divergences} == {("hash_seed",)}
    assert found.result.nodeid == "in_some_order"
    assert "test_examined" not in str(found) + str(found.to_json())
    assert list(tmp_path.iterdir()) == []


def test_arguments_and_tolerances_reach_the_other_process() -> None:
    across = {"process": 2, "workers": Axis([0, 1], atol=1e-9)}
    found = examine(always_three, across=across, runs=1)
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert found.result.matrix == {"process": "identical", "workers": "within_tolerance"}


def test_an_error_in_the_other_process_is_an_error_here() -> None:
    with pytest.raises(ChildError, match=r"(?s)breaks raised an error in a process of its own.*OSError: no such data"):
        examine(breaks, across=["process"])


def test_a_diagnosis_that_cannot_be_made_is_said() -> None:
    drawn = iter([1, 2])
    found = examine(lambda: next(drawn), diagnose=True)
    assert found.verdict is Verdict.DIVERGED
    assert "not diagnosed: a lambda has no definition" in str(found)
    with pytest.raises(UsageError, match="diagnose must be True or False"):
        examine(lambda: 1, diagnose=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        {"threads": [1, 2], "clock": Axis(None, rtol=0.5)},
        ["hash_seed", "timezone"],
        Tolerance.per_dtype(),
        TolerancePolicy((("a/*", Tolerance(max_ulp=3)), ("*", Tolerance(rows="unordered"))), auto=True),
        {"order": assert_order_invariant},
    ],
)
def test_an_argument_is_written_without_a_loss(value: Any) -> None:
    import pytest_repro

    again = eval(_written(value, "across"), {"_pytest_repro": pytest_repro})
    assert describe(again) == describe(value)


def describe(value: Any) -> Any:
    if isinstance(value, Axis):
        return value.values, value.tolerance
    return {name: describe(part) for name, part in value.items()} if isinstance(value, dict) else value


def test_a_tolerance_with_a_reference_is_refused() -> None:
    with pytest.raises(NotSendableError, match="a tolerance with a reference cannot be sent"):
        _written(Tolerance.auto([1.0]), "tolerance")
