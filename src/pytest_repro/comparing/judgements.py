"""What the assertions of this package found, also where the test caught what they raised.

An assertion is a judgement about the code under test. One that failed and was caught leaves no trace in pytest's
outcome, so that a report would pass it over. It counts for the test that is running. Outside of any test (a module, a
conftest file) it counts for the file that made it. A fork that a test has made appends it to a file of the session.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from pytest_repro.errors import DivergenceError, InconclusiveError
from pytest_repro.model import Judgement, Verdict

#: Judgements kept of one test. A loop may make any number of them: equal ones are counted.
MAX_JUDGEMENTS = 1000
#: Lines that one process appends, and bytes of the file that are read.
MAX_LINES, MAX_BYTES = 10_000, 16 * 2**20
_MAX_MESSAGE = 300
_MAX_PLACE = 2000
_REWRITING = os.path.join("_pytest", "assertion", "rewrite.py")  # noqa: PTH118 - a text
_PACKAGE = str(Path(__file__).parent.parent) + os.sep

Function = TypeVar("Function", bound=Callable[..., Any])

#: Judgements of the block in progress, and the process that began it: a fork cannot hand its own ones over.
_found: dict[Judgement, int] | None = None
_owner = 0
#: Judgements outside of any test: (path of the file, judgement) -> calls.
_outside: dict[tuple[str, Judgement], int] = {}
_lines = 0
#: The process that runs the tests, and the descriptor of the file that its forks share, with the file's identity: a
#: fork may have closed it, and given its number to a file of its own.
_shared: tuple[int, int, tuple[int, int]] | None = None
#: Of each thread: whether it is inside of an assertion.
_within = threading.local()


def judged(assertion: Function) -> Function:
    """Note each judgement of an assertion, unless another assertion made it."""

    @functools.wraps(assertion)
    def judge(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if getattr(_within, "assertion", False):
            return assertion(*args, **kwargs)
        _within.assertion = True
        _within.tolerated = ""
        verdict, message = "error", ""
        try:
            result = assertion(*args, **kwargs)
            message = _within.tolerated
            verdict = str(getattr(getattr(result, "verdict", None), "value", "passed"))
            if message and verdict == "passed":
                verdict = Verdict.WITHIN_TOLERANCE.value
            return result
        except DivergenceError as error:
            verdict, message = "diverged", _first_line(error)
            raise
        except InconclusiveError as error:
            verdict, message = "inconclusive", _first_line(error)
            raise
        except BaseException as error:
            message = type(error).__name__
            raise
        finally:
            _within.assertion = False
            _note(Judgement(assertion.__name__, verdict, message))

    return cast("Function", judge)


def note_tolerated(largest: str) -> None:
    """Note in an assertion that it passes only within its bounds, with the largest difference as text."""
    _within.tolerated = largest[:_MAX_MESSAGE]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:_MAX_MESSAGE]


def _note(judgement: Judgement) -> None:
    if _found is not None and _owner == os.getpid():
        if judgement in _found or len(_found) < MAX_JUDGEMENTS:
            _found[judgement] = _found.get(judgement, 0) + 1
        return
    path, is_imported = _find_caller()
    is_session = _shared is not None and _shared[0] == os.getpid()
    if _shared is not None and not is_session:
        _append(path, judgement, is_imported=is_imported)
    if not is_session and not is_imported and "PYTEST_CURRENT_TEST" in os.environ:
        return  # made in a test of a session without reports, or of a session that started this process
    if (path, judgement) in _outside or len(_outside) < MAX_JUDGEMENTS:
        _outside[path, judgement] = _outside.get((path, judgement), 0) + 1


def _find_caller() -> tuple[str, bool]:
    """Return the file that called the assertion, and whether a module was being imported."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    path, is_imported = frame.f_code.co_filename, False
    caller: Any = frame
    while caller.f_back is not None and not is_imported:
        # A program is no import, nor is what execnet executes: its caller is not the import system or pytest's.
        by = caller.f_back.f_code.co_filename
        is_module = caller.f_code.co_name == "<module>" and caller.f_globals.get("__name__") != "__main__"
        is_imported = is_module and (by.startswith("<frozen ") or by.endswith(_REWRITING))
        caller = caller.f_back
    return path, is_imported


def share_file(descriptor: int | None) -> None:
    """Have forks of this process append what assertions find to an open file, from now on. None ends it."""
    global _shared
    _shared = None if descriptor is None else (os.getpid(), descriptor, _identify(descriptor))


def _identify(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _append(path: str, judgement: Judgement, *, is_imported: bool) -> None:
    global _lines
    if (_lines := _lines + 1) > MAX_LINES or _shared is None:
        return
    _, descriptor, identity = _shared
    test = "" if is_imported else os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    row = [os.getpid(), test[:_MAX_PLACE], path[:_MAX_PLACE], judgement.assertion, judgement.verdict, judgement.message]
    with suppress(OSError):
        if _identify(descriptor) == identity:
            os.write(descriptor, f"{json.dumps(row)}\n".encode())  # one call: lines of processes do not mix


def read_outside(descriptor: int) -> tuple[dict[tuple[str, Judgement], int], dict[tuple[str, Judgement], int]]:
    """Return judgements by the file that made them outside of any test, and those of processes by their test.

    A module is imported by many processes. Its judgements count as in the process that made the most.
    """
    outside, tests = dict(_outside), dict[tuple[str, Judgement], int]()
    by_process: dict[tuple[int, str, Judgement], int] = {}
    for line in os.pread(descriptor, MAX_BYTES, 0).splitlines():
        row = _parse(line)
        if row is None:
            continue
        process, test, path, judgement = row
        if test:
            tests[test, judgement] = tests.get((test, judgement), 0) + 1
        else:
            by_process[process, path, judgement] = by_process.get((process, path, judgement), 0) + 1
    for (_, path, judgement), count in by_process.items():
        outside[path, judgement] = max(count, outside.get((path, judgement), 0))
    return outside, tests


def _parse(line: bytes) -> tuple[int, str, str, Judgement] | None:
    """Return a line's parts, or None if it is none of ours."""
    try:
        process, *texts = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(process, int) or len(texts) != 5 or not all(isinstance(text, str) for text in texts):
        return None
    return process, texts[0], texts[1], Judgement(*texts[2:])


@contextmanager
def noting_judgements(found: dict[Judgement, int] | None) -> Iterator[None]:
    """Note what assertions find within the block, with how often; with None nothing is noted."""
    global _found, _owner
    outer, _found, _owner = (_found, _owner), {} if found is None else found, os.getpid()
    try:
        yield
    finally:
        _found, _owner = outer
