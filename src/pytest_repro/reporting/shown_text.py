"""The text of ``pytest-repro show`` for reports, bundles of evidence and collections. Computes no figure but counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_repro.comparing.elements import escape
from pytest_repro.model.redaction import redact_assignments, redact_name

if TYPE_CHECKING:
    from pytest_repro.model.reported import ReportedSession
    from pytest_repro.records.bundle import Bundle
    from pytest_repro.records.collection import Collection

#: Tests listed by `show`; ``--json`` has them all.
MAX_TESTS = 50
#: Verdicts and statuses that a reader should see first.
_FIRST = ("error", "failed", "diverged", "unstable", "inconclusive")


def describe_report(session: ReportedSession) -> str:
    """Describe a report: whether it is finished, the counts, each test with its verdict."""
    tests = [(test.nodeid, test.verdict.value, test.reason) for test in session.tests]
    environment, code = session.environment or {}, session.code or {}
    lines = [
        f"report of {_count(len(tests), 'test')}: {_counts(verdict for _, verdict, _ in tests)}",
        f"  state     {_state(session.is_finished)}",
        *_line("pytest", _outcome(session)),
        *_line("commit", _commit(code.get("commit"), code.get("dirty"))),
        *_line("python", _python(environment)),
        *_test_lines(tests),
    ]
    if any(verdict == "diverged" for _, verdict, _ in tests):
        lines.append("  next      `pytest-repro explain` on this file prints why tests diverged")
    return "\n".join(lines)


def bundle_to_json(bundle: Bundle, signatures: Sequence[str]) -> dict[str, Any]:
    """Return what `show` tells of a bundle that was read, whose signatures were not checked."""
    return {
        "kind": "bundle",
        "result": bundle.result,
        "commit": bundle.commit,
        "audit": bundle.audit,
        "tests": [
            {"nodeid": redact_name(nodeid), "verdict": verdict.value, "digest": bundle.digests.get(nodeid)}
            for nodeid, verdict in bundle.verdicts.items()
        ],
        "files": list(bundle.files),
        "unnamed": list(bundle.unnamed),
        "signatures": list(signatures),
        "notes": list(bundle.notes),
    }


def describe_bundle(document: Mapping[str, Any]) -> str:
    """Describe a bundle by :func:`bundle_to_json`."""
    tests = [(each["nodeid"], each["verdict"], "") for each in document["tests"]]
    signed = ", ".join(document["signatures"])
    check = "add the key to `pytest-repro verify` to check it" if signed else "`pytest-repro sign` signs it"
    unnamed = [escape(name) for name in document["unnamed"][:20]]
    return "\n".join(
        [
            f"bundle of evidence of {_count(len(tests), 'test')}: {_counts(verdict for _, verdict, _ in tests)}",
            f"  result    {document['result']}",
            *_line("commit", _commit(document["commit"], None)),
            *_line("audit", document["audit"]),
            f"  files     {len(document['files'])}, unchanged since the statement was written",
            f"  signature {escape(signed) + ', not checked here' if signed else 'none'}: {check}",
            *([f"  unnamed   {', '.join(unnamed)}: not named by the statement, so not checked"] if unnamed else []),
            *(f"  note      {escape(note)}" for note in document["notes"]),
            *_test_lines(tests),
        ]
    )


def collection_to_json(collection: Collection, absent: Sequence[str]) -> dict[str, Any]:
    """Return what `show` tells of a collection whose files were checked; `absent` are tests without their arrays."""
    manifest, missing = collection.manifest, set(absent)
    return {
        "kind": "collection",
        "label": manifest.label,
        "fingerprint": manifest.fingerprint,
        "plugin": manifest.plugin,
        "pytest": manifest.pytest,
        "python": _python(manifest.environment),
        "commit": manifest.code.get("commit"),
        "is_dirty": manifest.code.get("dirty"),
        "is_finished": manifest.is_finished,
        "tests": [
            {
                "nodeid": redact_name(test.test),
                "status": test.status,
                "verdict": test.verdict,
                "reason": redact_assignments(test.reason),
                "digest": test.digest,
                "arrays_are_here": test.test not in missing and test.keeps_arrays,
            }
            for test in collection.tests.values()
        ],
        "uncollected": [
            {"name": each.name, "outcome": each.outcome, "reason": redact_assignments(each.reason)}
            for each in manifest.uncollected
        ],
    }


def describe_collection(document: Mapping[str, Any]) -> str:
    """Describe a collection by :func:`collection_to_json`."""
    tests = [(each["nodeid"], each["status"], each["reason"]) for each in document["tests"]]
    absent = sum(each["status"] == "recorded" and not each["arrays_are_here"] for each in document["tests"])
    lines = [
        f"collection {escape(document['label'])} of {_count(len(tests), 'test')}: "
        f"{_counts(status for _, status, _ in tests)}",
        f"  state     {_state(document['is_finished'])}",
        f"  made by   pytest-repro {escape(document['plugin'])}, pytest {escape(document['pytest'])}",
        *_line("python", document["python"]),
        *_line("commit", _commit(document["commit"], document["is_dirty"])),
        "  files     unchanged since they were collected",
    ]
    if absent:
        lines.append(f"  arrays    those of {_count(absent, 'test')} are not here: a difference has no figures")
    for each in document["uncollected"][:MAX_TESTS]:
        lines.append(f"  {each['outcome']:9} {escape(each['name'])} was not collected: {_first_line(each['reason'])}")
    lines += _test_lines(tests)
    lines.append("  next      `pytest-repro merge` compares it with collections of other environments")
    return "\n".join(lines)


def _test_lines(tests: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return a line for each test, those with a problem first."""
    ranked = sorted(tests, key=lambda each: _FIRST.index(each[1]) if each[1] in _FIRST else len(_FIRST))
    width = max((len(word) for _, word, _ in ranked), default=0)
    lines = [""] if ranked else []
    for nodeid, word, reason in ranked[:MAX_TESTS]:
        lines.append(
            f"  {word.replace('_', ' '):{width}}  {escape(nodeid)}" + (f": {_first_line(reason)}" * bool(reason))
        )
    if len(ranked) > MAX_TESTS:
        lines.append(f"  {len(ranked) - MAX_TESTS} more tests: --json has them all")
    return [*lines, ""] if lines else []


def _first_line(text: str) -> str:
    return escape(text.strip().partition("\n")[0][:200])


def _counts(words: Iterable[str]) -> str:
    counted = Counter(words).most_common()
    return ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in counted) or "nothing was run"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def _state(is_finished: bool) -> str:
    return "finished" if is_finished else "unfinished: the session was interrupted, killed, or still runs"


def _line(name: str, value: object) -> list[str]:
    return [f"  {name:9} {escape(str(value))}"] if value else []


def _commit(commit: object, is_dirty: object) -> str:
    return f"{commit}{', with uncommitted changes' if is_dirty is True else ''}" if isinstance(commit, str) else ""


def _python(environment: Mapping[str, Any]) -> str:
    python = environment.get("python")
    return (
        " ".join(str(python[key]) for key in ("implementation", "version") if key in python)
        if isinstance(python, dict)
        else ""
    )


def _outcome(session: ReportedSession) -> str:
    if session.pytest is None:
        return ""
    return "ended with failures" if session.pytest.has_failed else "ended with success"
