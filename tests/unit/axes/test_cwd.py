"""The working directory."""

# ruff: noqa: PT012 - what happens before the error is part of the test
from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_repro.axes import AxisContext, Machine, find_axis
from pytest_repro.engines.condition import apply_condition, judge_effects, verify_condition
from pytest_repro.errors import UsageError
from pytest_repro.model import Condition


def test_the_run_starts_in_an_empty_directory_and_comes_back(tmp_path: Path) -> None:
    before = Path.cwd()
    with apply_condition(Condition((("cwd", "<empty>"),)), AxisContext(tmp_path)):
        assert Path.cwd() != before
        assert list(Path.cwd().iterdir()) == []
        assert os.environ["PWD"] == str(Path.cwd())
    assert Path.cwd() == before


def test_a_relative_path_is_found_in_the_directory_given(tmp_path: Path) -> None:
    (tmp_path / "lr.txt").write_text("0.2")
    with apply_condition(Condition((("cwd", str(tmp_path)),)), AxisContext(tmp_path)):
        assert Path("lr.txt").read_text() == "0.2"


def test_it_comes_back_after_an_error_and_after_the_directory_is_gone(tmp_path: Path) -> None:
    before = Path.cwd()
    condition = Condition((("cwd", "<empty>"),))
    with pytest.raises(ZeroDivisionError), apply_condition(condition, AxisContext(tmp_path)):
        Path.cwd().rmdir()
        assert verify_condition(condition, ["cwd"])[0].problems == (("getcwd", "the run removed its directory"),)
        raise ZeroDivisionError
    assert Path.cwd() == before


def test_staying_where_one_is_counts_as_not_varied(tmp_path: Path) -> None:
    as_is, same = Condition(), Condition((("cwd", str(Path.cwd())),))
    baseline = verify_condition(as_is, ["cwd"])
    with apply_condition(same, AxisContext(tmp_path)):
        (variation,) = judge_effects(baseline, verify_condition(same, ["cwd"]), same)
    assert variation.status == "not_varied"


def test_a_directory_that_is_not_there_is_no_value_here(tmp_path: Path) -> None:
    assert "no directory" in (find_axis("cwd").unavailable_value(str(tmp_path / "missing"), Machine.here()) or "")


@pytest.mark.parametrize("bad", ["", 3, "a\0b"])
def test_what_is_no_path_is_refused(bad: object) -> None:
    with pytest.raises(UsageError, match="cwd"):
        find_axis("cwd").validate(bad)  # type: ignore[arg-type]
