"""Differing values that reach what was compared, found backwards from it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pytest_repro.diagnosis.statement_flow import (
    RETURNED,
    TAKEN,
    YIELDED,
    Chain,
    Piece,
    parameters_of,
    parse_chain,
)
from pytest_repro.diagnosis.trace_alignment import AlignedThread, Pair
from pytest_repro.diagnosis.trace_differences import CAPTURED, RETURN, YIELD, Difference
from pytest_repro.diagnosis.trace_frames import Scope, Sources, TracedCalls, class_of, short_name
from pytest_repro.diagnosis.trace_reading import Event, Frame, Value
from pytest_repro.tracing.describing import IN_PART
from pytest_repro.tracing.frames import MAX_CHANGED_PARTS
from pytest_repro.tracing.watcher import RAISED

_FOR_RESULT = {RETURN: RETURNED, YIELD: YIELDED, "(branch)": TAKEN}
#: Texts that name something and are no result: UUIDs and long hexadecimal tokens.
_LABEL = re.compile(r"UUID\(.*|'(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,})'")


@dataclass(frozen=True, slots=True)
class Compared:
    """What the runs were compared by, where it is known.

    Attributes
    ----------
    names : frozenset of str
        Names of the artifacts that differ. Without any, the returned value and all captured values count.
    function : str
        Name of the test function, whose local variables a scan compares.
    is_ending : bool
        Whether only the ends of the runs differ: an exception left the test in one of them.
    """

    names: frozenset[str] = frozenset()
    function: str = ""
    is_ending: bool = False

    @property
    def heads(self) -> set[str]:
        """The first parts of the names: of local variables and of the keys of a returned dict."""
        return {name.partition("/")[0] for name in self.names}

    def has(self, captured: str) -> bool:
        """Return whether something captured under a name differs."""
        return not self.names or any(name == captured or name.startswith(f"{captured}/") for name in self.names)


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


class _Slice(TracedCalls):
    def __init__(
        self,
        thread: AlignedThread,
        differences: list[Difference],
        agreed: dict[int, set[str]],
        compared: Compared,
        *,
        is_forced: bool,
    ) -> None:
        super().__init__(thread)
        self._agreed = agreed
        self._compared = compared
        #: Whether what was compared is followed although it looks the same in both runs.
        self._is_forced = is_forced
        #: Frame -> variables that one run alone changed after a branch.
        self._alone: dict[int, set[str]] = defaultdict(set)
        self._at: dict[int, list[Difference]] = defaultdict(list)
        for difference in differences:
            self._at[difference.index].append(difference)
        #: Scope -> variables and their parts that the result is made from, at the point reached so far.
        self._needed: dict[Scope, set[Chain]] = defaultdict(set)
        self._states: set[str] = set()
        #: Statement, by frame and number -> names of the called functions that matter ("*" for all), and the parts of
        #: what they return.
        self._calls: dict[tuple[int, int], dict[str, set[Chain]]] = defaultdict(dict)
        #: The same by frame and line, for generators, which go on in later executions of the line that began them.
        self._lines: dict[tuple[int, int], dict[str, set[Chain]]] = defaultdict(dict)
        self._entered: set[int] = set()
        #: Digests of values that the result is made from: an optimizer's parameter is the model's under another name.
        self._same: set[tuple[str, str]] = set()
        self._has_begun = False
        #: Frame and variable -> the part of an object by which it was seen to differ, until the object was made.
        self._opaque: dict[tuple[int, str], Difference] = {}
        #: Frames that the exception left by which a run ended.
        self._left: set[int] = set()
        self._raising: set[tuple[int, int]] = set()
        #: All frames that an exception left, also one that was caught.
        self._unwound = self._find_unwound()
        #: Whether the result is made from what a statement reads from a file, which earlier ones may have written.
        self._reads_file = False
        #: Whether it is made from what an optimizer's step changed, by gradients that show in no variable.
        self._steps = False

    # The walk.

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
            if self._is_forced and (sinks := [name for name in event.changes if self._is_sink(name, event)]):
                self._has_begun = True
                self._take(event, sinks)
            while relevant := [difference for difference in waiting if self._is_needed(difference, event)]:
                self._has_begun = True
                waiting = [difference for difference in waiting if difference not in relevant]
                found += map(self._with_needed, relevant)
                followed = [difference for difference in relevant if difference.name != RAISED]
                self._follow(event, followed, is_rebound=None not in pair)
            if (made := self._find_opaque(index, event, found)) is not None:
                found.append(made)
            if self._may_change(event):
                self._take(event, [""])
        return found

    def _with_needed(self, difference: Difference) -> Difference:
        """Note which parts of a value that differs the result is made from."""
        depth = difference.name.count(".") + 1
        chains = self._needed_of(difference.event.frame, difference.root)
        return replace(difference, needed=frozenset(chain[depth] for chain in chains if len(chain) > depth))

    def _find_opaque(self, index: int, event: Event, found: list[Difference]) -> Difference | None:
        """Return where an object was made of which a needed part differs, but which is read only in part.

        An object of a library shows that a part of it differs only where the part is read: ``out.stdout`` differs, and
        ``out = subprocess.run(...)`` looks the same in both runs.
        """
        key = self._key(event.frame)
        for difference in found:
            if difference.index == index and "." in difference.name and difference.event.frame is event.frame:
                self._opaque.setdefault((key, difference.root), difference)
        for (frame, root), difference in list(self._opaque.items()):
            value = event.changes.get(root)
            if frame != key or value is None or difference.index == index:
                continue
            del self._opaque[frame, root]
            targets = [target for piece in self._sources.pieces(event) for f in piece.flows for target in f.targets]
            if value.text.endswith(IN_PART) and (root,) in targets and not self._is_touched(root, event, difference):
                return replace(difference, index=index, event=event, kind="assigned")
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

    # Frames and scopes.

    def _need(self, frame: Frame, chains: Iterable[Chain]) -> None:
        for chain in chains:
            needed = self._needed[self._scope(frame, chain[0])]
            if chain in needed:
                continue
            needed.add(chain)
            source = self._sources.file(frame.code.file)
            scope = source.scope_of(chain[0], self._sources.function(frame))
            if (bound := source.lambdas.get((scope, chain[0]))) is not None:
                piece, body = bound
                self._need(frame, piece.read([body]).chains)

    def _needed_of(self, frame: Frame, name: str) -> list[Chain]:
        return [chain for chain in self._needed.get(self._scope(frame, name), ()) if chain[0] == name]

    def _is_called(self, frame: Frame) -> bool:
        """Return whether the result is made from what a frame returns."""
        return bool(self._wanted_of(frame))

    def _wanted_of(self, frame: Frame) -> set[Chain]:
        """Return the parts of what a frame returns that the result is made from."""
        if frame.parent is None:
            return set()
        key = self._key(frame.parent)
        known = [self._calls.get((key, frame.parent_n), {})]
        if frame in self._generators.get((key, frame.call_line), ()):
            known.append(self._lines.get((key, frame.call_line), {}))
        called = self._called_name(frame)
        found = {part for names in known for part in names.get(called, ())}
        is_named = any(called in piece.sites for piece in self._sources.calling(frame))
        if any("*" in names for names in known) or (any(known) and not is_named):
            found.add(())
        return found

    def _enter(self, frame: Frame) -> None:
        """Take what the caller needs of the objects that it passed: the call may have changed them."""
        self._entered.add(self._key(frame))
        function = self._sources.function(frame)
        if frame.parent is None or function is None:
            return
        if short_name(frame) in ("__init__", "__post_init__", "__setstate__"):
            self._need(
                frame, ((name, *part) for name in parameters_of(function)[:1] for part in self._wanted_of(frame))
            )
        if not self._is_resolved(frame):
            for name in parameters_of(function):
                for chain in self._held.get((self._key(frame), name), ()):
                    needed = self._overlapping(frame.parent, chain)
                    self._need(frame, [(name, *each[len(chain) :]) for each in needed])
        for piece in self._sources.calling(frame):
            # Not those of *args and **kwargs: another argument says nothing of the one that is needed.
            for parameter in parameters_of(function, with_starred=False):
                given = piece.arguments(self._called_name(frame), parameter, function)
                if not given or self._sources.file(frame.code.file).is_rebound(function, parameter):
                    continue
                for expression in given:
                    self._need(frame, self._passed(frame.parent, parameter, piece, expression))

    def _passed(self, parent: Frame, parameter: str, piece: Piece, expression: ast.expr) -> list[Chain]:
        chain, rest = parse_chain(expression)
        if not chain or rest:
            read = piece.read([expression]).chains
            return [(parameter,)] if any(self._overlapping(parent, chain) for chain in read) else []
        return [(parameter, *needed[len(chain) :]) for needed in self._overlapping(parent, chain)]

    def _overlapping(self, frame: Frame, chain: Chain) -> list[Chain]:
        return [needed for needed in self._needed_of(frame, chain[0]) if _overlap(needed, chain)]

    # What is needed.

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
        return _overlap(needed, chain) and self._may_differ(difference, needed[len(chain) :])

    def _may_differ(self, difference: Difference, part: Chain) -> bool:
        """Return whether this part of a value that differs may be what differs.

        A value has those of its parts that changed at its statement.
        """
        if not part or difference.expected is None or difference.actual is None:
            return True
        one, other = difference.expected.parts, difference.actual.parts
        if named := {name for name in (*one, *other) if _is_part(name, part[0])}:
            return any(one.get(name, ("",))[0] != other.get(name, ("",))[0] for name in named)
        # A name that never was one of its parts may be that of a method, which reads any of them.
        known = self._known_parts[self._key(difference.event.frame), difference.name]
        is_known = any(_is_part(name, part[0]) for name in known)
        # All keys of a mapping are its parts.
        is_key = part[0].startswith("[") and bool(known) and all(name.startswith("[") for name in known)
        return not (is_known or is_key) or len(difference.expected.parts) >= MAX_CHANGED_PARTS

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

    # Going back over one statement.

    def _follow(self, event: Event, differences: list[Difference], *, is_rebound: bool) -> None:
        """Go back from differing values to what they were made from."""
        for difference in differences:
            self._same |= self._pairs_of(difference, difference.arrays)
        if event.is_call:
            for difference in differences:
                self._follow_argument(event.frame, difference)
            return
        pieces = self._sources.pieces(event)
        wanted = {difference.root: self._wanted_parts(difference) for difference in differences}
        for difference in differences:
            targets = [target for p in pieces for f in p.flows if f.rebinds or len(pieces) > 1 for target in f.targets]
            bound = any(target[0] == difference.root for p in pieces for f in p.flows for target in f.targets)
            if difference.kind == "found" or (difference.kind == "assigned" and not bound):
                self._same |= self._pairs_of(difference, difference.pairs)
            if is_rebound and len(pieces) == 1:
                needed = self._needed[self._scope(event.frame, difference.root)]
                for target in targets:
                    needed -= {chain for chain in needed if chain[: len(target)] == target}
        for difference in differences:
            self._take(event, [difference.name], wanted, difference)

    def _follow_argument(self, frame: Frame, difference: Difference) -> None:
        if frame.parent is None:
            return
        function, is_known = self._sources.function(frame), False
        for piece in self._sources.calling(frame) if function is not None else ():
            assert function is not None
            given = piece.arguments(self._called_name(frame), difference.root, function)
            if given is not None:
                is_known = True
                for chain in self._wanted_parts(difference):
                    for expression in given:
                        self._read(frame.parent, frame.parent_n, frame.call_line, piece, [expression], chain[1:])
        if not is_known and self._class_made_for(frame):
            known = self._calls[self._key(frame.parent), frame.parent_n]
            known.setdefault(class_of(frame), set()).update(chain[1:] for chain in self._wanted_parts(difference))
            return
        held = self._held.get((self._key(frame), difference.root), [])
        if not is_known and held:
            needed = self._wanted_parts(difference)
            self._need(frame.parent, ((*chain, *each[1:]) for chain in held for each in needed))
        elif not is_known:
            self._same |= self._pairs_of(difference, difference.pairs)
            for piece in self._sources.calling(frame):
                self._read(frame.parent, frame.parent_n, frame.call_line, piece, piece.expressions, is_whole=True)

    def _wanted_parts(self, difference: Difference) -> set[Chain]:
        """Return the needed parts of a variable, which may be known by their values alone."""
        if needed := self._needed_of(difference.event.frame, difference.root):
            return set(needed)
        chain = tuple(difference.name.split("."))
        one, other = difference.expected, difference.actual
        if one is None or other is None or (one.digest, other.digest) in self._same:
            return {chain}
        shared = [name for name in one.parts if name in other.parts]
        found = {name for name in shared if (one.parts[name][0], other.parts[name][0]) in self._same}
        return {(*chain, *name.split(".")) for name in found} or {chain}

    def _pairs_of(self, difference: Difference, pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those pairs of digests that belong to needed parts of a value."""
        needed = self._needed_of(difference.event.frame, difference.root)
        depth = difference.name.count(".") + 1
        one, other = difference.expected, difference.actual
        if one is None or other is None or not needed or any(len(chain) <= depth for chain in needed):
            return pairs
        known = self._known_parts[self._key(difference.event.frame), difference.name]
        parts = {chain[depth] for chain in needed}
        is_mapping = bool(known) and all(name.startswith("[") for name in known)
        if not one.parts or not all(is_mapping or any(_is_part(name, part) for name in known) for part in parts):
            return pairs
        shared = [name for name in one.parts if name in other.parts and any(_is_part(name, part) for part in parts)]
        return pairs & {(one.parts[part][0], other.parts[part][0]) for part in shared}

    def _take(
        self,
        event: Event,
        names: list[str],
        wanted: dict[str, set[Chain]] | None = None,
        difference: Difference | None = None,
    ) -> None:
        """Need what these names were given at a statement.

        `wanted` has the parts of variables that are needed, the whole by default. A part that is equal in both values
        of the difference is left out.
        """
        pieces = self._sources.pieces(event)
        for name in names:
            root = _FOR_RESULT.get(name, (name.partition(".")[0],))[0]
            needed = self._returned(event) if name in (RETURN, YIELD) else (wanted or {}).get(root) or {(root,)}
            is_found = False
            for piece in pieces:
                for flow in piece.flows:
                    for part in flow.wanted(needed, root):
                        is_found = True
                        own = flow.part == () and name in (RETURN, YIELD, root) and difference is not None
                        if own and difference is not None and not self._may_differ(difference, part):
                            continue
                        self._read(event.frame, event.n, event.line, piece, flow.sources, part)
            if not is_found or name.startswith(("state of ", CAPTURED)):
                for piece in pieces:
                    expressions = _captured(piece, name) if name.startswith(CAPTURED) else piece.expressions
                    is_variable = not name or (difference is not None and difference.kind in ("assigned", "found"))
                    # What the calls of watched functions change is followed from their own frames.
                    if is_variable and not self._is_changed_here(piece, event):
                        continue
                    self._read(event.frame, event.n, event.line, piece, expressions)
        if not pieces:  # no source
            self._calls[self._key(event.frame), event.n].setdefault("*", set()).add(())
        self._states.update(name for name in event.changes if name.startswith("state of "))

    def _returned(self, event: Event) -> set[Chain]:
        """Return the needed parts of what a statement returns or yields: of the test, those that differ."""
        parts = self._wanted_of(event.frame)
        value = event.changes.get(RETURN)
        if event.frame.parent is None and value is not None and self._compared.names:
            keys = [f"[{name}]" if name.isdigit() else f"[{name!r}]" for name in self._compared.heads]
            parts = {(key,) for key in keys if key in value.parts} or {()}
        return {(*result, *part) for result in (RETURNED, YIELDED) for part in parts or {()}}

    def _read(
        self,
        frame: Frame,
        n: int,
        line: int,
        piece: Piece,
        sources: Iterable[ast.expr],
        part: Chain = (),
        *,
        is_whole: bool = False,
    ) -> None:
        key = self._key(frame)
        children = self._children.get((key, n), ())
        reads = piece.read(sources, set() if is_whole else self._called_from(key, n, line), part)
        self._reads_file |= piece.reads_file
        self._steps |= "step" in piece.sites
        # An object whose `__iter__`, `__call__` or operator is watched, or that is passed on, is followed from there.
        through = set() if is_whole else self._read_through(key, n, line)
        self._need(frame, (chain for chain in reads.chains if chain not in through))
        # Functions that no call in the statement names are called by a library or by an operator.
        for known in (self._calls[key, n], self._lines[key, line]):
            for name, parts in (reads.calls or {"*" if is_whole else "": {()}}).items():
                # Of an object that the statement makes, the methods that it does not name are followed.
                is_made = any(class_of(child) == name and self._class_made_for(child) for child in children)
                known.setdefault("" if is_made else name, set()).update(parts)


def column_of(difference: Difference) -> int | None:
    """Return the column, from 1, at which the statement of a difference begins, if it shares its line with others."""
    return _column_of(difference, Sources().pieces(difference.event))


def _column_of(difference: Difference, pieces: list[Piece]) -> int | None:
    if len(pieces) < 2 or difference.event.is_call:
        return None
    target = _FOR_RESULT.get(difference.name, (difference.root,))
    for piece in pieces:
        if any(target[0] == bound[0] for flow in piece.flows for bound in flow.targets):
            return piece.node.col_offset + 1
    for piece in pieces:
        if any(chain[0] == difference.root for chain in piece.read(piece.expressions).chains):
            return piece.node.col_offset + 1
    return None


def _text_of(value: Value | None) -> str:
    return value.text if value is not None else ""


def _is_part(name: str, part: str) -> bool:
    """Return whether a part's name, which may be that of a part of a part, belongs to a needed part."""
    return any(name == form or name.startswith(f"{form}.") for form in (part, part.strip("[]'")))


def _overlap(one: Chain, other: Chain) -> bool:
    count = min(len(one), len(other))
    return one[:count] == other[:count]


def _captured(piece: Piece, name: str) -> list[ast.expr]:
    """Return the expressions that a statement gives to be compared under a name."""
    last = name[len(CAPTURED) : -1].rpartition("/")[2]
    found: list[ast.expr] = []
    for site in piece.sites.get("capture", []):
        found += site.call.args if site.call else []
    for site in piece.sites.get("step", []):
        found += [keyword.value for keyword in site.call.keywords if keyword.arg == last] if site.call else []
    return found or piece.expressions
