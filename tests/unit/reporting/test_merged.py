"""A merge as text, Markdown, HTML and JSON: within 80 columns, and no name of a folder's author does anything."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

from pytest_repro.model.codec import encode
from pytest_repro.model.merged import (
    CellKind,
    Explanation,
    MergedCell,
    MergedEnvironment,
    MergedSession,
    MergedTest,
    Split,
    SplitFact,
)
from pytest_repro.model.reported import Omission, RecordDifference
from pytest_repro.reporting.html.merged import render_merge
from pytest_repro.reporting.merged_markdown import merge_markdown
from pytest_repro.reporting.merged_text import MEANINGS, WORDS, merge_lines, say_explanations, say_result
from tests.unit.reporting.html import reading as html_reading

HOSTILE = '<script>alert(1)</script>\x1b[31m|`\u202e"&'
DIFFERENCE = RecordDifference(
    "w", "values", dtype="float64", elements=9, differing=3, over=3, max_ulp=7, max_abs=1e-9, allowed="no difference"
)


def session(
    count: int = 3, tests: int = 4, name: str = "t.py::test", label: str = "env", **changes: Any
) -> MergedSession:
    """Return a merge in which the last environment differs in the first test."""
    labels = [f"{label}{n}" for n in range(count)]
    environments = tuple(
        MergedEnvironment(
            each, f"sha256:{n:064}", ("Python 3.11.9", f"numpy 2.{n}"), True, tests, 0, int(n == count - 1)
        )
        for n, each in enumerate(labels)
    )
    same, differs = MergedCell("identical", group=0), MergedCell("diverged", "", 1, "bits", "why", (DIFFERENCE,))
    rows = tuple(
        MergedTest(f"{name}[{n}]", labels[0], tuple(same if n or i < count - 1 else differs for i in range(count)))
        for n in range(tests)
    )
    groups = tuple(labels[:-1]), tuple(labels[-1:])
    fact = SplitFact(
        "BLAS or OpenMP", "", 84, True, (("openblas SkylakeX",), ("openblas Haswell",)), "--repro-across=isa"
    )
    split = Split(
        groups, (rows[0].nodeid,), (Explanation((fact,)),), "", (f"pytest {rows[0].nodeid} --repro-across=isa",)
    )
    made = MergedSession(
        labels[0], "the first one", environments, rows, groups, tests, (split,), (), "commit abc",
        counts={"identical": count * tests - 1, "diverged": 1},
    )  # fmt: skip
    return replace(made, **changes)


def hostile() -> MergedSession:
    found = session(
        name=f"{HOSTILE}::{HOSTILE}", label=HOSTILE, notes=(HOSTILE,), code=HOSTILE, baseline_reason=HOSTILE
    )
    cell = MergedCell("failed", HOSTILE)
    omitted = Omission(HOSTILE, HOSTILE, HOSTILE)
    rows = tuple(replace(t, cells=(*t.cells[:-1], cell), not_compared=(omitted,)) for t in found.tests[1:])
    fact = SplitFact(HOSTILE, HOSTILE, 50, True, ((HOSTILE,), (HOSTILE,)))
    split = replace(
        found.splits[0], explanations=(Explanation((fact,)), Explanation((fact, fact), 1)), unexplained=HOSTILE
    )
    return replace(found, tests=(found.tests[0], *rows), splits=(split,))


def test_every_kind_of_cell_has_a_word_a_sign_and_a_meaning():
    kinds = set(get_args(CellKind))
    assert kinds == WORDS.keys() == MEANINGS.keys()
    assert len({sign for _, sign, _ in WORDS.values()}) == len({word for word, *_ in WORDS.values()}) == len(kinds)
    assert all(len(word) <= 8 and len(sign) == 1 for word, sign, _ in WORDS.values())


@pytest.mark.parametrize("count", [2, 3, 5, 6, 7, 20, 100])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal_but_a_command(count, width):
    found = session(count, name="tests/deep/folder/test_of_something.py::TestClass::test_with_a_very_long_name_indeed")
    lines = merge_lines(found, width=width)
    assert [line for line in lines if len(line) > width and "confirm here" not in line] == []
    numbers = [word for line in lines for word in re.findall(r"(?<!\S)\d+(?!\S)", line)]
    assert {str(n + 1) for n in range(count)} <= set(numbers)


def test_few_environments_have_words_and_many_have_signs_with_a_legend():
    assert any(line.split() == ["test[0]", "same", "same", "DIFFERS"] for line in merge_lines(session()))
    lines = merge_lines(session(12))
    assert any(line.split() == ["test[0]", *"=" * 11, "X"] for line in lines)
    assert "=: every bit is the baseline's" in lines


def test_the_text_says_what_differs_who_agrees_and_what_explains_it():
    text = "\n".join(merge_lines(session()))
    for part in (
        "3 environments, 4 tests, commit abc",
        "baseline: env0, the first one",
        "    everywhere: Python 3.11.9",
        "  3 env2  numpy 2.2",
        "  test[0], env2, bit for bit: w: 3 of 9 differ, 7 ulp, 1e-09 absolute, allowed:\n    no difference",
        "2 distinct results over 3 environments, by the bits of the 4 tests that all of\nthem have",
        "  A  env0, env1\n  B  env2",
        "split of 1 test: t.py::test[0]",
        "  explained by BLAS or OpenMP: openblas SkylakeX | openblas Haswell",
        "  confirm here: pytest t.py::test[0] --repro-across=isa",
    ):
        assert part in text
    assert text.endswith("not the same: 1 of 4 tests (1 diverged).")


def test_of_thousands_of_tests_those_that_differ_come_first_and_the_rest_is_counted():
    found = session(tests=2000)
    found = replace(found, tests=(*found.tests[1:], found.tests[0]))
    lines = merge_lines(found)
    assert len(lines) < 120
    assert next(line for line in lines if "test[" in line).split()[0] == "test[0]"
    assert "... and 1,940 more that agree: --html and --json have all rows" in lines


def test_the_last_sentence_is_the_result():
    same = session(tests=2)
    same = replace(same, tests=same.tests[1:], counts={"identical": 3})
    assert say_result(same) == "same: the test is identical in 3 environments."
    close = replace(same, tests=session().tests[1:], counts={"identical": 8, "within_tolerance": 1})
    assert say_result(close) == ("same: all 3 tests are identical or, 1 time, within its tolerance in 3 environments.")
    skipped = MergedTest("t.py::gpu", None, (MergedCell("skipped", "no GPU"),) * 3)
    assert say_result(replace(same, tests=(*same.tests, skipped))).endswith(
        "1 test skipped or xfailed everywhere, so not compared."
    )
    assert say_result(replace(same, tests=(skipped,))).startswith(
        "not shown to be the same: no environment has a result."
    )
    cut = replace(same, environments=(*same.environments[1:], replace(same.environments[0], is_finished=False)))
    assert say_result(cut) == "not shown to be the same: what was collected agrees. 1 folder unfinished."


def test_similar_explanations_share_a_line_and_unlikely_ones_are_counted():
    def fact(part: str, name: str) -> Explanation:
        return Explanation((SplitFact(part, name, 50, True, (("1",), ("2",))),))

    facts = [fact("package on one side only", f"p{n}") for n in range(9)] + [fact(f"part{n}", "") for n in range(7)]
    lines = say_explanations(replace(session().splits[0], explanations=tuple(facts)))
    assert lines[0] == "explained by package on one side only p0: 1 | 2; p1, p2, p3 and 5 more fit too"
    assert lines[-2] == "... and by 3 less likely"
    assert lines[-1].startswith("16 recorded differences fit equally, the likeliest first.")


def test_a_name_moves_no_cursor_on_the_terminal():
    text = "".join(merge_lines(hostile()))
    assert text.isprintable()
    assert "\\x1b[31m" in text


def test_a_name_is_no_markup_in_markdown():
    text = merge_markdown(hostile())
    assert "".join(text.split("\n")).isprintable()
    assert "<script" not in text.replace("\\<", "")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "alert" in line]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._is_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_script = tag == "script"
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.scripts.append(data)


def test_a_name_runs_no_script_in_the_page_and_the_page_loads_nothing():
    page = Page()
    text = render_merge(hostile())
    page.feed(text)
    assert len(page.scripts) == 1
    assert "alert" not in page.scripts[0]
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    targets = [value for name, value in page.attributes if name in ("src", "href")]
    assert all(value is not None and value.startswith(("#", "data:,")) for value in targets)
    assert "default-src &#x27;none&#x27;" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_navigation_leads_to_every_section_in_order():
    for found in (session(), hostile()):
        page = html_reading.Page(render_merge(found))
        assert page.linked == [attributes["id"] for attributes in page.all("section")]
    assert page.linked[-1] == "reasons"


def test_page_and_markdown_show_the_same_result_matrix_and_explanation():
    found = session()
    for text in (render_merge(found), merge_markdown(found).replace("\\", "")):
        for part in ("not the same: 1 of 4 tests (1 diverged).", "DIFFERS", "commit abc", "openblas Haswell"):
            assert part in text


SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "merge-1.schema.json"


def test_the_schema_accepts_the_document_and_rejects_others():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for found in (session(), hostile(), session(20)):
        assert [
            f"{e.json_path}: {e.message}" for e in validator.iter_errors(json.loads(json.dumps(encode(found))))
        ] == []
    assert set(schema["$defs"]["kind"]["enum"]) == set(get_args(CellKind))
    for place, value in (
        (["merge_version"], 2),
        (["baseline"], 5),
        (["tests", 0, "cells", 0, "kind"], "fine"),
        (["tests", 0, "cells", 0, "group"], -1),
        (["environments"], []),
        (["environments", 0, "fingerprint"], "md5:1"),
        (["splits", 0, "groups"], [["a"]]),
        (["splits", 0, "explanations", 0, "facts"], []),
        (["counts", "fine"], 1),
    ):
        document = json.loads(json.dumps(encode(session())))
        inner = document
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
        assert not validator.is_valid(document), place


def test_one_reason_of_many_tests_is_told_once():
    cell = MergedCell("not_run", "the session ended before it")
    found = session(tests=9)
    rows = tuple(replace(test, cells=(*test.cells[:-1], cell)) for test in found.tests)
    lines = merge_lines(replace(found, tests=rows), width=120)
    position = lines.index("reasons")
    assert " ".join(" ".join(lines[position + 1 : position + 3]).split()) == (
        "not run: t.py::test[0], t.py::test[1], t.py::test[2], t.py::test[3], t.py::test[4] and 4 more in env2: the "
        "session ended before it"
    )


def omitting(kinds: int, *, left_out: int = 0) -> MergedSession:
    """Return a merge in which each of two tests omits a value of each of so many types."""
    found = session(tests=2)
    omitted = tuple(Omission(f"model.part{n}", f"type{n}", "holds no result") for n in range(kinds))
    first, second = (replace(test, not_compared=omitted) for test in found.tests)
    return replace(found, tests=(first, replace(second, not_compared_left_out=left_out)))


OUTPUTS = {
    "terminal": lambda found: " ".join(" ".join(merge_lines(found, width=120)).split()),
    "markdown": lambda found: merge_markdown(found).replace("\\", ""),
    "html": lambda found: re.sub("<[^>]*>", "", render_merge(found)),
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_output_lists_what_was_not_compared_by_type_and_reason(output):
    text = OUTPUTS[output](omitting(2))
    assert "type1 (model.part1 of t.py::test[0] and 1 more): holds no result" in text
    assert "values that were not compared" not in text


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_output_counts_what_was_not_compared_and_is_not_listed(output):
    text = OUTPUTS[output](omitting(5_000))
    shown = text.count("holds no result")
    assert 20 < shown < 5_000
    assert f"and {2 * (5_000 - shown):,} more values that were not compared" in text
    assert "and 7 more values that were not compared" in OUTPUTS[output](omitting(1, left_out=7))
