"""Whether collections may be compared with each other at all: labels, versions, code. Nothing is merged silently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_repro.capturing.budget import is_unavailable
from pytest_repro.errors import RecordError, UsageError
from pytest_repro.records.collection import Collection

#: Changed files that a message lists.
_MAX_FILES = 5


def check_mergeable(collections: Sequence[Collection], baseline: str | None) -> list[str]:
    """Return what a reader of the merge must know about its folders.

    Raises
    ------
    RecordError
        If they cannot be compared with each other. The message lists every reason, and what to do.
    UsageError
        If no environment has the baseline's label.
    """
    if len(collections) < 2:
        raise RecordError("merge compares at least two collections: name two folders, as in out/*/")
    problems = [*_check_labels(collections), *_check_versions(collections), *_check_code(collections)]
    if problems:
        numbered = problems if len(problems) == 1 else [f"({n}) {text}" for n, text in enumerate(problems, 1)]
        raise RecordError(f"the folders cannot be merged: {'. '.join(numbered)}")
    labels = [collection.label for collection in collections]
    if baseline is not None and baseline not in labels:
        raise UsageError(f"--baseline={baseline!r} is none of the environments: {', '.join(labels)}")
    return [*_note_unfinished(collections), *_note_code(collections), *_note_same(collections)]


def _check_labels(collections: Sequence[Collection]) -> list[str]:
    by_label: dict[str, list[str]] = {}
    for collection in collections:
        by_label.setdefault(collection.label, []).append(str(collection.directory))
    return [
        f"{' and '.join(folders)} have one label, {label!r}: collect one of them again with --repro-collect=out/OTHER"
        for label, folders in by_label.items()
        if len(folders) > 1
    ]


def _check_versions(collections: Sequence[Collection]) -> list[str]:
    by_version: dict[str, list[str]] = {}
    for collection in collections:
        by_version.setdefault(collection.manifest.plugin, []).append(collection.label)
    if len(by_version) < 2:
        return []
    found = "; ".join(f"{version} ({', '.join(labels)})" for version, labels in by_version.items())
    return [f"they were collected by several versions of pytest-repro: {found}. Install one version and collect again"]


def _check_code(collections: Sequence[Collection]) -> list[str]:
    by_code: dict[str, list[Collection]] = {}
    for collection in collections:
        if not is_unavailable(collection.manifest.code):
            by_code.setdefault(repr(_identify(collection.manifest.code)), []).append(collection)
    if len(by_code) < 2:
        return []
    found = "; ".join(
        f"{describe_state(same[0].manifest.code)} ({', '.join(c.label for c in same)})" for same in by_code.values()
    )
    return [f"they are of different code: {found}. Check out one commit without changes, and collect again"]


def _identify(code: dict[str, Any]) -> tuple[Any, ...]:
    """Return what two states of the code must share: two commits may have the same files."""
    return code.get("tree") or code.get("commit"), code.get("diff"), code.get("submodules")


def describe_state(code: dict[str, Any]) -> str:
    """Return the state of the code in short: the commit, and the files that differ from it."""
    if is_unavailable(code):
        return f"code unknown ({code['unavailable']})"
    commit = str(code.get("commit") or "no commit")[:10]
    state = f"commit {commit}" if code.get("commit") else commit
    changed, count = code.get("changed") or [], code.get("changed_count") or 0
    # A manifest is not trusted.
    if not isinstance(changed, list) or not isinstance(count, int):
        return f"{state}, changes unknown"
    names = ", ".join(map(str, changed[:_MAX_FILES])) + (", ..." if count > _MAX_FILES else "")
    return f"{state} with changes in {names}" if count else state


def describe_code(collections: Sequence[Collection]) -> str:
    """Return the state of the code that all collections share, as far as it is known."""
    known = [c.manifest.code for c in collections if not is_unavailable(c.manifest.code)]
    return describe_state(known[0] if known else collections[0].manifest.code)


def _note_unfinished(collections: Sequence[Collection]) -> list[str]:
    return [
        f"{c.label} is unfinished: its session was killed, stopped or is still running. Tests without a result there "
        "count as missing; collect again for a complete comparison"
        for c in collections
        if not c.manifest.is_finished
    ]


def _note_code(collections: Sequence[Collection]) -> list[str]:
    unknown = [c for c in collections if is_unavailable(c.manifest.code)]
    if not unknown:
        return []
    labels = ", ".join(c.label for c in unknown)
    reason = unknown[0].manifest.code["unavailable"]
    return [f"the state of the code is unknown for {labels} ({reason}): that it is the same code was not checked"]


def _note_same(collections: Sequence[Collection]) -> list[str]:
    by_fingerprint: dict[str, list[str]] = {}
    for collection in collections:
        by_fingerprint.setdefault(collection.manifest.fingerprint, []).append(collection.label)
    return [
        f"{', '.join(labels)} are one environment by all that can change bits and is recorded: they are repeats"
        for labels in by_fingerprint.values()
        if len(labels) > 1
    ]
