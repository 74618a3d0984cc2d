"""What the assertions of this package found, also where the test caught what they raised.

An assertion is a judgement about the code under test. One that failed and was caught leaves no trace in pytest's
outcome, so that a report would pass it over.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from pytest_repro.errors import DivergenceError, InconclusiveError
from pytest_repro.model import Judgement

#: Judgements kept of one test. A loop may make any number of them: equal ones are counted.
MAX_JUDGEMENTS = 1000
_MAX_MESSAGE = 300

Function = TypeVar("Function", bound=Callable[..., Any])

_found: dict[Judgement, int] | None = None
#: Of each thread: whether it is inside of an assertion.
_within = threading.local()


def judged(assertion: Function) -> Function:
    """Note each judgement of an assertion, unless another assertion made it."""

    @functools.wraps(assertion)
    def judge(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if _found is None or getattr(_within, "assertion", False):
            return assertion(*args, **kwargs)
        _within.assertion = True
        verdict, message = "error", ""
        try:
            result = assertion(*args, **kwargs)
            verdict = str(getattr(getattr(result, "verdict", None), "value", "passed"))
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


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:_MAX_MESSAGE]


def _note(judgement: Judgement) -> None:
    if _found is not None and (judgement in _found or len(_found) < MAX_JUDGEMENTS):
        _found[judgement] = _found.get(judgement, 0) + 1


@contextmanager
def noting_judgements(found: dict[Judgement, int] | None) -> Iterator[None]:
    """Note what assertions find within the block, with how often; with None nothing is noted."""
    global _found
    outer, _found = _found, found
    try:
        yield
    finally:
        _found = outer
