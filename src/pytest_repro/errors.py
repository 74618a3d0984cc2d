"""Every error that the project raises on purpose, each saying what, where and the fix."""

from __future__ import annotations

from typing import Any


class ReproError(Exception):
    """Base of every error raised by pytest-repro itself, never by the code under test."""


class UsageError(ReproError, ValueError):
    """A marker argument, an option or a parameter is wrong.

    Common causes: an unknown name, a negative or NaN bound, fewer runs than can be compared.
    """


class CaptureError(ReproError):
    """A value cannot be captured as it stands: a name taken twice, a cycle, a colliding path."""


class UnsupportedTypeError(CaptureError, TypeError):
    """A value has a type that cannot be compared bit for bit; the message names its path and type."""


class MissingExtraError(ReproError, ImportError):
    """A feature needs a package of an extra that is not installed; the message names the extra."""


class ChildError(ReproError):
    """A run in another process ended without a result that can be trusted."""


class StoreError(ReproError):
    """Stored artifacts cannot be trusted: truncated, damaged, of another format, or made to mislead."""


class RecordError(StoreError):
    """A record cannot be read, trusted or written.

    Common causes: a damaged or edited file, a record of another test, a format of a later major version, a full disk.
    """


class PayloadAbsentError(RecordError):
    """A record's arrays are not here: a DVC or git-lfs pointer that was not fetched, or a file left out."""


class DataError(ReproError):
    """Data named by a test is not what was declared, or is not there."""


class ReproWarning(UserWarning):
    """Something asked for could not take effect; the verdict says less than was asked."""


class DivergenceError(AssertionError):
    """Results differ by more than what was allowed. An assertion, so that xfail and pytest treat it as one.

    Attributes
    ----------
    equivalence : Equivalence or None
        Of an equivalence assertion: what it compared, and the cause that it found.
    """

    equivalence: Any = None


class InconclusiveError(AssertionError):
    """There was nothing to judge by, so nothing may be called reproducible."""


class UnstableError(InconclusiveError):
    """The baseline differs from itself when repeated, so nothing that was varied can be blamed."""
