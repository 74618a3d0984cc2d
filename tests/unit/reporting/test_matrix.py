"""The reproducibility matrix as text and as Markdown."""

from __future__ import annotations

from pytest_repro.reporting.matrix import matrix_lines, matrix_markdown


def entry(name: str, **cells: str) -> dict[str, object]:
    """Return a test as the report holds it."""
    return {"nodeid": f"tests/t.py::{name}", "matrix": cells}


def test_tests_without_axes_have_no_row_and_alone_no_matrix() -> None:
    assert matrix_lines([entry("a")]) == []
    assert matrix_markdown([entry("a")]) == ""
    lines = matrix_lines([entry("a"), entry("b", threads="identical")])
    assert [line.split() for line in lines] == [["threads"], ["t.py::b", "same"]]


def test_each_cell_is_a_word_and_an_axis_that_a_test_lacks_a_dash() -> None:
    cells = ["identical", "within_tolerance", "diverged", "unstable", "not_isolated", "not_varied", "not_available"]
    lines = matrix_lines(
        [entry("a", **{f"axis{i}": c for i, c in enumerate(cells)}), entry("b", axis0="identical")], width=400
    )
    words = "same close DIFFERS UNSTABLE DIFFERS? not varied n/a"
    assert " ".join(lines[1].split()) == f"t.py::a {words}"
    assert lines[2].split() == ["t.py::b", "same", *"------"]
    legend = lines[3:]
    assert [line.partition(":")[0] for line in legend] == ["UNSTABLE", "DIFFERS?", "not varied", "n/a"]


def test_no_line_is_wider_than_the_terminal_and_no_axis_is_lost() -> None:
    axes = {f"axis_number_{i}": "identical" for i in range(12)}
    lines = matrix_lines([entry("test_" + "x" * 200, **axes)], width=80)
    assert max(map(len, lines)) <= 80
    assert all(any(axis in line.split() for line in lines) for axis in axes)


def test_markdown_takes_no_markup_from_a_test_name() -> None:
    text = matrix_markdown([entry("a[<b>|`x`]*_\n", threads="diverged")])
    row = next(line for line in text.splitlines() if "DIFFERS" in line)
    assert "<b>" not in row
    assert row.count("|") - row.count("\\|") == 3
    assert "**DIFFERS**" in row
