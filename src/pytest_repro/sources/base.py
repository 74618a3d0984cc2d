"""The base of every source of irreproducibility, and the values by which a diagnosis asks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_repro.axes.base import BuiltInAxis
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
    """One run made for a diagnosis: its artifacts, what it noted, and why it failed if it did."""

    artifacts: Artifacts
    seen: dict[str, Any] = field(default_factory=dict)
    failure: str = ""

    def sightings(self, *kinds: str) -> list[Sighting]:
        """Return the sightings of these kinds."""
        return [entry for entry in self.seen.get("sightings", []) if entry["kind"] in kinds]

    @property
    def libraries(self) -> set[str]:
        """Libraries that the run had loaded."""
        return set(self.seen.get("loaded", ()))


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts by which a source is worth trying.

    Attributes
    ----------
    runs : sequence of Observation
        Runs under one condition, of which two differ.
    in_interpreters : bool
        Whether only fresh interpreters differ, while forks of one process are identical.
    has_left_files : bool
        Whether a run found files that an earlier run left and that can be moved aside.
    """

    runs: tuple[Observation, ...]
    in_interpreters: bool = False
    has_left_files: bool = False

    def sightings(self, *kinds: str) -> list[Sighting]:
        """Return the sightings of these kinds in any of the runs."""
        return [entry for run in self.runs for entry in run.sightings(*kinds)]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts by which a source that made runs identical names its cause.

    Attributes
    ----------
    pair : (Observation, Observation)
        Two runs that differ.
    sightings : list of dict
        Where the runs reached the source.
    first : Location or None
        The first statement whose value differs, from the traces of two runs.
    statement : str
        Its source without comments.
    seeds : bool
        Whether a generator is among the values that differ there, and was thus seeded from the source.
    """

    pair: tuple[Observation, Observation]
    sightings: list[Sighting]
    first: Location | None = None
    statement: str = ""
    seeds: bool = False


class Source:
    """One source of irreproducibility. A subclass overrides what differs from these defaults.

    Adding one takes a file with a subclass, and a line in :mod:`pytest_repro.sources.registry`.
    """

    #: The machine's name: in conditions and in the JSON report's ``ruled_out``.
    name: ClassVar[str]
    #: The reader's name for it.
    label: ClassVar[str]
    #: Evidence: what was done to pin it.
    pinned: ClassVar[str]
    #: Evidence: what runs without the pin did, with the counts ``{differing}`` and ``{compared}``.
    contrast: ClassVar[str] = "without, {differing} of {compared} differed"
    #: The cause that it stands for unless :meth:`name_code` finds a closer one.
    code: ClassVar[str]
    #: The words of the codes that it introduces; codes that several sources share are in one file.
    words: ClassVar[Mapping[str, CauseWords]] = {}

    #: Kinds of sightings that suggest it, and that give its place.
    kinds: ClassVar[tuple[str, ...]] = ()
    #: Kinds of sightings that give its place where others, or none, suggest it.
    places: ClassVar[tuple[str, ...]] = ()
    #: Libraries that suggest it when they are loaded.
    libraries: ClassVar[tuple[str, ...]] = ()
    #: Events that the interpreter raises -> their handlers, called while sightings are recorded.
    events: ClassVar[Mapping[str, EventHandler]] = {}

    #: The hidden condition that pins it; without one it is pinned by :meth:`patch`.
    pin: ClassVar[BuiltInAxis | None] = None
    #: Sources that must be pinned too, or pinning this one shows nothing.
    needs: ClassVar[tuple[str, ...]] = ()
    #: Sources that pinning this one pins as well.
    includes: ClassVar[tuple[str, ...]] = ()
    #: Whether it is asked before those it includes, which it clears all at once when it does not help.
    is_asked_first: ClassVar[bool] = False
    #: Whether interpreters that the test starts are pinned too.
    reaches_started: ClassVar[bool] = False
    #: Whether pinning it moves files aside, which only the process that starts the runs can do.
    moves_files: ClassVar[bool] = False

    #: Whether the search tries it; the others are pinned for a purpose of their own.
    is_searched: ClassVar[bool] = True
    #: When it is tried where a second run in one process differs, counted from 1; 0 for never.
    turn_within: ClassVar[int] = 0
    #: Whether it matters as much inside a library as in the user's own lines. A library draws entropy for names and
    #: reads the clock for its log.
    matters_in_libraries: ClassVar[bool] = False
    #: Whether forks of one process share it, so that it cannot make them differ.
    is_shared_by_forks: ClassVar[bool] = False
    #: Whether it is settled when an interpreter starts, and suspected first where only fresh interpreters differ.
    is_set_at_start: ClassVar[bool] = False
    #: Whether it fixes the addresses of objects, as a pin of anything else may do by accident.
    fixes_addresses: ClassVar[bool] = False
    #: Whether runs find what an earlier run left, and therefore are identical until it is removed.
    outlasts_runs: ClassVar[bool] = False
    #: Whether runs are identical unless it is provoked, which is then what its "pin" does.
    is_provoked: ClassVar[bool] = False
    #: Sources that provoking this one provokes too: with them pinned it must still make runs differ.
    confounded_by: ClassVar[tuple[str, ...]] = ()
    #: Whether one line of source gives its place where watching hides the difference.
    is_placed_by_source: ClassVar[bool] = False
    #: The source to provoke in a watched run, where watching may pin this one by accident.
    watched_with: ClassVar[str] = ""

    @property
    def needs_interpreter(self) -> bool:
        """Whether it can be pinned in a fresh interpreter alone."""
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
        loaded = {name for run in situation.runs for name in run.libraries}
        return bool(loaded & set(self.libraries)) if self.libraries else not self.kinds

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
        """Return the cause that the first differing value shows by itself, where no pin made runs identical.

        Parameters
        ----------
        first : FirstDivergence
        statement : str
            Its source without comments; empty if the value does not reach the result.
        shares_hash_seed : bool
            Whether the hashes of strings are ruled out.

        Returns
        -------
        (str, str) or None
            The code and the evidence.
        """
        return None

    def choose_sightings(self, code: str, sightings: list[Sighting]) -> list[Sighting]:
        """Return the sightings that give the place of a cause."""
        return sightings

    def describe(self, sightings: list[Sighting]) -> str:
        """Return what the evidence says beyond the counts and the place."""
        return ""
