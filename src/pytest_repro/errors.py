"""The errors that the project raises on purpose. Each message says what is wrong, where, and how to fix it."""

from __future__ import annotations

from typing import Any


class ReproError(Exception):
    """Base of every error raised by pytest-repro itself, never by the code under test."""


class UsageError(ReproError, ValueError):
    """A marker argument, an option or a parameter is wrong.

    Common causes: an unknown name, a negative or NaN bound, fewer runs than can be compared.

    Examples
    --------
    >>> from pytest_repro import compare
    >>> compare(1.0, 1.0, rtol=-1)
    Traceback (most recent call last):
        ...
    pytest_repro.errors.UsageError: rtol must not be negative, got -1
    """


class CaptureError(ReproError):
    """A value cannot be captured.

    Common causes: a name used twice, a value that contains itself, two values with one path.

    Attributes
    ----------
    reason : str
        Why a value is not compared where it is a part of an object, of which the rest is; empty if nothing is.
    """

    def __init__(self, message: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class UnsupportedTypeError(CaptureError, TypeError):
    """A value has a type that cannot be compared bit for bit.

    The message names its path and type.

    Common causes: a compiled object of an unknown library, a tensor on the meta device, a generator.
    """


class MissingExtraError(ReproError, ImportError):
    """A feature needs a package of an extra that is not installed.

    The message names the extra.
    """


class ChildError(ReproError):
    """A run in another process ended without a result that can be trusted.

    Common causes: the process crashed, was killed for memory or ran into its timeout; the file changed during the run.
    """


class StoreError(ReproError):
    """Stored data cannot be trusted.

    Common causes: a truncated, damaged or edited file, a file of another format, a file made to mislead.
    """


class RecordError(StoreError):
    """A record cannot be read, trusted or written.

    Common causes: a damaged or edited file, a record of another test, a format of a later major version, a full disk.
    """


class RecordChangedError(RecordError):
    """Another session wrote the record that was to be replaced."""


class PayloadAbsentError(RecordError):
    """A record's arrays are not on this machine.

    Common causes: a DVC or git-lfs pointer that was not fetched, a file that was not committed.
    """


class DataError(ReproError):
    """Data named by a test is missing or differs from what was declared.

    Common causes: a file that was not downloaded, another version of the data, a DVC file that does not match it.
    """


class ReproWarning(UserWarning):
    """Something that was requested has no effect, so the verdict covers less than was requested.

    Common causes: an axis that this machine lacks, an option that no test uses.
    """


class OutOfTimeError(Exception):
    """The budget of what follows a verdict is spent.

    Common causes: a test whose runs take long, many axes that differ, a budget that many tests share.
    """


class ShownError(AssertionError):
    """A test does not pass, and the message says why.

    Attributes
    ----------
    summary : str
        The message in one line. Empty if it is the first line.
    parts : list or None
        The parts of the message, as built-in values, for whoever knows the width of the terminal.
    """

    summary: str = ""
    parts: list[Any] | None = None


class DivergenceError(ShownError):
    """Results differ by more than what was allowed.

    Common causes: an unseeded generator, hash order, a race between threads, kernels that sum in another order. It is
    an assertion, so that xfail and pytest treat it as one.

    Attributes
    ----------
    equivalence : Equivalence or None
        Of an equivalence assertion: what it compared, and the cause that it found.

    Examples
    --------
    >>> from pytest_repro import assert_identical
    >>> try:
    ...     assert_identical([1, 2], [1, 3])
    ... except DivergenceError as error:
    ...     print(str(error).splitlines()[0])
    1 of 2 artifacts differs by more than allowed
    """

    equivalence: Any = None


class InconclusiveError(ShownError):
    """Nothing was compared, or nothing varied, so nothing can be called reproducible.

    Common causes: the test returns nothing, all of its results are empty, it was run only once.

    Examples
    --------
    >>> from pytest_repro import assert_identical
    >>> assert_identical([], [])
    Traceback (most recent call last):
        ...
    pytest_repro.errors.InconclusiveError: ...
    """


class UnstableError(InconclusiveError):
    """The baseline differs from itself when repeated, so nothing that was varied can be blamed.

    Common causes: a generator without a seed, state that one call leaves for the next.
    """
