"""The bisection: the two ends, the search between them, the border once more, and the operation that differs there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from pytest_repro.bisecting.observing import (
    Change,
    Observation,
    Seat,
    UnstableError,
    compare,
    observe,
    run_session,
)
from pytest_repro.bisecting.results import Bisected, Step
from pytest_repro.bisecting.search import Border, Side, find_border
from pytest_repro.environments.environment import EnvironmentUnusableError
from pytest_repro.errors import ReproError
from pytest_repro.model import FirstDivergence

#: Longest reason of a step that is shown [characters].
MAX_REASON = 300


class Series(Protocol):
    """What is bisected: an ordered series, for each of whose members there is a place to run a test."""

    @property
    def names(self) -> list[str]:
        """The members' names."""

    def open(self, index: int) -> AbstractContextManager[Seat]:
        """Make the place of a member, for as long as the context lasts."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be found.

    Attributes
    ----------
    nodeid : str
        The test, as pytest names it from where sessions are started.
    subject : str
        The package's name, or ``commits``.
    folder : Path
        For the files of sessions.
    runs : int
        Runs of the test in each session.
    is_exact : bool
        Whether to compare bit for bit, whatever the test's tolerance allows.
    timeout_s : float
        For one session.
    """

    nodeid: str
    subject: str
    folder: Path
    runs: int = 2
    is_exact: bool = False
    timeout_s: float = 3600.0


class Bisection:
    """Runs a test in members of a series until the border between its results is found.

    Parameters
    ----------
    series : Series
    request : Request
    announce : callable
        Takes each step when it has ended.
    """

    def __init__(self, series: Series, request: Request, announce: Callable[[Step], object]) -> None:
        self._series, self._request, self._announce = series, request, announce
        self._steps: list[Step] = []
        self._sessions = 0
        self._observed: dict[int, Observation] = {}

    def run(self) -> Bisected:
        """Return the border.

        Raises
        ------
        UnstableError
            If the test has no single result at an end or at the border.
        EnvironmentUnusableError
            If it has no result at an end.
        """
        names = self._series.names
        last = len(names) - 1
        self._observe_end(0)
        change = self._observe_end(last)
        found = Bisected(
            self._request.nodeid, self._request.subject, names[0], names[last], len(names), "same", tuple(self._steps)
        )
        if not change.differs:
            return replace(found, summary=change.text)
        border = find_border(len(names), self._probe)
        change = self._confirm(border)
        between = tuple(names[border.last_same + 1 : border.first_different])
        return replace(
            found,
            status="range" if between else "found",
            steps=tuple(self._steps),
            last_same=names[border.last_same],
            first_different=names[border.first_different],
            skipped=between,
            summary=change.text,
            differences=change.differences,
            table=change.table,
            notes=tuple(self._find_notes(border)),
        )

    def index_of(self, name: str) -> int:
        """Return the place of a member in the series."""
        return self._series.names.index(name)

    def _observe_end(self, index: int) -> Change:
        """Return how the result at an end differs from that of the first member."""
        name = self._series.names[index]
        with self._step(index) as outcome:
            try:
                self._observed[index] = self._observe(index, outcome)
            except (EnvironmentUnusableError, UnstableError) as error:
                outcome.skip(_one_line(error))
                end = "good" if index == 0 else "bad"
                is_unstable = isinstance(error, UnstableError)
                begin = "the test is unstable" if is_unstable else "there is no result to compare with"
                raise type(error)(f"{begin}: in {name}, the {end} end, {_one_line(error)}") from None
            change = self._change(index)
            outcome.set_change(change)
        return change

    def _probe(self, index: int) -> Side:
        with self._step(index) as outcome:
            try:
                self._observed[index] = self._observe(index, outcome)
            except (EnvironmentUnusableError, UnstableError) as error:
                outcome.skip(_one_line(error))
                return Side.UNTESTABLE
            change = self._change(index)
            outcome.set_change(change)
        return Side.DIFFERS if change.differs else Side.SAME

    def _confirm(self, border: Border) -> Change:
        """Run both sides of the border once more, and return the difference between them."""
        again = []
        for index, differs in ((border.last_same, False), (border.first_different, True)):
            name = self._series.names[index]
            with self._step(index) as outcome:
                try:
                    found = self._observe(index, outcome)
                except (EnvironmentUnusableError, UnstableError) as error:
                    outcome.skip(_one_line(error))
                    raise UnstableError(
                        f"the test is unstable: {name} gave a result, and when repeated {_one_line(error)}"
                    ) from None
                change = compare(found, self._observed[0], is_exact=self._request.is_exact)
                outcome.set_change(change)
            if change.differs is not differs:
                words = ("differed", "was the same") if differs else ("was the same", "differed")
                raise UnstableError(
                    f"the test is unstable: the result of {name} {words[0]}, and {words[1]} when repeated"
                )
            again.append(found)
        before, after = again
        # The test's tolerance may hold between neighbours and not for the whole way.
        change = compare(after, before, is_exact=self._request.is_exact)
        return change if change.differs else self._change(border.first_different)

    def _find_notes(self, border: Border) -> Iterator[str]:
        """Yield what the finding assumes."""
        names, last = self._series.names, len(self._series.names) - 1
        if border.first_different != last:
            later = compare(
                self._observed[last], self._observed[border.first_different], is_exact=self._request.is_exact
            )
            if later.differs:
                yield (
                    f"the result changes again later: that of {names[last]} is not that of "
                    f"{names[border.first_different]} ({later.text})"
                )
        untried = len(names) - len({step.name for step in self._steps})
        if untried:
            noun = "commits" if self._request.subject == "commits" else "releases"
            yield f"{untried} of {len(names)} {noun} were not run: assumed to be like their neighbours"
        if self._observed[0].outcome != "passed" or self._observed[0].record is None:
            yield "the test returns nothing in the good end, so only its outcome was compared"

    def _observe(self, index: int, outcome: _Outcome) -> Observation:
        request = self._request
        with self._series.open(index) as seat:
            outcome.origin = seat.origin
            return observe(seat, request.nodeid, self._next_folder(), runs=request.runs, timeout_s=request.timeout_s)

    def _change(self, index: int) -> Change:
        return compare(self._observed[index], self._observed[0], is_exact=self._request.is_exact)

    def _next_folder(self) -> Path:
        self._sessions += 1
        return self._request.folder / f"session-{self._sessions}"

    @contextmanager
    def _step(self, index: int) -> Iterator[_Outcome]:
        """Measure and announce a step, also one that ends the bisection."""
        started = time.monotonic()
        outcome = _Outcome()
        try:
            yield outcome
        finally:
            if outcome.result:
                seconds = round(time.monotonic() - started, 1)
                name, text = self._series.names[index], outcome.text[:MAX_REASON]
                is_repeat = any(step.name == name for step in self._steps)
                step = Step(name, outcome.result, text, seconds, outcome.origin, is_repeat)
                self._steps.append(step)
                self._announce(step)

    def find_operation(self, border: Sequence[str], options: Sequence[str] = ()) -> tuple[FirstDivergence | None, str]:
        """Return the first value of the user's code that differs between two environments, or why it is not known."""
        request = self._request
        before, after = map(self.index_of, border)
        with self._series.open(before) as seat, self._series.open(after) as other:
            if set(",:") & set(other.python[2:]):  # a drive's colon is its second character
                return None, "the path of the environment has characters that the axis python cannot take"
            across = [f"--repro-across=python={other.python}", "--repro-all", "--repro-diagnose", *options]
            try:
                session, _ = run_session(seat, request.nodeid, self._next_folder(), across, request.timeout_s)
            except ReproError as error:
                return None, _one_line(error)
        test = session.tests[0] if session.tests else None
        if test is None or test.diagnosis is None or test.diagnosis.first_divergence is None:
            reason = test.reason if test is not None and test.reason else "no statement differs"
            return None, reason
        return test.diagnosis.first_divergence, ""


@dataclass(slots=True)
class _Outcome:
    """The result of a step, as far as it is known."""

    result: Literal["same", "differs", "skipped", ""] = ""
    text: str = ""
    origin: Literal["made", "kept", ""] = ""

    def skip(self, reason: str) -> None:
        self.result, self.text = "skipped", reason

    def set_change(self, change: Change) -> None:
        self.result, self.text = "differs" if change.differs else "same", change.text


def _one_line(error: Exception) -> str:
    """Return an error's message in a line. That of an installer ends with what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    errors = [line for line in lines[1:] if line.startswith(("ERROR", "error", "×", "╰"))]
    return " ".join([lines[0], *(errors or lines[1:])[-1:]])[:MAX_REASON] if lines else type(error).__name__
