from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.diagnosis.trace_statements import find_cut, find_unwritten, is_compiled_in_one
from tests.unit.diagnosis.helpers import events_of


@pytest.mark.parametrize(
    "statement",
    [
        "x = np.empty((4, 2))",
        "x = [torch.empty_like(p) for p in parameters]",
        "x = [(torch.zeros_like if fixed else torch.empty_like)(p) for p in parameters]",
        "x = rows.new_empty(4)",
        "x = empty_like(rows)",
        "for x in (np.empty(3), np.empty(4)):\n        pass",
    ],
)
def test_the_one_line_that_leaves_memory_unwritten_is_found_however_often_it_runs(
    tmp_path: Path, statement: str
) -> None:
    events = events_of(tmp_path, "x = 1", statement)
    found = find_unwritten([*events, events[1]])
    assert found is not None
    assert found.line == 3


@pytest.mark.parametrize(
    "statements",
    [
        ["x = np.zeros(3)", "x = x + 1"],
        ["x = 0 if frame.empty else 1"],
        ["x = queue.empty()"],
        ["x = np.empty(3)", "x = np.empty_like(x)"],
        ["x = ("],
    ],
)
def test_no_line_is_named_where_there_is_none_or_more_than_one(tmp_path: Path, statements: list[str]) -> None:
    assert find_unwritten(events_of(tmp_path, *statements)) is None


def test_no_line_is_named_where_a_loop_comes_back_to_the_first_of_two(tmp_path: Path) -> None:
    events = events_of(tmp_path, "x = np.empty(3)", "x = np.empty_like(x)")
    assert find_unwritten([*events, events[0]]) is None


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("CPUDispatcher (read in part)", "float: 1"), True),
        (("Net", "OptimizedModule (read in part)"), True),
        (("PjitFunction (read in part)", "PjitFunction (read in part)"), False),
        (("float: 1", "float: 2"), False),
    ],
)
def test_a_function_that_is_compiled_in_one_run_alone_is_found(
    tmp_path: Path, texts: tuple[str, str], expected: bool
) -> None:
    one, other = (events_of(tmp_path, "f = fast if compiled else plain", gives=text)[0] for text in texts)
    assert is_compiled_in_one(one, other) is expected
    other.changes.clear()  # a plain function is not found
    assert is_compiled_in_one(one, other) is texts[0].startswith(("CPU", "Pjit"))


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["for lo in range(0, 24, group):\n        pass"], "size"),
        (["for lo in range(0, 24, group):  # a batch each\n        pass"], "size"),
        (["part = rows[lo : lo + group]"], "size"),
        (["parts = rows.split(group)"], "size"),
        (["loader = DataLoader(rows, batch_size=group)"], "size"),
        (["x = np.split(rows, group)"], "parts"),
        (["x = torch.chunk(rows, group)"], "parts"),
        (["pieces = 8 if fixed else group", "for x in np.array_split(rows, pieces):\n        pass"], "parts"),
        (["x = rows * group"], ""),
        (["for lo in range(group):\n        pass"], ""),
        (["first = rows[:group]"], ""),
        (["words = text.split()", "x = group"], ""),
        (["x = np.split(rows, other)"], ""),
    ],
)
def test_the_cut_of_an_argument_follows_from_statements_and_not_from_its_name(
    tmp_path: Path, statements: list[str], expected: str
) -> None:
    assert find_cut(events_of(tmp_path, *statements), "group") == expected
