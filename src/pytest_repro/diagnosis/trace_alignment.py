"""Alignment of two traces, statement by statement, also after the runs took different branches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pytest_repro.diagnosis.trace_reading import Event, Frame, Trace

#: Distance within which a statement that both runs reach is searched, first in either run and then in one.
WINDOW = 60
FAR = 20_000
#: Events compared in all. Traces without a common statement must not take a minute.
MAX_COMPARISONS = 5_000_000


class Pair(NamedTuple):
    """The same statement in both runs, or None in a run that does not reach it or changes nothing at it."""

    expected: Event | None
    actual: Event | None

    @property
    def one(self) -> Event:
        """Either of the two."""
        event = self.expected or self.actual
        assert event is not None
        return event


class Alignment:
    """Aligns the events of one thread.

    Parameters
    ----------
    expected, actual : list of Event
    """

    def __init__(self, expected: list[Event], actual: list[Event]) -> None:
        self._expected = expected
        self._actual = actual
        #: Frame of the expected run -> the same call in the actual one.
        self.frames: dict[int, Frame] = {}
        #: Frames of the actual run that have a partner -> its number.
        self.partners: dict[int, Frame] = {}
        self.gave_up: bool = False
        self._left = MAX_COMPARISONS

    def pairs(self) -> Iterator[Pair]:
        """Yield all events in order."""
        i = j = 0
        while i < len(self._expected) and j < len(self._actual):
            if self._match(i, j):
                yield self._pair(i, j)
                i, j = i + 1, j + 1
                continue
            skip_i, skip_j = self._resynchronise(i, j)
            yield from self._merge(self._expected[i : i + skip_i], self._actual[j : j + skip_j])
            i, j = i + skip_i, j + skip_j
        yield from (Pair(event, None) for event in self._expected[i:])
        yield from (Pair(None, event) for event in self._actual[j:])

    def _merge(self, expected: list[Event], actual: list[Event]) -> Iterator[Pair]:
        """Yield events of either run alone, those of one call in the order of its statements."""
        j = 0
        for event in expected:
            partner = self.frames.get(event.frame.number)
            while j < len(actual) and actual[j].frame is partner and actual[j].n < event.n:
                yield Pair(None, actual[j])
                j += 1
            yield Pair(event, None)
        yield from (Pair(None, event) for event in actual[j:])

    def _pair(self, i: int, j: int) -> Pair:
        expected, actual = self._expected[i], self._actual[j]
        if expected.is_call:
            self.frames[expected.frame.number] = actual.frame
            self.partners[actual.frame.number] = expected.frame
        return Pair(expected, actual)

    def _match(self, i: int, j: int) -> bool:
        self._left -= 1
        expected, actual = self._expected[i], self._actual[j]
        if expected.token != actual.token:
            return False
        if not expected.is_call:
            return self.frames.get(expected.frame.number) is actual.frame
        above, other = expected.frame.parent, actual.frame.parent
        if above is None or other is None:
            return above is None and other is None
        return self.frames.get(above.number) is other

    def _is_same_step(self, i: int, j: int) -> bool:
        return self._expected[i].step == self._actual[j].step

    def _resynchronise(self, i: int, j: int) -> tuple[int, int]:
        """Return how many events of either run to skip until both reach one statement again."""
        rest_i, rest_j = len(self._expected) - i, len(self._actual) - j
        # In the same iteration if there is one: a branch that is only taken in some looks alike in all.
        for is_strict in (True, False):
            for distance in range(1, WINDOW):
                for skip in range(distance + 1):
                    other = distance - skip
                    if skip >= rest_i or other >= rest_j or (is_strict and not self._is_same_step(i + skip, j + other)):
                        continue
                    if self._match(i + skip, j + other):
                        return skip, other
        for skip in range(WINDOW, min(FAR, max(rest_i, rest_j))):
            if skip < rest_i and self._match(i + skip, j):
                return skip, 0
            if skip < rest_j and self._match(i, j + skip):
                return 0, skip
            if self._left < 0:
                self.gave_up = True
                return rest_i, rest_j
        return min(WINDOW, rest_i), min(WINDOW, rest_j)


class AlignedThread:
    """One thread of two traces, its events in pairs.

    Parameters
    ----------
    expected, actual : Trace
    names : tuple of str
        The thread's name in either.
    """

    def __init__(self, expected: Trace, actual: Trace, names: tuple[str, str]) -> None:
        self.expected: Trace = expected
        self.actual: Trace = actual
        self.alignment: Alignment = Alignment(expected.events[names[0]], actual.events[names[1]])
        self.pairs: list[Pair] = list(self.alignment.pairs())
