"""The phases of a pytest item, run one by one through pytest's own hooks, with the returned value caught.

Works on the item that pytest would run: fixtures, classes, `TestCase`, async plugins and reports behave as usual.
"""

from __future__ import annotations

import copy
import dis
import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import pytest
from _pytest._code.code import ReprEntry, ReprExceptionInfo, ReprFileLocation, ReprTraceback
from _pytest.runner import CallInfo, check_interactive_exception, show_test_item
from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks
from _pytest.unittest import TestCaseFunction

from pytest_repro.model.secret_values import remember_environment
from pytest_repro.model.text import make_encodable
from pytest_repro.tracing.named_secrets import remember_error
from pytest_repro.undisturbed import phase

Phase = Literal["setup", "call", "teardown"]


def run_phase(
    item: pytest.Item, when: Phase, *, ends_session: bool = True, **arguments: Any
) -> tuple[pytest.TestReport, CallInfo[None]]:
    """Run one phase through pytest's hooks and make its report, without logging it.

    With `ends_session` a call of ``pytest.exit``, or a KeyboardInterrupt that code raises, ends the session, as in a
    plain one. A later run, which a plain session does not make, fails by it.
    """
    hook = getattr(item.ihook, f"pytest_runtest_{when}")
    ends = tuple(end for end in _reraised(item.config) if ends_session or end is not pytest.exit.Exception)

    def run() -> None:
        try:
            hook(item=item, **arguments)
        except KeyboardInterrupt as error:
            if ends_session or not _is_raised_by_code(error):
                raise
            raise RaisedInterruptError("the run raised KeyboardInterrupt") from error
        except BaseException as error:
            remember_error(error)
            raise
        finally:
            if when == "call":
                # Before monkeypatch removes what a test or a fixture has set.
                remember_environment()

    with phase():
        call = CallInfo.from_call(run, when=when, reraise=ends)
    return item.ihook.pytest_runtest_makereport(item=item, call=call), call


class RaisedInterruptError(Exception):
    """A later run raised KeyboardInterrupt, which no user has sent."""


def _is_raised_by_code(error: BaseException) -> bool:
    """Return whether a ``raise`` statement raised an error, and not a signal, which comes at other instructions."""
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return False
    code = innermost.tb_frame.f_code.co_code
    return dis.opname[code[innermost.tb_lasti]] == "RAISE_VARARGS"


def _reraised(config: pytest.Config) -> tuple[type[BaseException], ...]:
    """Return the exceptions that end the session, as pytest itself has them."""
    ends: tuple[type[BaseException], ...] = (pytest.exit.Exception,)
    return ends if config.getoption("usepdb", False) else (*ends, KeyboardInterrupt)


def log_report(item: pytest.Item, report: pytest.TestReport, call: CallInfo[None]) -> None:
    """Publish a report, as pytest does: first to every reporter, then to the debugger."""
    report.user_properties = make_encodable(report.user_properties)  # JUnit's file takes no others
    if (parts := getattr(report.longrepr, "repro_parts", None)) is not None:
        report.repro_parts = parts  # type: ignore[attr-defined]  # an xdist worker sends attributes of the report alone
    item.ihook.pytest_runtest_logreport(report=report)
    if check_interactive_exception(call, report):
        item.ihook.pytest_exception_interact(node=item, call=call, report=report)


def show_item(item: pytest.Item) -> None:
    """Write a test's name and fixtures, as `--setup-show` does between setup and call."""
    # pytest 9.2 asks for an argument that older ones do not take.
    takes_space = "add_space" in inspect.signature(show_test_item).parameters
    show: Callable[..., None] = show_test_item
    show(item, **{"add_space": True} if takes_space else {})


class ItemState:
    """The state in which pytest first gets an item: its user properties and its marks.

    Attributes
    ----------
    has_skip, has_xfail : bool
        Whether a mark skips the test, or declares that it fails.
    """

    def __init__(self, item: pytest.Function) -> None:
        self._item = item
        # A conftest may set some at collection.
        self._properties = len(item.user_properties)
        self._own_markers = list(item.own_markers)
        keywords: Any = item.keywords
        self._keywords: dict[str, Any] = keywords._markers
        self._marked = dict(self._keywords)
        self.has_skip: bool = _is_in_effect(item, evaluate_skip_marks)
        self.has_xfail: bool = has_xfail_mark(item)

    def renew(self) -> None:
        """Return the item to this state, with fresh fixtures and a fresh `self`, and without marks of a run."""
        item = self._item
        item._request = False  # type: ignore[assignment]
        item._initrequest()
        renew_instance(item)
        del item.user_properties[self._properties :]
        item._report_sections.clear()
        item.own_markers[:] = self._own_markers
        self._keywords.clear()
        self._keywords.update(self._marked)


def has_xfail_mark(item: pytest.Item) -> bool:
    """Return whether a mark declares that the test fails. Before the first run it is not one that a run has added."""
    return not item.config.getoption("runxfail", False) and _is_in_effect(item, evaluate_xfail_marks)


def _is_in_effect(item: pytest.Item, evaluate: Callable[[pytest.Item], object]) -> bool:
    try:
        return evaluate(item) is not None
    except Exception:
        return False  # pytest reports a condition that cannot be evaluated
    except pytest.fail.Exception:
        return False


def renew_instance(item: pytest.Function) -> None:
    """Drop a method's object, so that pytest makes another: it made one when it collected."""
    if item.cls is not None:
        for name in ("_instance", "_obj"):
            item.__dict__.pop(name, None)


def find_wider_fixtures(item: pytest.Function) -> list[Any]:
    """Return the fixtures of a test that are set up and outlive it, those of the widest scope first."""
    found = {fixture for fixtures in item._fixtureinfo.name2fixturedefs.values() for fixture in fixtures}
    ready: list[Any] = [fixture for fixture in found if fixture.scope != "function" and fixture.cached_result]
    return sorted(ready, key=lambda fixture: (fixture._scope, fixture.argname), reverse=True)


def next_item_of(item: pytest.Function) -> pytest.Function:
    """Return a `nextitem` for which pytest tears down the function-scoped fixtures and keeps all others."""
    return copy.copy(item)


Step = Callable[[Callable[[], None]], None]
#: Takes the local variables of a call and its value.
TakeLocals = Callable[[Mapping[str, object], object], None]


def replaced_setup(item: pytest.Function, setup: Step) -> AbstractContextManager[None]:
    """Run `setup(original)` where pytest would set up the item's own fixtures, inside every plugin's hook."""
    return _replaced(item, "setup", setup)


def replaced_runtest(item: pytest.Function, runtest: Step) -> AbstractContextManager[None]:
    """Run `runtest(original)` where pytest would run the test, inside its call phase and every plugin's."""
    return _replaced(item, "runtest", runtest)


@contextmanager
def _replaced(item: pytest.Function, name: str, step: Step) -> Iterator[None]:
    original = getattr(item, name)
    # Another plugin may have put a wrapper on the item, which the next run needs as well.
    own = item.__dict__.get(name)

    def replacement() -> None:
        __tracebackhide__ = True
        step(original)

    setattr(item, name, replacement)
    try:
        yield
    finally:
        if own is None:
            delattr(item, name)
        else:
            setattr(item, name, own)


@contextmanager
def own_failures_shown_plainly(item: pytest.Function) -> Iterator[None]:
    """Show the plugin's own errors as a message without a traceback, which would point into the plugin."""
    original = item.repr_failure

    def repr_failure(excinfo: pytest.ExceptionInfo[BaseException], *rest: Any) -> Any:
        # An assertion helper that the test itself calls is not marked, and keeps its traceback.
        if getattr(excinfo.value, "raised_by_plugin", False):
            return _plain_failure(item, excinfo.value)
        return original(excinfo, *rest)

    item.repr_failure = repr_failure  # type: ignore[method-assign]
    try:
        yield
    finally:
        del item.repr_failure


def reason_of(report: pytest.TestReport) -> str:
    """Return in a line or two why a phase did not pass."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    if isinstance(expected := getattr(report, "wasxfail", None), str) and report.skipped:
        return expected.removeprefix("reason: ")[:2000] or "no reason given"
    crash = getattr(longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else longrepr)[:2000]


def place_of(report: pytest.TestReport) -> str:
    """Return the file and the line where a phase ended early, or "" if they are not known."""
    longrepr: Any = report.longrepr
    crash = getattr(longrepr, "reprcrash", None)
    path, line = longrepr[:2] if isinstance(longrepr, tuple) else (crash.path, crash.lineno) if crash else ("", 0)
    # pytest raises its own exception in place of unittest.SkipTest.
    return "" if not path or f"{os.sep}_pytest{os.sep}" in str(path) else f"{path}:{line}"


def fail_report(report: pytest.TestReport, text: str, *, is_expected: bool) -> None:
    """Make a report of a skip or of an expected failure one of a failure, which a mark of the test may expect."""
    if is_expected:
        report.longrepr, report.wasxfail = text, getattr(report, "wasxfail", text.partition("\n")[0])
        return
    report.outcome, report.longrepr = "failed", text
    if hasattr(report, "wasxfail"):
        del report.wasxfail


def is_pass(report: pytest.TestReport) -> bool:
    """Return whether a phase's body passed, also where pytest fails it for passing (a strict xfail)."""
    return report.passed or (report.failed and str(report.longrepr).startswith("[XPASS(strict)]"))


def _plain_failure(item: pytest.Function, error: BaseException) -> ReprExceptionInfo:
    """Return the message and its notes, located at the test. Hypothesis adds the falsifying example as a note.

    Its attribute `repro_parts` has the parts of the message, or None if the error has none, and the notes.
    """
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    lines = [*str(error).splitlines(), *(line for note in notes for line in ["", *note.splitlines()])]
    path, line, _ = item.location
    summary = getattr(error, "summary", None) or (lines[0] if lines else type(error).__name__)
    crash = ReprFileLocation(path, (line or 0) + 1, summary)
    entry = ReprEntry(lines, None, None, None, "value")
    shown = ReprExceptionInfo(reprtraceback=ReprTraceback([entry], None, "value"), reprcrash=crash)
    shown.repro_parts = [getattr(error, "parts", None), make_encodable(notes)]  # type: ignore[attr-defined]
    return shown


@contextmanager
def caught_return(
    item: pytest.Function, take: Callable[[Any], None], take_locals: TakeLocals | None = None
) -> Iterator[None]:
    """Hand the test function's returned value to `take`, and None to pytest, which rejects returned values.

    A given `take_locals` is called with the function's locals and its value at the end of each of its calls, inside
    every decorator of the test.
    """
    original = item.obj

    def watching() -> AbstractContextManager[None]:
        return nullcontext() if take_locals is None else _watching(original, take_locals)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        with watching():
            value = original(*args, **kwargs)
        take(value)

    @functools.wraps(original)
    async def call_async(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        with watching():
            value = await original(*args, **kwargs)
        take(value)

    # Not unwrapped: a decorator may run a coroutine function to its end, and pytest calls the outermost function.
    is_async = inspect.iscoroutinefunction(original)
    item.obj = call_async if is_async else call
    # pytest does not hand its own `obj` to a TestCase whose method is a coroutine function.
    test_case = item.instance if is_async and isinstance(item, TestCaseFunction) else None
    if test_case is not None:
        setattr(test_case, item.name, call_async)
    try:
        yield
    finally:
        item.obj = original
        if test_case is not None:
            delattr(test_case, item.name)


def _watching(function: Any, take_locals: TakeLocals) -> AbstractContextManager[None]:
    from pytest_repro.tracing.local_variables import watch_locals  # few tests need it

    return watch_locals(inspect.unwrap(getattr(function, "__func__", function)), take_locals)
