"""Findings as GitHub shows them and as GitLab reads them: complete, in place, and without a way to inject a command."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.reporting.annotations import MAX_ANNOTATIONS, github_lines, gitlab_report
from pytest_repro.reporting.findings import Finding, Place


def finding(**changes: Any) -> Finding:
    known: dict[str, Any] = {
        "level": "error",
        "code": "hash.order",
        "title": "Not reproducible: hash.order",
        "place": Place("lib/data.py", 23, "order = list(names)"),
        "text": "why",
        "tests": ("t.py::a",),
    }
    return Finding(**{**known, **changes})


def here(file: str) -> str | None:
    return f"sub/{file}"


def nowhere(_: str) -> str | None:
    return None


def parse(line: str) -> tuple[str, dict[str, str], str]:
    """Read a workflow command as GitHub's runner does."""
    matched = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert matched is not None, line
    properties = dict(pair.split("=", 1) for pair in matched[2].split(","))
    for escaped, plain in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        properties = {name: value.replace(escaped, plain) for name, value in properties.items()}
    text = matched[3]
    for escaped, plain in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(escaped, plain)
    return matched[1], properties, text


def test_an_annotation_names_the_line_of_the_cause_and_says_why_and_what_to_do() -> None:
    (line,) = github_lines([finding(fix="sort it", tests=("t.py::a", "t.py::b"), repeat_command="pytest t.py")], here)
    assert parse(line) == (
        "error",
        {"file": "sub/lib/data.py", "line": "23", "title": "Not reproducible: hash.order"},
        "why\nfix: sort it\n2 tests: t.py::a, t.py::b\nrepeat: pytest t.py",
    )


def test_a_place_outside_of_the_repository_is_in_the_text_and_never_another_file() -> None:
    (line,) = github_lines([finding()], nowhere)
    _, properties, text = parse(line)
    assert properties == {"title": "Not reproducible: hash.order"}
    assert text.splitlines()[0].startswith("in lib/data.py:23, which is not a file of this repository")


def test_a_finding_without_a_line_or_place_has_none() -> None:
    file, session = github_lines([finding(place=Place("t.py")), finding(place=None)], here)
    assert parse(file)[1] == {"file": "sub/t.py", "title": "Not reproducible: hash.order"}
    assert set(parse(session)[1]) == {"title"}


def test_more_findings_than_github_shows_are_counted() -> None:
    many = [finding(place=Place("a.py", n), tests=(f"t.py::t{n}", "t.py::all")) for n in range(14)]
    warnings = [finding(level="warning")] * MAX_ANNOTATIONS
    lines = github_lines([*many, *warnings], here)
    levels = [parse(line)[0] for line in lines]
    assert levels == ["error"] * MAX_ANNOTATIONS + ["warning"] * MAX_ANNOTATIONS
    assert parse(lines[MAX_ANNOTATIONS - 1])[2] == "5 more in 6 tests: the report has them"


def test_many_tests_of_one_finding_are_counted() -> None:
    (line,) = github_lines([finding(tests=tuple(f"t{n}" for n in range(41)))], here)
    assert "41 tests: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 31 more" in parse(line)[2]


_PARTS = ("\n", "\r", ":", ",", "%", "=", "#", "[", "a", "0A", "::error ::", "##[error]", "\x1b", "\u2028", "\ud800")
HOSTILE = st.lists(st.sampled_from(_PARTS), max_size=12).map("".join)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_no_text_of_a_report_ends_a_command_or_begins_another(name: str, file: str, title: str, text: str) -> None:
    found = finding(place=Place(f"f{file}", 1), title=f"t{title}", text=text, tests=(name,), fix=text)
    for locate in (here, nowhere):
        (line,) = github_lines([found], locate)
        assert line.splitlines() == [line]
        assert line.startswith("::error ")
        level, properties, shown = parse(line)
        assert (level, set(properties) <= {"file", "line", "title"}) == ("error", True)
        assert "\x1b" not in shown
        assert properties.get("file", f"sub/f{file}") == f"sub/f{file}"
        assert ("file" in properties) == (locate is here and file.isprintable())
        gitlab = json.loads(json.dumps(gitlab_report([found], locate)).encode())
        assert gitlab[0]["location"]["path"] in (f"sub/f{file}", ".")


def test_gitlab_gets_what_it_demands_of_each_finding() -> None:
    entries = gitlab_report([finding(), finding(level="warning"), finding(place=None, tests=())], here)
    assert [entry["severity"] for entry in entries] == ["major", "minor", "major"]
    assert entries[0]["location"] == {"path": "sub/lib/data.py", "lines": {"begin": 23}}
    assert entries[0]["description"] == "Not reproducible: hash.order. why; test: t.py::a"
    assert entries[2]["location"] == {"path": ".", "lines": {"begin": 1}}
    assert all(set(e) == {"description", "check_name", "fingerprint", "severity", "location"} for e in entries)
    assert len({entry["fingerprint"] for entry in entries}) == 3


def prints(*found: Finding) -> list[str]:
    return [entry["fingerprint"] for entry in gitlab_report(found, here)]


def test_a_fingerprint_stays_where_the_line_number_the_evidence_or_the_tests_change() -> None:
    moved = finding(place=Place("lib/data.py", 99, "order = list(names)"), text="3 of 3", tests=("t.py::z",))
    assert prints(finding()) == prints(moved)
    assert prints(finding(place=Place("t.py"))) == prints(finding(place=Place("t.py"), text="other"))


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Not reproducible: clock.now"},
        {"place": Place("lib/other.py", 23, "order = list(names)")},
        {"place": Place("lib/data.py", 23, "names = list(order)")},
        {"place": Place("lib/data.py")},
        {"level": "warning"},
    ],
)
def test_another_cause_file_or_statement_has_another_fingerprint(changes: dict[str, Any]) -> None:
    assert prints(finding()) != prints(finding(**changes))


def test_findings_that_look_alike_are_all_kept() -> None:
    # GitLab takes entries with one fingerprint for one.
    assert len(set(prints(finding(), finding(place=Place("lib/data.py", 40, "order = list(names)"))))) == 2
