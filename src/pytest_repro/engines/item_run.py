"""The in-process engine: one run of one pytest item, with what it returned caught on the way.

Works on the item that pytest would run, through pytest's own hooks, so that fixtures, classes, `TestCase`,
async plugins and reports behave as ever.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import CodeType
from typing import Any, Literal

import pytest
from _pytest._code.code import ReprEntry, ReprExceptionInfo, ReprFileLocation, ReprTraceback
from _pytest.runner import CallInfo, check_interactive_exception, show_test_item
from _pytest.unittest import TestCaseFunction

from pytest_repro.tracing.local_variables import watch_locals

Phase = Literal["setup", "call", "teardown"]


def run_phase(item: pytest.Item, when: Phase, **arguments: Any) -> tuple[pytest.TestReport, CallInfo[None]]:
    """Run one phase through pytest's hooks and make its report, without logging it."""
    hook = getattr(item.ihook, f"pytest_runtest_{when}")
    call = CallInfo.from_call(lambda: hook(item=item, **arguments), when=when, reraise=_reraised(item.config))
    return item.ihook.pytest_runtest_makereport(item=item, call=call), call


def _reraised(config: pytest.Config) -> tuple[type[BaseException], ...]:
    """Return what ends the session: as pytest 9 has it in a function, and pytest 8.4 in line."""
    ends: tuple[type[BaseException], ...] = (pytest.exit.Exception,)
    return ends if config.getoption("usepdb", False) else (*ends, KeyboardInterrupt)


def log_report(item: pytest.Item, report: pytest.TestReport, call: CallInfo[None]) -> None:
    """Publish a report, as pytest does: first to every reporter, then to the debugger."""
    item.ihook.pytest_runtest_logreport(report=report)
    if check_interactive_exception(call, report):
        item.ihook.pytest_exception_interact(node=item, call=call, report=report)


def show_item(item: pytest.Item) -> None:
    """Write a test's name and fixtures, as `--setup-show` does between setup and call."""
    # pytest 9.2 asks for an argument that older ones do not take.
    takes_space = "add_space" in inspect.signature(show_test_item).parameters
    show: Callable[..., None] = show_test_item
    show(item, **{"add_space": True} if takes_space else {})


def renew_item(item: pytest.Function, *, kept_properties: int = 0) -> None:
    """Bring an item back to the state in which pytest first gets it: fresh fixtures, a fresh `self`.

    Parameters
    ----------
    kept_properties : int
        How many user properties the item had before its first run: a conftest gives some when it collects.
    """
    item._request = False  # type: ignore[assignment]
    item._initrequest()
    renew_instance(item)
    del item.user_properties[kept_properties:]
    item._report_sections.clear()


def renew_instance(item: pytest.Function) -> None:
    """Have a method's object made anew when it is next asked for: pytest makes one when it collects."""
    if item.cls is not None:
        for name in ("_instance", "_obj"):
            item.__dict__.pop(name, None)


def stand_in(item: pytest.Function) -> pytest.Function:
    """Return a next item that keeps every fixture alive but the function-scoped ones."""
    return copy.copy(item)


Step = Callable[[Callable[[], None]], None]


def replaced_setup(item: pytest.Function, setup: Step) -> AbstractContextManager[None]:
    """Run `setup(original)` where pytest would set up the item's own fixtures, inside every plugin's hook."""
    return _replaced(item, "setup", setup)


def replaced_runtest(item: pytest.Function, runtest: Step) -> AbstractContextManager[None]:
    """Run `runtest(original)` where pytest would run the test, inside its call phase and every plugin's."""
    return _replaced(item, "runtest", runtest)


@contextmanager
def _replaced(item: pytest.Function, name: str, step: Step) -> Iterator[None]:
    original = getattr(item, name)
    # Another plugin may have put a wrapper of its own on the item, which the next run needs as well.
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
    """Show our own errors as their message alone: the traceback would point into the plugin."""
    original = item.repr_failure

    def repr_failure(excinfo: pytest.ExceptionInfo[BaseException], *rest: Any) -> Any:
        # An assertion helper that the test itself calls is not marked so, and keeps its traceback.
        if getattr(excinfo.value, "raised_by_plugin", False):
            return _plain_failure(item, excinfo.value)
        return original(excinfo, *rest)

    item.repr_failure = repr_failure  # type: ignore[method-assign]
    try:
        yield
    finally:
        del item.repr_failure


def _plain_failure(item: pytest.Function, error: BaseException) -> ReprExceptionInfo:
    """Return the message, located at the test; Hypothesis adds the falsifying example as a note."""
    lines = [
        *str(error).splitlines(),
        *(line for note in getattr(error, "__notes__", ()) for line in ["", *note.splitlines()]),
    ]
    path, line, _ = item.location
    summary = getattr(error, "summary", None) or (lines[0] if lines else type(error).__name__)
    crash = ReprFileLocation(path, (line or 0) + 1, summary)
    entry = ReprEntry(lines, None, None, None, "value")
    return ReprExceptionInfo(reprtraceback=ReprTraceback([entry], None, "value"), reprcrash=crash)


@contextmanager
def caught_return(
    item: pytest.Function, take: Callable[[Any], None], local_variables: dict[str, object] | None = None
) -> Iterator[None]:
    """Hand what the test function returns to `take`, and None to pytest, which refuses returned values.

    With `local_variables`, also fill it with the function's locals at its end.
    """
    original = item.obj
    code = _code_of(original) if local_variables is not None else None

    def keep(variables: Mapping[str, object]) -> None:
        assert local_variables is not None
        local_variables.clear()
        local_variables.update(variables)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        with _watching(code, keep):
            value = original(*args, **kwargs)
        take(value)

    @functools.wraps(original)
    async def call_async(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        with _watching(code, keep):
            value = await original(*args, **kwargs)
        take(value)

    # Not unwrapped: a decorator may run a coroutine function to its end, and it is the outermost that is called.
    is_async = inspect.iscoroutinefunction(original)
    item.obj = call_async if is_async else call
    # pytest hands its own `obj` to a TestCase only where the method is no coroutine function.
    test_case = item.instance if is_async and isinstance(item, TestCaseFunction) else None
    if test_case is not None:
        setattr(test_case, item.name, call_async)
    try:
        yield
    finally:
        item.obj = original
        if test_case is not None:
            delattr(test_case, item.name)


@contextmanager
def _watching(code: CodeType | None, sink: Callable[[Any], None]) -> Iterator[None]:
    if code is None:
        yield
    else:
        with watch_locals(code, sink):
            yield


def _code_of(function: Any) -> CodeType | None:
    return getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
