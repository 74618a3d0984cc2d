"""The watcher, which turns the events of a run into a trace of what each statement has changed."""

from __future__ import annotations

import opcode
import os
import sys
import threading
import time
from pathlib import Path
from types import CodeType, FrameType

from pytest_repro.tracing.frames import ALWAYS_HITS, ALWAYS_WORK, Change, WatchedCode, WatchedFrame, is_sampled
from pytest_repro.tracing.global_state import GlobalState
from pytest_repro.tracing.statements import Statement
from pytest_repro.tracing.trace_file import TraceWriter
from pytest_repro.tracing.user_code import is_user_code

_CO_GENERATOR = 0x20
_IS_GENERATOR = _CO_GENERATOR | 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR
_YIELD = opcode.opmap["YIELD_VALUE"]
_RETURNS = frozenset(opcode.opmap[name] for name in ("RETURN_VALUE", "RETURN_CONST") if name in opcode.opmap)
MAX_NOTES = 20
#: Name under which a statement is written that an exception leaves.
RAISED = "(raised)"

#: Active watchers of this process.
_watchers: list[Watcher] = []


def _stop_in_fork() -> None:
    for watcher in _watchers:
        watcher.forget()
    if _watchers:
        sys.settrace(None)
        threading.settrace(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stop_in_fork)


def end_step(index: int) -> None:
    """Record the end of a training step in every active trace."""
    for watcher in _watchers:
        watcher.end_step(index)


def take_captured(name: str, value: object) -> None:
    """Record a value that the test gives to be compared, in every active trace."""
    for watcher in _watchers:
        watcher.take_captured(name, value)


class Watcher:
    """Writer of a run's trace from its events, within the limits of :class:`~pytest_repro.tracing.watching.watched`."""

    def __init__(self, path: Path, *, budget_s: float, max_events: int) -> None:
        self._writer = TraceWriter(path)
        self._budget_s = budget_s
        self._max_events = max_events
        self._spent_s = 0.0
        self._codes: dict[CodeType, WatchedCode] = {}
        self._stacks: dict[int, list[WatchedFrame]] = {}
        self._suspended: dict[int, WatchedFrame] = {}
        self._lock = threading.RLock()
        self._frames = 0
        self._state = GlobalState(self.operation, self.wants_operations, self.note)
        self._notes: list[str] = []
        self.is_stopped: bool = False
        _watchers.append(self)

    # Called for the events of a run, each with its frame.

    def enter(self, frame: FrameType) -> bool:
        """Take a call or the resumption of a generator, and return whether its lines are to be watched."""
        code = frame.f_code
        if self.is_stopped or not is_user_code(code):
            return False
        with self._lock:
            started = time.perf_counter()
            try:
                return self._enter(frame, code)
            finally:
                self._spend(started)

    def line(self, frame: FrameType, line: int) -> None:
        """Take the beginning of a line, which is the end of the statement before."""
        state = self._top(frame)
        if state is None:
            return
        statement = state.code.statement(line, frame.f_code)
        running = state.statement
        # Lines alternate within one statement. Only its first line begins it again.
        if running is statement and line != statement.line:
            return
        if running is not None and state.sampled and not self.is_stopped:
            with self._lock:
                started = time.perf_counter()
                self._finish(frame, state, following=statement.line)
                self._spend(started)
        state.begin(statement)

    def leave(self, frame: FrameType, value: object, *, is_yield: bool, is_raised: bool = False) -> None:
        """Take a return, a yield or an exception that ends the frame."""
        state = self._top(frame)
        if state is None:
            return
        stack = self._stacks.get(threading.get_ident(), [])
        del stack[stack.index(state) :]
        if not is_yield:
            self._suspended.pop(state.frame_id, None)
        if self.is_stopped:
            return
        with self._lock:
            started = time.perf_counter()
            self._finish(
                frame,
                state,
                returned=value,
                returns=not (is_yield or is_raised),
                yields=is_yield,
                raises=is_raised,
                is_last=not stack,
            )
            if not (is_yield or is_raised) and value is not None:
                self._write_earlier_return(state, value)
            self._spend(started)

    def operation(self, kind: str, module: str, op: str, inputs: str, outputs: str) -> None:
        """Take an operation that the current statement has made."""
        state = self._sampled_frame()
        if state is None or state.statement is None:
            return
        with self._lock:
            state.has_operations = True
            self._writer.write("o", state.number, state.n, state.statement.line, kind, module, op, inputs, outputs)
            self._check_events()

    def wants_operations(self) -> bool:
        """Return whether the operations of the current statement are written."""
        return self._sampled_frame() is not None

    def _sampled_frame(self) -> WatchedFrame | None:
        """Return this thread's innermost frame, if its current statement is sampled."""
        stack = self._stacks.get(threading.get_ident())
        if not stack or self.is_stopped or not stack[-1].sampled or stack[-1].statement is None:
            return None
        return stack[-1]

    def end_step(self, index: int) -> None:
        """Take the end of a training step, with the number that the test gave it."""
        with self._lock:
            if not self.is_stopped:
                self._writer.write("p", index)
                self._check_events()

    def take_captured(self, name: str, value: object) -> None:
        """Take a value that the current statement gives to be compared."""
        stack = self._stacks.get(threading.get_ident())
        state = stack[-1] if stack else None
        if self.is_stopped or state is None or state.statement is None:
            return
        with self._lock:
            statement = state.statement
            changes = state.find_change(f"(captured {name})", value, "captured")
            self._write_statement(state.code, statement)
            self._writer.write("s", state.number, state.n, statement.line, state.step(statement), changes)
            self._check_events()

    def note(self, text: str) -> None:
        """Add a reason why the trace is incomplete."""
        if text not in self._notes and len(self._notes) < MAX_NOTES:
            self._notes.append(text)

    def close(self) -> None:
        """Write the end of the trace."""
        with self._lock:
            self.is_stopped = True
            thinned = [
                f"{Path(code.path).name}:{line}"
                for code in self._codes.values()
                for line, hits in code.hits.items()
                if hits > ALWAYS_HITS or code.work.get(line, 0) > ALWAYS_WORK
            ]
            if thinned:
                shown = ", ".join(thinned[:5]) + (", ..." if len(thinned) > 5 else "")
                self.note(f"reached too often to be watched each time: {shown}")
            self._writer.close(self._notes)
        self._state.close()
        if self in _watchers:
            _watchers.remove(self)

    def forget(self) -> None:
        """Stop watching in a fork of the watched process, which has a copy of the trace's file."""
        self.is_stopped = True
        self._writer.forget()

    # The methods below are called with the lock held.

    def _top(self, frame: FrameType) -> WatchedFrame | None:
        stack = self._stacks.get(threading.get_ident())
        frame_id = id(frame)
        for state in reversed(stack or ()):
            if state.frame_id == frame_id:
                return state
        return None

    def _enter(self, frame: FrameType, code: CodeType) -> bool:
        stack = self._stacks.setdefault(threading.get_ident(), [])
        is_generator = bool(code.co_flags & _IS_GENERATOR)
        if is_generator and (known := self._suspended.get(id(frame))) is not None:
            stack.append(known)
            return True
        watched = self._codes.get(code)
        if watched is None:
            watched = self._codes[code] = WatchedCode(code, len(self._codes))
            self._writer.write("c", watched.number, watched.path, watched.function, code.co_firstlineno)
        watched.calls += 1
        if not is_sampled(watched.calls):
            return False
        self._push(frame, watched, stack)
        if is_generator:
            self._suspended[id(frame)] = stack[-1]
        return True

    def _push(self, frame: FrameType, watched: WatchedCode, stack: list[WatchedFrame]) -> None:
        parent = stack[-1] if stack else None
        step = parent.step(parent.statement) if parent is not None else None
        state = WatchedFrame(watched, self._frames, id(frame), step)
        self._frames += 1
        changes = self._arguments(frame, state)
        if parent is None:
            changes += self._state.find_changes()
        place = (parent.number, parent.n, parent.next_ordinal()) if parent is not None else (None, 0, 0)
        line = 0
        if parent is not None and parent.statement is not None:
            line = parent.statement.line
            self._write_statement(parent.code, parent.statement)
        thread = threading.current_thread()
        name = "" if thread is threading.main_thread() else thread.name
        self._writer.write("f", state.number, *place, watched.number, line, step, changes, name)
        stack.append(state)
        self._check_events()

    def _arguments(self, frame: FrameType, state: WatchedFrame) -> list[Change]:
        code = frame.f_code
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
        variables = frame.f_locals
        names = [name for name in code.co_varnames[:count] if name in variables]
        return [change for name in names for change in state.find_change(name, variables[name], "argument")]

    def _finish(
        self,
        frame: FrameType,
        state: WatchedFrame,
        *,
        following: int = 0,
        returned: object = None,
        returns: bool = False,
        yields: bool = False,
        raises: bool = False,
        is_last: bool = False,
    ) -> None:
        """Write the changes of the statement that has ended.

        With `is_last` it was the last one of an outermost frame, whose variables may all be compared.
        """
        statement = state.statement
        if statement is None or not state.sampled:
            return
        changes = state.find_changes(frame, statement)
        if statement.is_branch and not raises:
            self._add_branch(state, statement, following, changes)
        if raises:
            changes.append([RAISED, "branch", "raised", "an exception", {}])
        if returns and statement.is_return:
            changes += state.find_change("(return)", returned, "returned")
        if yields and frame.f_code.co_flags & _CO_GENERATOR:
            changes += state.find_change("(yield)", returned, "returned")
        if (returns or raises) and is_last:
            known = {change[0] for change in changes}
            changes += [change for change in state.find_all_changes(frame) if change[0] not in known]
        if statement.has_call:
            changes += self._state.find_changes()
        if not (changes or state.has_operations or statement.writes):
            return
        state.has_operations = False
        self._write_statement(state.code, statement)
        self._writer.write("s", state.number, state.n, statement.line, state.step(statement), changes)
        self._check_events()

    def _write_earlier_return(self, state: WatchedFrame, value: object) -> None:
        """Write what a statement returned before the function left `with` or `finally`, in a statement that follows."""
        if state.returning is None or state.returning[1] == state.n or self.is_stopped:
            return
        statement, n = state.returning
        self._write_statement(state.code, statement)
        changes = state.find_change("(return)", value, "returned")
        self._writer.write("s", state.number, n, statement.line, state.step(statement), changes)
        self._check_events()

    def _write_statement(self, code: WatchedCode, statement: Statement) -> None:
        if statement.line not in code.known:
            code.known.add(statement.line)
            self._writer.write("r", code.number, statement.line, statement.reads, statement.is_branch)

    @staticmethod
    def _add_branch(state: WatchedFrame, statement: Statement, following: int, changes: list[Change]) -> None:
        name = f"(branch {statement.line})"
        taken = f"went on at line {following}" if following else "left the function"
        if state.before.get(name) != taken:
            state.before[name] = taken
            changes.append(["(branch)", "branch", str(following), taken, {}])

    def _spend(self, started: float) -> None:
        self._spent_s += time.perf_counter() - started
        if self._spent_s > self._budget_s and not self.is_stopped:
            self._stop(f"watching stopped after {self._budget_s:g} s")

    def _check_events(self) -> None:
        if self._writer.events > self._max_events and not self.is_stopped:
            self._stop(f"watching stopped after {self._max_events} events")

    def _stop(self, reason: str) -> None:
        self.is_stopped = True
        self.note(reason)


def is_yield(frame: FrameType) -> bool:
    """Return whether a frame is suspended, and not at its end."""
    code = frame.f_code
    return bool(code.co_flags & _IS_GENERATOR) and code.co_code[frame.f_lasti] == _YIELD


def is_raised(frame: FrameType) -> bool:
    """Return whether an exception ends a frame, whose trace function sees a return of None."""
    return frame.f_code.co_code[frame.f_lasti] not in _RETURNS
