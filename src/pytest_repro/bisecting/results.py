"""The results of a bisection, as ``--json`` prints them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pytest_repro.model.places import FirstDivergence
from pytest_repro.model.reported import Difference

#: Begins the text of a difference that the test's tolerance admits.
WITHIN = "within tolerance"


@dataclass(frozen=True, slots=True)
class Step:
    """One session of the test.

    Attributes
    ----------
    name : str
        The release, or the commit's short hash.
    result : str
        ``same`` as in the first one, ``differs``, or ``skipped`` where the test has no result.
    text : str
        In a phrase: the largest difference, or why there is no result.
    seconds : float
        Time on the clock, with what was made for it [s].
    origin : str
        Whether the environment was ``made`` or ``kept`` from before. Empty for a commit.
    is_repeat : bool
        Whether the same was run before, since the border is run once more.
    """

    name: str
    result: Literal["same", "differs", "skipped"]
    text: str
    seconds: float
    origin: Literal["made", "kept", ""] = ""
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit.

    Attributes
    ----------
    files : tuple of str
        Files that it changed, of which `more_files` are left out.
    parents : int
        More than 1 for a merge.
    """

    name: str
    subject: str
    files: tuple[str, ...] = ()
    more_files: int = 0
    parents: int = 1


@dataclass(frozen=True, slots=True)
class Bisected:
    """The border between the results of a test.

    Attributes
    ----------
    subject : str
        The package's name, or ``commits``.
    good, bad : str
        The two ends.
    members : int
        Number of releases or commits from `good` to `bad`, with both.
    status : str
        ``same`` where the two ends give the same result. ``found`` where `last_same` and `first_different` are
        neighbours. ``range`` where members between them have no result.
    skipped : tuple of str
        Those between the two that have no result.
    differences : tuple of Difference
        Between the results of `last_same` and `first_different`, worst first. Empty where one of them does not pass.
    table : str
        The same for readers.
    other_packages : tuple of str
        What else differs between the two environments, as in ``scipy 1.15.3 -> 1.17.1``.
    first_divergence : FirstDivergence or None
        The first value of the user's code that differs between the two.
    commit : Commit or None
        The first that differs.
    notes : tuple of str
        What limits the finding.
    repeat_command : str
        Shows the difference between this environment and one with the other release.
    """

    test: str
    subject: str
    good: str
    bad: str
    members: int
    status: Literal["same", "found", "range"]
    steps: tuple[Step, ...]
    last_same: str = ""
    first_different: str = ""
    skipped: tuple[str, ...] = ()
    summary: str = ""
    differences: tuple[Difference, ...] = ()
    table: str = ""
    other_packages: tuple[str, ...] = ()
    first_divergence: FirstDivergence | None = None
    commit: Commit | None = None
    notes: tuple[str, ...] = ()
    repeat_command: str = ""
