"""Calls in two aligned traces, connected with the source of the statements that made them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from pytest_repro.diagnosis.source_scopes import SourceFile
from pytest_repro.diagnosis.statement_flow import Piece
from pytest_repro.diagnosis.syntax_names import Chain, FunctionNode, parameters_of
from pytest_repro.diagnosis.trace_alignment import AlignedThread
from pytest_repro.diagnosis.trace_reading import Event, Frame
from pytest_repro.tracing.user_code import MODULE

#: Where a variable lives: a call, the functions around it, or a module.
Scope = tuple[object, ...]


class Sources:
    """Syntax trees of the files in a trace."""

    def __init__(self) -> None:
        self._files: dict[str, SourceFile] = {}

    def file(self, path: str) -> SourceFile:
        if path not in self._files:
            self._files[path] = SourceFile.read(path)
        return self._files[path]

    def function(self, frame: Frame) -> FunctionNode | None:
        return self.file(frame.code.file).functions.get((frame.code.line, short_name(frame)))

    def pieces(self, event: Event) -> list[Piece]:
        return self.file(event.frame.code.file).pieces.get(event.line, [])

    def calling(self, frame: Frame) -> list[Piece]:
        """Return the statements that may have called a frame."""
        return self.file(frame.parent.code.file).pieces.get(frame.call_line, []) if frame.parent is not None else []


def short_name(frame: Frame) -> str:
    return frame.code.function.rpartition(".")[2]


def class_of(frame: Frame) -> str:
    parts = frame.code.function.split(".")
    return parts[-2] if len(parts) > 1 else ""


class TracedCalls:
    """The calls of one thread, by the statements that made them.

    Parameters
    ----------
    thread : AlignedThread
    """

    def __init__(self, thread: AlignedThread) -> None:
        self._pairs = thread.pairs
        self._partners = thread.alignment.partners
        self._sources = Sources()
        #: Whether the current pair has an event of the actual run alone, whose frames have numbers of their own.
        self._is_actual = False
        #: Statement, by frame and number, or by frame and line for generators -> the frames that it called.
        self._children: dict[tuple[int, int], list[Frame]] = defaultdict(list)
        self._generators: dict[tuple[int, int], list[Frame]] = defaultdict(list)
        #: Frame and variable -> names of the parts that were ever seen in it, in either run.
        self._known_parts: dict[tuple[int, str], set[str]] = defaultdict(set)
        #: Frame -> the variable by which it was called, if that is an object.
        self._called_as: dict[int, str] = {}
        #: Frame and parameter -> variables of the caller that held the same value when it was called.
        self._held: dict[tuple[int, str], list[Chain]] = {}
        self._collect_frames()

    def _collect_frames(self) -> None:
        latest: dict[int, dict[str, str]] = defaultdict(dict)
        for pair in self._pairs:
            frame = pair.one.frame
            self._is_actual = pair.expected is None
            if pair.one.is_call and frame.parent is not None:
                above = latest[self._key(frame.parent)]
                for name, value in pair.one.changes.items():
                    found = [tuple(each.split(".")) for each, digest in above.items() if digest == value.digest]
                    self._held[self._key(frame), name] = found if value.parts else []
                self._hold_called(frame, above)
            latest[self._key(frame)].update((name, value.digest) for name, value in pair.one.changes.items())
            for event in pair:
                for name, value in event.changes.items() if event is not None else ():
                    self._known_parts[self._key(frame), name].update(value.parts)
            if not pair.one.is_call or frame.parent is None:
                continue
            self._is_actual = pair.expected is None
            key = self._key(frame.parent)
            self._children[key, frame.parent_n].append(frame)
            function = self._sources.function(frame)
            if function is not None and self._sources.file(frame.code.file).is_generator(function):
                self._generators[key, frame.call_line].append(frame)

    def _called_name(self, frame: Frame) -> str:
        """Return the name by which a call mentions a function: that of the class for its `__init__`."""
        if (known := self._called_as.get(self._key(frame))) is not None:
            return known
        parts = frame.code.function.split(".")
        return parts[-2] if len(parts) > 1 and parts[-1] in ("__init__", "__new__", "__post_init__") else parts[-1]

    def _hold_called(self, frame: Frame, above: Mapping[str, str]) -> None:
        """Find the variable by which a statement calls `__call__` or a module's `forward`, if it calls only one."""
        function = self._sources.function(frame)
        if function is None or short_name(frame) not in ("__call__", "forward"):
            return
        called = {c for piece in self._sources.calling(frame) for c in piece.called if ".".join(c) in above}
        if len(called) == 1:
            self._called_as[self._key(frame)] = called.pop()[-1]

    def _key(self, frame: Frame) -> int:
        """Return a number that a frame shares only with its partner in the other run."""
        if not self._is_actual:
            return frame.number
        partner = self._partners.get(frame.number)
        return partner.number if partner is not None else -1 - frame.number

    def _scope(self, frame: Frame, name: str) -> Scope:
        function = self._sources.function(frame)
        if function is None and frame.code.function == MODULE:
            return ("module", frame.code.file)
        if function is None:
            return ("frame", self._key(frame))
        source = self._sources.file(frame.code.file)
        scope = source.scope_of(name, function)
        if scope is None:
            return ("module", frame.code.file)
        if scope is not function or source.is_cell(function, name):
            return ("function", frame.code.file, scope.lineno)
        return ("frame", self._key(frame))

    def _class_made_for(self, frame: Frame) -> bool:
        """Return whether the statement makes the object of which it calls a method without naming it.

        So it is with `__iter__` in ``for batch in Loader():``.
        """
        if frame.parent is None or self._is_resolved(frame) or not class_of(frame):
            return False
        siblings = self._children.get((self._key(frame.parent), frame.parent_n), ())
        return any(class_of(each) == class_of(frame) and short_name(each) == "__init__" for each in siblings)

    def _is_resolved(self, frame: Frame) -> bool:
        """Return whether the statement that called a frame shows what it passed."""
        called = self._called_name(frame)
        return any(called in piece.sites for piece in self._sources.calling(frame))

    def _read_through(self, key: int, n: int, line: int) -> set[Chain]:
        """Return the variables that a statement passes to watched functions that it does not name."""
        children = [*self._children.get((key, n), ()), *self._generators.get((key, line), ())]
        return {
            chain
            for child in children
            if not self._is_resolved(child) and (function := self._sources.function(child)) is not None
            for name in parameters_of(function)
            for chain in self._held.get((self._key(child), name), ())
        }

    def _is_changed_here(self, piece: Piece, event: Event) -> bool:
        """Return whether a statement that does not bind a variable may have changed its object by a call."""
        key = self._key(event.frame)
        children = [*self._children.get((key, event.n), ()), *self._generators.get((key, event.line), ())]
        if piece.discarded and any(not self._is_resolved(child) and self._holds(child) for child in children):
            return False
        return piece.calls_others(self._watched(event))

    def _holds(self, frame: Frame) -> bool:
        """Return whether it is known by their values what a frame was passed."""
        function = self._sources.function(frame)
        names = parameters_of(function) if function is not None else []
        return any(self._held.get((self._key(frame), name)) for name in names)

    def _watched(self, event: Event) -> set[str]:
        return self._called_from(self._key(event.frame), event.n, event.line)

    def _called_from(self, key: int, n: int, line: int) -> set[str]:
        """Return the names of the functions whose frames a statement has called."""
        children = [*self._children.get((key, n), ()), *self._generators.get((key, line), ())]
        return {self._called_name(child) for child in children}
