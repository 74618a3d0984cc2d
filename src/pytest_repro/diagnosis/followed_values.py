"""Differing values followed back over one statement, to what they were made from."""

from __future__ import annotations

import ast

from pytest_repro.diagnosis.needed_parts import Compared, NeededParts
from pytest_repro.diagnosis.statement_flow import RETURNED, TAKEN, YIELDED, Piece
from pytest_repro.diagnosis.syntax_names import Chain
from pytest_repro.diagnosis.trace_alignment import AlignedThread
from pytest_repro.diagnosis.trace_differences import CAPTURED, RETURN, YIELD, Difference
from pytest_repro.diagnosis.trace_frames import class_of
from pytest_repro.diagnosis.trace_reading import Event, Frame
from pytest_repro.tracing.frames import MAX_CHANGED_PARTS

#: Name of a change that binds no variable -> the target of a statement that stands for it.
FOR_RESULT = {RETURN: RETURNED, YIELD: YIELDED, "(branch)": TAKEN}


class FollowedValues(NeededParts):
    """Values that differ and reach what was compared, by the names and digests that lead from one to another."""

    def __init__(self, thread: AlignedThread, compared: Compared) -> None:
        super().__init__(thread, compared)
        self._states: set[str] = set()
        #: Digests of values that the result is made from: an optimizer's parameter is the model's under another name.
        self._same: set[tuple[str, str]] = set()

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
            root = FOR_RESULT.get(name, (name.partition(".")[0],))[0]
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


def _is_part(name: str, part: str) -> bool:
    """Return whether a part's name, which may be that of a part of a part, belongs to a needed part."""
    return any(name == form or name.startswith(f"{form}.") for form in (part, part.strip("[]'")))


def _captured(piece: Piece, name: str) -> list[ast.expr]:
    """Return the expressions that a statement gives to be compared under a name."""
    last = name[len(CAPTURED) : -1].rpartition("/")[2]
    found: list[ast.expr] = []
    for site in piece.sites.get("capture", []):
        found += site.call.args if site.call else []
    for site in piece.sites.get("step", []):
        found += [keyword.value for keyword in site.call.keywords if keyword.arg == last] if site.call else []
    return found or piece.expressions
