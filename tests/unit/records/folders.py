"""Collections for the tests: folders as ``--repro-collect`` writes them, of made-up environments."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_repro.capturing import capture_tree
from pytest_repro.model import TolerancePolicy
from pytest_repro.model.merged import MergedSession
from pytest_repro.model.reported import SessionOutcome
from pytest_repro.records.canonical import as_document, canonical_bytes, parse_strictly
from pytest_repro.records.collection import (
    MANIFEST,
    OWN_DIGEST,
    CollectedFile,
    CollectedTest,
    Manifest,
    Selection,
    Uncollected,
    check_files,
    fact_digest,
    read_collection,
)
from pytest_repro.records.collection_writer import CollectionWriter, count_recorded_elements, describe_file
from pytest_repro.records.files import read_record, write_record
from pytest_repro.records.fingerprint import fingerprint_environment
from pytest_repro.records.merging import merge_collections
from pytest_repro.records.policy import describe_policy

ENVIRONMENT: dict[str, Any] = {
    "python": {"implementation": "CPython", "version": "3.11.9", "free_threaded": False},
    "platform": {"system": "linux", "machine": "x86_64", "libc": "glibc 2.36", "byte_order": "little"},
    "cpu": {"model": "EPYC", "instruction_sets": ["avx2", "fma"], "cores": 4},
    "packages": {"numpy": {"version": "2.4.0", "record": "sha256:a", "numerical": True}},
    "thread_pools": [{"internal_api": "openblas", "architecture": "SkylakeX", "num_threads": 4}],
    "accelerators": [],
    "variables": {},
    "container": {"unavailable": "not declared"},
    "lock_files": {"unavailable": "no lock file in the root directory"},
}
CODE: dict[str, Any] = {"commit": "c" * 40, "tree": "t" * 40, "dirty": False, "changed": [], "changed_count": 0,
                        "diff": None, "submodules": {}}  # fmt: skip
EXACT = TolerancePolicy()


def environment(**changes: Any) -> dict[str, Any]:
    """Return an environment that differs in ``numpy=``, ``blas=``, ``libc=``, ``model=``, ``threads=``, ``python=``."""
    made = copy.deepcopy(ENVIRONMENT)
    places: dict[str, Callable[[Any], Any]] = {
        "numpy": lambda value: made["packages"]["numpy"].update(version=value),
        "blas": lambda value: made["thread_pools"][0].update(architecture=value),
        "threads": lambda value: made["thread_pools"][0].update(num_threads=value),
        "libc": lambda value: made["platform"].update(libc=value),
        "model": lambda value: made["cpu"].update(model=value),
        "python": lambda value: made["python"].update(version=value),
    }
    for name, value in changes.items():
        places[name](value)
    return made


class Test:
    """A test of a collection: the value that run 1 returned, and what else its record holds."""

    __test__ = False

    def __init__(
        self,
        value: Any = None,
        *,
        status: str = "recorded",
        reason: str = "",
        seed: int = 7,
        verdict: str = "identical",
        policy: TolerancePolicy = EXACT,
        tier: str = "auto",
        keeps: bool = True,
        inline_bytes: int = 65536,
        not_compared: Sequence[Any] = (),
        not_compared_left_out: int = 0,
        **facts: Any,
    ) -> None:
        self.value, self.status, self.reason, self.seed, self.verdict = value, status, reason, seed, verdict
        self.policy, self.tier, self.keeps, self.inline_bytes = policy, tier, keeps, inline_bytes
        self.facts, self.not_compared = facts, tuple(not_compared)
        self.not_compared_left_out = not_compared_left_out


def begin(folder: Path, given: Mapping[str, Any] | None = None, **manifest: Any) -> CollectionWriter:
    """Begin a collection, whose label is the folder's name."""
    given = ENVIRONMENT if given is None else given
    known = as_document(given)
    assert isinstance(known, dict)
    made = Manifest(folder.name, "0.1.0", "9.0.0", fingerprint_environment(known), known, as_document(CODE))  # type: ignore[arg-type]
    writer = CollectionWriter(folder, replace(made, **manifest))
    writer.begin()
    return writer


def add(writer: CollectionWriter, folder: Path, name: str, test: Test, given: Mapping[str, Any] | None = None) -> None:
    """Add a test, with its record if it has one."""
    if test.status != "recorded":
        status: Any = test.status
        plain = CollectedTest(name, status, test.seed, test.verdict, test.reason, not_compared=test.not_compared)
        writer.add(plain, {})
        return
    policy = {
        "runs": 2,
        "tier": test.tier,
        "tolerance": [[glob, bound.describe()] for glob, bound in test.policy.rules],
        "bounds": describe_policy(test.policy),
        "verdict": test.verdict,
    }
    facts = {"environment": ENVIRONMENT if given is None else given, "code": CODE, "policy": policy, **test.facts}
    path = write_record(
        folder, name, test.seed, capture_tree(test.value), facts, inline_bytes=test.inline_bytes if test.keeps else -1
    )
    record = read_record(path).record
    payload = None
    if (record.payload or {}).get("kind") == "file":
        file = folder / str(record.payload["path"])
        payload = CollectedFile(file.name, str(record.payload["sha256"]), int(str(record.payload["size"])))
        if not test.keeps:
            file.unlink()
            payload = None
    shared = {key: record.facts["policy"].get(key) for key in ("tier", "tolerance", "bounds")}
    parts = {**record.facts, "policy": shared}
    writer.add(
        CollectedTest(
            name,
            "recorded",
            test.seed,
            test.verdict,
            digest=record.digest,
            elements=count_recorded_elements(record.entries),
            record=describe_file(path),
            payload=payload,
            keeps_arrays=test.keeps,
            facts={part: fact_digest(fact) for part, fact in parts.items()},
            not_compared=test.not_compared,
            not_compared_left_out=test.not_compared_left_out,
        ),
        {fact_digest(fact): fact for fact in parts.values()},
    )


def collect(
    folder: Path,
    tests: Mapping[str, Test],
    given: Mapping[str, Any] | None = None,
    *,
    selected: Sequence[str] | None = None,
    deselected: Sequence[str] = (),
    uncollected: Sequence[Uncollected] = (),
    is_finished: bool = True,
    **manifest: Any,
) -> Path:
    """Write a finished collection, and return its folder."""
    writer = begin(folder, given, **manifest)
    writer.describe(Selection(tuple(tests if selected is None else selected), tuple(deselected)))
    for name, test in tests.items():
        add(writer, folder, name, test, given)
    writer.finish(SessionOutcome(0, passed=len(tests)), uncollected, is_finished=is_finished)
    return folder


def merge(*folders: Path, baseline: str | None = None) -> MergedSession:
    """Merge folders as the command does."""
    collections = [read_collection(folder) for folder in folders]
    absent = {collection.label: check_files(collection) for collection in collections}
    return merge_collections(collections, baseline=baseline, absent=absent)


def kinds(merged: MergedSession, test: str = "t.py::test") -> list[str]:
    """Return the cells of one test, in the order of the environments."""
    return [cell.kind for found in merged.tests if found.nodeid == test for cell in found.cells]


def forge(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, and give it the digest that it must have."""
    document: Any = parse_strictly((folder / MANIFEST).read_bytes())
    del document[OWN_DIGEST]
    change(document)
    digest = hashlib.sha256(canonical_bytes(document)).hexdigest()
    (folder / MANIFEST).write_bytes(canonical_bytes({**document, OWN_DIGEST: f"sha256:{digest}"}))


def forge_circumstances(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the environment and the code that a manifest and all its tests name, as a document of these two."""

    def change_both(document: dict[str, Any]) -> None:
        parts = {part: document[part] for part in ("environment", "code")}
        before = {part: fact_digest(fact) for part, fact in parts.items()}
        change(parts)
        document |= parts
        for part in before:
            for test in document["tests"]:
                if test.get("facts", {}).get(part) == before[part]:
                    test["facts"][part] = fact_digest(parts[part])

    forge(folder, change_both)
