"""State of each watched frame while it runs, and the changes that a statement has made in it."""

from __future__ import annotations

import sys
from types import CodeType, FrameType, ModuleType
from typing import Any

from pytest_repro.capturing.live import digest_value, is_scalar, parts_of
from pytest_repro.tracing.describing import describe
from pytest_repro.tracing.statements import Statement, read_statements
from pytest_repro.tracing.user_code import is_user_file

#: A statement is sampled every time until it was reached so often or so many values were read for it, then every 2nd,
#: 4th, 8th ... time. By count and not by the clock, so that two runs skip the same.
ALWAYS_HITS = 512
ALWAYS_WORK = 30_000
#: Changed parts of one object that are reported for one statement.
MAX_CHANGED_PARTS = 32

Change = list[Any]


def is_sampled(hits: int, work: int = 0) -> bool:
    """Return whether the n-th execution of a statement or function is sampled, after `work` values read for it."""
    excess = max(hits // ALWAYS_HITS, work // ALWAYS_WORK)
    return not excess or hits % (1 << excess.bit_length()) == 0


class WatchedCode:
    """A watched code object: its statements, and how often each was reached."""

    __slots__ = ("calls", "function", "hits", "known", "number", "path", "statements", "work")

    def __init__(self, code: CodeType, number: int) -> None:
        self.number: int = number
        self.path: str = code.co_filename
        self.function: str = code.co_qualname
        self.statements: dict[int, Statement] = read_statements(code.co_filename)
        self.calls: int = 0
        #: By line: how often it was reached, and the values read for it.
        self.hits: dict[int, int] = {}
        self.work: dict[int, int] = {}
        self.known: set[int] = set()

    def statement(self, line: int, code: CodeType) -> Statement:
        """Return the statement that covers a line, or without source one that mentions every variable."""
        statement = self.statements.get(line)
        if statement is None:
            names = (*code.co_varnames, *code.co_cellvars, *code.co_freevars)
            statement = Statement(line, line, {(name,): True for name in names}, has_call=True)
            if self.statements:
                self.statements = dict(self.statements)
            self.statements[line] = statement
        return statement


class WatchedFrame:
    """One call of a watched function, without a reference to the frame or to any value in it."""

    def __init__(self, code: WatchedCode, number: int, frame_id: int, outer_step: int | None) -> None:
        self.code = code
        self.number = number
        self.frame_id = frame_id
        self.outer_step = outer_step
        #: Number of statements begun so far, and the current one.
        self.n: int = 0
        self.statement: Statement | None = None
        #: The last statement begun that returns, if it was sampled, and its number. `with` and `finally` come after it.
        self.returning: tuple[Statement, int] | None = None
        self.sampled: bool = True
        self.has_operations = False
        #: Whether the current loop header begins another iteration; its iterable was evaluated before the first.
        self.goes_on: bool = False
        #: Name -> (id of the object, hash of a scalar, digest, digests of its parts).
        self.seen: dict[str, tuple[int, int, str, dict[str, str]]] = {}
        self.loops: dict[int, int] = {}
        self.ordinal: int = 0
        self.ordinals_n: int = -1
        self.before: dict[str, str] = {}

    def next_ordinal(self) -> int:
        """Return the number of a call within its statement."""
        if self.ordinals_n != self.n:
            self.ordinals_n, self.ordinal = self.n, -1
        self.ordinal += 1
        return self.ordinal

    def step(self, statement: Statement | None) -> int | None:
        """Return the iteration of the outermost loop, of this frame or of its callers."""
        if self.outer_step is not None or statement is None or not statement.loop:
            return self.outer_step
        return max(self.loops.get(statement.loop, 1) - 1, 0)

    def begin(self, statement: Statement) -> None:
        """Record the beginning of a statement."""
        self.n += 1
        before, self.statement = self.statement, statement
        self.goes_on = statement.is_loop and before is not None and statement.line < before.line <= statement.block_end
        if statement.is_loop and statement.loop == statement.line:
            self.loops[statement.line] = self.loops.get(statement.line, 0) + 1
        hits = self.code.hits.get(statement.line, 0) + 1
        self.code.hits[statement.line] = hits
        self.sampled = is_sampled(hits, self.code.work.get(statement.line, 0))
        if statement.is_return:
            self.returning = (statement, self.n) if self.sampled else None

    def find_changes(self, frame: FrameType, statement: Statement) -> list[Change]:
        """Return the changes of the variables that a statement mentions since each was last seen."""
        variables, globals_ = frame.f_locals, frame.f_globals
        changes: list[Change] = []
        done: set[str] = set()
        for chain, may_change in statement.chains.items():
            if self.goes_on and chain not in statement.targets:
                continue
            name, value, is_local = _resolve(chain, variables, globals_)
            if not name or name in done:
                continue
            done.add(name)
            before = self.seen.get(name)
            if before is not None and not may_change and before[0] == id(value):
                continue
            is_assigned = (is_local and may_change) or chain in statement.targets
            changes += self.find_change(name, value, "assigned" if is_assigned else "found")
        return changes

    def find_all_changes(self, frame: FrameType) -> list[Change]:
        """Return the changes of all variables, also of those that the statement does not mention."""
        # pytest adds names with "@" to a function, and Python names with underscores to a module.
        own = [(name, value) for name, value in frame.f_locals.items() if not name.startswith(("@", "__"))]
        found = [(name, value) for name, value in own if not _is_code(value)]
        return [change for name, value in found for change in self.find_change(name, value, "found")]

    def find_change(self, name: str, value: object, kind: str) -> list[Change]:
        """Return the change of a value since it was last seen under its name, if there is one, as a list."""
        before = self.seen.get(name)
        # With its hash, since another scalar may have the id of one that was freed.
        scalar_hash = hash(value) if is_scalar(value) else 0
        if scalar_hash and before is not None and before[:2] == (id(value), scalar_hash):
            return []
        digest, parts, work = digest_value(value)
        if self.statement is not None:
            line = self.statement.line
            self.code.work[line] = self.code.work.get(line, 0) + work
        self.seen[name] = (id(value), scalar_hash, digest, parts)
        if before is not None and before[2] == digest:
            return []
        known = before[3] if before is not None else {}
        changed = [part for part, part_digest in parts.items() if known.get(part) != part_digest][:MAX_CHANGED_PARTS]
        named = dict(parts_of(value)) if changed else {}
        described = {part: [parts[part], describe(named[part]) if part in named else ""] for part in changed}
        return [[name, "assigned" if before is not None else kind, digest, describe(value), described]]


_NOTHING = object()


def _resolve(chain: tuple[str, ...], variables: Any, globals_: dict[str, Any]) -> tuple[str, Any, bool]:
    """Follow a chain of names through instance attributes, and not through properties.

    Returns
    -------
    name, value, is_local
        The name is empty if the chain leads to no value.
    """
    value = variables.get(chain[0], _NOTHING)
    is_local = value is not _NOTHING
    if not is_local:
        value = globals_.get(chain[0], _NOTHING)
    name, attributes = chain[0], chain[1:]
    if attributes and _is_users(value):
        # A global value by another way: ``settings.scale``, ``Model.count``.
        value = _attribute_of_users(value, attributes[0])
        name, attributes = f"{name}.{attributes[0]}", attributes[1:]
    if value is _NOTHING or _is_code(value):
        return "", None, False
    for attribute in attributes:
        inner = _own_attribute(value, attribute)
        if inner is _NOTHING or _is_code(inner):
            break
        name, value = f"{name}.{attribute}", inner
    return name, value, is_local


def _own_attribute(value: Any, name: str) -> Any:
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return _NOTHING
    found = own.get(name, _NOTHING) if type(own) is dict else _NOTHING
    if found is not _NOTHING or not _is_users(type(value)):
        return found
    for base in type.__dict__["__mro__"].__get__(type(value)):
        if _is_users(base) and (found := _attribute_of_users(base, name)) is not _NOTHING:
            break
    return found


def _is_users(value: Any) -> bool:
    """Return whether a value is a module or a class of the test's code."""
    kind = type(value)
    if issubclass(kind, ModuleType):
        return _is_user_module(value)
    return issubclass(kind, type) and _is_user_module(sys.modules.get(type.__dict__["__module__"].__get__(value)))


def _is_user_module(module: Any) -> bool:
    if not issubclass(type(module), ModuleType):
        return False
    file = ModuleType.__getattribute__(module, "__dict__").get("__file__")
    return type(file) is str and is_user_file(file)


def _attribute_of_users(value: Any, name: str) -> Any:
    if issubclass(type(value), ModuleType):
        return ModuleType.__getattribute__(value, "__dict__").get(name, _NOTHING)
    found = type.__dict__["__dict__"].__get__(value).get(name, _NOTHING)
    return _NOTHING if hasattr(type(found), "__get__") else found  # a method or a property


def _is_code(value: object) -> bool:
    """Return whether a value is a module, class or function, which a run does not compute."""
    return issubclass(type(value), type) or type(value).__name__ in _CODE_TYPES


_CODE_TYPES = frozenset(
    {"module", "function", "builtin_function_or_method", "method", "ufunc", "_ArrayFunctionDispatcher"}
)
