from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from pytest_repro.diagnosis.observing import Known, Memory, Search, Trial
from pytest_repro.diagnosis.procedure import Procedure
from pytest_repro.diagnosis.significance import ALPHA, Rate
from pytest_repro.errors import OutOfTimeError
from pytest_repro.model import Artifacts, Leaf, Location
from pytest_repro.sources.base import Observation


class World:
    """A test whose result depends on some sources, its `causes`, and which reaches the kinds that it `shows`.

    `leaks` is state that grows from run to run within a process, `budget` the number of runs that time allows.
    `moved` is on what the result depends once addresses are shifted: "addresses", or unwritten "memory".
    `left` is the effect of a file that an earlier run left: it "decides" the result, or "is read" without effect.
    """

    def __init__(
        self,
        causes: Iterable[str] = (),
        *,
        shows: Iterable[str] = (),
        leaks: str = "",
        budget: int = 10**6,
        loaded: Iterable[str] = (),
        left: str = "",
        moved: str = "",
        libraries: Iterable[str] = (),
        line_of: dict[str, int] | None = None,
    ) -> None:
        self.line_of = line_of or {}
        self.causes, self.shows, self.leaks, self.budget = set(causes), list(shows), leaks, budget
        self.loaded, self.left, self.moved, self.libraries = list(loaded), left, moved, set(libraries)
        self.runs = itertools.count()
        self.pinned: list[tuple[str, ...]] = []

    def observe(
        self,
        pins: Iterable[str] = (),
        *,
        spawn: bool = False,
        repeats: int = 1,
        record_sources: bool = False,
        restores: Iterable[str] = (),
    ) -> Observation:
        number = next(self.runs)
        if number >= self.budget:
            raise OutOfTimeError
        self.pinned.append(tuple(pins))
        # Forks of one process share hashes and addresses.
        causes = self.causes if spawn else self.causes - {"hash", "address"}
        # Tasks run in this process are in order and one at a time too.
        held = {*pins, *({"order", "serial"} if "inline" in pins else ()), *({"order"} if "serial" in pins else ())}
        value = 0 if causes <= held else number + 1
        if self.moved and "shift" in pins and not (self.moved == "memory" and "memory" in pins):
            value = number + 1
        if self.leaks and self.leaks not in restores:
            value += repeats - 1
        if self.left == "decides" and "disk" in pins:
            value -= 1000
        sightings: list[dict[str, Any]] = [
            {
                "kind": kind,
                "detail": kind,
                "file": "/a.py",
                "line": self.line_of.get(kind, 3),
                "function": "f",
                "count": 1,
                "library": "lib" if kind in self.libraries else "",
            }
            for kind in self.shows
        ]
        changed = [
            {"name": name, "kind": "module_global"} for name in ("m.innocent", self.leaks) if name and self.leaks
        ]
        leaves = {"": Leaf("value", value, "int")}
        return Observation(Artifacts(leaves), {"sightings": sightings, "changed": changed, "loaded": self.loaded})

    def differ(self, one: Observation, other: Observation) -> bool:
        return one.artifacts.leaves[""].data != other.artifacts.leaves[""].data

    def has_left_files(self) -> bool:
        return bool(self.left)


def search(world: World, *, differing: int = 2, compared: int = 2, spawn: bool = False, leak: bool = True) -> Any:
    return Procedure(world, differing, compared, needs_spawn=spawn, may_leak=leak).run()


def test_the_one_source_that_makes_the_runs_identical_is_found_among_several_that_were_seen() -> None:
    found = search(World({"pid"}, shows=["entropy", "clock", "pid"]))
    assert [finding.pins for finding in found.findings] == [("pid",)]
    assert found.ruled_out == ["entropy", "time"]


def test_a_source_that_was_reached_but_decides_nothing_is_not_blamed() -> None:
    found = search(World({"something else"}, shows=["entropy", "clock"]))
    assert found.findings == []
    assert {"entropy", "time"} <= set(found.ruled_out)


def test_two_sources_at_once_are_found_together_and_without_the_third() -> None:
    found = search(World({"entropy", "time"}, shows=["entropy", "clock", "pid"]))
    assert [set(finding.pins) for finding in found.findings] == [{"entropy", "time"}]


@pytest.mark.parametrize("cause", ["inline", "serial", "order"])
def test_where_processes_are_started_they_come_first_and_the_most_specific_cause_is_named(cause: str) -> None:
    world = World({cause}, shows=["entropy", "clock", "process", "unordered"])
    assert [finding.pins for finding in search(world).findings] == [(cause,)]
    assert not any({"entropy", "time"} & set(pins) for pins in world.pinned)


def test_hash_seeds_of_started_interpreters_are_not_blamed_on_pins_that_fix_them_too() -> None:
    class Started(World):
        def observe(self, pins: Iterable[str] = (), **options: Any) -> Observation:
            found = super().observe(pins, **options)
            if {"started_hash", "inline", "address"} & set(pins):
                found.artifacts.leaves[""].data = 0
            return found

    found = search(Started({"either"}, shows=["process", "interpreter"]))
    assert [finding.pins for finding in found.findings] == [("started_hash",)]
    assert found.ruled_out == []


def test_processes_that_do_not_matter_are_ruled_out_by_one_probe() -> None:
    world = World({"pid"}, shows=["process", "unordered", "pid"])
    found = search(world)
    assert [finding.pins for finding in found.findings] == [("pid",)]
    assert found.ruled_out == ["started_hash", "order", "serial", "inline", "workers"]
    assert ("serial",) not in world.pinned


def test_a_source_is_tried_before_those_that_include_it_also_if_only_they_were_reached_at_the_place() -> None:
    world = World({"order"}, shows=["loader", "process", "unordered"], line_of={"unordered": 2})
    found = Procedure(
        world, 2, 2, needs_spawn=False, may_leak=False, locate=lambda _: Location("/a.py", 3, "f", "")
    ).run()
    assert [finding.pins for finding in found.findings] == [("order",)]


def test_entropy_of_workers_is_distinguished_from_task_order_and_from_draws_of_this_process() -> None:
    found = search(World({"workers"}, shows=["process", "unordered", "entropy"]))
    assert [finding.pins for finding in found.findings] == [("workers",)]
    assert found.ruled_out == ["started_hash", "order", "serial", "inline", "entropy"]


def test_threads_of_a_library_are_asked_about_before_the_entropy_and_the_clock_that_it_reads() -> None:
    world = World({"serial"}, shows=["entropy", "clock", "thread"], libraries=["entropy", "clock", "thread"])
    found = search(world)
    assert [finding.pins for finding in found.findings] == [("serial",)]
    assert found.ruled_out == []


def test_sources_that_the_users_line_reaches_are_tried_before_those_inside_libraries() -> None:
    found = search(World({"time"}, shows=["entropy", "clock", "thread"], libraries=["entropy", "thread"]))
    assert [finding.pins for finding in found.findings] == [("time",)]
    assert found.ruled_out == []


@pytest.mark.parametrize(("libraries", "named"), [(["clock"], "foreign"), ([], "time")])
def test_a_library_that_seeds_its_generator_from_the_clock_is_named_by_its_generator(
    libraries: list[str], named: str
) -> None:
    class Seeded(World):
        def observe(self, pins: Iterable[str] = (), **options: Any) -> Observation:
            found = super().observe(pins, **options)
            if {"foreign", "time"} & set(pins):
                found.artifacts.leaves[""].data = 0
            return found

    world = Seeded({"either"}, shows=["entropy", "clock"], libraries=libraries, loaded=["onnxruntime"])
    assert [finding.pins for finding in search(world).findings] == [(named,)]


def test_a_source_and_workers_that_only_help_together_are_found_together() -> None:
    found = search(World({"entropy", "inline"}, shows=["entropy", "clock", "process"]))
    assert [set(finding.pins) for finding in found.findings] == [{"entropy", "inline"}]


def test_leaked_state_is_the_one_whose_restoring_makes_the_second_run_identical() -> None:
    found = search(World(leaks="m.counter"))
    assert [finding.state["name"] for finding in found.findings] == ["m.counter"]
    assert found.where == "within"
    assert found.ruled_out == ["state m.innocent"]


def test_identical_runs_name_nothing_and_say_so() -> None:
    found = search(World())
    assert found.findings == []
    assert "did not differ again" in found.notes[0]


def test_runs_that_all_find_one_file_are_compared_with_runs_that_do_not() -> None:
    found = search(World(left="decides"))
    assert [finding.pins for finding in found.findings] == [("disk",)]
    assert found.where == "left"


def test_a_file_that_was_left_and_decides_nothing_is_not_blamed() -> None:
    found = search(World(left="is read"))
    assert found.findings == []
    assert "disk" in found.ruled_out
    between = search(World({"pid"}, shows=["pid"], left="is read"))
    assert [finding.pins for finding in between.findings] == [("pid",)]


def test_state_is_not_looked_for_between_runs_that_shared_no_process() -> None:
    assert search(World(leaks="m.counter"), leak=False).findings == []


def test_hashes_and_addresses_are_probed_only_where_the_runs_were_fresh_interpreters() -> None:
    assert search(World({"hash"}), spawn=False).findings == []
    assert search(World({"hash"}), spawn=True).findings[0].pins == ("hash",)


def test_addresses_that_fresh_memory_does_not_pin_are_pinned_in_fresh_interpreters() -> None:
    class Elsewhere(World):
        def observe(self, pins: Iterable[str] = (), *, spawn: bool = False, **options: Any) -> Observation:
            found = super().observe(pins, spawn=spawn, **options)
            if not spawn:
                found.artifacts.leaves[""].data = next(self.runs)
            return found

    for spawn in (True, False):
        assert [finding.pins for finding in search(Elsewhere({"address"}), spawn=spawn).findings] == [("address",)]


def test_a_difference_between_forks_is_probed_in_forks_although_the_runs_were_fresh_interpreters() -> None:
    found = search(World({"pid"}, shows=["pid"]), spawn=True)
    assert found.findings[0].pins == ("pid",)
    assert not found.is_spawned


def test_addresses_are_found_by_shifting_them_where_forks_are_identical() -> None:
    found = search(World({"address"}, moved="addresses"), spawn=True)
    assert [finding.pins for finding in found.findings] == [("shift",)]
    assert (found.where, found.is_spawned) == ("provoked", False)


def test_addresses_are_found_also_where_runs_in_one_process_differ_by_them() -> None:
    found = search(World(leaks="m.innocent too", moved="addresses"))
    assert [finding.state["name"] for finding in found.findings if finding.state] == ["m.innocent too"]
    world = World({"nothing seen"}, moved="addresses")
    world.causes = set()
    world.leaks = "not a state"
    observed = world.observe

    def observe(pins: Iterable[str] = (), **more: Any) -> Observation:
        return observed(pins, **{**more, "restores": ()})

    world.observe = observe  # type: ignore[method-assign]
    assert [finding.pins for finding in search(world).findings] == [("shift",)]


def test_unwritten_memory_is_not_taken_for_addresses_though_it_moves_with_them() -> None:
    found = search(World({"memory"}, moved="memory", loaded=["numpy"]), spawn=True)
    assert [finding.pins for finding in found.findings] == [("memory",)]


def test_forks_that_differ_by_addresses_are_identical_in_fresh_memory() -> None:
    found = search(World({"heap"}), spawn=True)
    assert [finding.pins for finding in found.findings] == [("heap",)]
    assert not found.is_spawned


@pytest.mark.parametrize("moved", ["", "addresses"])
def test_runs_that_are_identical_now_whatever_is_pinned_show_no_cause(moved: str) -> None:
    # The result depends on addresses, which stay the same once nothing else is done between two forks.
    world = World({"what no pin reaches"}, shows=["entropy", "clock"], loaded=["numpy"], moved=moved)
    observed, differing = world.observe, iter([True, True])

    def observe(pins: Iterable[str] = (), **more: Any) -> Observation:
        found = observed(pins, **more)
        if not next(differing, False) and not (moved and "shift" in tuple(pins)):
            found.artifacts.leaves[""].data = 0
        return found

    world.observe = observe  # type: ignore[method-assign]
    found = search(world)
    assert [finding.pins for finding in found.findings] == ([("shift",)] if moved else [])
    assert moved or "identical now" in found.notes[-1]


def test_a_file_that_grows_until_all_runs_are_identical_is_found_by_moving_it_aside() -> None:
    world = World({"what no pin reaches"}, shows=["entropy"], left="decides")
    observed, differing = world.observe, iter([True, True])

    def observe(pins: Iterable[str] = (), **more: Any) -> Observation:
        found = observed(pins, **more)
        if not next(differing, False):
            found.artifacts.leaves[""].data = -1000 if "disk" in tuple(pins) else 0
        return found

    world.observe = observe  # type: ignore[method-assign]
    assert [finding.pins for finding in search(world).findings] == [("disk",)]


def test_forks_that_were_only_identical_at_first_are_searched_after_all() -> None:
    world = World({"heap"}, moved="addresses")
    observed, agreeing = world.observe, iter([True, True])

    def observe(pins: Iterable[str] = (), **more: Any) -> Observation:
        found = observed(pins, **more)
        if next(agreeing, False):
            found.artifacts.leaves[""].data = 0
        return found

    world.observe = observe  # type: ignore[method-assign]
    found = search(world, spawn=True)
    assert [finding.pins for finding in found.findings] == [("heap",)]


def test_the_counts_of_a_finding_are_those_of_the_runs_that_were_executed() -> None:
    world = World({"pid"}, shows=["entropy", "pid"])
    (finding,) = search(world).findings
    assert finding.trial.identical == world.pinned.count(("pid",)) > 3
    assert finding.trial.differing == finding.trial.compared >= 4
    assert not finding.trial.is_second
    (finding,) = search(World(leaks="m.counter")).findings
    assert finding.trial.differing == finding.trial.compared >= 4
    assert finding.trial.is_second
    (finding,) = search(World(left="decides")).findings
    assert finding.trial == Trial(3, 2, 2)
    (finding,) = search(World({"address"}, moved="addresses"), spawn=True).findings
    assert finding.trial == Trial(4, 4, 4)


def test_runs_without_the_pin_that_are_identical_by_chance_are_counted_as_such() -> None:
    world = World({"pid"}, shows=["pid"])
    observed, executed = world.observe, itertools.count()

    def observe(pins: Iterable[str] = (), **more: Any) -> Observation:
        found = observed(pins, **more)
        # The two runs that differ come first, then another first run and those that are compared with it.
        if not pins and next(executed) in (2, 4):
            found.artifacts.leaves[""].data = -1
        return found

    world.observe = observe  # type: ignore[method-assign]
    (finding,) = search(world, leak=False).findings
    assert finding.trial.compared - finding.trial.differing == 1


def test_a_budget_that_runs_out_leaves_the_search_incomplete_and_names_nothing() -> None:
    found = search(World({"pid"}, shows=["entropy", "clock", "pid"], budget=5))
    assert not found.complete
    assert found.findings == []


def rate(differing: int, compared: int) -> Rate:
    found = Rate()
    found.add(differing, compared)
    return found


def test_runs_that_always_differ_need_few_repeats_and_rare_ones_many() -> None:
    always, half = rate(8, 8).needed, rate(8, 16).needed
    assert always is not None
    assert half is not None
    assert always < half
    # One in eight: dozens of runs would be needed, so nothing may be named.
    assert rate(1, 8).needed is None
    # Two that differ say little of how often others do.
    assert (rate(1, 1).needed or 99) > (rate(4, 4).needed or 0) > always


@pytest.mark.parametrize(("differing", "compared"), [(4, 4), (5, 6), (10, 16)])
def test_enough_runs_are_required_that_chance_is_below_its_bound(differing: int, compared: int) -> None:
    needed = rate(differing, compared).needed
    assert needed is not None
    # The chance that `needed - 1` more agree, averaged over the rates that these counts leave possible.
    rates = np.linspace(0, 1, 20_001)[1:-1]
    weights = rates ** (differing - 0.5) * (1 - rates) ** (compared - differing - 0.5)

    def chance(runs: int) -> float:
        return float((weights * (1 - rates) ** (runs - 1)).sum() / weights.sum())

    assert chance(needed) <= ALPHA * 1.02
    assert chance(needed - 1) > ALPHA


def test_a_run_that_fails_by_itself_is_noted_and_ends_the_search() -> None:
    class Failing(World):
        def observe(self, *args: Any, **kwargs: Any) -> Observation:
            return Observation(Artifacts(), {}, "no such file")

    found = search(Failing())
    assert not found.complete
    assert "no such file" in found.notes[0]


class ByChance(World):
    """Depends on chance alone. Runs with one source pinned, or one state restored, are identical for a while."""

    def __init__(self, pin: str, agreeing: int, **kinds: Any) -> None:
        super().__init__({"chance"}, **kinds)
        self.pin, self.left_to_chance = pin, agreeing

    def observe(self, pins: Iterable[str] = (), **options: Any) -> Observation:
        found = super().observe(pins, **options)
        if self.pin in (*pins, *options.get("restores", ())) and self.left_to_chance:
            self.left_to_chance -= 1
            found.artifacts.leaves[""].data = 0
        return found


def test_a_source_that_was_not_seen_is_not_named_for_runs_that_are_identical_by_chance() -> None:
    found = search(ByChance("foreign", rate(4, 4).needed or 0, loaded=["numba"]))
    assert found.findings == []
    assert "foreign" in found.ruled_out


class Leaking(ByChance):
    """The same within one process: first runs are identical, second ones differ."""

    def observe(self, pins: Iterable[str] = (), **options: Any) -> Observation:
        found = super().observe(pins, **options)
        if options.get("repeats", 1) == 1:
            found.artifacts.leaves[""].data = 0
        return found


@pytest.mark.parametrize("pin", ["m.state", "foreign", "threads"])
def test_one_second_run_that_is_identical_by_chance_names_nothing(pin: str) -> None:
    found = search(Leaking(pin, 2, leaks="m.state"))
    assert found.findings == []


class Racing(World):
    """Two runs differ with some probability unless the cause is pinned. A few results are possible."""

    def __init__(self, seed: int, results: int, **kinds: Any) -> None:
        super().__init__({"threads"}, **kinds)
        self.random, self.results = random.Random(seed), results

    def observe(self, pins: Iterable[str] = (), **options: Any) -> Observation:
        found = super().observe(pins, **options)
        found.artifacts.leaves[""].data = 0 if "threads" in tuple(pins) else self.random.randrange(self.results)
        return found


@pytest.mark.parametrize("results", [2, 3, 10])
def test_a_race_with_few_results_is_seldom_taken_for_a_source_that_was_seen(results: int) -> None:
    kinds: Any = {"shows": ["entropy", "clock", "pid", "listing", "mtime"], "loaded": ["numba"]}
    named = []
    for seed in range(400):
        world = Racing(seed, results, **kinds)
        differing = sum(world.random.randrange(results) != 0 for _ in range(4))
        if differing:
            found = search(world, differing=differing, compared=4)
            named += [finding.pins if finding.state is None else ("state",) for finding in found.findings]
    wrong = [pins for pins in named if pins != ("threads",)]
    assert len(wrong) <= 8, (len(wrong), wrong, len(named))
    assert named.count(("threads",)) >= 150, len(named)


class Addresses(World):
    """A test whose result depends on addresses, which the pin of another source fixes by accident."""

    def observe(self, pins: Iterable[str] = (), **more: Any) -> Observation:
        held = set(pins) & {"time", "heap"} and "shift" not in pins
        number = next(self.runs)
        self.pinned.append(tuple(pins))
        value = 0 if held else number + 1
        sightings = [{"kind": "clock", "detail": "time", "file": "/a.py", "line": 3, "function": "f", "count": 1}]
        return Observation(Artifacts({"": Leaf("value", value, "int")}), {"sightings": sightings})


def test_a_source_whose_pin_fixes_addresses_by_accident_is_not_named() -> None:
    found = search(Addresses())
    assert [finding.pins for finding in found.findings] == [("heap",)]
    assert "time" in found.ruled_out


def at(line: int) -> Location:
    return Location("/a.py", line, "f", "x = draw()")


def search_at(world: World, place: Location | None, memory: Memory | None = None, *, leak: bool = True) -> Any:
    """Search with a place that is found at once, and note before which run."""
    located = []

    def locate(found: Search) -> Location | None:
        located.append(next(world.runs))
        return place

    procedure = Procedure(world, 2, 2, needs_spawn=False, may_leak=leak, locate=locate, memory=memory)
    found = procedure.run()
    assert len(located) <= 1
    return found, located


@pytest.mark.parametrize("world", [World({"pid"}, shows=["pid"]), World(leaks="m.counter")])
def test_the_place_is_found_before_any_source_is_pinned(world: World) -> None:
    found, located = search_at(world, at(3))
    assert len(found.findings) == 1
    assert not any(world.pinned[: located[0]])


def test_a_source_that_the_place_reaches_is_tried_before_all_others() -> None:
    world = World({"time"}, shows=["entropy", "clock"])
    observed = world.observe

    def observe(pins: Iterable[str] = (), **more: Any) -> Observation:
        found = observed(pins, **more)
        for entry in found.seen["sightings"]:
            entry["line"] = 3 if entry["kind"] == "clock" else 8
        return found

    world.observe = observe  # type: ignore[method-assign]
    found, _ = search_at(world, at(3), leak=False)
    assert [finding.pins for finding in found.findings] == [("time",)]
    assert found.ruled_out == []
    other = World({"time"}, shows=["entropy", "clock"])
    assert search_at(other, at(99), leak=False)[0].ruled_out == ["entropy"]


def test_a_known_cause_is_confirmed_by_few_runs_at_the_same_line_only() -> None:
    known = Memory([Known("between", ("pid",), "", "/a.py", 3)])
    shows = ["entropy", "clock", "pid"]
    world = World({"pid"}, shows=shows)
    found, _ = search_at(world, at(3), known, leak=False)
    assert [finding.pins for finding in found.findings] == [("pid",)]
    assert found.findings[0].trial == Trial(3, 1, 1)
    elsewhere = World({"pid"}, shows=shows)
    found, _ = search_at(elsewhere, at(4), known, leak=False)
    assert found.findings[0].trial.identical > 3


def test_a_known_cause_that_does_not_help_here_is_not_named() -> None:
    known = Memory([Known("between", ("entropy",), "", "/a.py", 3)])
    found, _ = search_at(World({"pid"}, shows=["entropy", "pid"]), at(3), known, leak=False)
    assert [finding.pins for finding in found.findings] == [("pid",)]


def test_a_known_state_is_restored_first() -> None:
    known = Memory([Known("within", (), "m.counter", "/a.py", 3)])
    found, _ = search_at(World(leaks="m.counter"), at(3), known)
    assert [finding.state["name"] for finding in found.findings] == ["m.counter"]
    assert found.findings[0].trial == Trial(3, 1, 1, is_second=True)
    assert found.ruled_out == []


def test_a_search_goes_on_where_an_earlier_one_ran_out_of_time() -> None:
    stopped, _ = search_at(World({"pid"}, shows=["entropy", "clock", "pid"], budget=12), at(99), leak=False)
    assert (stopped.is_out_of_time, stopped.ruled_out) == (True, ["entropy"])
    assert stopped.not_tried == ["time", "pid", "heap", "address"]
    world = World({"pid"}, shows=["entropy", "clock", "pid"])
    found, _ = search_at(world, at(99), Memory((), {"entropy"}), leak=False)
    assert [finding.pins for finding in found.findings] == [("pid",)]
    assert ("entropy",) not in world.pinned
    assert found.ruled_out == ["entropy", "time"]


def test_runs_that_differ_only_because_one_of_them_was_recorded_are_no_difference() -> None:
    class Moved(World):
        """Recording makes objects, and so moves those of the test, on whose addresses the result depends."""

        def observe(self, pins: Iterable[str] = (), *, record_sources: bool = False, **options: Any) -> Observation:
            found = super().observe(pins, record_sources=record_sources, **options)
            number = len(self.pinned)
            # The first runs differ by what the process has learnt. One pin moves all objects to the same places.
            value = number if number <= 2 else 7 if "threads" in tuple(pins) else 3 + record_sources
            found.artifacts.leaves[""].data = value
            return found

    found = search(Moved(loaded=["numpy"]), leak=False)
    assert found.findings == []


class Lines(World):
    """A test whose result depends on entropy that it draws at the `cause`, and which draws at other lines too."""

    def __init__(self, cause: int, *lines: int, budget: int = 10**6) -> None:
        super().__init__({"entropy"}, shows=["entropy"], budget=budget)
        self.cause, self.lines = cause, lines

    def observe(self, pins: Iterable[str] = (), **options: Any) -> Observation:
        at = [pin.partition("@")[2] for pin in pins if "@" in pin]
        found = super().observe(["entropy" if f"/a.py:{self.cause}" in at else pin for pin in pins], **options)
        (entry,) = found.seen["sightings"]
        return Observation(found.artifacts, {**found.seen, "sightings": [{**entry, "line": n} for n in self.lines]})


@pytest.mark.parametrize("cause", [3, 5, 7])
def test_the_line_of_a_source_is_the_one_at_which_it_must_be_pinned(cause: int) -> None:
    (finding,) = search(Lines(cause, 3, 5, 7)).findings
    line = finding.lines["entropy"]
    assert line.sighting is not None
    assert (finding.pins, line.sighting["line"], line.is_alone) == (("entropy",), cause, True)


def test_no_line_of_a_source_is_named_if_pinning_one_is_not_enough() -> None:
    (finding,) = search(Lines(9, 3, 5, 7)).findings
    assert (finding.pins, finding.lines["entropy"].sighting) == (("entropy",), None)


def test_the_only_line_of_a_source_is_not_tried() -> None:
    world = Lines(3, 3)
    (finding,) = search(world).findings
    assert finding.lines == {}
    assert not any("@" in pin for pins in world.pinned for pin in pins)


class LinesOfTwo(World):
    """A test whose result depends on entropy and on the clock, each at some of the lines that reach it."""

    def __init__(self, entropy: set[int], clock: set[int], *lines: int, budget: int = 10**6) -> None:
        super().__init__({"entropy", "time"}, shows=["entropy", "clock"], budget=budget)
        self.needed, self.lines = {"entropy": entropy, "time": clock}, lines

    def observe(self, pins: Iterable[str] = (), **options: Any) -> Observation:
        pins, held = list(pins), []
        for name, needed in self.needed.items():
            lines = {int(pin.rpartition(":")[2]) for pin in pins if pin.startswith(f"{name}@")}
            held += [name] if name in pins or needed <= lines else []
        found = super().observe([*held, *pins], **options)
        entries = [{**entry, "line": n} for entry in found.seen["sightings"] for n in self.lines]
        return Observation(found.artifacts, {**found.seen, "sightings": entries})


def lines_of(world: World, place: Location | None = None) -> dict[str, tuple[int | None, bool]]:
    (finding,) = search_at(world, place)[0].findings
    assert set(finding.pins) == {"entropy", "time"}
    return {name: (line.sighting and line.sighting["line"], line.is_alone) for name, line in finding.lines.items()}


@pytest.mark.parametrize("place", [None, 3, 5, 9])
def test_each_of_two_sources_gets_the_line_at_which_it_must_be_pinned_while_the_other_one_is(place: int | None) -> None:
    world = LinesOfTwo({3}, {7}, 3, 5, 7)
    found = lines_of(world, None if place is None else at(place))
    assert found == {"entropy": (3, True), "time": (7, True)}


def test_a_source_that_needs_several_lines_gets_one_without_which_runs_differ() -> None:
    found = lines_of(LinesOfTwo({3, 5}, {7}, 3, 5, 7))
    assert found == {"entropy": (5, False), "time": (7, True)}


def test_a_line_that_no_experiment_shows_is_not_named_for_one_of_two_sources() -> None:
    found = lines_of(LinesOfTwo({3, 99}, {7}, 3, 5, 7), at(3))
    assert found == {"entropy": (None, True), "time": (7, True)}


def test_a_cause_stands_if_the_budget_ends_while_its_line_is_searched() -> None:
    whole = Lines(9, 3, 5, 7)
    search(whole)
    until_line = next(number for number, pins in enumerate(whole.pinned) if any("@" in pin for pin in pins))
    stopped = search(Lines(9, 3, 5, 7, budget=until_line))
    assert [finding.pins for finding in stopped.findings] == [("entropy",)]
    assert (stopped.is_out_of_time, stopped.complete, stopped.not_tried) == (True, False, [])


@pytest.mark.parametrize(("slow", "reaches"), [("differs", True), ("is the same", False), ("fails", None)])
def test_a_run_with_other_values_that_fails_shows_nothing_of_the_result(slow: str, reaches: bool | None) -> None:
    class Slow(World):
        def observe(self, pins: Iterable[str] = (), **options: Any) -> Observation:
            found = super().observe(pins, **options)
            if "slow_clock" in pins and slow == "differs":
                found.artifacts.leaves[""].data = -1
            return Observation(found.artifacts, found.seen, "slow" if "slow_clock" in pins and slow == "fails" else "")

    (finding,) = search(Slow({"time"}, shows=["clock"])).findings
    assert finding.reaches_result is reaches
