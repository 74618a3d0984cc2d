"""Why runs under one condition differ: two observations first, then one source at a time held still.

Pure logic over a :class:`~pytest_repro.diagnosis.observing.Prober`, which makes the runs. A cause is named only where
holding that one condition still made as many runs agree as chance would not and runs without it still differ, or where
putting one leaked state back did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pytest_repro.diagnosis.candidates import ADDRESSES, CANDIDATES, TASKS, Candidate, nearest_first
from pytest_repro.diagnosis.observing import Finding, Observation, OutOfTimeError, Prober, Search
from pytest_repro.diagnosis.significance import MAX_RUNS, Rate
from pytest_repro.model import JSON

#: First runs of fresh processes compared until two differ.
MAX_OBSERVATIONS = 6
#: Forks made before fresh interpreters, which take long; and how many are made at first to see how often they differ.
FORKS = 4
#: Runs that agree before it is worth to ask whether they would have done so anyhow.
AGREEING = 3
#: Runs that agree with each other where files were moved aside, and differ from as many that find them.
LEFT_RUNS = 3
#: Runs with the addresses of new objects shifted: so many at first, so many where not all of those differ. Runs that
#: differ by chance would pass for shifted ones that do with less than :data:`ALPHA`.
FEW_SHIFTED, MAX_SHIFTED = 4, 8
#: Runs with a source held still and addresses shifted, once it seems to be the cause.
SHIFTED_AGAIN = 2
#: States put back one by one.
MAX_RESTORED = 6


class _SeldomError(Exception):
    """Runs differ too seldom for agreement to tell anything."""


class _AgreeingError(Exception):
    """Runs agree by now with nothing held still."""


class Procedure:
    """The search for one test.

    Parameters
    ----------
    prober : Prober
    differing, compared : int
        Of the test's own runs: how many differed from run 1.
    needs_spawn : bool
        Whether the runs that differed were fresh interpreters, so that hashes and addresses may be it.
    may_leak : bool
        Whether they shared one process, so that state may have leaked.
    """

    def __init__(self, prober: Prober, differing: int, compared: int, *, needs_spawn: bool, may_leak: bool) -> None:
        self.prober = prober
        self._rate = Rate()
        # One of the test's own runs differed, or nobody would ask why.
        self._rate.add(max(0, differing - 1), max(0, compared - 1))
        #: Way of making runs -> of those made with nothing held still, how many differed.
        self._controls: dict[tuple[bool, bool, int], Rate] = {}
        self._first: Observation | None = None
        self.needs_spawn, self.may_leak = needs_spawn, may_leak
        self.search = Search()
        self._has_shifted = False

    def run(self) -> Search:
        """Search until a cause is found, all is ruled out, or the budget is spent."""
        try:
            self._search()
        except OutOfTimeError:
            self.search.complete = False
        except _SeldomError:
            self.search.notes.append("the runs differ too seldom for a probe to tell a cause from luck")
            self.search.complete = False
        self.search.is_spawned = self.needs_spawn
        return self.search

    def _search(self) -> None:
        if self.needs_spawn:
            # Forks of one process share hashes and addresses, and are quick: what differs between them is neither.
            forks = [self.prober.observe(record_sources=True) for _ in range(FORKS)]
            if not any(fork.failure for fork in forks):
                if apart := [fork for fork in forks if self.prober.differ(forks[0], fork)]:
                    self.needs_spawn = False
                    self._rate.add(len(apart) - 1, FORKS - 2)
                    self._search_between([forks[0], apart[0]])
                    return
                if self._search_shifted(forks):
                    return
        first = self.prober.observe(record_sources=True, spawn=self.needs_spawn)
        self.search.observations.append(first)
        if first.failure:
            self.search.notes.append(f"a run made for the diagnosis failed by itself: {first.failure}")
            self.search.complete = False
            return
        second = self.prober.observe(record_sources=True, spawn=self.needs_spawn)
        if self.prober.differ(first, second):
            self._search_between([first, second])
            return
        if self.may_leak:
            again = self.prober.observe(record_sources=True, repeats=2)
            if not again.failure and self.prober.differ(first, again):
                # By luck two fresh ones agree, and then a second run in one process seems to be what differs.
                if not self._search_apart(first, FORKS):
                    self._search_within(first, again)
                return
        if self.prober.has_left_files() and self._search_left(first):
            return
        if self._search_apart(first, MAX_OBSERVATIONS - 1 - len(self.search.observations)):
            return
        self.search.where = "neither"
        made = len(self.search.observations) + 1
        self.search.notes.append(f"{made} runs made for the diagnosis agree: what differs was not seen again")

    def _search_apart(self, first: Observation, runs: int) -> bool:
        """Make more first runs; where one differs after all, search between them, and say that it is done."""
        for _ in range(runs):
            other = self.prober.observe(record_sources=True, spawn=self.needs_spawn)
            if not other.failure and self.prober.differ(first, other):
                self._rate.add(0, len(self.search.observations))
                self._search_between([first, other])
                return True
            self.search.observations.append(other)
        return False

    def _search_left(self, first: Observation) -> bool:
        """Runs agree by now: they all find what an earlier one left. Move it aside, for as many runs as chance asks."""
        aside = [self.prober.observe(("disk",), spawn=self.needs_spawn, record_sources=not n) for n in range(LEFT_RUNS)]
        again = self.prober.observe(spawn=self.needs_spawn)
        cured = aside[0]
        agree = not cured.failure and not self._count_differing(cured, aside[1:])
        if not agree or self._count_differing(first, [again]) or not self.prober.differ(first, cured):
            self.search.ruled_out.append("disk")
            return False
        self.search.where = "left"
        self.search.findings.append(
            Finding(("disk",), runs=LEFT_RUNS, differing="those that find them", pair=(first, cured))
        )
        return True

    def _search_shifted(self, forks: list[Observation]) -> bool:
        """Forks of one process agree: do they where new objects lie at other addresses, and nothing else is changed?"""
        self._has_shifted = True
        base, shifted = forks, self._shift(FEW_SHIFTED - 1)
        if not self._count_differing(base[0], shifted):
            return False
        shifted += self._shift(1)
        if self._count_differing(base[0], shifted) < FEW_SHIFTED:
            shifted += self._shift(MAX_SHIFTED - FEW_SHIFTED)
        base = base + [self.prober.observe(record_sources=True) for _ in range(len(shifted) - len(base))]
        apart = [other for other in base if not other.failure and self.prober.differ(base[0], other)]
        if apart:
            # They differ by themselves, and only agreed at first.
            self.needs_spawn = False
            self._rate.add(len(apart) - 1, len(base) - 2)
            self._search_between([base[0], apart[0]])
            return True
        if self._count_differing(base[0], shifted) < FEW_SHIFTED:
            return False
        # Memory that is read before it is written holds other values too where other objects lie.
        filled = [
            self.prober.observe(pins, record_sources=True)
            for pins in (("memory",), ("memory", "shift"), ("memory", "shift"))
        ]
        if not self._count_differing(filled[0], filled):
            return False
        self.search.where = "shifted"
        self.needs_spawn = False
        pair = (base[0], shifted[0])
        self.search.findings.append(
            Finding(("shift",), runs=len(shifted), differing="runs with them shifted", pair=pair)
        )
        return True

    def _shift(self, count: int) -> list[Observation]:
        return [self.prober.observe(("shift",), record_sources=True) for _ in range(count)]

    def _count_differing(self, base: Observation, others: list[Observation]) -> int:
        return sum(bool(other.failure) or self.prober.differ(base, other) for other in others)

    def _search_between(self, pair: list[Observation]) -> None:
        """Runs of fresh processes differ: hold one source still at a time."""
        self.search.where = "between"
        self._first = pair[0]
        try:
            if self.needs_spawn:
                self._rate.add(1, 1)  # counted although it differed: each of them takes long, and forks agreed
            else:
                self._control()
            finding = self._find_held(pair)
        except _AgreeingError:
            self._search_agreeing()
            return
        if finding is None:
            return
        finding.pair = (pair[0], pair[1])
        finding.differing = "fresh processes"
        self.search.ruled_out = [pin for pin in self.search.ruled_out if pin not in finding.pins]
        self.search.findings.append(finding)

    def _find_held(self, pair: list[Observation]) -> Finding | None:
        candidates = nearest_first([c for c in CANDIDATES if self._is_worth(c, pair)], pair)
        if self.needs_spawn:
            candidates.sort(key=lambda candidate: candidate.pin not in ("hash", "address"))
        ordered, runs_inline = self._ask_tasks_first(candidates)
        for candidate in ordered:
            is_asked = candidate.pin == "inline" and runs_inline
            runs = runs_inline if is_asked else self._cures((candidate.pin,), is_seen=bool(candidate.kinds))
            if runs:
                return Finding((candidate.pin,), runs=runs)
            self.search.ruled_out.append(candidate.pin)
        # Fresh interpreters take long: forks are not left for addresses, which would have held them together alone.
        return self._find_several([c.pin for c in candidates if self.needs_spawn or c.pin != "address"])

    def _cures(self, pins: tuple[str, ...], *, is_seen: bool = True) -> int:
        """Return how many runs with these sources held still agree, as chance would not have it; 0 if one differs.

        What was not seen in use is held still for as many runs again: of many tried, one has luck at last.
        """
        spawn = self._spawns(pins)
        # What looks on makes objects too, and new ones lie elsewhere then.
        record_sources = bool(ADDRESSES & set(pins))
        first = self.prober.observe(pins, spawn=spawn, record_sources=True)
        if first.failure:
            return 0
        others = (self.prober.observe(pins, spawn=spawn, record_sources=record_sources) for _ in range(2 * MAX_RUNS))
        runs = self._count_agreeing(
            first,
            others,
            lambda: self._control(spawn=spawn, record_sources=record_sources),
            1 if is_seen or spawn else 2,
        )
        return 0 if runs and not spawn and self._hangs_on_addresses(first, pins) else runs

    def _hangs_on_addresses(self, first: Observation, pins: tuple[str, ...]) -> bool:
        """Tell whether runs agreed only for lying at the same addresses: any source held still may make them do so."""
        if ADDRESSES & set(pins):
            return False
        shifted = [self.prober.observe((*pins, "shift")) for _ in range(SHIFTED_AGAIN)]
        return self._count_differing(first, shifted) > 0

    def _count_agreeing(
        self, first: Observation, others: Iterable[Observation], control: Callable[[], None], times: int = 1
    ) -> int:
        """Compare run by run until all that are needed agree; what is needed is known once a control was made."""
        made = 1
        for other in others:
            if other.failure:
                return 0
            if self.prober.differ(first, other):
                self._rate.add(1, made)
                return 0
            made += 1
            if made >= AGREEING:
                control()
            if made >= self._needed * times:
                return made
        raise _SeldomError

    @property
    def _needed(self) -> int:
        """How many runs must agree, by what is known so far."""
        return self._rate.needed or MAX_RUNS

    def _control(self, *, spawn: bool = False, record_sources: bool = False, repeats: int = 1) -> None:
        """Make runs with nothing held still, as many as agreed with something held, and see how many differ.

        Forks of one process lie at the same addresses as long as nothing else is done between them, and may agree for
        that alone. Fresh interpreters agree by luck at most, and take long: two show how often.

        Raises
        ------
        _AgreeingError, _SeldomError
        """
        rate = self._controls.setdefault((spawn, record_sources, repeats), Rate())
        # Of forks a new one: of two that differ, one may be the odd one that was made first.
        base = self._first if spawn and self.needs_spawn else None
        while rate.compared < (2 if spawn else min(max(FORKS, self._needed), MAX_RUNS)):
            base = base or self.prober.observe(spawn=spawn, record_sources=True)
            others = [
                self.prober.observe(spawn=spawn, record_sources=record_sources, repeats=repeats) for _ in range(2)
            ]
            differing = self._count_differing(base, others)
            rate.add(differing, len(others))
            self._rate.add(differing, len(others))
        if not rate.differing and not spawn:
            raise _AgreeingError
        if self._rate.needed is None:
            raise _SeldomError

    def _search_agreeing(self) -> None:
        """Runs differed, and by now agree whatever is held still: addresses do so, and what shows seldom."""
        again = [self.prober.observe(record_sources=True) for _ in range(2)]
        if not self._has_shifted and self._search_shifted(again):
            return
        # What the first run of all left may have been different from what all find by now.
        if self.prober.has_left_files() and self._search_left(again[0]):
            return
        self.search.where = "neither"
        self.search.notes.append("runs made for the diagnosis agree by now, so that no probe can tell a cause")

    def _ask_tasks_first(self, candidates: list[Candidate]) -> tuple[list[Candidate], int]:
        """Where processes are started, ask first whether they matter: starting them is what takes the time.

        Tasks done in this process are in order and one at a time too. Where that does not help none of the three does;
        where it does, the two others are tried before it, since each of them says more. Returns the order in which to
        ask, and the runs that agreed with tasks done in this process.
        """
        tasks = [candidate for candidate in candidates if candidate.pin in TASKS]
        others = [candidate for candidate in candidates if candidate not in tasks]
        if len(tasks) < 2 or tasks[-1].pin != "inline":
            return candidates, 0
        runs = self._cures(("inline",))
        if not runs:
            self.search.ruled_out += [candidate.pin for candidate in tasks]
            return others, 0
        return [*tasks, *others], runs

    def _is_worth(self, candidate: Candidate, pair: list[Observation]) -> bool:
        if candidate.spawn and not self.needs_spawn and candidate.pin not in ("omp", "address"):
            # The runs differ in forks of one process, which share hashes, and addresses at first: where a library
            # allocates otherwise each time, even fresh memory does not hold those together.
            return False
        loaded = {name for observation in pair for name in observation.seen.get("loaded", [])}
        if candidate.pin == "disk":
            return self.prober.has_left_files()
        if candidate.pin == "heap":
            return not self.needs_spawn  # fresh interpreters lie elsewhere as a whole: "address" is for them
        if candidate.kinds and any(observation.sightings(*candidate.kinds) for observation in pair):
            return True
        if candidate.kinds and not candidate.libraries:
            return False
        return not candidate.libraries or bool(loaded & set(candidate.libraries))

    def _find_several(self, pins: list[str]) -> Finding | None:
        """Hold all still; if that helps, let go of one at a time as long as the runs agree."""
        ways = [pins]
        if "inline" in pins and "serial" in pins:
            # Tasks in this process are one at a time as well: asked for last, since the other says more.
            ways = [[p for p in pins if p != "inline"], [p for p in pins if p not in ("serial", "order")]]
        for way in ways:
            if len(way) > 1 and (runs := self._cures(tuple(way))):
                return self._let_go(way, runs)
        return None

    def _spawns(self, pins: tuple[str, ...]) -> bool:
        """Tell whether runs with these sources held still are fresh interpreters."""
        return self.needs_spawn or any(candidate.spawn for candidate in CANDIDATES if candidate.pin in pins)

    def _let_go(self, pins: list[str], runs: int) -> Finding:
        """Hold as few as are needed for the runs to agree."""
        kept = list(pins)
        for pin in reversed(pins):
            fewer = tuple(p for p in kept if p != pin)
            if fewer and (agreeing := self._cures(fewer)):
                kept, runs = list(fewer), agreeing
        return Finding(tuple(kept), runs=runs)

    def _search_within(self, first: Observation, again: Observation) -> None:
        """A second run in one process differs: leaked state, or memory that is read before it is written."""
        self.search.where = "within"
        try:
            self._control(repeats=2)
            self._find_within(first, again)
        except _AgreeingError:
            self._search_agreeing()

    def _find_within(self, first: Observation, again: Observation) -> None:
        changed = again.seen.get("changed", [])
        for state in changed[:MAX_RESTORED]:
            if self._cures_again(first, restores=[str(state["name"])]):
                self._take_state(first, again, state)
                return
            self.search.ruled_out.append(f"state {state['name']}")
        if len(changed) > 1 and self._cures_again(first, restores=[str(state["name"]) for state in changed]):
            for state in changed[:3]:
                self._take_state(first, again, state)
            return
        if self._search_shifted([first, self.prober.observe(record_sources=True)]):
            return
        for pin in ("memory", "heap", "foreign", "threads", "serial"):
            held = self.prober.observe((pin,), record_sources=pin in ADDRESSES)
            runs = 0 if held.failure else self._cures_again(held, (pin,))
            if runs:
                finding = Finding((pin,), runs=runs, differing="runs in one process", pair=(first, again))
                self.search.findings.append(finding)
                return
            self.search.ruled_out.append(pin)

    def _cures_again(self, first: Observation, pins: tuple[str, ...] = (), restores: Iterable[str] = ()) -> int:
        """As :meth:`_cures`, for second runs in one process, which must agree with a first one."""
        record_sources = bool(ADDRESSES & set(pins))
        names = list(restores)
        others = (
            self.prober.observe(pins, repeats=2, restores=names, record_sources=record_sources) for _ in range(MAX_RUNS)
        )
        return self._count_agreeing(first, others, lambda: self._control(record_sources=record_sources, repeats=2))

    def _take_state(self, first: Observation, again: Observation, state: dict[str, JSON]) -> None:
        self.search.ruled_out = [out for out in self.search.ruled_out if out != f"state {state['name']}"]
        self.search.findings.append(Finding(state=state, runs=2, differing="runs in one process", pair=(first, again)))
