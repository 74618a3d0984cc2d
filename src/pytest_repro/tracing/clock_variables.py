"""The local variables of a test that hold nothing but readings of the clock, by the source of its function.

A scan compares all local variables. A reading of the clock and a duration differ in each run and are no result, but
what is computed from them may be one: a seed, a number of steps, a choice. So a variable counts as one of them only if
each statement that binds it gives it a reading, or a difference of readings, and each other statement that reads it is
an assertion or prints it, without handing it to a function that might keep it. In all other cases it is compared.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import datetime
import inspect
import textwrap
import time
import types
import unittest
from collections.abc import Iterator
from typing import Any, Literal

Kind = Literal["a clock reading", "a duration"]

READING: Kind = "a clock reading"
DURATION: Kind = "a duration"

_CLOCKS = (
    *(time.time, time.time_ns, time.perf_counter, time.perf_counter_ns, time.monotonic, time.monotonic_ns),
    *(time.process_time, time.process_time_ns, time.thread_time, time.thread_time_ns),
)
_METHODS = ("now", "utcnow", "today")
#: Functions of durations, or of a container of them, that give a duration.
_OF_DURATIONS = (min, max, sum, abs, round, float)
#: Functions that keep nothing of their arguments.
_PURE = (*_OF_DURATIONS, int, len, isinstance, sorted, str, repr, format, print)
#: Names of functions that put another clock in the place of the real one.
_FAKES = frozenset({"patch", "setattr", "monkeypatch", "mocker", "freeze_time", "travel", "freezer", "time_machine"})
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def find_clock_variables(function: object) -> dict[str, Kind]:
    """Find the variables of a function that hold only readings of the clock, or lists and dicts of them.

    Parameters
    ----------
    function : object
        The test's function. One without Python source has no such variables.

    Returns
    -------
    dict of name -> kind
    """
    if not isinstance(function, types.FunctionType):
        return {}
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, RecursionError):
        return {}
    if len(tree.body) != 1 or not isinstance(tree.body[0], (ast.FunctionDef, ast.AsyncFunctionDef)):
        return {}
    names = {part.id if isinstance(part, ast.Name) else getattr(part, "attr", "") for part in ast.walk(tree)}
    if names & _FAKES:
        return {}
    return _Variables(tree.body[0], function).find()


class _Variables:
    """The bindings and the uses of the names in one function."""

    def __init__(self, node: ast.FunctionDef | ast.AsyncFunctionDef, function: types.FunctionType) -> None:
        self._function = function
        self._enclosed: dict[str, Any] = {}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # nothing is bound to it yet
                self._enclosed[name] = cell.cell_contents
        self._kinds: dict[str, Kind] = {}
        #: Names of containers, whose elements are bound one by one.
        self._containers: set[str] = set()
        #: Name -> the expressions that it is bound to. None where it is bound in another way.
        self._bindings: dict[str, list[ast.expr | None]] = {}
        self._imports: dict[str, object] = {}
        self._parents = {child: parent for parent in ast.walk(node) for child in ast.iter_child_nodes(parent)}
        #: Names in binding expressions, and in calls that add to a container.
        self._binders: dict[ast.AST, str] = {}
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                self._bind(argument.arg, None)
        for statement in node.body:
            for part in ast.walk(statement):
                self._read(part)
        self._loads = [part for part in ast.walk(node) if isinstance(part, ast.Name) and type(part.ctx) is ast.Load]

    def find(self) -> dict[str, Kind]:
        while self._classify():
            pass
        while rejected := {name.id for name in self._loads if name.id in self._kinds and not self._is_harmless(name)}:
            for name in rejected:
                del self._kinds[name]
        return dict(self._kinds)

    def _bind(self, name: str, value: ast.expr | None) -> None:
        self._bindings.setdefault(name, []).append(value)
        if value is not None:
            self._binders[value] = name

    def _read(self, node: ast.AST) -> None:
        """Note what a part of a statement binds."""
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._read_target(target, node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._read_target(node.target, node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            is_sum = isinstance(node.op, ast.Add)
            self._bind(node.target.id, node.value if is_sum else None)
        elif isinstance(node, ast.Call) and (name := _appended_to(node)):
            self._containers.add(name)
            self._bind(name, node.args[0])
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                bound = (alias.asname or alias.name).partition(".")[0]
                self._bind(bound, None)
                self._imports[bound] = _imported(node, alias)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and not self._is_read_target(node):
            self._bind(node.id, None)
        elif isinstance(node, (*_SCOPES, ast.Global, ast.Nonlocal, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            names = node.names if isinstance(node, (ast.Global, ast.Nonlocal)) else [getattr(node, "name", None)]
            for each in names:
                if each:
                    self._bind(str(each), None)

    def _read_target(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, value)
            if _is_empty_container(value):
                self._containers.add(target.id)
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            self._containers.add(target.value.id)
            self._bind(target.value.id, value)

    def _is_read_target(self, node: ast.Name) -> bool:
        parent = self._parents[node]
        if isinstance(parent, ast.Assign):
            return node in parent.targets
        return isinstance(parent, (ast.AnnAssign, ast.AugAssign)) and parent.target is node

    def _classify(self) -> bool:
        """Find the kind of one more name, and return whether there was one."""
        for name, bindings in self._bindings.items():
            if name in self._kinds:
                continue
            kinds = {self._kind_of(value) for value in bindings if not self._is_start(name, value)}
            if len(kinds) == 1 and (kind := kinds.pop()) is not None:
                self._kinds[name] = kind
                return True
        return False

    def _is_start(self, name: str, value: ast.expr | None) -> bool:
        """Return whether a value is an empty container to be filled, or the 0 that durations are added to."""
        if name in self._containers:
            return value is not None and _is_empty_container(value)
        is_added_to = any(self._is_added(other) for other in self._bindings[name])
        return is_added_to and isinstance(value, ast.Constant) and value.value == 0

    def _is_added(self, value: ast.expr | None) -> bool:
        return value is not None and isinstance(self._parents.get(value), ast.AugAssign)

    def _kind_of(self, node: ast.expr | None) -> Kind | None:
        """Return what an expression gives, or None for anything but the clock."""
        kind: Kind | None = None
        if isinstance(node, ast.Name):
            kind = None if node.id in self._containers else self._kinds.get(node.id)
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            kind = self._kinds.get(node.value.id) if node.value.id in self._containers else None
        elif isinstance(node, ast.Call):
            kind = self._kind_of_call(node)
        elif isinstance(node, ast.BinOp):
            kind = self._kind_of_operation(node)
        return kind

    def _kind_of_operation(self, node: ast.BinOp) -> Kind | None:
        left, right = self._kind_of(node.left), self._kind_of(node.right)
        is_difference = isinstance(node.op, ast.Sub) and left is not None and left == right
        is_sum = isinstance(node.op, ast.Add) and left == right == DURATION
        # In another unit.
        is_scaled = (
            isinstance(node.op, (ast.Mult, ast.Div)) and left == DURATION and isinstance(node.right, ast.Constant)
        )
        return DURATION if is_difference or is_sum or is_scaled else None

    def _kind_of_call(self, node: ast.Call) -> Kind | None:
        function = self._resolve(node.func)
        if any(function is clock for clock in _CLOCKS) or _is_moment(function):
            return READING
        if isinstance(node.func, ast.Attribute) and node.func.attr == "total_seconds" and not node.args:
            return DURATION if self._kind_of(node.func.value) == DURATION else None
        if node.keywords or not any(function is known for known in _OF_DURATIONS):
            return None
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Name) and first.id in self._containers:
            return DURATION if self._kinds.get(first.id) == DURATION and len(node.args) == 1 else None
        if function is round:
            return DURATION if self._kind_of(first) == DURATION else None
        return DURATION if node.args and all(self._kind_of(value) == DURATION for value in node.args) else None

    def _resolve(self, node: ast.expr) -> object:
        """Return what an expression names, as far as that is known without running it."""
        if isinstance(node, ast.Attribute):
            owner = self._resolve(node.value)
            is_open = isinstance(owner, types.ModuleType) or owner in (datetime.datetime, datetime.date)
            return getattr(owner, node.attr, None) if is_open else None
        if not isinstance(node, ast.Name):
            return None
        if node.id in self._imports:
            return self._imports[node.id] if self._bindings[node.id] == [None] else None
        if node.id in self._bindings:
            return None
        for names in (self._enclosed, self._function.__globals__, vars(builtins)):
            if node.id in names:
                return names[node.id]
        return None

    def _is_harmless(self, node: ast.Name) -> bool:
        """Return whether a use hands a variable on to another such variable, an assertion or a print only."""
        inside: ast.AST = node
        for parent in self._climb(node):
            if isinstance(parent, (*_SCOPES, ast.comprehension, ast.NamedExpr)):
                return False
            name = self._binders.get(inside)
            if name is not None:
                return name in self._kinds
            if isinstance(parent, (ast.Assert, ast.Expr)):
                return isinstance(parent, ast.Assert) or self._is_check(parent.value)
            is_container = inside is node and node.id in self._containers
            if is_container and isinstance(parent, ast.Subscript) and type(parent.ctx) is ast.Store:
                return True
            if is_container and isinstance(parent, ast.Attribute) and _appended_to(self._parents[parent]) == node.id:
                return True
            if isinstance(parent, ast.Call) and not self._is_pure(parent, inside):
                return False
            inside = parent
        return False

    def _climb(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self._parents:
            node = self._parents[node]
            yield node

    def _is_check(self, node: ast.expr) -> bool:
        """Return whether an expression that stands alone prints its arguments, or is an assertion of unittest."""
        return isinstance(node, ast.Call) and (self._resolve(node.func) is print or _is_assertion(node))

    def _is_pure(self, node: ast.Call, inside: ast.AST) -> bool:
        """Return whether a call keeps nothing of its argument `inside`, or of the object whose method it is."""
        if inside is node.func:
            return isinstance(node.func, ast.Attribute) and node.func.attr == "total_seconds"
        is_known = any(self._resolve(node.func) is known for known in _PURE)
        return (is_known and inside in node.args) or _is_assertion(node)


def _appended_to(node: ast.AST) -> str:
    """Return the name of the list that a call appends one value to, or ""."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append"):
        return ""
    is_one = len(node.args) == 1 and not isinstance(node.args[0], ast.Starred) and not node.keywords
    return node.func.value.id if is_one and isinstance(node.func.value, ast.Name) else ""


def _is_assertion(node: ast.Call) -> bool:
    """Return whether a call is one of an assertion of unittest."""
    is_own = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "self"
    name = getattr(node.func, "attr", "")
    calls_others = name.startswith(("assertRaises", "assertWarns"))
    return is_own and name.startswith("assert") and not calls_others and hasattr(unittest.TestCase, name)


def _is_empty_container(node: ast.expr) -> bool:
    return (isinstance(node, ast.List) and not node.elts) or (isinstance(node, ast.Dict) and not node.keys)


def _is_moment(function: object) -> bool:
    """Return whether a function is ``datetime.now`` or one like it."""
    owner = getattr(function, "__self__", None)
    return owner in (datetime.datetime, datetime.date) and getattr(function, "__name__", "") in _METHODS


def _imported(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> object:
    """Return what an import inside the function binds, if it is of a module of clocks."""
    modules = {"time": time, "datetime": datetime}
    if isinstance(node, ast.Import):
        return modules.get(alias.name)
    return getattr(modules.get(node.module or ""), alias.name, None) if not node.level else None
