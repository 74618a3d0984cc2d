"""Search for the cause of runs that differ under one condition.

Two observations come first: whether first runs of fresh processes differ, and whether a second run in one process does.
Then one source at a time is pinned. A cause is named only where that made more runs identical than chance explains,
while runs without the pin still differ, or where restoring one leaked state did.

Pure logic over a :class:`~pytest_repro.diagnosis.observing.Prober`, which executes the runs, and over the registered
sources, which are asked for their properties: none is named here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pytest_repro.diagnosis.observing import Finding, Memory, Prober, Search, Trial
from pytest_repro.diagnosis.pinned_lines import LineSearch
from pytest_repro.diagnosis.significance import (
    FORKS,
    MAX_RUNS,
    MAX_RUNS_BY_ENDING,
    SECOND_RUNS,
    IdenticalError,
    SeldomError,
    Trials,
)
from pytest_repro.errors import OutOfTimeError
from pytest_repro.model import JSON, Location
from pytest_repro.sources import registry
from pytest_repro.sources.base import Observation, Situation, Source

#: First runs of fresh processes compared until two differ, and the same where only their ends are compared.
MAX_OBSERVATIONS, MAX_OBSERVATIONS_BY_ENDING = 6, 24
#: Runs that are identical to each other with files moved aside, and differ from runs that find them.
LEFT_RUNS = 3
#: Runs with a source provoked: so many at first, and so many if not all of those differ. Runs that differ by chance
#: would pass for provoked ones with a probability below :data:`~pytest_repro.diagnosis.significance.ALPHA`.
FEW_PROVOKED, MAX_PROVOKED = 4, 8
#: States restored one by one.
MAX_RESTORED = 6
#: States named where only restoring all of them helps.
MAX_TOGETHER = 3


class Procedure:
    """The search for one test.

    Parameters
    ----------
    prober : Prober
    differing, compared : int
        Of the test's own runs: how many differed from run 1.
    needs_spawn : bool
        Whether the runs that differed were fresh interpreters, which differ in hashes and addresses too.
    may_leak : bool
        Whether they shared one process, in which state may have leaked.
    locate : callable (Search) -> Location or None, optional
        Finds the first value that differs, as soon as it is known which runs differ.
    memory : Memory, optional
    by_ending : bool
        Whether only the ends of the runs are compared.
    """

    def __init__(
        self,
        prober: Prober,
        differing: int,
        compared: int,
        *,
        needs_spawn: bool,
        may_leak: bool,
        locate: Callable[[Search], Location | None] = lambda _: None,
        memory: Memory | None = None,
        by_ending: bool = False,
    ) -> None:
        self.prober: Prober = prober
        self.may_leak: bool = may_leak
        self._max_observations = MAX_OBSERVATIONS_BY_ENDING if by_ending else MAX_OBSERVATIONS
        self.search: Search = Search()
        self._locate = locate
        self._place: Location | None = None
        self._memory = memory or Memory()
        #: Sources and states that are to be tried still.
        self._pending: list[str] = []
        max_runs = MAX_RUNS_BY_ENDING if by_ending else MAX_RUNS
        self._trials = Trials(prober, differing, compared, in_interpreters=needs_spawn, max_runs=max_runs)
        self._searched = [source for source in registry.SOURCES if source.is_searched]
        self._provoked = [source for source in registry.SOURCES if source.is_provoked]
        self._has_provoked = False
        #: Runs that are identical to the first.
        self._identical = 1

    def run(self) -> Search:
        """Search until a cause is found, all is ruled out, or the budget is spent."""
        try:
            self._search()
        except OutOfTimeError:
            self.search.complete, self.search.is_out_of_time = False, True
            if not self.search.findings:  # a cause ends the search: only details of it are missing
                self.search.not_tried = [name for name in self._pending if name not in self.search.ruled_out]
        except SeldomError:
            self.search.notes.append("the runs differ too seldom for a probe to distinguish a cause from chance")
            self.search.complete = False
        self.search.is_spawned = self._in_interpreters
        return self.search

    @property
    def _in_interpreters(self) -> bool:
        """Whether only fresh interpreters differ, as far as is known."""
        return self._trials.in_interpreters

    def _search(self) -> None:
        if self._in_interpreters and self._search_forks():
            return
        first = self.prober.observe(record_sources=True, spawn=self._in_interpreters)
        if first.failure:
            self.search.notes.append(f"a run executed for the diagnosis failed by itself: {first.failure}")
            self.search.complete = False
            return
        second = self.prober.observe(record_sources=True, spawn=self._in_interpreters)
        if self.prober.differ(first, second):
            self._search_between(first, second)
            return
        if self.may_leak:
            again = self.prober.observe(record_sources=True, repeats=2)
            if not again.failure and self.prober.differ(first, again):
                # Two fresh runs may be identical by chance, and a second run in one process only seems to differ.
                if not self._search_more(first, FORKS):
                    self._search_within(first, again)
                return
        if self._search_outlasting(first) or self._search_more(first, self._max_observations - 1 - self._identical):
            return
        self.search.where = "neither"
        runs = self._identical + 1
        self.search.notes.append(f"{runs} runs executed for the diagnosis were identical: they did not differ again")

    def _search_forks(self) -> bool:
        """Search among forks of one process, which are quick, if those differ too, and return whether they do.

        Forks share hashes and addresses, which are then no cause.
        """
        forks = [self.prober.observe(record_sources=True) for _ in range(FORKS)]
        if any(fork.failure for fork in forks):
            return False
        if differing := [fork for fork in forks if self.prober.differ(forks[0], fork)]:
            self._trials.in_interpreters = False
            self._trials.rate.add(len(differing) - 1, FORKS - 2)
            self._search_between(forks[0], differing[0])
            return True
        return self._search_provoked(forks)

    def _search_more(self, first: Observation, runs: int) -> bool:
        """Execute more first runs. Where one differs after all, search between the two and return True."""
        for _ in range(runs):
            other = self.prober.observe(record_sources=True, spawn=self._in_interpreters)
            if not other.failure and self.prober.differ(first, other):
                self._trials.rate.add(0, self._identical)
                self._search_between(first, other)
                return True
            self._identical += 1
        return False

    def _search_outlasting(self, first: Observation) -> bool:
        """Try sources that outlast a run: all runs are identical now, since all find what an earlier one left."""
        situation = self._situation(first)
        return any(
            self._remove(source, first)
            for source in self._searched
            if source.outlasts_runs and source.is_suggested(situation)
        )

    def _remove(self, source: Source, first: Observation) -> bool:
        """Compare runs without what an earlier run left to runs that find it."""
        spawn = self._in_interpreters
        removed = [self.prober.observe((source.name,), spawn=spawn, record_sources=not n) for n in range(LEFT_RUNS)]
        finding = [first, self.prober.observe(spawn=spawn)]
        if (
            removed[0].failure
            or self._trials.count_differing(removed[0], removed[1:])
            or self._trials.count_differing(first, finding[1:])
            or not self.prober.differ(first, removed[0])
        ):
            self.search.ruled_out.append(source.name)
            return False
        differing = self._trials.count_differing(removed[0], finding)
        self._take("left", (source,), Trial(LEFT_RUNS, differing, len(finding)), (first, removed[0]))
        self.search.watched_pins = (source.name,), ()
        return True

    def _search_provoked(self, forks: list[Observation]) -> bool:
        """Provoke sources that identical forks may share, and see whether the forks still are identical."""
        self._has_provoked = True
        return any(self._provoke(source, forks) for source in self._provoked)

    def _provoke(self, source: Source, forks: list[Observation]) -> bool:
        provoked = self._observe_provoked(source, FEW_PROVOKED - 1)
        if not self._trials.count_differing(forks[0], provoked):
            return False
        provoked += self._observe_provoked(source, 1)
        if self._trials.count_differing(forks[0], provoked) < FEW_PROVOKED:
            provoked += self._observe_provoked(source, MAX_PROVOKED - FEW_PROVOKED)
        forks = forks + [self.prober.observe(record_sources=True) for _ in range(len(provoked) - len(forks))]
        if others := [other for other in forks if not other.failure and self.prober.differ(forks[0], other)]:
            # They differ by themselves, and were only identical at first.
            self._trials.in_interpreters = False
            self._trials.rate.add(len(others) - 1, len(forks) - 2)
            self._search_between(forks[0], others[0])
            return True
        differing = self._trials.count_differing(forks[0], provoked)
        if differing < FEW_PROVOKED:
            return False
        self._trials.in_interpreters = False
        trial = Trial(len(forks), differing, len(provoked))
        named = source
        if confounding := self._find_confounding(source):
            # What the provocation changes as well is the cause: with it pinned, the provoked runs are identical.
            named, trial = confounding, Trial(1 + FEW_PROVOKED, differing, len(provoked))
        self._take("provoked", (named,), trial, (forks[0], provoked[0]))
        self.search.watched_pins = (), (source.name,)
        return True

    def _observe_provoked(self, source: Source, runs: int) -> list[Observation]:
        return [self.prober.observe((source.name,), record_sources=True) for _ in range(runs)]

    def _find_confounding(self, source: Source) -> Source | None:
        """Return the source that the provocation changes as well, if provoked runs are identical once it is pinned."""
        for other in map(registry.find_source, source.confounded_by):
            base = self.prober.observe((other.name,), record_sources=True)
            pins = other.name, source.name
            provoked = (self.prober.observe(pins, record_sources=True) for _ in range(FEW_PROVOKED))
            if not base.failure and not any(map(partial(self._has_changed, base), provoked)):
                return other
        return None

    def _has_changed(self, base: Observation, other: Observation) -> bool:
        return bool(other.failure) or self.prober.differ(base, other)

    def _search_between(self, one: Observation, other: Observation) -> None:
        """Pin one source at a time, since runs of fresh processes differ."""
        self._begin("between")
        self._trials.first = one
        try:
            if self._confirm_known_source((one, other)):
                return
            if self._in_interpreters:
                # Counted although it differed: each of them takes long, and forks were identical.
                self._trials.rate.add(1, 1)
            else:
                self._trials.execute_control()
            self._pin(one, other)
        except IdenticalError:
            self._search_identical()

    def _begin(self, where: str) -> None:
        """Begin the search where runs differ, with the place: a few runs show it, and the search starts there."""
        self.search.where, self.search.is_spawned = where, self._in_interpreters
        self._place = self._place or self._locate(self.search)

    def _confirm_known_source(self, pair: tuple[Observation, Observation]) -> bool:
        """Try what was the cause of a difference at the same line before, and return whether it is again."""
        for known in self._memory.known:
            sources = tuple(source for source in self._searched if source.name in known.pins)
            is_here = known.where == "between" and known.is_at(self._place)
            if is_here and sources and (trial := self._trials.try_sources(sources, is_known=True)):
                self._take("between", sources, trial, pair)
                return True
        return False

    def _pin(self, one: Observation, other: Observation) -> None:
        situation = self._situation(one, other)
        suggested = [source for source in self._searched if source.is_suggested(situation)]
        self.search.ruled_out += [source.name for source in suggested if source.name in self._memory.ruled_out]
        suggested = [source for source in suggested if source.name not in self._memory.ruled_out]
        suggested = self._sort_by_promise(suggested, situation)
        self._pending = [source.name for source in suggested]
        if any(self._try(source, None, (one, other)) for source in suggested if source.is_fixed_by_others):
            return
        suggested = [source for source in suggested if not source.is_fixed_by_others]
        order, known = self._ask_first(suggested)
        if any(self._try(source, known.get(source.name), (one, other)) for source in order):
            return
        # Fresh interpreters take long. Forks are not replaced by them for sources that were tried by themselves.
        several = [source for source in suggested if self._in_interpreters or not source.is_set_at_start]
        self._pin_several(several, (one, other))

    def _sort_by_promise(self, sources: list[Source], situation: Situation) -> list[Source]:
        """Sort sources by how likely they are the cause, the likeliest first.

        A source stands before those that include it, wherever it was reached: their pins would hide it. A loader that
        delivers batches as they come is made at one line and read at another, where the place is, which starts workers.
        """

        def promise(source: Source) -> tuple[bool, bool, tuple[int, bool]]:
            is_at_place = self._is_at_place(source, situation)
            is_late = self._in_interpreters and not (source.is_set_at_start or is_at_place)
            return is_late, not is_at_place, source.rank(situation)

        own = {source.name: promise(source) for source in sources}
        best = {name: min([own[name], *(own[wide.name] for wide in sources if name in wide.includes)]) for name in own}
        return sorted(sources, key=lambda source: (best[source.name], len(source.includes)))

    def _is_at_place(self, source: Source, situation: Situation) -> bool:
        """Return whether a source was reached by the line whose value differs first."""
        place = self._place
        return place is not None and any(
            (entry["file"], entry["line"]) == (place.file, place.line) for entry in situation.sightings(*source.kinds)
        )

    def _try(self, source: Source, trial: Trial | None, pair: tuple[Observation, Observation]) -> bool:
        """Pin one source, unless its trial is known already, and return whether it is the cause."""
        trial = trial or self._trials.try_sources((source,), is_seen=bool(source.kinds))
        if not trial:
            self.search.ruled_out.append(source.name)
            return False
        self._take("between", (source,), trial, pair)
        if source.watched_with:
            self.search.watched_pins = (), (source.watched_with,)
        return True

    def _ask_first(self, suggested: list[Source]) -> tuple[list[Source], dict[str, Trial]]:
        """Try a source that includes others, where its runs are the quicker ones.

        If it does not help, none of those that it includes does. If it does, they are tried before it, since each of
        them says more. Returns the order in which to try, and the trial that is known already.
        """
        for wide in [source for source in suggested if source.is_asked_first]:
            group = [source for source in suggested if source is wide or source.name in wide.includes]
            if len(group) < 2 or group[-1] is not wide:
                continue
            others = [source for source in suggested if source not in group]
            trial = self._trials.try_sources((wide,))
            if trial:
                return [*group, *others], {wide.name: trial}
            self.search.ruled_out += [source.name for source in group]
            suggested = others
        return suggested, {}

    def _pin_several(self, sources: list[Source], pair: tuple[Observation, Observation]) -> None:
        """Pin all at once. If that helps, release one at a time as long as the runs stay identical."""
        ways = [sources]
        wide = next((source for source in sources if source.is_asked_first), None)
        if wide is not None and any(source.name in wide.includes for source in sources):
            # With the wide one last: those that it includes say more.
            narrow = [source for source in sources if source is not wide]
            ways = [narrow, [source for source in sources if source.name not in wide.includes]]
        for way in ways:
            if len(way) > 1 and (trial := self._trials.try_sources(way)):
                kept, trial = self._release(way, trial)
                self._take("between", tuple(kept), trial, pair)
                return

    def _release(self, sources: list[Source], trial: Trial) -> tuple[list[Source], Trial]:
        kept = list(sources)
        for source in reversed(sources):
            fewer = [other for other in kept if other is not source]
            if fewer and (smaller := self._trials.try_sources(fewer)):
                kept, trial = fewer, smaller
        return kept, trial

    def _search_identical(self) -> None:
        """Search where runs differed, and now are identical whatever is pinned."""
        again = [self.prober.observe(record_sources=True) for _ in range(2)]
        if not self._has_provoked and self._search_provoked(again):
            return
        # The first run of all may have left a file that all others find.
        if self._search_outlasting(again[0]):
            return
        self.search.where = "neither"
        self.search.notes.append("runs executed for the diagnosis are identical now, so no probe can show a cause")

    def _search_within(self, first: Observation, again: Observation) -> None:
        """Search for leaked state or unwritten memory, since a second run in one process differs."""
        self._begin("within")
        try:
            if self._confirm_known_state(first, again):
                return
            self._trials.execute_control(SECOND_RUNS)
            self._find_within(first, again)
        except IdenticalError:
            self._search_identical()

    def _confirm_known_state(self, first: Observation, again: Observation) -> bool:
        """Try the state that was the cause of a difference at the same line before."""
        names = {known.state for known in self._memory.known if known.where == "within" and known.is_at(self._place)}
        for state in again.seen.get("changed", []):
            name = str(state["name"])
            if name in names and (trial := self._trials.try_again(first, restores=[name], is_known=True)):
                self._take_state(state, trial, (first, again))
                return True
        return False

    def _find_within(self, first: Observation, again: Observation) -> None:
        changed: list[dict[str, JSON]] = again.seen.get("changed", [])
        self._pending = [f"state {state['name']}" for state in changed[:MAX_RESTORED]]
        for state in changed[:MAX_RESTORED]:
            if f"state {state['name']}" in self._memory.ruled_out:
                self.search.ruled_out.append(f"state {state['name']}")
                continue
            if trial := self._trials.try_again(first, restores=[str(state["name"])]):
                self._take_state(state, trial, (first, again))
                return
            self.search.ruled_out.append(f"state {state['name']}")
        names = [str(state["name"]) for state in changed]
        if len(changed) > 1 and (trial := self._trials.try_again(first, restores=names)):
            for state in changed[:MAX_TOGETHER]:
                self._take_state(state, trial, (first, again))
            return
        if self._search_provoked([first, self.prober.observe(record_sources=True)]):
            return
        for source in sorted((s for s in self._searched if s.turn_within), key=lambda source: source.turn_within):
            pinned = self.prober.observe((source.name,), record_sources=source.fixes_addresses)
            if not pinned.failure and (trial := self._trials.try_again(pinned, (source,))):
                self._take("within", (source,), trial, (first, again))
                return
            self.search.ruled_out.append(source.name)

    def _take_state(self, state: dict[str, JSON], trial: Trial, pair: tuple[Observation, Observation]) -> None:
        self.search.ruled_out = [out for out in self.search.ruled_out if out != f"state {state['name']}"]
        self.search.findings.append(Finding(trial, pair, state=state))

    def _take(
        self, where: str, sources: tuple[Source, ...], trial: Trial, pair: tuple[Observation, Observation]
    ) -> None:
        names = {source.name for source in sources}
        self.search.where = where
        self.search.ruled_out = [name for name in self.search.ruled_out if name not in names]
        found = Finding(trial, pair, sources)
        self.search.findings.append(found)  # it stands if the time runs out below
        if where == "between":
            line_search = LineSearch(self._trials, self._place, pair)
            for source in sources:
                others = [other for other in sources if other is not source]
                if source.is_pinned_by_line and (line := line_search.find(source, others)) is not None:
                    found = self.search.findings[-1] = replace(found, lines={**found.lines, source.name: line})
        if len(sources) == 1 and sources[0].pinned_differently_by:
            self.search.findings[-1] = replace(found, reaches_result=self._reaches_result(sources[0]))

    def _reaches_result(self, source: Source) -> bool | None:
        """Return whether another result follows from other values of a cause. None if a run failed."""
        spawn = self._in_interpreters
        one = self.prober.observe((source.name,), spawn=spawn)
        other = self.prober.observe((source.name, source.pinned_differently_by), spawn=spawn)
        return None if one.failure or other.failure else self.prober.differ(one, other)

    def _situation(self, *runs: Observation) -> Situation:
        return Situation(runs, self._in_interpreters, self.prober.has_left_files())
