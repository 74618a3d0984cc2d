"""Why runs under one condition differ: two observations first, then one source at a time held still.

Pure logic over a :class:`~pytest_repro.diagnosis.observing.Prober`, which makes the runs. A cause is named only where
holding that one condition still made as many runs agree as chance would not and runs without it still differ, or where
putting one leaked state back did.
"""

from __future__ import annotations

import math

from pytest_repro.diagnosis.candidates import ADDRESSES, CANDIDATES, TASKS, Candidate, nearest_first
from pytest_repro.diagnosis.observing import Finding, Observation, OutOfTimeError, Prober, Search
from pytest_repro.model import JSON

#: A source that is no cause passes for one with less than this chance.
MOST_LUCK = 0.01
#: Runs at most for one probe; where runs differ so seldom that more were needed, nothing is named.
MOST_RUNS = 12
#: First runs of fresh processes compared until two differ.
MOST_OBSERVATIONS = 6
#: Runs that agree with each other where files were moved aside, and differ from as many that find them.
LEFT_RUNS = 3
#: Runs with the addresses of new objects shifted: so many at first, so many where not all of those differ. Runs that
#: differ by chance would pass for shifted ones that do with less than :data:`MOST_LUCK`.
FEW_SHIFTED, MOST_SHIFTED = 4, 8
#: States put back one by one.
MOST_RESTORED = 6


def runs_needed(differing: int, compared: int) -> int | None:
    """Return how many runs must agree before that is no luck; None if too many.

    With runs that differ from the first at a rate p, all of n more agree with chance (1 - p)**n. p is estimated with
    half a run added to either side (Jeffreys).
    """
    rate = (differing + 0.5) / (compared + 1.0)
    if rate >= 1.0:
        return 3
    needed = 1 + math.ceil(math.log(MOST_LUCK) / math.log(1.0 - rate))
    return needed if needed <= MOST_RUNS else None


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
        self.differing, self.compared = differing, compared
        self.needs_spawn, self.may_leak = needs_spawn, may_leak
        self.search = Search()
        self._has_shifted = False

    def run(self) -> Search:
        """Search until a cause is found, all is ruled out, or the budget is spent."""
        try:
            self._search()
        except OutOfTimeError:
            self.search.complete = False
        self.search.is_spawned = self.needs_spawn
        return self.search

    def _search(self) -> None:
        if self.needs_spawn:
            # Forks of one process share hashes and addresses, and are quick: what differs between them is neither.
            forks = [self.prober.observe(sees=True) for _ in range(2)]
            if not any(fork.failure for fork in forks):
                if self.prober.differ(*forks):
                    self.needs_spawn = False
                    self._search_between(forks)
                    return
                if self._search_shifted(forks):
                    return
        first = self.prober.observe(sees=True, spawn=self.needs_spawn)
        self.search.observations.append(first)
        if first.failure:
            self.search.notes.append(f"a run made for the diagnosis failed by itself: {first.failure}")
            self.search.complete = False
            return
        second = self.prober.observe(sees=True, spawn=self.needs_spawn)
        if self.prober.differ(first, second):
            self._search_between([first, second])
            return
        if self.may_leak:
            again = self.prober.observe(sees=True, repeats=2)
            if not again.failure and self.prober.differ(first, again):
                self._search_within(first, again)
                return
        if self.prober.has_left_files() and self._search_left(first):
            return
        for _ in range(MOST_OBSERVATIONS - 2):
            other = self.prober.observe(sees=True, spawn=self.needs_spawn)
            if not other.failure and self.prober.differ(first, other):
                self._search_between([first, other], rate=(1, len(self.search.observations) + 2))
                return
            self.search.observations.append(other)
        self.search.where = "neither"
        self.search.notes.append(
            f"{MOST_OBSERVATIONS} runs made for the diagnosis agree: what differs was not seen again"
        )

    def _search_left(self, first: Observation) -> bool:
        """Runs agree by now: they all find what an earlier one left. Move it aside, for as many runs as chance asks."""
        cured = self._agrees(("disk",), LEFT_RUNS, spawn=self.needs_spawn)
        again = self.prober.observe(spawn=self.needs_spawn)
        if cured is None or again.failure or self.prober.differ(first, again) or not self.prober.differ(first, cured):
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
            shifted += self._shift(MOST_SHIFTED - FEW_SHIFTED)
        base = base + [self.prober.observe(sees=True) for _ in range(len(shifted) - len(base))]
        apart = [other for other in base if not other.failure and self.prober.differ(base[0], other)]
        if apart:
            # They differ by themselves, and only agreed at first.
            self.needs_spawn = False
            self._search_between([base[0], apart[0]], rate=(len(apart), len(base) - 1))
            return True
        if self._count_differing(base[0], shifted) < FEW_SHIFTED:
            return False
        # Memory that is read before it is written holds other values too where other objects lie.
        filled = [
            self.prober.observe(pins, sees=True) for pins in (("memory",), ("memory", "shift"), ("memory", "shift"))
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
        return [self.prober.observe(("shift",), sees=True) for _ in range(count)]

    def _count_differing(self, base: Observation, others: list[Observation]) -> int:
        return sum(bool(other.failure) or self.prober.differ(base, other) for other in others)

    def _search_between(self, pair: list[Observation], rate: tuple[int, int] | None = None) -> None:
        """Runs of fresh processes differ: hold one source still at a time."""
        self.search.where = "between"
        differing, compared = rate or (1, 1)
        needed = runs_needed(differing + self.differing, compared + self.compared)
        if needed is None:
            self.search.notes.append("the runs differ too seldom for a probe to tell a cause from luck")
            self.search.complete = False
            return
        finding = None
        candidates = nearest_first([c for c in CANDIDATES if self._is_worth(c, pair)], pair)
        if self.needs_spawn:
            candidates.sort(key=lambda candidate: candidate.pin not in ("hash", "address"))
        ordered, without_tasks = self._ask_tasks_first(candidates, needed)
        for candidate in ordered:
            if candidate.pin == "inline" and without_tasks is not None:
                cured: Observation | None = without_tasks
            else:
                cured = self._agrees((candidate.pin,), needed, spawn=self._spawns((candidate.pin,)))
            if cured is not None and self._is_confirmed(candidate, needed):
                finding = Finding((candidate.pin,), runs=needed)
                break
            self.search.ruled_out.append(candidate.pin)
        if finding is None:
            finding = self._find_several([candidate.pin for candidate in candidates], needed)
        if finding is None:
            return
        if not self._differ_without(finding.pins, needed):
            self._search_agreeing()
            return
        finding.pair = (pair[0], pair[1])
        finding.differing = "fresh processes"
        for pin in finding.pins:
            if pin in self.search.ruled_out:
                self.search.ruled_out.remove(pin)
        self.search.findings.append(finding)

    def _is_confirmed(self, candidate: Candidate, needed: int) -> bool:
        """What was not seen in use is held still for as many runs again: of many tried, one has luck at last."""
        return (
            bool(candidate.kinds)
            or self._spawns((candidate.pin,))
            or (self._agrees((candidate.pin,), needed, spawn=False) is not None)
        )

    def _differ_without(self, pins: tuple[str, ...], needed: int) -> bool:
        """Tell whether runs differ that are made as those that agreed were, with nothing held still.

        Forks of one process lie at the same addresses as long as nothing else is done between them, and may agree for
        that alone. Fresh interpreters never do.
        """
        return self._spawns(pins) or self._agrees((), needed, spawn=False, sees=bool(ADDRESSES & set(pins))) is None

    def _search_agreeing(self) -> None:
        """Runs differed, and by now agree whatever is held still: addresses do so, and what shows seldom."""
        if not self._has_shifted and self._search_shifted([self.prober.observe(sees=True) for _ in range(2)]):
            return
        self.search.where = "neither"
        self.search.notes.append("runs made for the diagnosis agree by now, so that no probe can tell a cause")

    def _ask_tasks_first(self, candidates: list[Candidate], needed: int) -> tuple[list[Candidate], Observation | None]:
        """Where processes are started, ask first whether they matter: starting them is what takes the time.

        Tasks done in this process are in order and one at a time too. Where that does not help none of the three does;
        where it does, the two others are tried before it, since each of them says more.
        """
        tasks = [candidate for candidate in candidates if candidate.pin in TASKS]
        others = [candidate for candidate in candidates if candidate not in tasks]
        if len(tasks) < 2 or tasks[-1].pin != "inline":
            return candidates, None
        cured = self._agrees(("inline",), needed, spawn=self.needs_spawn)
        if cured is None:
            self.search.ruled_out += [candidate.pin for candidate in tasks]
            return others, None
        return [*tasks, *others], cured

    def _is_worth(self, candidate: Candidate, pair: list[Observation]) -> bool:
        if candidate.spawn and not self.needs_spawn and candidate.pin != "omp":
            return False  # the runs differ in forks of one process, which share hashes and addresses
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

    def _agrees(
        self, pins: tuple[str, ...], needed: int, *, spawn: bool, sees: bool | None = None
    ) -> Observation | None:
        """Return the first of `needed` runs with these sources held still if all agree."""
        first = self.prober.observe(pins, spawn=spawn, sees=True)
        if first.failure:
            return None
        for _ in range(needed - 1):
            # What looks on makes objects too, and new ones lie elsewhere then.
            other = self.prober.observe(pins, spawn=spawn, sees=bool(ADDRESSES & set(pins)) if sees is None else sees)
            if other.failure or self.prober.differ(first, other):
                return None
        return first

    def _find_several(self, pins: list[str], needed: int) -> Finding | None:
        """Hold all still; if that helps, let go of one at a time as long as the runs agree."""
        ways = [pins]
        if "inline" in pins and "serial" in pins:
            # Tasks in this process are one at a time as well: asked for last, since the other says more.
            ways = [[p for p in pins if p != "inline"], [p for p in pins if p not in ("serial", "order")]]
        for way in ways:
            spawn = self._spawns(tuple(way))
            if len(way) > 1 and self._agrees(tuple(way), needed, spawn=spawn) is not None:
                return self._let_go(way, needed, spawn=spawn)
        return None

    def _spawns(self, pins: tuple[str, ...]) -> bool:
        """Tell whether runs with these sources held still are fresh interpreters."""
        return self.needs_spawn or any(candidate.spawn for candidate in CANDIDATES if candidate.pin in pins)

    def _let_go(self, pins: list[str], needed: int, *, spawn: bool) -> Finding:
        """Hold as few as are needed for the runs to agree."""
        kept = list(pins)
        for pin in reversed(pins):
            fewer = tuple(p for p in kept if p != pin)
            if fewer and self._agrees(fewer, needed, spawn=spawn) is not None:
                kept = list(fewer)
        return Finding(tuple(kept), runs=needed)

    def _search_within(self, first: Observation, again: Observation) -> None:
        """A second run in one process differs: leaked state, or memory that is read before it is written."""
        self.search.where = "within"
        changed = again.seen.get("changed", [])
        needed = runs_needed(self.differing + 1, self.compared + 1) or MOST_RUNS
        for state in changed[:MOST_RESTORED]:
            if self._is_restored(first, [str(state["name"])], needed):
                self._take_state(first, again, state)
                return
            self.search.ruled_out.append(f"state {state['name']}")
        if len(changed) > 1 and self._is_restored(first, [str(state["name"]) for state in changed], needed):
            for state in changed[:3]:
                self._take_state(first, again, state)
            return
        if self._search_shifted([first, self.prober.observe(sees=True)]):
            return
        for pin in ("memory", "heap", "foreign", "threads", "serial"):
            sees = pin in ADDRESSES
            held = self.prober.observe((pin,), sees=sees)
            again_held = (self.prober.observe((pin,), repeats=2, sees=sees) for _ in range(needed - 1))
            if held.failure or any(other.failure or self.prober.differ(held, other) for other in again_held):
                self.search.ruled_out.append(pin)
                continue
            if not self._repeats_differ(sees=sees):
                break
            finding = Finding((pin,), runs=needed, differing="runs in one process", pair=(first, again))
            self.search.findings.append(finding)
            return

    def _is_restored(self, first: Observation, names: list[str], needed: int) -> bool:
        """Tell whether second runs agree with a first one where these states are put back before them."""
        restored = (self.prober.observe(repeats=2, restores=names) for _ in range(needed - 1))
        return not any(other.failure or self.prober.differ(first, other) for other in restored)

    def _repeats_differ(self, *, sees: bool) -> bool:
        """Tell whether second runs still differ from first ones with nothing held still."""
        first = self.prober.observe(sees=sees)
        repeated = [self.prober.observe(repeats=2, sees=sees) for _ in range(2)]
        return self._count_differing(first, repeated) > 0

    def _take_state(self, first: Observation, again: Observation, state: dict[str, JSON]) -> None:
        self.search.ruled_out = [out for out in self.search.ruled_out if out != f"state {state['name']}"]
        self.search.findings.append(Finding(state=state, runs=2, differing="runs in one process", pair=(first, again)))
