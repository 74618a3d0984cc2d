"""Trials of pins: how many runs must be identical with one before chance no longer explains it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from pytest_repro.diagnosis.observing import Prober, Trial
from pytest_repro.sources import registry
from pytest_repro.sources.base import Observation, Source

#: Bound on the probability that a source is named which is not the cause.
ALPHA = 0.005
#: Runs at most for one trial; where runs differ so seldom that more were needed, nothing is named.
MAX_RUNS = 16
#: The same where only the ends of the runs are compared, of which two kinds are identical by chance half of the time.
MAX_RUNS_BY_ENDING = 64
#: Forks executed to see how often they differ by themselves.
FORKS = 4
#: The same for fresh interpreters, which take long, and are identical by chance at most.
INTERPRETERS = 2
#: Identical runs after which it is worth checking whether runs without the pin still differ.
IDENTICAL = 3
#: Runs with a source pinned and addresses shifted, once it seems to be the cause.
SHIFTED_AGAIN = 2
#: Identical runs, the first included, that confirm a cause which was found elsewhere.
CONFIRMING = 3


class SeldomError(Exception):
    """Runs differ too seldom to conclude anything from identical ones."""


class IdenticalError(Exception):
    """Runs are identical now with nothing pinned."""


class Rate:
    """Count of runs that differed, of those compared with another one under the same condition.

    No run may be counted because it differed: a test whose runs are all identical is not diagnosed at all.
    """

    def __init__(self, differing: int = 0, compared: int = 0, max_runs: int = MAX_RUNS) -> None:
        self.differing: int = differing
        self.compared: int = compared
        self._max_runs = max_runs

    def add(self, differing: int, compared: int) -> None:
        """Take more runs into account."""
        self.differing += differing
        self.compared += compared

    @property
    def needed(self) -> int | None:
        """Number of runs that must be identical, the first included, or None if that is too many.

        The rate at which runs differ is unknown. What the counts leave possible is a beta distribution, with half a
        run added to either side (Jeffreys' prior). By that, n more are identical by chance with the probability
        ``product((b + k) / (a + b + k) for k in range(n))``.
        """
        a, b = self.differing + 0.5, self.compared - self.differing + 0.5
        chance = 1.0
        for k in range(self._max_runs - 1):
            chance *= (b + k) / (a + b + k)
            if chance <= ALPHA:
                return k + 2
        return None


class Way(NamedTuple):
    """A way to execute runs: in fresh interpreters or forks, with sources recorded or not, repeated in one process."""

    spawn: bool = False
    record_sources: bool = False
    repeats: int = 1


FIRST_RUNS, SECOND_RUNS = Way(), Way(repeats=2)


class Trials:
    """Executes runs with pins, and runs without any to compare with.

    Parameters
    ----------
    prober : Prober
    differing, compared : int
        Of the test's own runs.
    in_interpreters : bool
        Whether only fresh interpreters differ.
    max_runs : int
        For one trial.
    """

    def __init__(
        self, prober: Prober, differing: int, compared: int, *, in_interpreters: bool, max_runs: int = MAX_RUNS
    ) -> None:
        self.prober: Prober = prober
        self._max_runs = max_runs
        # One of the test's own runs differed, or there would be no diagnosis.
        self.rate: Rate = Rate(max(0, differing - 1), max(0, compared - 1), max_runs)
        self.in_interpreters = in_interpreters
        self.first: Observation | None = None
        #: Way of executing runs -> the rate at which those without a pin differ.
        self._controls: dict[Way, Rate] = {}

    def count_differing(self, base: Observation, others: Iterable[Observation]) -> int:
        """Count the runs that failed or differ from the first."""
        return sum(bool(other.failure) or self.prober.differ(base, other) for other in others)

    def try_sources(self, sources: Sequence[Source], *, is_seen: bool = True, is_known: bool = False) -> Trial | None:
        """Pin sources in as many runs as are significant, and return None if one of those differs.

        Parameters
        ----------
        sources : sequence of Source
        is_seen : bool
            Whether one was seen in use. Others take twice as many runs: of many that are tried, one is lucky.
        is_known : bool
            Whether they were the cause of a difference at the same line before. That makes them likely enough for
            :data:`CONFIRMING` runs, if runs without the pin have always differed.
        """
        pins = tuple(source.name for source in sources)
        spawn = self.in_interpreters or any(source.needs_interpreter for source in sources)
        # Recording makes objects too, and moves new ones.
        record_sources = any(source.fixes_addresses for source in sources)
        first = self.prober.observe(pins, spawn=spawn, record_sources=True)
        if first.failure:
            return None
        others = (
            self.prober.observe(pins, spawn=spawn, record_sources=record_sources) for _ in range(2 * self._max_runs)
        )
        way = Way(spawn, record_sources)
        if is_known and self._always_differs:
            return self._confirm(first, others, way)
        trial = self._compare(first, others, way, times=1 if is_seen or spawn else 2)
        if trial is None or spawn or record_sources or not self._depends_on_addresses(first, pins):
            return trial
        return None

    def try_again(
        self,
        first: Observation,
        sources: Sequence[Source] = (),
        restores: Iterable[str] = (),
        *,
        is_known: bool = False,
    ) -> Trial | None:
        """Do the same for second runs in one process, which must be identical with a first one."""
        record_sources = any(source.fixes_addresses for source in sources)
        pins, names = tuple(source.name for source in sources), list(restores)
        others = (
            self.prober.observe(pins, repeats=2, restores=names, record_sources=record_sources)
            for _ in range(self._max_runs)
        )
        way = Way(False, record_sources, repeats=2)
        return (
            self._confirm(first, others, way)
            if is_known and self._always_differs
            else self._compare(first, others, way)
        )

    @property
    def confirming(self) -> int:
        """Number of runs that must be identical to a first one to confirm the line of a source that is the cause."""
        return CONFIRMING - 1 if self._always_differs else self._needed - 1

    @property
    def _always_differs(self) -> bool:
        return self.rate.differing == self.rate.compared

    def _confirm(self, first: Observation, others: Iterator[Observation], way: Way) -> Trial | None:
        """Return the trial if a few runs are identical. The two runs with which the search began have differed."""
        differing = self.count_differing(first, islice(others, CONFIRMING - 1))
        return None if differing else Trial(CONFIRMING, 1, 1, is_second=way.repeats > 1)

    def _depends_on_addresses(self, first: Observation, pins: tuple[str, ...]) -> bool:
        """Return whether runs were identical only because they share addresses, as any pin may cause by accident."""
        provoking = [source.name for source in registry.SOURCES if source.is_provoked]
        shifted = (self.prober.observe((*pins, name)) for name in provoking for _ in range(SHIFTED_AGAIN))
        return self.count_differing(first, list(shifted)) > 0

    def _compare(self, first: Observation, others: Iterable[Observation], way: Way, times: int = 1) -> Trial | None:
        """Compare run by run until enough are identical, which is known once runs without the pin were executed."""
        identical = 1
        for other in others:
            if other.failure:
                return None
            if self.prober.differ(first, other):
                self.rate.add(1, identical)
                return None
            identical += 1
            if identical >= IDENTICAL:
                self.execute_control(way)
            if identical >= self._needed * times:
                control = self._controls.get(way, Rate())
                return Trial(identical, control.differing, control.compared, is_second=way.repeats > 1)
        raise SeldomError

    @property
    def _needed(self) -> int:
        return self.rate.needed or self._max_runs

    def execute_control(self, way: Way = FIRST_RUNS) -> None:
        """Execute runs without a pin, as many as were identical with one, and count how many differ.

        Forks of one process share addresses as long as nothing else is done between them, and may be identical for
        that reason alone.

        Raises
        ------
        IdenticalError, SeldomError
        """
        rate = self._controls.setdefault(way, Rate())
        # A new first run for forks: of two that differ, one may be the odd one that came first.
        base = self.first if way.spawn and self.in_interpreters else None
        while rate.compared < (INTERPRETERS if way.spawn else min(max(FORKS, self._needed), self._max_runs)):
            # Recorded as the others are: recording makes objects, and so moves those of the test.
            base = base or self.prober.observe(spawn=way.spawn, record_sources=way.record_sources)
            others = [self.prober.observe(**way._asdict()) for _ in range(2)]
            differing = self.count_differing(base, others)
            rate.add(differing, len(others))
            self.rate.add(differing, len(others))
        if not rate.differing and not way.spawn:
            raise IdenticalError
        if self.rate.needed is None:
            raise SeldomError
