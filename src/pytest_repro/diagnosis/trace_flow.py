"""Differing values that reach what was compared, found backwards from it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import replace

from pytest_repro.diagnosis.followed_values import FOR_RESULT, FollowedValues
from pytest_repro.diagnosis.needed_parts import Compared, overlap
from pytest_repro.diagnosis.statement_flow import Piece
from pytest_repro.diagnosis.syntax_names import Chain, parse_chain
from pytest_repro.diagnosis.trace_alignment import AlignedThread, Pair
from pytest_repro.diagnosis.trace_differences import CAPTURED, RETURN, YIELD, Difference
from pytest_repro.diagnosis.trace_frames import Sources, short_name
from pytest_repro.diagnosis.trace_reading import Event, Value
from pytest_repro.tracing.describing import IN_PART
from pytest_repro.tracing.watcher import RAISED

#: Texts that name something and are no result: UUIDs and long hexadecimal tokens.
_LABEL = re.compile(r"UUID\(.*|'(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,})'")


def find_flowing(
    thread: AlignedThread,
    differences: list[Difference],
    agreed: dict[int, set[str]],
    compared: Compared | None = None,
) -> tuple[Difference | None, bool]:
    """Return the first difference from which what was compared follows, and whether it could be followed.

    Notes
    -----
    By the variables, attributes and constant keys that statements mention, not by what they do with them: a value is
    taken to flow wherever a statement makes another differing value from it. Where that leads nowhere, the first
    difference is returned that anything may read.
    """
    for is_forced in (False, True):
        walk = _Slice(thread, differences, agreed, compared or Compared(), is_forced=is_forced)
        if flowing := [difference for difference in walk.walk() if not difference.is_ignored]:
            return min(_without_earlier_mentions(flowing), key=walk.order), not is_forced
    counted = [difference for difference in differences if not difference.is_ignored]
    return next((difference for difference in counted if not walk.is_unread(difference)), None), False


def _without_earlier_mentions(flowing: list[Difference]) -> list[Difference]:
    """Leave out where a value was found before the statement that took it: it says nothing of where it was made.

    `flowing` goes back from the end.
    """
    seen: set[tuple[str, str, frozenset[tuple[str, str]]]] = set()
    kept = []
    for difference in flowing:
        if difference.kind == "found":
            key = (difference.event.frame.code.file, difference.name, frozenset(difference.pairs))
            if key in seen:
                continue
            seen.add(key)
        kept.append(difference)
    return kept


class _Slice(FollowedValues):
    def __init__(
        self,
        thread: AlignedThread,
        differences: list[Difference],
        agreed: dict[int, set[str]],
        compared: Compared,
        *,
        is_forced: bool,
    ) -> None:
        super().__init__(thread, compared)
        self._agreed = agreed
        #: Whether what was compared is followed although it looks the same in both runs.
        self._is_forced = is_forced
        #: Frame -> variables that one run alone changed after a branch.
        self._alone: dict[int, set[str]] = defaultdict(set)
        self._at: dict[int, list[Difference]] = defaultdict(list)
        for difference in differences:
            self._at[difference.index].append(difference)
        self._has_begun = False
        #: Frame and variable -> the part of an object by which it was seen to differ, until the object was made.
        self._opaque: dict[tuple[int, str], Difference] = {}
        #: Frames that the exception left by which a run ended, and the statements at which it did.
        self._left: set[int] = set()
        self._raising: set[tuple[int, int]] = set()
        #: All frames that an exception left, also one that was caught.
        self._unwound = self._find_unwound()

    def walk(self) -> list[Difference]:
        """Return the differences that what was compared is made from, going back from the end."""
        found: list[Difference] = []
        self._begin()
        for index in range(len(self._pairs) - 1, -1, -1):
            pair = self._pairs[index]
            event = pair.one
            self._is_actual = pair.expected is None
            if self._key(event.frame) not in self._entered:
                self._enter(event.frame)
            self._note_alone(index)
            self._forget_equal(index, event)
            if self._compared.is_ending:
                self._follow_exception(pair)
            waiting = list(self._at.get(index, ()))
            known = len(found)
            if self._is_forced and (sinks := [name for name in event.changes if self._is_sink(name, event)]):
                self._has_begun = True
                self._take(event, sinks)
            while relevant := [difference for difference in waiting if self._is_needed(difference, event)]:
                self._has_begun = True
                waiting = [difference for difference in waiting if difference not in relevant]
                found += map(self._with_needed, relevant)
                followed = [difference for difference in relevant if difference.name != RAISED]
                self._follow(event, followed, is_rebound=None not in pair)
            if (made := self._find_opaque(index, event, found[known:])) is not None:
                found.append(made)
            if self._may_change(event):
                self._take(event, [""])
        return found

    def order(self, difference: Difference) -> tuple[int, bool, bool, int]:
        """Return the key by which the first of several differences is found."""
        # At one statement a value says more than the state of the generator that it is drawn from.
        column = _column_of(difference, self._sources.pieces(difference.event)) or 0
        return difference.index, difference.kind == "found", difference.kind == "state", column

    def is_unread(self, difference: Difference) -> bool:
        """Return whether nothing but a log mentions the variable, in any function that could."""
        function = self._sources.function(difference.event.frame)
        if difference.kind != "assigned" or "." in difference.name or function is None:
            return False
        source = self._sources.file(difference.event.frame.code.file)
        if source.scope_of(difference.root, function) is not function or source.is_cell(function, difference.root):
            return False
        inside = [p for pieces in source.pieces.values() for p in pieces if source.owner.get(p.node) is function]
        return not any(
            chain[0] == difference.root
            for piece in inside
            if not piece.is_log
            for chain in piece.read(piece.expressions).chains
            if (difference.root,) not in [target for flow in piece.flows for target in flow.targets]
        )

    def _begin(self) -> None:
        """Begin at the local variables of the test, if they are what was compared."""
        compared = self._compared
        if not compared.names or not compared.function:
            return
        frames = [p.one.frame for p in self._pairs if p.one.is_call and short_name(p.one.frame) == compared.function]
        given = [
            value
            for pair in self._pairs
            for name, value in pair.one.changes.items()
            if name.startswith(CAPTURED) or (name == RETURN and frames and pair.one.frame is frames[-1])
        ]
        if not frames or any(value.text != "None" for value in given):
            return
        frame = frames[-1]
        names = {name for name in compared.heads if not _LABEL.fullmatch(_text_of(frame.latest.get(name)))}
        self._has_begun = True
        self._need(frame, ((name,) for name in names or compared.heads))

    def _with_needed(self, difference: Difference) -> Difference:
        """Note which parts of a value that differs the result is made from."""
        depth = difference.name.count(".") + 1
        chains = self._needed_of(difference.event.frame, difference.root)
        return replace(difference, needed=frozenset(chain[depth] for chain in chains if len(chain) > depth))

    def _find_opaque(self, index: int, event: Event, here: list[Difference]) -> Difference | None:
        """Return where an object was made of which a needed part differs, but which is read only in part.

        An object of a library shows that a part of it differs only where the part is read: ``out.stdout`` differs, and
        ``out = subprocess.run(...)`` looks the same in both runs. `here` are the differences found at the event.
        """
        key = self._key(event.frame)
        for difference in here:
            if "." in difference.name and difference.event.frame is event.frame:
                self._opaque.setdefault((key, difference.root), difference)
        for root, value in event.changes.items():
            read = self._opaque.get((key, root))
            if read is None or read.index == index:
                continue
            del self._opaque[key, root]
            targets = [target for piece in self._sources.pieces(event) for f in piece.flows for target in f.targets]
            if value.text.endswith(IN_PART) and (root,) in targets and not self._is_touched(root, event, read):
                return replace(read, index=index, event=event, kind="assigned")
        return None

    def _is_touched(self, name: str, made: Event, read: Difference) -> bool:
        """Return whether a statement between two others may change an object, which shows in no event."""
        pieces = self._sources.file(made.frame.code.file).pieces
        between = [each for line, found in pieces.items() if made.line < line < read.event.line for each in found]
        return any(
            isinstance(each.node, ast.Expr)
            and not each.is_log
            and any(chain[0] == name for chain in each.read(each.expressions).chains)
            for each in between
        )

    def _follow_exception(self, pair: Pair) -> None:
        """Need what a statement read from which the exception came that ended one of the runs."""
        one, other = (event is not None and RAISED in event.changes for event in pair)
        event = pair.expected if one else pair.actual
        if one == other or event is None:
            return
        frame, is_actual = event.frame, self._is_actual
        self._is_actual = not one
        key = self._key(frame)
        above = frame.parent
        if above is None or (self._key(above) in self._left and (self._key(above), frame.parent_n) in self._raising):
            self._has_begun = True
            self._left.add(key)
            self._raising.add((key, event.n))
            # Where a call raised, its own frame says why.
            if not any(self._key(child) in self._unwound for child in self._children.get((key, event.n), ())):
                for piece in self._sources.pieces(event):
                    self._read(frame, event.n, event.line, piece, piece.raising)
        self._is_actual = is_actual

    def _find_unwound(self) -> set[int]:
        found = set()
        for pair in self._pairs:
            for is_actual, event in zip((False, True), pair, strict=True):
                if event is not None and RAISED in event.changes:
                    self._is_actual = is_actual
                    found.add(self._key(event.frame))
        return found

    def _is_sink(self, name: str, event: Event) -> bool:
        if self._compared.is_ending:
            return False
        if name.startswith(CAPTURED):
            return self._compared.has(name[len(CAPTURED) : -1])
        return name == RETURN and event.frame.parent is None

    def _is_needed(self, difference: Difference, event: Event) -> bool:
        frame, name = event.frame, difference.name
        if self._is_sink(name, event):
            return True
        if name in (RETURN, YIELD):
            return any(self._may_differ(difference, part) for part in self._wanted_of(frame))
        if not self._has_begun or name.startswith(CAPTURED):
            return False
        if difference.kind == "operation":
            return True
        if name == RAISED and self._compared.is_ending:
            return self._key(frame) in self._left
        if difference.kind == "branch":
            return self._decides(event)
        if difference.kind == "state":
            return name in self._states
        if any(self._is_read(chain, difference) for chain in self._needed_of(frame, difference.root)):
            return True
        if difference.pairs & self._same:
            return True
        # A caller shares the objects that it passed, and with them their changes.
        is_shared = not event.is_call and difference.kind == "assigned" and "." in name
        return is_shared and self._is_called(frame) and not self._is_resolved(frame)

    def _is_read(self, needed: Chain, difference: Difference) -> bool:
        """Return whether a needed part of a variable may be what differs."""
        chain = tuple(difference.name.split("."))
        return overlap(needed, chain) and self._may_differ(difference, needed[len(chain) :])

    def _may_change(self, event: Event) -> bool:
        """Return whether a statement only calls a function with a variable behind the result.

        An object of a compiled library, or a file, shows no change in ``index.add_items(vectors)``, and the call has no
        other purpose.
        """
        if event.is_call or not self._has_begun:
            return False
        for piece in self._sources.pieces(event):
            if (self._reads_file and piece.writes_file) or (self._steps and "backward" in piece.sites):
                return True
            call = piece.node.value if isinstance(piece.node, ast.Expr) else None
            if not isinstance(call, ast.Call):
                continue
            if isinstance(call.func, ast.Attribute):
                chain, _ = parse_chain(call.func.value)
                if chain and self._needed_of(event.frame, chain[0]):
                    return True
            # A path, or an object that cannot be read, such as a file.
            for chain in set() if piece.is_log else piece.read(call.args).chains:
                value = event.frame.latest.get(chain[0])
                if self._needed_of(event.frame, chain[0]) and value is not None and value.text.endswith(IN_PART):
                    return True
        return False

    def _note_alone(self, index: int) -> None:
        one, other = self._pairs[index]
        if one is None or other is None:
            event = self._pairs[index].one
            self._alone[self._key(event.frame)].update(event.changes)

    def _decides(self, event: Event) -> bool:
        """Return whether only one of the two branches changed a variable that the result is made from."""
        frame = event.frame
        alone = self._alone[self._key(frame)]
        if alone & {RETURN, YIELD} and not self._compared.is_ending and frame.parent is None:
            return True
        if alone & {RETURN, YIELD} and self._is_called(frame):
            return True
        if RAISED in alone and self._key(frame) in self._left:
            return True
        if any(name.startswith(CAPTURED) for name in alone) and not self._compared.is_ending:
            return True
        return any(self._needed_of(frame, name.partition(".")[0]) for name in alone)

    def _forget_equal(self, index: int, event: Event) -> None:
        """Drop variables that are equal in both runs: no difference comes from further back through them."""
        if event.is_call:
            return
        for name in self._agreed.get(index, ()):
            if name.startswith("state of "):
                self._states.discard(name)
                continue
            chain = tuple(name.split("."))
            needed = self._needed[self._scope(event.frame, chain[0])]
            needed -= {each for each in needed if each[: len(chain)] == chain}


def column_of(difference: Difference) -> int | None:
    """Return the column, from 1, at which the statement of a difference begins, if it shares its line with others."""
    return _column_of(difference, Sources().pieces(difference.event))


def _column_of(difference: Difference, pieces: list[Piece]) -> int | None:
    if len(pieces) < 2 or difference.event.is_call:
        return None
    target = FOR_RESULT.get(difference.name, (difference.root,))
    for piece in pieces:
        if any(target[0] == bound[0] for flow in piece.flows for bound in flow.targets):
            return piece.node.col_offset + 1
    for piece in pieces:
        if any(chain[0] == difference.root for chain in piece.read(piece.expressions).chains):
            return piece.node.col_offset + 1
    return None


def _text_of(value: Value | None) -> str:
    return value.text if value is not None else ""
