"""Differing values that reach the result, found backwards from the returned value."""

from __future__ import annotations

import ast
import textwrap
from collections import defaultdict

from pytest_repro.diagnosis.trace_alignment import AlignedThread
from pytest_repro.diagnosis.trace_differences import RETURN, Difference
from pytest_repro.diagnosis.trace_reading import Event, Frame
from pytest_repro.tracing.statements import read_source


def find_flowing(
    thread: AlignedThread, differences: list[Difference], agreed: dict[int, set[str]]
) -> tuple[Difference, bool]:
    """Return the first difference from which the result follows, and whether it could be followed.

    Notes
    -----
    By the names that statements mention, not by what they do with them: a value is taken to flow wherever a statement
    that mentions it makes another value that differs.
    """
    counted = [difference for difference in differences if not difference.is_ignored]
    flowing = [difference for difference in _Slice(thread, differences, agreed).walk() if not difference.is_ignored]
    if flowing:
        # At one statement a value says more than the state of the generator that it is drawn from.
        return min(flowing, key=lambda difference: (difference.index, difference.kind == "state")), True
    return counted[0], False


def _owner_of_call(file: str, line: int) -> str:
    """Return the variable of a statement that only calls a method of it, or "" for any other statement."""
    try:
        body = ast.parse(textwrap.dedent(read_source(file, line))).body
    except SyntaxError:
        return ""
    call = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None
    owner: ast.expr | None = None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        owner = call.func
    while isinstance(owner, ast.Attribute):
        owner = owner.value
    return owner.id if isinstance(owner, ast.Name) else ""


class _Slice:
    def __init__(self, thread: AlignedThread, differences: list[Difference], agreed: dict[int, set[str]]) -> None:
        self._agreed = agreed
        self._pairs = thread.pairs
        self._partners = thread.alignment.partners
        #: Whether the current pair has an event of the actual run alone, whose frames have numbers of their own.
        self._is_actual = False
        #: Frame -> variables that one run alone changed after a branch.
        self._alone: dict[int, set[str]] = defaultdict(set)
        self._traces = (thread.expected, thread.actual)
        self._at: dict[int, list[Difference]] = defaultdict(list)
        for difference in differences:
            self._at[difference.index].append(difference)
        #: Frame -> variables that the result is made from, at the point reached so far.
        self._needed: dict[int, set[str]] = defaultdict(set)
        self._states: set[str] = set()
        #: Statements, by frame and number, from which the result is made: the calls that they make matter too.
        self._calls: set[tuple[int, int]] = set()
        #: Digests of arrays that the result is made from: an optimizer's parameter is the model's under another name.
        self._arrays: set[tuple[str, str]] = set()
        self._has_begun = False
        #: Statement -> the variable of which it only calls a method.
        self._owners: dict[tuple[str, int], str] = {}

    def walk(self) -> list[Difference]:
        """Return the differences that the result is made from, going back from the end."""
        found: list[Difference] = []
        for index in range(len(self._pairs) - 1, -1, -1):
            event = self._pairs[index].one
            self._is_actual = self._pairs[index].expected is None
            self._note_alone(index)
            relevant = [difference for difference in self._at.get(index, ()) if self._is_needed(difference, event)]
            self._forget_equal(index, event)
            if relevant:
                self._has_begun = True
                found += relevant
                self._arrays.update(*(difference.arrays for difference in relevant))
            if relevant or self._may_change(event):
                self._take(event)
        return found

    def _key(self, frame: Frame) -> int:
        """Return a number that a frame shares only with its partner in the other run."""
        if not self._is_actual:
            return frame.number
        partner = self._partners.get(frame.number)
        return partner.number if partner is not None else -1 - frame.number

    def _is_called(self, frame: Frame) -> bool:
        """Return whether the result is made from the statement that called a frame."""
        return frame.parent is not None and (self._key(frame.parent), frame.parent_n) in self._calls

    def _is_needed(self, difference: Difference, event: Event) -> bool:
        frame = event.frame
        if difference.name == RETURN:
            return frame.parent is None or self._is_called(frame)
        if not self._has_begun:
            return False
        if difference.kind == "operation":
            return True
        if difference.kind == "branch":
            return self._decides(event)
        if difference.kind == "state":
            return difference.name in self._states
        if difference.root in self._needed[self._key(frame)] or difference.arrays & self._arrays:
            return True
        # A caller shares the objects that it passed, and with them their changes.
        return self._is_called(frame) and not event.is_call and difference.kind == "assigned" and "." in difference.name

    def _may_change(self, event: Event) -> bool:
        """Return whether a statement only calls a method of a variable behind the result: ``index.add_items(vectors)``.

        An object of a compiled library shows no change, and the call has no other purpose.
        """
        if event.is_call or not self._needed[self._key(event.frame)]:
            return False
        place = (event.frame.code.file, event.line)
        if place not in self._owners:
            self._owners[place] = _owner_of_call(*place)
        return self._owners[place] in self._needed[self._key(event.frame)]

    def _note_alone(self, index: int) -> None:
        one, other = self._pairs[index]
        if one is None or other is None:
            event = self._pairs[index].one
            self._alone[self._key(event.frame)].update(event.changes)

    def _decides(self, event: Event) -> bool:
        """Return whether only one of the two branches changed a variable that the result is made from."""
        frame = event.frame
        alone = self._alone[self._key(frame)]
        if RETURN in alone and (frame.parent is None or self._is_called(frame)):
            return True
        return bool({name.partition(".")[0] for name in alone} & self._needed[self._key(frame)])

    def _forget_equal(self, index: int, event: Event) -> None:
        """Drop variables that are equal in both runs: no difference comes from further back through them."""
        if event.is_call:
            return
        number = self._key(event.frame)
        for name in self._agreed.get(index, ()):
            if name.startswith("state of "):
                self._states.discard(name)
            else:
                self._needed[number].discard(name)

    def _take(self, event: Event) -> None:
        frame = event.frame
        if event.is_call:
            if frame.parent is not None:
                self._calls.add((self._key(frame.parent), frame.parent_n))
                self._needed[self._key(frame.parent)].update(self._reads_at(frame.parent.code.file, frame.call_line))
            return
        self._calls.add((self._key(frame), event.n))
        self._needed[self._key(frame)].update(self._reads_at(frame.code.file, event.line))
        self._states.update(name for name in event.changes if name.startswith("state of "))

    def _reads_at(self, file: str, line: int) -> list[str]:
        return next((t.statements[file, line][0] for t in self._traces if (file, line) in t.statements), [])
