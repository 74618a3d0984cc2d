from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.diagnosis.places import code_in, find_uses, is_looked_up


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("if key not in MEMO: pass", True),
        ("found = MEMO.get(key)", True),
        ("MEMO.setdefault(key, 1)", True),
        ("if key in Store.MEMO: pass", True),
        ("MEMO['steps'] = MEMO['steps'] + 1", False),
        ("for key in MEMO: pass", False),
        ("found = [key for key in MEMO]", False),
        ("found = OTHER.get(MEMO)", False),
        ("MEMO.update(steps=1)", False),
        ("if (", False),
    ],
)
def test_a_mapping_that_is_asked_for_keys_it_may_not_have_is_a_cache(
    tmp_path: Path, statement: str, expected: bool
) -> None:
    file = tmp_path / "users.py"
    file.write_text(f"def f(key):\n    {statement}\n")
    assert is_looked_up(str(file), "MEMO") is expected


def test_uses_are_found_in_functions_by_name_and_as_attributes(tmp_path: Path) -> None:
    file = tmp_path / "users.py"
    file.write_text("BEST = 1\n\ndef f():\n    return BEST\n\ndef g():\n    return Store.BEST + BEST\n\nBEST = 2\n")
    assert [(place.line, place.function) for place in find_uses(str(file), "BEST")] == [(4, "f"), (7, "g")]
    assert find_uses("", "BEST") == find_uses(str(tmp_path / "none.py"), "BEST") == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("for p in set(P):  # hashed by id()", "for p in set(P):"),
        ("total = f(a,  # the first\n          b)  # the second", "total = f(a,\n          b)"),
        ("tag = '# no comment'  # one", "tag = '# no comment'"),
        ("for x in (1,  # its first line alone", "for x in (1,"),
        ("", ""),
    ],
)
def test_code_is_a_statement_without_its_comments(source: str, expected: str) -> None:
    assert code_in(source) == expected
