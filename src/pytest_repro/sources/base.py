"""The base of every source of irreproducibility, and the values by which a diagnosis asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_repro.axes import EngineName
from pytest_repro.axes.base import AxisContext, BuiltInAxis
from pytest_repro.model import JSON, Artifacts, CauseWords, FirstDivergence, Location

if TYPE_CHECKING:
    from pytest_repro.sources.patching import SourcePatches

#: Kind of sighting: a Python interpreter is started, inside which nothing is noted.
STARTED = "interpreter"

Sighting = dict[str, Any]
#: Takes an event that the interpreter raises, and its arguments.
EventHandler = Callable[[str, tuple[Any, ...]], object]


@dataclass(slots=True)
class Observation:
    """One run made for a diagnosis: its artifacts, what it noted, and why it failed if it did.

    `ending` is how the test ended and where, if that is what is compared. Such a run has not failed.
    """

    artifacts: Artifacts
    seen: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    ending: str = ""

    def sightings(self, *kinds: str) -> list[Sighting]:
        """Return the sightings of these kinds."""
        return [entry for entry in self.seen.get("sightings", []) if entry["kind"] in kinds]


@dataclass(frozen=True, slots=True)
class Situation:
    """Runs under one condition of which two differ, by which a source is worth trying.

    `in_interpreters` is whether only fresh interpreters differ, while forks of one process are identical;
    `has_left_files` whether a run found files of an earlier run that can be moved aside.
    """

    runs: tuple[Observation, ...]
    in_interpreters: bool = False
    has_left_files: bool = False

    def sightings(self, *kinds: str) -> list[Sighting]:
        """Return the sightings of these kinds in any of the runs."""
        return [entry for run in self.runs for entry in run.sightings(*kinds)]

    @property
    def libraries(self) -> set[str]:
        """Libraries that a run had loaded."""
        return {name for run in self.runs for name in run.seen.get("loaded", ())}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Facts by which a source that made runs identical names its cause.

    Attributes
    ----------
    pair : (Observation, Observation)
        Two runs that differ.
    sightings : list of dict
        Where they reached the source.
    first : Location or None
        The first statement whose value differs, from the traces of two runs.
    statement : str
        Its source without comments.
    seeds : bool
        Whether a generator differs there, and was therefore seeded from the source.
    reaches_result : bool or None
        Whether runs with the source pinned to other values gave another result. None if that was not tried.
    """

    pair: tuple[Observation, Observation]
    sightings: list[Sighting]
    first: Location | None = None
    statement: str = ""
    seeds: bool = False
    reaches_result: bool | None = None


class Pin(BuiltInAxis):
    """Hidden condition that pins one source: by variables, by the command of a fresh interpreter, or for a block.

    Parameters
    ----------
    source : str
    environment : mapping of name -> value
    prefix : sequence of str
    applied : callable (value) -> context manager, optional
    """

    def __init__(
        self,
        source: str,
        *,
        environment: Mapping[str, str | None] | None = None,
        prefix: Sequence[str] = (),
        applied: Callable[[JSON], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.name: str = f"pin:{source}"  # type: ignore[misc]  # one class serves several conditions
        self.needs: EngineName = "in_process" if environment is None and applied is not None else "spawn"  # type: ignore[misc]
        self._environment, self._prefix = dict(environment or {}), list(prefix)
        self._applied = applied

    def environment(self, value: JSON) -> dict[str, str | None]:
        """Return the variables."""
        return self._environment

    def command_prefix(self, value: JSON) -> list[str]:
        """Return the command."""
        return self._prefix

    def forks_suffice(self, value: JSON) -> bool:
        """Return whether the variables are of the hash seed alone: the other pins are about interpreters themselves."""
        return not self._prefix and set(self._environment) <= {"PYTHONHASHSEED"}

    @contextmanager
    def apply(self, value: JSON, ctx: AxisContext) -> Iterator[None]:
        """Enter the block."""
        with nullcontext() if self._applied is None else self._applied(value):
            yield


class Source:
    """One source of irreproducibility. A subclass overrides what differs from these defaults.

    Adding one takes a file with a subclass, and a line in :mod:`pytest_repro.sources.registry`.
    """

    #: Its name in conditions and in the JSON report, and its name for readers.
    name: ClassVar[str]
    label: ClassVar[str]
    #: Evidence: how it was pinned, and what runs without the pin did.
    pinned: ClassVar[str]
    contrast: ClassVar[str] = "without, {differing} of {compared} differed"
    #: The cause that it stands for unless :meth:`name_code` finds a closer one.
    code: ClassVar[str]
    #: The words of codes. Those of a code that several sources share are in one of them.
    words: ClassVar[Mapping[str, CauseWords]] = {}
    #: The library that it is inside, and the fix for that library where the code's own says too little.
    library: ClassVar[str] = ""
    fix: ClassVar[str] = ""

    #: Kinds of sightings that suggest it and give its place, and those that only give its place.
    kinds: ClassVar[tuple[str, ...]] = ()
    places: ClassVar[tuple[str, ...]] = ()
    #: Libraries that suggest it when they are loaded.
    libraries: ClassVar[tuple[str, ...]] = ()
    #: Events that the interpreter raises -> their handlers, called while sightings are recorded.
    events: ClassVar[Mapping[str, EventHandler]] = {}

    #: The hidden condition that pins it. Without one it is pinned by :meth:`patch`.
    pin: ClassVar[Pin | None] = None
    #: Whether it can be pinned at one line of the user's code alone.
    is_pinned_by_line: ClassVar[bool] = False
    #: The source that pins it to other values, by which it is seen whether they reach the result.
    pinned_differently_by: ClassVar[str] = ""
    #: Sources that must be pinned with it, or its pin shows nothing; and sources that its pin includes.
    needs: ClassVar[tuple[str, ...]] = ()
    includes: ClassVar[tuple[str, ...]] = ()
    #: Whether it is tried before those it includes, which it rules out all at once.
    is_asked_first: ClassVar[bool] = False
    #: Whether it is tried before all others, of which some would be blamed because their pins fix it as well.
    is_fixed_by_others: ClassVar[bool] = False
    #: Whether it is pinned in interpreters that the test starts too.
    reaches_started: ClassVar[bool] = False
    #: Whether its pin moves files aside, which only the process that starts the runs can do.
    moves_files: ClassVar[bool] = False

    #: Whether the search tries it. The others are pinned for a purpose of their own.
    is_searched: ClassVar[bool] = True
    #: When it is tried where a second run in one process differs, from 1. 0 for never.
    turn_within: ClassVar[int] = 0
    #: Whether it matters inside libraries too. Most draw entropy for names, and read the clock for their log.
    matters_in_libraries: ClassVar[bool] = False
    #: Whether forks of one process share it, and therefore do not differ by it.
    is_shared_by_forks: ClassVar[bool] = False
    #: Whether it is settled when an interpreter starts, and tried first where only fresh interpreters differ.
    is_set_at_start: ClassVar[bool] = False
    #: Whether its pin fixes the addresses of objects, as others may do by accident.
    fixes_addresses: ClassVar[bool] = False
    #: Whether it outlasts the run that made it: runs are identical until it is removed.
    outlasts_runs: ClassVar[bool] = False
    #: Whether its "pin" provokes it where runs are identical, and sources whose pins must not prevent that.
    is_provoked: ClassVar[bool] = False
    confounded_by: ClassVar[tuple[str, ...]] = ()
    #: Whether one line of source gives its place where watching hides the difference.
    is_placed_by_source: ClassVar[bool] = False
    #: The source to provoke in a watched run, since watching may pin this one by accident.
    watched_with: ClassVar[str] = ""

    @property
    def needs_interpreter(self) -> bool:
        """Whether only a fresh interpreter can be pinned."""
        return self.pin is not None and self.pin.needs == "spawn"

    def condition(self, run: int) -> tuple[str, JSON] | None:
        """Return the entry of a condition that pins it in the run of this number, or None if :meth:`patch` pins it."""
        return None if self.pin is None else (self.pin.name, True)

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        """Have the functions that reach the source note it, and pin it if its name is among `pins`."""

    def begin_repetition(self) -> None:
        """Forget what the repetition before has counted."""

    def begin_body(self) -> None:
        """Do what comes right before the test's own code."""

    def is_suggested(self, situation: Situation) -> bool:
        """Return whether it is worth trying."""
        if self.is_shared_by_forks and not situation.in_interpreters:
            return False
        if self.kinds and situation.sightings(*self.kinds):
            return True
        return bool(situation.libraries & set(self.libraries)) if self.libraries else not self.kinds

    def rank(self, situation: Situation) -> tuple[int, bool]:
        """Return when it is tried: reached by the user's lines (0), inside libraries (1), or without a sighting (2)."""
        if not self.kinds:
            return 2, False
        is_far = all(entry.get("library") for entry in situation.sightings(*self.kinds))
        return int(is_far), is_far and not self.matters_in_libraries

    def name_code(self, evidence: Evidence) -> str:
        """Return the code of its cause."""
        return self.code

    def show(self, first: FirstDivergence, statement: str, *, shares_hash_seed: bool) -> tuple[str, str] | None:
        """Return the code and the evidence that the first differing value shows by itself, where no pin helped.

        `statement` is its source without comments, or "" if the value does not reach the result. With
        `shares_hash_seed` the hashes of strings are ruled out.
        """
        return None

    def choose_sightings(self, code: str, sightings: list[Sighting]) -> list[Sighting]:
        """Return the sightings that give the place of a cause."""
        return sightings

    def describe(self, sightings: list[Sighting]) -> str:
        """Return what the evidence says beyond the counts and the place."""
        return ""
