"""Collections of several environments, compared: the values that ``pytest-repro merge`` publishes.

They are the document of ``--json`` (docs/schemas/merge-1.schema.json). Terminal, HTML and Markdown show the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_repro.model.codec import decode, encode
from pytest_repro.model.redaction import redact_name, redact_texts
from pytest_repro.model.reported import Omission, RecordDifference

MERGE_VERSION = 1

#: The result of one test in one environment, compared with the baseline's.
CellKind = Literal[
    "identical", "within_tolerance", "diverged", "not_measured", "not_comparable", "unstable", "inconclusive",
    "failed", "skipped", "xfailed", "no_values", "deselected", "not_run", "not_collected", "missing",
]  # fmt: skip
#: Cells that pass.
GOOD: tuple[CellKind, ...] = ("identical", "within_tolerance")


@dataclass(frozen=True, slots=True)
class MergedCell:
    """One test in one environment.

    Attributes
    ----------
    group : int or None
        Index of its result among the test's; None without a result.
    tier : {"bits", "tolerance"} or None
        The rule of the comparison with the baseline, and why it applies; None where there was no comparison.
    differences : tuple of RecordDifference
        Artifacts that differ from the baseline's, the worst first.
    """

    kind: CellKind
    reason: str = ""
    group: int | None = None
    tier: str | None = None
    tier_reason: str = ""
    differences: tuple[RecordDifference, ...] = ()


@dataclass(frozen=True, slots=True)
class MergedTest:
    """One test in all environments.

    Attributes
    ----------
    baseline : str or None
        Label of the environment that the others are compared with; None where none has a result.
    cells : tuple of MergedCell
        In the order of the environments.
    groups : tuple of tuple of int
        Environments (by index) whose results have the same bits, the baseline's first.
    not_compared : tuple of Omission
        What a run gave and no digest covers, in any environment.
    not_compared_left_out : int
        How many more there are at least.
    """

    nodeid: str
    baseline: str | None
    cells: tuple[MergedCell, ...]
    groups: tuple[tuple[int, ...], ...] = ()
    not_compared: tuple[Omission, ...] = ()
    not_compared_left_out: int = 0

    @property
    def is_good(self) -> bool:
        """Whether every environment has the baseline's result, in every bit or within the tolerance."""
        return all(cell.kind in GOOD for cell in self.cells)

    @property
    def is_skipped(self) -> bool:
        """Whether every environment skipped it or expected its failure, so that nothing is missing in any."""
        return all(cell.kind in ("skipped", "xfailed") for cell in self.cells)


@dataclass(frozen=True, slots=True)
class MergedEnvironment:
    """One environment.

    Attributes
    ----------
    summary : tuple of str
        By what people tell environments apart: Python, packages, BLAS, devices, pytest.
    results, without : int
        Tests with a result here, and without one although not every environment skipped them.
    group : int or None
        Index of its group over all tests.
    """

    label: str
    fingerprint: str
    summary: tuple[str, ...]
    is_finished: bool
    results: int = 0
    without: int = 0
    group: int | None = None


@dataclass(frozen=True, slots=True)
class SplitFact:
    """Something recorded in which groups of environments differ.

    Attributes
    ----------
    values : tuple of tuple of str
        The values of each group, in the order of the split's groups.
    confirm : str or None
        The option that could confirm it here.
    """

    part: str
    name: str
    weight: int
    changes_bits: bool
    values: tuple[tuple[str, ...], ...]
    confirm: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Recorded facts that set groups apart.

    Attributes
    ----------
    facts : tuple of SplitFact
        One, or several that only together set the group apart.
    group : int or None
        The group whose environments share the facts, which no other environment has; None where they divide all
        groups.
    """

    facts: tuple[SplitFact, ...]
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """Tests whose results divide the environments in the same way.

    Attributes
    ----------
    groups : tuple of tuple of str
        Labels of the environments whose results have the same bits.
    explanations : tuple of Explanation
        The most likely first; empty where no recorded difference explains the split.
    unexplained : str
        Why there is no explanation, and what is not recorded.
    commands : tuple of str
        What to run here to confirm the explanations, the most likely first.
    """

    groups: tuple[tuple[str, ...], ...]
    tests: tuple[str, ...]
    explanations: tuple[Explanation, ...] = ()
    unexplained: str = ""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MergedSession:
    """Everything that a merge found.

    Attributes
    ----------
    baseline_reason : str
        Why this environment is the baseline.
    groups : tuple of tuple of str
        Environments that agree in every bit of every test that all of them have; `common` counts these tests.
    notes : tuple of str
        What a reader must know: unfinished folders, unknown code, arrays that are not here.
    counts : dict of str -> int
        Cells of each kind, without tests that were skipped everywhere.
    """

    baseline: str
    baseline_reason: str
    environments: tuple[MergedEnvironment, ...]
    tests: tuple[MergedTest, ...]
    groups: tuple[tuple[str, ...], ...]
    common: int
    splits: tuple[Split, ...] = ()
    notes: tuple[str, ...] = ()
    code: str = ""
    merge_version: int = MERGE_VERSION
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def is_same(self) -> bool:
        """Whether every test that some environment ran has the same result everywhere, and no session was cut short."""
        is_complete = all(environment.is_finished for environment in self.environments)
        compared = [test for test in self.tests if not test.is_skipped]
        return bool(compared) and is_complete and all(test.is_good for test in compared)


def without_secrets(session: MergedSession) -> MergedSession:
    """Return a merge, whose folders may be another's, without secrets. Names of tests stay distinct."""
    document = redact_texts(encode(session))
    for entry, test in zip(document["tests"], session.tests, strict=True):
        entry["nodeid"] = redact_name(test.nodeid)
    for entry, split in zip(document["splits"], session.splits, strict=True):
        entry["tests"] = [redact_name(name) for name in split.tests]
    return decode(MergedSession, document)
