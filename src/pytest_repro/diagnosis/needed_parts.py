"""Parts of variables that a compared value is made from, and the calls of which it is made."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_repro.diagnosis.statement_flow import Piece
from pytest_repro.diagnosis.syntax_names import Chain, parameters_of, parse_chain
from pytest_repro.diagnosis.trace_alignment import AlignedThread
from pytest_repro.diagnosis.trace_frames import Scope, TracedCalls, class_of, short_name
from pytest_repro.diagnosis.trace_reading import Frame


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


class NeededParts(TracedCalls):
    """What is needed at the point that a walk back from the end of a run has reached.

    Parameters
    ----------
    thread : AlignedThread
    compared : Compared
    """

    def __init__(self, thread: AlignedThread, compared: Compared) -> None:
        super().__init__(thread)
        self._compared = compared
        #: Scope -> variables and their parts that the result is made from, at the point reached so far.
        self._needed: dict[Scope, set[Chain]] = defaultdict(set)
        #: Statement, by frame and number -> names of the called functions that matter ("*" for all), and the parts of
        #: what they return.
        self._calls: dict[tuple[int, int], dict[str, set[Chain]]] = defaultdict(dict)
        #: The same by frame and line, for generators, which go on in later executions of the line that began them.
        self._lines: dict[tuple[int, int], dict[str, set[Chain]]] = defaultdict(dict)
        self._entered: set[int] = set()
        #: Whether the result is made from what a statement reads from a file, which earlier ones may have written.
        self._reads_file = False
        #: Whether it is made from what an optimizer's step changed, by gradients that show in no variable.
        self._steps = False

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
        return [needed for needed in self._needed_of(frame, chain[0]) if overlap(needed, chain)]

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


def overlap(one: Chain, other: Chain) -> bool:
    count = min(len(one), len(other))
    return one[:count] == other[:count]
