"""A diagnosis' request to a child beyond its run, and the recorder that carries it out."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_repro.model import JSON
from pytest_repro.sources import left_files, registry
from pytest_repro.sources.base import EventHandler
from pytest_repro.sources.fixture_state import FixtureState, record_fixtures
from pytest_repro.sources.module_state import ModuleState
from pytest_repro.sources.noted_calls import note_relative
from pytest_repro.sources.sightings import Sightings, collect_into
from pytest_repro.tracing.user_code import is_user_file

#: Changed places reported.
MAX_CHANGES = 50


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """A diagnosis' request to a child.

    Attributes
    ----------
    repeats : int
        Runs executed one after the other in the child; the last one's results are its answer.
    record_sources : bool
        Whether sightings of sources are recorded.
    restores : list of str
        State restored between the repetitions.
    since : float or None
        Files written since then [s since 1970] were left by earlier runs; None where none are looked for.
    at_import : bool
        Whether sources are noted and pinned while a fresh interpreter imports the user's modules, too.
    compiled : str
        Folder in which the runs of one diagnosis keep the code that numba compiles of libraries; empty for none.
    """

    repeats: int = 1
    record_sources: bool = False
    restores: list[str] = field(default_factory=list)
    since: float | None = None
    compiled: str = ""
    at_import: bool = False

    def to_json(self) -> dict[str, JSON]:
        """Return it as a job holds it."""
        return asdict(self)


class ProbeRecorder:
    """Carries out a :class:`ProbeRequest` around the runs of a child."""

    def __init__(self, probe: ProbeRequest) -> None:
        self.probe = probe
        self.sightings: Sightings = Sightings()
        self.changed: list[dict[str, JSON]] = []
        self._state: ModuleState | None = None
        self._index = 0
        self._fixtures: list[Any] = []
        self._fixture_states: list[FixtureState] = []
        self._is_recorded = True
        #: Sightings while the user's modules were imported.
        self.at_import: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Record the state before the first run."""
        if self.probe.compiled and "numba" in sys.modules:
            from pytest_repro.frameworks.numba_compiled import keep_compiled

            keep_compiled(self.probe.compiled, lambda file: not is_user_file(file))
        if self.probe.record_sources:
            collect_into(self.sightings)
            left_files.begin(math.inf if self.probe.since is None else self.probe.since)
            sys.addaudithook(make_audit_hook())
        if self.probe.repeats > 1:
            self._state = ModuleState()

    @contextmanager
    def around_run(self, index: int) -> Iterator[None]:
        """Surround one repetition. Changed state is collected after the first, and restored before the others."""
        for source in registry.SOURCES:
            source.begin_repetition()
        self._index = index
        if index and self._state is not None and self.probe.restores:
            self._restore(self._state)
        yield
        if not index and self._state is not None:
            self.changed = self._find_changed(self._state)[:MAX_CHANGES]

    def take_fixture(self, fixture: Any, *, has_begun: bool) -> None:
        """Take a fixture that outlives the test and was just set up. `has_begun` is whether the test has begun."""
        if self._state is None or self._index:
            return
        if has_begun:
            self._fixture_states += record_fixtures([fixture])
        else:
            self._fixtures.append(fixture)
            self._is_recorded = False

    def begin_test(self) -> None:
        """Record the state that fixtures leave which are set up once for all repetitions, before the test begins."""
        if self._is_recorded or self._state is None:
            return
        self._is_recorded = True
        self._state.renew()
        self._fixture_states += record_fixtures(self._fixtures)

    def _find_changed(self, state: ModuleState) -> list[dict[str, JSON]]:
        """Return the state that the first run changed, each before what only holds it.

        A fixture may return an object of a module, which a fixture of a narrower scope would return as well.
        """
        fixtures = [(entry, found.ids) for found in self._fixture_states if (entry := found.changed()) is not None]
        holders = state.find_holders(set().union(*(ids for _, ids in fixtures)))
        of_modules = state.changed()
        first = [entry for entry in of_modules if entry["name"] in holders]
        return [*first, *(entry for entry, _ in fixtures), *(entry for entry in of_modules if entry not in first)]

    def _restore(self, state: ModuleState) -> None:
        of_fixtures = {found.name: found for found in self._fixture_states}
        for name in self.probe.restores:
            if name in of_fixtures:
                of_fixtures[name].restore()
        if names := [name for name in self.probe.restores if name not in of_fixtures]:
            state.restore(names)

    def before_body(self) -> None:
        """Do what comes right before the test's own code."""
        self.begin_test()
        for source in registry.SOURCES:
            source.begin_body()

    def to_json(self) -> dict[str, Any]:
        """Return the sightings, the changed state, and the libraries that suggest a source."""
        collect_into(None)
        libraries = {name for source in registry.SOURCES for name in source.libraries}
        loaded = sorted(name for name in libraries if name in sys.modules)
        sightings = [*self.at_import, *self.sightings.to_json()]
        return {"sightings": sightings, "changed": self.changed, "loaded": loaded}


def make_audit_hook() -> Callable[[str, tuple[Any, ...]], None]:
    """Return a hook that notes the events of all sources."""
    handlers: dict[str, list[EventHandler]] = {"open": [note_relative]}
    for source in registry.SOURCES:
        for event, handler in source.events.items():
            handlers.setdefault(event, []).insert(0, handler)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        for handler in handlers.get(event, ()):
            handler(event, args)

    return hook
