"""A code with a call before each return is the same code otherwise."""

from __future__ import annotations

import argparse
import asyncio.base_events
import dis
import inspect
import json.decoder
import linecache
import sys
import tarfile
import textwrap
import types
from collections.abc import Iterator
from typing import Any

import pytest

if sys.version_info[:2] != (3, 11):
    pytest.skip("other interpreters have sys.monitoring", allow_module_level=True)

from pytest_repro.tracing.return_hook import with_calls_at_end, with_calls_inside, with_return_hook

#: Modules with many ways to leave a function, and with functions of more than 255 constants and long jumps.
MODULES: list[Any] = [argparse, asyncio.base_events, inspect, json.decoder, linecache, tarfile, textwrap]


RETURN_WITH_CALL = ("LOAD_CONST", "PUSH_NULL", "LOAD_CONST", "COPY", "PRECALL", "CALL", "POP_TOP", "RETURN_VALUE")


def hook(value: object) -> None:
    """Do nothing with a returned value."""


def find_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from find_codes(constant)


def describe(code: types.CodeType) -> list[tuple[Any, ...]]:
    """Return the instructions and their positions, without the prefixes of arguments and the distances of jumps."""
    return [
        (found.opname, "" if found.opcode in dis.hasjrel else found.argrepr, found.positions)
        for found in dis.get_instructions(code)
        if found.opname != "EXTENDED_ARG"
    ]


def without_calls(described: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    kept, index = [], 0
    while index < len(described):
        if described[index][0] == "PUSH_NULL" and described[index + 1][1].startswith("<function hook"):
            index += 6
        else:
            kept.append(described[index])
            index += 1
    return kept


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_instructions_positions_and_handlers_are_kept(module: types.ModuleType) -> None:
    whole = compile(inspect.getsource(module), str(module.__file__), "exec")
    for code in find_codes(whole):
        rewritten = with_calls_inside(code, hook)
        assert without_calls(describe(rewritten)) == describe(code), code.co_name
        assert len(dis._parse_exception_table(rewritten)) == len(dis._parse_exception_table(code))  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_calls_at_the_end_leave_everything_before_them_in_its_place(module: types.ModuleType) -> None:
    whole = compile(inspect.getsource(module), str(module.__file__), "exec")
    rewritten = 0
    for code in find_codes(whole):
        changed = with_calls_at_end(code, hook)
        if changed is None:
            continue
        rewritten += 1
        before, after = list(dis.get_instructions(code)), list(dis.get_instructions(changed))
        kept = {found.offset: found for found in after}
        for index, found in enumerate(before):
            follows = before[index + 1].opname if index + 1 < len(before) else ""
            if found.opname == "RETURN_VALUE":
                jump = kept[found.offset]
                target = [other for other in after if other.offset >= jump.argval]
                names = [other.opname for other in target if other.opname != "EXTENDED_ARG"]
                assert names[:8] == [*RETURN_WITH_CALL]
                assert {other.positions for other in target[:8]} == {found.positions}
            elif follows != "RETURN_VALUE":
                assert (kept[found.offset].opname, kept[found.offset].arg) == (found.opname, found.arg)
                assert kept[found.offset].positions == found.positions
        assert changed.co_exceptiontable == code.co_exceptiontable
    assert rewritten > 3


def leave_by_none(way: int) -> None:
    for index in range(way):
        if index == 1:
            return
        try:
            if way == 5:
                raise KeyError(index)
        except KeyError:
            return
        with open("/dev/null") as file:  # noqa: PTH123
            file.read()


@pytest.mark.parametrize("way", range(6))
def test_a_function_without_a_value_keeps_its_places_and_calls_the_hook(way: int) -> None:
    seen: list[object] = []

    def take(value: object) -> None:
        seen.append((value, sys._getframe(1).f_locals["way"], sys._getframe(1).f_code.co_name))

    changed = with_calls_at_end(leave_by_none.__code__, take)
    assert changed is not None
    types.FunctionType(changed, {"open": open, "KeyError": KeyError, "range": range})(way)
    assert seen == [(None, way, "leave_by_none")]


@pytest.mark.parametrize("source", ["return a", "return a and None", "raise ValueError"])
def test_a_return_that_a_jump_with_a_value_reaches_is_not_replaced(source: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def leave(a):\n  {source}", scope)
    seen: list[object] = []
    assert with_calls_at_end(scope["leave"].__code__, seen.append) is None
    rewritten = types.FunctionType(with_return_hook(scope["leave"].__code__, seen.append), scope)
    if "raise" not in source:
        assert rewritten(0) == 0
        assert seen == [0]


def leave_in_many_ways(way: int) -> object:
    for index in range(3):
        try:
            if way == 0:
                return index
            if way == 1:
                raise KeyError(way)
            with open("/dev/null") as file:  # noqa: PTH123
                if way == 2:
                    return file.read()
        except KeyError:
            return "caught"
        finally:
            way -= 0
        if way == 3:
            break
    else:
        return "ended"
    return [index for index in range(way)]  # noqa: C416


@pytest.mark.parametrize("way", range(5))
def test_the_function_returns_what_it_did_and_the_hook_sees_it(way: int) -> None:
    seen: list[object] = []
    function = types.FunctionType(
        with_return_hook(leave_in_many_ways.__code__, seen.append), {"open": open, "KeyError": KeyError, "range": range}
    )
    expected = leave_in_many_ways(way)
    assert function(way) == expected
    assert seen == [expected]


def test_a_long_function_gets_longer_jumps() -> None:
    lines = "\n".join(f"    if a == {index}: return {index}.5" for index in range(400))
    scope: dict[str, Any] = {}
    exec(f"def long(a):\n  for _ in range(2):\n{lines}\n  return a", scope)
    seen: list[object] = []
    rewritten = types.FunctionType(with_return_hook(scope["long"].__code__, seen.append), scope)
    assert [rewritten(0), rewritten(399), rewritten(-1)] == [0.5, 399.5, -1]
    assert seen == [0.5, 399.5, -1]


def test_a_traceback_names_the_same_lines() -> None:
    def fail() -> None:
        raise ValueError

    rewritten = types.FunctionType(with_return_hook(fail.__code__, hook), globals())
    found = []
    for function in (fail, rewritten):
        with pytest.raises(ValueError) as caught:
            function()
        found.append(caught.traceback[-1].lineno)
    assert found[0] == found[1]
