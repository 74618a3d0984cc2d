"""The first statement whose value differs between two traces and reaches the result."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from pytest_repro.capturing.live import ELEMENTS
from pytest_repro.diagnosis.added_draws import AddedDraw, find_added_draw
from pytest_repro.diagnosis.argument_changes import find_argument_changes
from pytest_repro.diagnosis.batch_statistics import Neighbours, find_longest, find_reduced, find_statistic, is_crossed
from pytest_repro.diagnosis.iteration_order import is_loop_reordered
from pytest_repro.diagnosis.needed_parts import Compared
from pytest_repro.diagnosis.places import location_at
from pytest_repro.diagnosis.restarted_loops import find_restarted_loop
from pytest_repro.diagnosis.resumption import Unrestored, find_unrestored
from pytest_repro.diagnosis.trace_alignment import AlignedThread
from pytest_repro.diagnosis.trace_differences import Difference, collect_differences
from pytest_repro.diagnosis.trace_flow import column_of, find_flowing
from pytest_repro.diagnosis.trace_reading import Event, Frame, Trace, Value, load_trace
from pytest_repro.diagnosis.trace_statements import find_cut, find_unwritten, is_compiled_in_one
from pytest_repro.model import FirstDivergence, Location, PlaceFinding, TraceRow
from pytest_repro.tracing.statements import read_source

ABSENT = "(nothing)"
#: A set that was seen to be reordered only by its elements, one by one.
ITERATION = "iteration"


class TracePair:
    """Two watched runs, read once.

    Parameters
    ----------
    expected_trace, actual_trace : Path
        Of :class:`pytest_repro.tracing.watching.watched`.
    root : Path, optional
        Folder that files are named relative to.

    Raises
    ------
    TraceError
        If a trace cannot be read.
    """

    def __init__(self, expected_trace: Path, actual_trace: Path, *, root: Path | None = None) -> None:
        self._expected, self._actual = load_trace(expected_trace), load_trace(actual_trace)
        self._root = root
        self._names = _pair_threads(self._expected, self._actual)
        self._aligned: list[AlignedThread] = []
        self._differing: set[str] = set()
        #: Thread -> number of the pair whose difference is the first that reaches the result.
        self._first: dict[int, int] = {}

    def find_first(
        self, *, ignore: Collection[str] = (), readings: Collection[str] = (), compared: Compared | None = None
    ) -> PlaceFinding:
        """Find where the runs part.

        Parameters
        ----------
        ignore : collection of str
            Arguments of the test that were varied on purpose. Their values, plain copies of them and the branches taken
            because of them do not count as a divergence.
        readings : collection of str
            Local variables of the test that hold only readings of the clock. They do not count either.
        compared : Compared, optional
            The artifacts that differ, and the test function. Without it the returned value and all captured ones count.

        Returns
        -------
        PlaceFinding
            `first` is None where the traces show no value that differs.

        Notes
        -----
        The value named is the first of those from which what was compared follows, statement by statement, by the
        names that statements mention: the returned value, captured values, or the local variables of the test at its
        end. A value that is overwritten by an equal one, or only read for a log, is not named. Where the flow cannot
        be followed, the first value that differs and that is read anywhere is named, and `flows` is False.
        """
        first: FirstDivergence | None = None
        incomplete = _why_incomplete(self._expected, self._actual)
        is_apart = is_older = False
        # The main thread first: it shows the results of the others at the latest when it takes them.
        for number, thread in enumerate(self._threads()):
            if thread.alignment.gave_up:
                incomplete.append("the runs took branches too different to be aligned to their ends")
            differences, agreed = collect_differences(thread, frozenset(ignore), frozenset(readings))
            self._differing |= {d.name for d in differences if d.is_seen_in(thread.pairs[d.index])}
            if differences:
                chosen, flows = find_flowing(thread, differences, agreed, compared)
                if chosen is None:
                    is_apart = True
                    continue
                if flows:
                    self._first[number] = chosen.index
                is_older = any(d.kind == "found" and d.index == chosen.index for d in differences)
                is_walked = is_loop_reordered(thread, chosen, differences)
                first = _describe(chosen, flows, self._root, ITERATION if is_walked else _how_reordered(chosen))
                break
        if is_apart and first is None:
            incomplete.append("nothing that was compared depends on the values that were seen to differ")
        return PlaceFinding(first, tuple(dict.fromkeys(incomplete)), is_older)

    def find_unrestored(self) -> list[Unrestored]:
        """Return the state that one run alone did not restore when it was resumed. Call :meth:`find_first` before."""
        return next((find_unrestored(thread, self._differing) for thread in self._threads()), [])

    def find_added_draw(self, argument: str) -> AddedDraw | None:
        """Return the call by which one run draws more from a generator that both draw from later.

        Call :meth:`find_first` before.
        """
        found = (find_added_draw(thread, argument, self._first.get(n)) for n, thread in enumerate(self._threads()))
        return next(filter(None, found), None)

    def find_restarted_loop(self) -> Location | None:
        """Return the loop that the second run starts anew where the first one continues."""
        found = next(filter(None, map(find_restarted_loop, self._threads())), None)
        return None if found is None else _locate(found)

    def find_neighbours(self, sizes: tuple[int, int] | None = None) -> Neighbours:
        """Return where the second run makes a row's result depend on the other rows, and the first run does not.

        Parameters
        ----------
        sizes : (int, int), optional
            Of the batches in the two runs.
        """
        found: list[Event | None] = [
            next(filter(None, (find(_differing(thread)) for thread in self._threads())), None)
            for find in (find_statistic, find_longest)
        ]
        if sizes:
            found[0] = found[0] or find_reduced(self._both(), sizes)
            found.append(next((actual for one, actual in self._both() if is_crossed(one, actual, sizes)), None))
        return Neighbours(*(None if event is None else _locate(event) for event in found))

    def find_compiled(self) -> Location | None:
        """Return where only one run takes a compiled function."""
        found = (_locate(actual) for expected, actual in self._both() if is_compiled_in_one(expected, actual))
        return next(found, None)

    def find_cut(self, argument: str) -> str:
        """Return how an argument cuts data in the second run, as :func:`.trace_statements.find_cut` does."""
        return find_cut(self._of_second(), argument)

    def find_unwritten(self) -> Location | None:
        """Return where the second run makes an array without filling it, if only one statement does."""
        event = find_unwritten(self._of_second())
        return None if event is None else _locate(event)

    def find_argument_changes(self) -> dict[str, Location]:
        """Return where the first run changes the value of each argument of the test that it changes."""
        return find_argument_changes(self._expected)

    def side_by_side(self, around: FirstDivergence | None, *, rows: int = 12) -> list[TraceRow]:
        """Lay the traces side by side around a place.

        Parameters
        ----------
        around : FirstDivergence or None
            None shows the beginning.
        rows : int
            Statements before and after the place.
        """
        result: list[TraceRow] = []
        middle: int | None = None
        for thread in self._threads():
            for pair in thread.pairs:
                row = _row(pair.expected, pair.actual, self._root)
                if middle is None and around is not None and row.differs and _is_at(row, pair.one, around):
                    middle = len(result)
                result.append(row)
                if middle is not None and len(result) > middle + rows:
                    break
            if middle is not None:
                break
        start = max(0, (middle or 0) - rows)
        return result[start : (middle or 0) + rows + 1]

    def _both(self) -> Iterator[tuple[Event, Event]]:
        """Yield the events that both runs have."""
        for thread in self._threads():
            for expected, actual in thread.pairs:
                if expected is not None and actual is not None:
                    yield expected, actual

    def _of_second(self) -> Iterator[Event]:
        return (actual for thread in self._threads() for _, actual in thread.pairs if actual is not None)

    def _threads(self) -> Iterator[AlignedThread]:
        """Yield the threads, each aligned when it is first reached."""
        for number, names in enumerate(self._names):
            if number == len(self._aligned):
                self._aligned.append(AlignedThread(self._expected, self._actual, names))
            yield self._aligned[number]


def _differing(thread: AlignedThread) -> Iterator[Event]:
    """Yield the second run's statements with another result, or that it alone reaches."""
    for pair in thread.pairs:
        if pair.actual is not None and _digests(pair.expected) != _digests(pair.actual):
            yield pair.actual


def _locate(event: Event) -> Location:
    file, line, function = _place(event)
    return location_at(file, line, function.rpartition(".")[2])


def _is_at(row: TraceRow, event: Event, around: FirstDivergence) -> bool:
    return (row.file, row.line, row.function) == (around.file, around.line, around.function) and (
        around.step is None or event.step == around.step
    )


def _pair_threads(expected: Trace, actual: Trace) -> list[tuple[str, str]]:
    """Pair the threads by name, in the order of the numbers in their names, which continue from run to run."""
    one, other = sorted(expected.events, key=_thread_key), sorted(actual.events, key=_thread_key)
    return list(zip(one, other, strict=False))


def _thread_key(name: str) -> tuple[bool, str, tuple[int, ...]]:
    numbers = tuple(int(digits[-9:]) for digits in re.findall(r"\d+", name))
    return (bool(name), re.sub(r"\d+", "", name), numbers)


def _why_incomplete(expected: Trace, actual: Trace) -> list[str]:
    notes = [*expected.notes, *actual.notes]
    if not (expected.is_complete and actual.is_complete):
        notes.append("a trace was cut off before its run ended")
    return notes


def _describe(difference: Difference, flows: bool, root: Path | None, reordered: str) -> FirstDivergence:
    event = difference.event
    file, line, function = _place(event)
    name, expected, actual = _name_and_texts(difference)
    return FirstDivergence(
        file=_relative(file, root),
        line=line,
        function=function,
        name=name,
        source=read_source(file, line),
        expected=expected,
        actual=actual,
        kind=difference.kind,
        step=event.step,
        module=difference.module,
        op=difference.op,
        flows=flows,
        callers=tuple(_callers(event, root)),
        reordered=reordered,
        column=column_of(difference),
    )


def _how_reordered(difference: Difference) -> str:
    """Return how the elements of a set are hashed, if both runs have the same elements in another order."""
    if difference.expected is None or difference.actual is None:
        return ""
    one, other = (value.parts.get(ELEMENTS, ("", ""))[0] for value in (difference.expected, difference.actual))
    return one.partition(":")[0] if one == other else ""


def _place(event: Event) -> tuple[str, int, str]:
    """Return a statement's place. An argument's is the call that passed it, if the user's code made the call."""
    frame = event.frame
    if event.is_call and frame.parent is not None and frame.call_line:
        return frame.parent.code.file, frame.call_line, frame.parent.code.function
    return frame.code.file, event.line, frame.code.function


def _callers(event: Event, root: Path | None) -> list[tuple[str, int, str]]:
    frame: Frame | None = event.frame.parent if event.is_call else event.frame
    found: list[tuple[str, int, str]] = []
    while frame is not None and frame.parent is not None and len(found) < 20:
        found.append((_relative(frame.parent.code.file, root), frame.call_line, frame.parent.code.function))
        frame = frame.parent
    return found


def _relative(file: str, root: Path | None) -> str:
    if root is None:
        return file
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else file


def _name_and_texts(difference: Difference) -> tuple[str, str, str]:
    name, expected, actual = difference.name, difference.expected, difference.actual
    if difference.kind == "operation":
        return name, "", ""  # its results have no name
    if expected is not None and actual is not None:
        # A library's private part (`_n_threads`) says less than a public one.
        parts = sorted(expected.parts.items(), key=lambda item: (item[0] not in difference.needed, item[0][0] == "_"))
        for part, (digest, text) in parts:
            other = actual.parts.get(part)
            if other is not None and other[0] != digest and part != ELEMENTS:
                joined = f"{name}{part}" if part.startswith("[") else f"{name}.{part}"
                return (joined, *_distinguish(text, digest, other[1], other[0]))
    return (
        name,
        *_distinguish(
            expected.text if expected is not None else ABSENT,
            expected.digest if expected is not None else "",
            actual.text if actual is not None else ABSENT,
            actual.digest if actual is not None else "",
        ),
    )


def _distinguish(expected: str, expected_digest: str, actual: str, actual_digest: str) -> tuple[str, str]:
    """Add the beginning of their digests to two values with the same text."""
    if expected != actual:
        return expected, actual
    return f"{expected} #{expected_digest[:8]}", f"{actual} #{actual_digest[:8]}"


def _row(expected: Event | None, actual: Event | None, root: Path | None) -> TraceRow:
    event = expected or actual
    assert event is not None
    file, line, function = _place(event)
    source = (read_source(file, line).splitlines() or [""])[0]
    one, other = _describe_changes(expected), _describe_changes(actual)
    return TraceRow(_relative(file, root), line, function, source, one, other, _digests(expected) != _digests(actual))


def _digests(event: Event | None) -> dict[str, str] | None:
    return {name: value.digest for name, value in event.changes.items()} if event is not None else None


def _describe_changes(event: Event | None) -> str:
    if event is None:
        return ""
    shown: list[tuple[str, Value]] = list(event.changes.items())[:4]
    return ", ".join(f"{name} = {value.text}" for name, value in shown)
