"""Tell a diagnosis again from the JSON report: causes, fixes, and the two traces side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_repro.errors import StoreError, UsageError
from pytest_repro.reporting.failure import wrapped
from pytest_repro.reporting.json_report import read_document

WIDTH = 110
#: A report is read whole.
LARGEST_REPORT_BYTES = 256 * 2**20
NO_DIAGNOSIS = "no diagnosis: none was made (--no-repro-diagnose, --pdb, an expected failure)"


def read_report(path: Path) -> list[dict[str, Any]]:
    """Return the tests of a report.

    Raises
    ------
    StoreError
        If the file is no report of this plugin.
    """
    tests = read_document(path, most_bytes=LARGEST_REPORT_BYTES).get("tests")
    if not isinstance(tests, list) or not all(isinstance(t, dict) and isinstance(t.get("nodeid"), str) for t in tests):
        raise StoreError(f"{path.name} is no report of --repro-json: it has no list of tests")
    return tests


def find_diverged(tests: list[dict[str, Any]], nodeid: str | None) -> list[dict[str, Any]]:
    """Return the tests that diverged; with `nodeid`, the one of that name, or whose name ends with it.

    Raises
    ------
    UsageError
        If no test, or several, have that name.
    """
    if nodeid is None:
        return [test for test in tests if test.get("verdict") == "diverged"]
    found = [test for test in tests if test["nodeid"] == nodeid]
    found = found or [test for test in tests if test["nodeid"].endswith(nodeid)]
    if len(found) != 1:
        names = ", ".join(_plain(test["nodeid"]) for test in (found or tests)[:10])
        problem = "no test" if not found else f"{len(found)} tests"
        raise UsageError(f"{problem} of the name {nodeid!r} in the report; it has {names or 'none'}")
    return found if found[0].get("verdict") == "diverged" else []


def explain_tests(tests: list[dict[str, Any]]) -> str:
    """Return the text."""
    return "\n\n".join(_explain(test) for test in tests) or "nothing diverged"


def _explain(test: dict[str, Any]) -> str:
    found = test.get("diagnosis")
    lines = [_plain(test["nodeid"])]
    if not isinstance(found, dict):
        return "\n".join([*lines, f"  {NO_DIAGNOSIS}"])
    first = found.get("first_divergence")
    if isinstance(first, dict):
        text = (
            f"{_plain(first.get('file'))}:{_plain(first.get('line'))} in {_plain(first.get('function'))}: "
            f"`{_plain(first.get('name'))}` is the first value that differs"
        )
        lines += wrapped("where", text, WIDTH)
    causes, rows = _objects(found.get("causes")), _objects(found.get("rows"))
    for cause in causes:
        lines += wrapped("cause", f"{_plain(cause.get('code'))}: {_plain(cause.get('evidence'))}", WIDTH)
        lines += wrapped("fix", _plain(cause.get("fix")), WIDTH)
    if not causes:
        lines += wrapped("cause", "unknown", WIDTH)
    if isinstance(out := found.get("ruled_out"), list) and out:
        lines += wrapped("not", ", ".join(map(_plain, out)), WIDTH)
    return "\n".join([*lines, *(["", *_lay_out(rows)] if rows else [])])


def _objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list that may be anything."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _lay_out(rows: list[dict[str, Any]]) -> list[str]:
    """Lay the two traces side by side: a line a statement, with what it changed in either run."""
    lines = []
    for row in rows:
        place = f"{Path(_plain(row.get('file'))).name}:{_plain(row.get('line'))}"
        lines.append(f"  {'>' if row.get('differs') else ' '} {place:<24} {_cut(row.get('source'), 80)}")
        if row.get("differs"):
            lines.append(f"      run 1  {_cut(row.get('expected') or '(not reached)', 90)}")
            lines.append(f"      other  {_cut(row.get('actual') or '(not reached)', 90)}")
        elif row.get("expected"):
            lines.append(f"      both   {_cut(row.get('expected'), 90)}")
    return lines


def _plain(text: object) -> str:
    """Return text without what a terminal would obey: the file may come from anywhere."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str("" if text is None else text))


def _cut(text: object, width: int) -> str:
    plain = _plain(text)
    return plain if len(plain) <= width else plain[: width - 3] + "..."
