"""Search for the line at which a source must be pinned, once it is known to be a cause."""

from __future__ import annotations

from pytest_repro.diagnosis.observing import PinnedLine
from pytest_repro.diagnosis.significance import Trials
from pytest_repro.model import Location
from pytest_repro.sources.base import STARTED, Observation, Sighting, Source
from pytest_repro.sources.sightings import AT

#: Lines at which alone a source is pinned.
MAX_LINES = 8


class LineSearch:
    """The search for the lines of one finding.

    Parameters
    ----------
    trials : Trials
    place : Location or None
        Of the first value that differs.
    pair : (Observation, Observation)
        Two runs that differ.
    """

    def __init__(self, trials: Trials, place: Location | None, pair: tuple[Observation, Observation]) -> None:
        self._trials, self._place, self._pair = trials, place, pair

    def find(self, source: Source, others: list[Source]) -> PinnedLine | None:
        """Return the line of several that reach a source at which it must be pinned, while the others are pinned.

        None if there is no choice: one line reaches it, or it alone is the cause and the first value that differs is
        at a line that reaches it. With several causes that value is only one's.
        """
        lines = {
            (e["file"], e["line"]): e
            for run in self._pair
            for e in run.sightings(*source.kinds)
            if e["kind"] != STARTED
        }
        place = self._place
        is_placed = place is not None and (place.file, place.line) in lines
        if len(lines) < 2 or (is_placed and not others):
            return None
        # At the first value that differs, in its function, then elsewhere, and the last of those before the first.
        entries = list(reversed(lines.values()))
        entries.sort(key=lambda e: place is None or (e["file"], e["function"]) != (place.file, place.function))
        entries.sort(key=lambda e: place is None or (e["file"], e["line"]) != (place.file, place.line))
        for entry in entries[:MAX_LINES]:
            if self._are_identical_with([entry], source, others):
                return PinnedLine(entry)
        # It takes several lines. One of them is a cause if the runs differ with the source pinned at all but that one.
        if len(entries) <= MAX_LINES and self._are_identical_with(entries, source, others):
            for entry in entries:
                rest = [other for other in entries if other is not entry]
                if self._are_identical_with(rest, source, others) is False:
                    return PinnedLine(entry, is_alone=False)
        return PinnedLine()

    def _are_identical_with(self, entries: list[Sighting], source: Source, others: list[Source]) -> bool | None:
        """Return whether runs are identical with a source pinned at some lines only, and others at all.

        None if one failed.
        """
        pins = [f"{source.name}{AT}{entry['file']}:{entry['line']}" for entry in entries]
        pins += [other.name for other in others]
        spawn = self._trials.in_interpreters or any(other.needs_interpreter for other in others)
        first = self._trials.prober.observe(pins, spawn=spawn)
        for _ in range(0 if first.failure else self._trials.confirming):
            run = self._trials.prober.observe(pins, spawn=spawn)
            if run.failure or self._trials.prober.differ(first, run):
                return None if run.failure else False
        return None if first.failure else True
