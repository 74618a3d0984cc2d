"""The values of a search for a cause: who executes its runs, what made them identical, and how the search ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pytest_repro.model import JSON, Condition, Location
from pytest_repro.sources.base import Observation, Sighting, Source


class Prober(Protocol):
    """Executes the runs of a diagnosis."""

    def observe(
        self,
        pins: Iterable[str] = (),
        *,
        spawn: bool = False,
        repeats: int = 1,
        record_sources: bool = False,
        restores: Iterable[str] = (),
        condition: Condition | None = None,
        watch: Path | None = None,
    ) -> Observation:
        """Execute a run.

        Parameters
        ----------
        pins : iterable of str
            Names of the sources that are pinned.
        spawn : bool
            In a fresh interpreter, where a fork would do.
        repeats : int
            Runs in the one process, of which the last is observed.
        record_sources : bool
            Whether sightings are recorded.
        restores : iterable of str
            State restored between the repetitions.
        condition : Condition, optional
            The baseline's by default.
        watch : Path, optional
            File for a trace of the user's code.

        Raises
        ------
        OutOfTimeError
        """

    def differ(self, one: Observation, other: Observation) -> bool:
        """Return whether two runs differ by more than is allowed."""

    def has_left_files(self) -> bool:
        """Return whether a run found files that an earlier run left and that can be moved aside."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs that were all identical with a pin, compared with runs without it.

    Attributes
    ----------
    identical : int
        Runs with the pin, the first included.
    differing, compared : int
        Runs without it that differed from a first one, of those compared.
    is_second : bool
        Whether those were second runs in one process.
    """

    identical: int
    differing: int = 0
    compared: int = 0
    is_second: bool = False


@dataclass(frozen=True, slots=True)
class PinnedLine:
    """A line that reaches a source, as an experiment shows that it matters.

    Attributes
    ----------
    sighting : Sighting or None
        None if no experiment shows a line.
    is_alone : bool
        Whether pinning the source at this line alone made runs identical. Otherwise runs differed with the source
        pinned at all of its other lines.
    """

    sighting: Sighting | None = None
    is_alone: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """Sources that were pinned together, or a state that was restored, which made runs identical.

    Attributes
    ----------
    trial : Trial
    pair : (Observation, Observation)
        Two runs that differ.
    sources : tuple of Source
    state : dict, optional
        As :meth:`pytest_repro.sources.module_state.ModuleState.changed` describes it.
    reaches_result : bool or None
        Whether runs with the source pinned to other values gave another result. None if that was not tried.
    lines : mapping of source -> PinnedLine
        Lines that were searched by experiment. Several sources each get one of their own.
    """

    trial: Trial
    pair: tuple[Observation, Observation]
    sources: tuple[Source, ...] = ()
    state: dict[str, JSON] | None = None
    reaches_result: bool | None = None
    lines: Mapping[str, PinnedLine] = field(default_factory=dict)

    @property
    def pins(self) -> tuple[str, ...]:
        """Names of the sources."""
        return tuple(source.name for source in self.sources)


@dataclass(frozen=True, slots=True)
class Known:
    """A finding about another test, or about this one before, which the next search tries first.

    Attributes
    ----------
    where : str
        As of :class:`Search`.
    pins : tuple of str
        Names of the sources that were pinned together.
    state : str
        Name of the state that was restored, or "".
    file, line : str, int
        The place of the first value that differed.
    """

    where: str
    pins: tuple[str, ...]
    state: str
    file: str
    line: int

    def is_at(self, place: Location | None) -> bool:
        """Return whether it was found at this place."""
        return place is not None and (self.file, self.line) == (place.file, place.line)


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier searches leave for this one.

    Attributes
    ----------
    known : sequence of Known
    ruled_out : collection of str
        Sources and states that changed nothing in a search of the same test and code that ran out of time.
    """

    known: Sequence[Known] = ()
    ruled_out: Collection[str] = ()


@dataclass(slots=True)
class Search:
    """The course of a search.

    Attributes
    ----------
    findings : list of Finding
    ruled_out : list of str
        Names of the sources, and states, that made no difference.
    not_tried : list of str
        Names of the sources that were still to be pinned when time ran out.
    complete : bool
        False if time ran out, or the runs differ too seldom to conclude anything.
    is_out_of_time : bool
    where : str
        Runs differ "between" processes, "within" one, with files that were "left", or where a source is "provoked";
        "neither" if none differed again, empty if none was compared.
    is_spawned : bool
        Whether only fresh interpreters differ, and not forks of one process.
    watched_pins : (tuple of str, tuple of str)
        Pins of the two runs that are watched to find the place.
    notes : list of str
    """

    findings: list[Finding] = field(default_factory=list)
    ruled_out: list[str] = field(default_factory=list)
    not_tried: list[str] = field(default_factory=list)
    complete: bool = True
    is_out_of_time: bool = False
    where: str = ""
    is_spawned: bool = False
    watched_pins: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    notes: list[str] = field(default_factory=list)
