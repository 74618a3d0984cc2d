"""What a session lets pass without a repair: findings that are known, findings that are only listed, excluded tests."""

from __future__ import annotations

from dataclasses import dataclass

#: Statuses by which pytest's outcome of a finding is an expected failure.
_ACCEPTED = ("known", "listed")


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the session made of a test that is no pass. Its verdict stays what it is.

    Attributes
    ----------
    status : str
        ``known``: the file of known findings has it. ``new``: the file does not have it. ``expired``: the file had it
        until a date. ``listed``: ``--repro-report`` lists it.
    explanation : str
        What was matched, or what is not in the file.
    reason, expires : str
        Of the file's entry; empty without one.
    """

    status: str
    explanation: str = ""
    reason: str = ""
    expires: str = ""

    @property
    def is_accepted(self) -> bool:
        """Whether pytest reports it as an expected failure."""
        return self.status in _ACCEPTED


@dataclass(frozen=True, slots=True)
class NotChecked:
    """A test that ran once and was compared with nothing, as its marker says: ``reproducible(skip=reason)``."""

    test: str
    reason: str


@dataclass(frozen=True, slots=True)
class KnownTally:
    """What became of the entries of a file of known findings in one session.

    Attributes
    ----------
    file : str
        As the option names it.
    entries : int
    occurred : int
        Tests whose finding is as the file says.
    mended : tuple of str
        Tests that were compared, and passed.
    expired : tuple of str
        Tests that still have their finding, after its date.
    changed : tuple of str
        Tests with an entry, whose finding is another one.
    not_run : int
        Entries whose tests were not compared in this session.
    """

    file: str
    entries: int = 0
    occurred: int = 0
    mended: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    not_run: int = 0
