"""Working directory of a run."""

# ruff: noqa: PT012 - the statements before the error are part of the test
from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_repro.axes import AxisContext, Machine, find_axis
from pytest_repro.engines.condition import apply_condition, judge_effects, verify_condition
from pytest_repro.errors import UsageError
from pytest_repro.model import Condition


def test_the_run_starts_in_an_empty_directory_and_the_old_one_is_restored(tmp_path: Path) -> None:
    before = Path.cwd()
    with apply_condition(Condition((("cwd", "<empty>"),)), AxisContext(tmp_path)):
        assert Path.cwd() != before
        assert list(Path.cwd().iterdir()) == []
        assert os.environ["PWD"] == str(Path.cwd())
    assert Path.cwd() == before


def test_a_relative_path_is_found_in_the_given_directory(tmp_path: Path) -> None:
    (tmp_path / "lr.txt").write_text("0.2")
    with apply_condition(Condition((("cwd", str(tmp_path)),)), AxisContext(tmp_path)):
        assert Path("lr.txt").read_text() == "0.2"


def test_the_directory_is_restored_after_an_error_and_after_the_run_has_removed_its_own(tmp_path: Path) -> None:
    before = Path.cwd()
    condition = Condition((("cwd", "<empty>"),))
    with pytest.raises(ZeroDivisionError), apply_condition(condition, AxisContext(tmp_path)):
        Path.cwd().rmdir()
        assert verify_condition(condition, ["cwd"])[0].problems == (("getcwd", "the run removed its directory"),)
        raise ZeroDivisionError
    assert Path.cwd() == before


def test_the_directory_of_the_baseline_counts_as_not_varied(tmp_path: Path) -> None:
    as_is, same = Condition(), Condition((("cwd", str(Path.cwd())),))
    baseline = verify_condition(as_is, ["cwd"])
    with apply_condition(same, AxisContext(tmp_path)):
        (variation,) = judge_effects(baseline, verify_condition(same, ["cwd"]), same)
    assert variation.status == "not_varied"


def test_a_directory_that_does_not_exist_is_unavailable(tmp_path: Path) -> None:
    assert "no directory" in (find_axis("cwd").unavailable_value(str(tmp_path / "missing"), Machine.here()) or "")


@pytest.mark.parametrize("bad", ["", 3, "a\0b"])
def test_a_value_that_is_not_a_path_is_rejected(bad: object) -> None:
    with pytest.raises(UsageError, match="cwd"):
        find_axis("cwd").validate(bad)  # type: ignore[arg-type]
