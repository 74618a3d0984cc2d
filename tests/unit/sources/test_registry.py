"""A source takes one file and one line of the registry: it is seen, tried and named by its properties."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import pytest

from pytest_repro.diagnosis.naming import Facts, name_causes
from pytest_repro.diagnosis.procedure import Procedure
from pytest_repro.model import Artifacts, CauseWords, Leaf, TestResult, Verdict
from pytest_repro.sources import registry
from pytest_repro.sources.base import EventHandler, Evidence, Observation, Source
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.pins import patched_sources
from pytest_repro.sources.probing import ProbeRecorder, ProbeRequest, make_audit_hook
from pytest_repro.sources.registry import expand_pins, find_source, label_of
from pytest_repro.sources.sightings import collect_into, note


class Sky:
    """A library that reads the phase of the moon, which differs from run to run."""

    phases = itertools.count(1)

    def read(self) -> int:
        return next(self.phases)


SKY = Sky()


def note_eclipse(event: str, args: tuple[Any, ...]) -> None:
    note("moon", event)


class Moon(Source):
    """The whole file of a source."""

    name: ClassVar[str] = "moon"
    label: ClassVar[str] = "phase of the moon"
    pinned: ClassVar[str] = "with a new moon"
    code: ClassVar[str] = "sky.moon"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "sky.moon": CauseWords("the phase of the moon", "compute by daylight", "ask {library} by daylight"),
        "sky.eclipse": CauseWords("an eclipse", "wait"),
    }
    kinds: ClassVar[tuple[str, ...]] = ("moon",)
    events: ClassVar[Mapping[str, EventHandler]] = {"sky.eclipse": note_eclipse}

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        """Have readings noted, and be 0 if that is wanted."""
        real = Sky.read

        def read(sky: Sky) -> int:
            note("moon", "Sky.read")
            return 0 if self.name in pins else real(sky)

        patches.put(Sky, "read", read)

    def name_code(self, evidence: Evidence) -> str:
        """Return whether there was an eclipse."""
        return "sky.eclipse" if any(entry["detail"] == "sky.eclipse" for entry in evidence.sightings) else self.code


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the line to the registry."""
    monkeypatch.setattr(registry, "SOURCES", (Moon(), *registry.SOURCES))


class InProcess:
    """Executes a test's function in this process, with its sources patched as in a child."""

    def __init__(self, *events: str) -> None:
        self.events = events

    def observe(
        self, pins: Iterable[str] = (), *, record_sources: bool = False, repeats: int = 1, **options: Any
    ) -> Observation:
        recorder = ProbeRecorder(ProbeRequest())
        if record_sources:
            collect_into(recorder.sightings)
        # Real hooks can never be removed.
        hook = make_audit_hook()
        with patched_sources(pins), recorder.around_run(0):
            value = SKY.read()
            for event in self.events:
                hook(event, ())
        return Observation(Artifacts({"": Leaf("value", value, "int")}), recorder.to_json())

    def differ(self, one: Observation, other: Observation) -> bool:
        return one.artifacts.leaves[""].data != other.artifacts.leaves[""].data

    def has_left_files(self) -> bool:
        return False


@pytest.mark.parametrize(("events", "code"), [([], "sky.moon"), (["sky.eclipse"], "sky.eclipse")])
def test_a_source_that_is_added_is_seen_tried_and_named(events: list[str], code: str) -> None:
    search = Procedure(InProcess(*events), 3, 3, needs_spawn=False, may_leak=False).run()
    assert [finding.pins for finding in search.findings] == [("moon",)]
    result = TestResult("test_it.py::test_it", Verdict.DIVERGED, 0)
    (cause,) = name_causes(result, Facts(search))
    assert (cause.code, cause.fix) == (code, registry.SOURCES[0].words[code].fix)
    assert cause.evidence.startswith("with a new moon, 4 of 4 runs were identical; without, ")
    assert cause.location is not None
    assert cause.location.file == __file__
    assert label_of("moon") == "phase of the moon"


def test_a_source_is_found_by_its_machine_name_and_has_a_label_for_readers() -> None:
    names = [source.name for source in registry.SOURCES]
    assert [find_source(name).name for name in names] == names
    assert [label_of(name) for name in ("serial", "foreign", "heap", "isa")] == [
        "task order",
        "other libraries' generators",
        "addresses",
        "isa",
    ]
    assert label_of("hash_seed") == "hash_seed"  # an axis
    assert label_of("state users.STEPS") == "state users.STEPS"


def test_pins_that_include_others_pin_them_too() -> None:
    assert expand_pins(["inline", "pid"]) == {"inline", "serial", "order", "pid"}
    assert expand_pins(["serial"]) == {"serial", "order"}
    assert expand_pins([]) == frozenset()


def test_every_name_that_a_source_refers_to_is_a_source() -> None:
    for source in registry.SOURCES:
        others = [*source.needs, *source.includes, *source.confounded_by, *filter(None, [source.watched_with])]
        assert [find_source(name).name for name in others] == others
