"""Builtin functions that call others and remain the same objects."""

from __future__ import annotations

# ruff: noqa: PTH119, PTH120, PTH208 - the test is about the functions that pathlib would replace
import gc
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pytest_repro.axes.builtin_calls import real_function, redirected

LISTDIR = os.listdir

#: A function of each calling convention of C, the arguments of a call, and a wrong call.
KINDS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = {
    "no arguments": (time.time, (), (1,)),
    "one argument": (os.urandom, (4,), ()),
    "a tuple": (time.gmtime, (0,), (1, 2, 3)),
    "fast, with keywords": (os.listdir, ("/",), (1, 2, 3)),
}


@pytest.mark.parametrize(("function", "arguments", "wrong"), KINDS.values(), ids=KINDS)
def test_a_function_calls_another_and_remains_the_same_object(
    function: Any, arguments: tuple[Any, ...], wrong: tuple[Any, ...]
) -> None:
    before = (hash(function), function.__self__, repr(function), function.__doc__)
    seen: list[Any] = []

    def call(*given: Any) -> tuple[Any, ...]:
        seen.append(given)
        return ("called", *given)

    with redirected({function: call}):
        assert function(*arguments) == ("called", *arguments)
        assert pickle.loads(pickle.dumps(function)) is function
        assert repr(function) == before[2]
        assert function.__module__ == function.__self__.__name__
        gc.collect()
        assert function(*arguments) == ("called", *arguments)
    assert seen == [arguments] * 2
    assert (hash(function), function.__self__, repr(function), function.__doc__) == before
    assert function(*arguments) != ("called", *arguments)
    with pytest.raises(TypeError):
        function(*wrong)


def test_a_function_that_takes_an_array_alone_can_be_redirected(tmp_path: Any) -> None:
    posix = pytest.importorskip("_posixsubprocess")
    seen: list[Any] = []

    def fork_exec(*arguments: Any) -> Any:
        seen.append(arguments[0])
        return real(*arguments)

    import subprocess

    real = real_function(posix.fork_exec)
    with redirected({posix.fork_exec: fork_exec}):
        assert subprocess.run(["true"], check=False, close_fds=True).returncode == 0
    assert seen == [["true"]]
    assert subprocess.run(["true"], check=False).returncode == 0
    assert len(seen) == 1


def test_errors_of_the_other_function_reach_the_caller() -> None:
    def refuse(path: Any = None) -> None:
        raise PermissionError(path)

    with redirected({os.listdir: refuse}), pytest.raises(PermissionError, match="here"):
        os.listdir("here")
    assert os.listdir is LISTDIR


def test_a_redirected_function_can_be_redirected_once_more() -> None:
    with redirected({os.listdir: lambda path=None: ["outer"]}):
        outer = real_function(os.listdir)
        with redirected({os.listdir: lambda path=None: [*outer(path), "inner"]}):
            assert os.listdir() == ["outer", "inner"]
        assert os.listdir() == ["outer"]
    assert os.listdir(os.path.dirname(os.__file__)) != ["outer"]


def test_the_real_function_stays_real() -> None:
    real = real_function(os.listdir)
    expected = os.listdir("/")
    with redirected({os.listdir: lambda path=None: []}):
        assert real("/") == expected
        assert os.listdir("/") == []


def test_threads_may_call_the_function_while_it_changes() -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def call() -> None:
        while not stop.is_set():
            try:
                assert isinstance(os.listdir("/"), list)
                assert isinstance(time.time(), float)
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(interval / 20)  # threads take turns more often, and this one waits less for its own
    try:
        for _ in range(30):
            with redirected({os.listdir: lambda path=None: [], time.time: lambda: 1.0}):
                pass
    finally:
        sys.setswitchinterval(interval)
        stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_function_of_python_is_replaced_by_name() -> None:
    def replacement(path: Any) -> str:
        return "replaced"

    real = os.path.basename
    with redirected({real: replacement}):
        assert os.path.basename("/a") == "replaced"
    assert os.path.basename is real
    assert real_function(real) is real
