"""Names that a line mentions, and whether it may change them."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pytest_repro.tracing.statements import MAX_STATEMENT_TEXT, parse_statements, read_source, read_statements


def statement(source: str, line: int = 1):
    return parse_statements(textwrap.dedent(source))[line]


def test_an_operand_of_arithmetic_cannot_be_changed_by_a_statement():
    found = statement("y = f(a) + b * c[i]")
    assert found.chains == {("y",): True, ("a",): True, ("f",): True, ("b",): False, ("i",): False, ("c",): False}
    assert found.targets == {("y",)}


def test_an_attribute_is_a_chain_of_its_own():
    found = statement("self.w += self.g.mean() * lr")
    assert ("self", "w") in found.targets
    assert found.chains["self", "w"]
    assert ("self", "g", "mean") in found.chains


def test_a_compound_statement_ends_with_its_header():
    source = """
    for x in make(
        items,
    ):
        y = x
    """
    found = parse_statements(textwrap.dedent(source))
    assert (found[3].line, found[3].end, found[3].block_end) == (2, 4, 5)
    assert found[5].reads == ["y", "x"]
    assert (found[2].loop, found[5].loop) == (2, 2)


def test_the_outermost_loop_counts_the_steps_within_one_function():
    source = """
    for epoch in range(2):
        for batch in data:
            step(batch)
        def inner():
            for i in x:
                pass
    """
    found = parse_statements(textwrap.dedent(source))
    assert (found[4].loop, found[6].loop) == (2, 6)


def test_a_file_with_a_syntax_error_has_no_statements(tmp_path: Path):
    path = tmp_path / "broken.py"
    path.write_text("def (:\n")
    assert read_statements(str(path)) == {}


def test_the_text_of_a_statement_is_complete_and_bounded(tmp_path: Path):
    path = tmp_path / "code.py"
    path.write_text("x = [\n    1,\n    2,\n]\ny = [" + "1, " * 3000 + "]\n")
    assert read_source(str(path), 3) == "x = [\n    1,\n    2,\n]"
    assert len(read_source(str(path), 5)) == MAX_STATEMENT_TEXT
    assert read_source(str(tmp_path / "none.py"), 1) == ""
