"""The content of a record, and the differences between two records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_repro.comparing import compare_artifacts
from pytest_repro.errors import PayloadAbsentError
from pytest_repro.model import Artifacts, Comparison
from pytest_repro.model.reported import Circumstance
from pytest_repro.records.differences import find_differences, find_unrecorded
from pytest_repro.records.files import StoredRecord
from pytest_repro.records.record import Record, check_figures, check_values, naming


@dataclass(frozen=True, slots=True)
class RecordDiff:
    """The differences between two records.

    Attributes
    ----------
    tests, seeds, digests : (expected, actual)
    comparison : Comparison or None
        None without figures: the digests are equal, or the arrays are not here.
    changed : list of str
        Artifacts whose digests differ, or that one side lacks.
    note : str
        Why the figures are missing.
    circumstances : list of Circumstance
    unrecorded : list of str
        What may differ as well, and is not in the records.
    """

    tests: tuple[str, str]
    seeds: tuple[int, int]
    digests: tuple[str, str]
    comparison: Comparison | None = None
    changed: list[str] = field(default_factory=list)
    note: str = ""
    circumstances: list[Circumstance] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        """Whether the results are identical, bit for bit."""
        return self.digests[0] == self.digests[1] and not self.changed


def diff_records(actual: StoredRecord, expected: StoredRecord) -> RecordDiff:
    """Compare two records, which may be of two tests.

    No digest that a record claims is believed: an artifact must have its own, and those must give the digest of all.

    Raises
    ------
    RecordError
        If a record contradicts itself: an artifact is damaged or edited, or the digests do not belong together.
    """
    here, there = actual.record, expected.record
    comparison, note = None, ""
    digests = there.digests, here.digests
    changed = [path for path in {**digests[0], **digests[1]} if digests[0].get(path) != digests[1].get(path)]
    artifacts = []
    for stored in (actual, expected):
        try:
            artifacts.append(load_checked(stored))
        except PayloadAbsentError as absent:
            what = "no figures" if here.digest != there.digest else "only the digests were compared"
            note = f"{what}: {absent}"
    if here.digest != there.digest and len(artifacts) == 2:
        comparison = compare_artifacts(artifacts[0], artifacts[1])
    return RecordDiff(
        (there.nodeid, here.nodeid),
        (there.seed, here.seed),
        (there.digest, here.digest),
        comparison,
        changed,
        note,
        find_differences(there.facts, here.facts),
        find_unrecorded(there.facts, here.facts),
    )


def has_arrays(stored: StoredRecord) -> bool:
    """Return whether a record's arrays are here, after checking all that is here against its digests.

    Raises
    ------
    RecordError
        If something is damaged.
    """
    try:
        load_checked(stored)
    except PayloadAbsentError:
        return False
    return True


def load_checked(stored: StoredRecord) -> Artifacts:
    """Return a record's artifacts after checking all that the record says of them.

    Raises
    ------
    PayloadAbsentError
        If its arrays are not here. What is here was checked.
    RecordError
        If it contradicts itself.
    """
    try:
        artifacts = stored.load()
    except PayloadAbsentError:
        with naming(stored.path):
            check_values(stored.record)
        raise
    with naming(stored.path):
        check_figures(stored.record, artifacts)
    return artifacts


def record_to_json(record: Record) -> dict[str, Any]:
    """Return a record's content without the bytes of its arrays."""
    payload = {key: value for key, value in (record.payload or {}).items() if key != "base64"}
    return {
        "test": record.nodeid,
        "seed": record.seed,
        "digest": record.digest,
        "artifacts": [entry for entry in record.entries if entry["form"] != "node"],
        "payload": payload or None,
        "updates": record.updates,
        **record.facts,
    }
