"""The one step in which causes get their names, places and words, once all is known that a diagnosis finds out."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_repro.diagnosis.axis_causes import AxisRuns, name_axis
from pytest_repro.diagnosis.catalogue import fix_of, meaning_of
from pytest_repro.diagnosis.observing import Finding, PinnedLine, Search, Trial
from pytest_repro.diagnosis.places import choose_place, code_in, find_library, find_uses, is_looked_up
from pytest_repro.model import JSON, Cause, FirstDivergence, Location, TestResult, TraceRow, Verdict
from pytest_repro.sources import registry
from pytest_repro.sources.base import STARTED, Evidence, Sighting, Source
from pytest_repro.sources.fixture_state import KIND, PREFIX
from pytest_repro.sources.hash_seed import HashSeed
from pytest_repro.sources.state_kinds import code_of_state
from pytest_repro.tracing.statements import read_source
from pytest_repro.tracing.user_code import MODULE

#: A generator, as a trace describes it.
_GENERATOR = re.compile(
    r"\b(RandomState|Generator|SeedSequence|PCG64(DXSM)?|MT19937|Philox|SFC64|Random|PRNGKeyArray)\b"
)
#: Libraries that read the clock and draw names for their own books, whatever the user's code computes.
_BOOKKEEPING = ("jax", "jaxlib")
#: Type names of mappings that are treated as caches if they are looked up.
_MAPPINGS = ("dict", "OrderedDict", "defaultdict", "WeakValueDictionary")


#: Added to the fix of a cause at a line that runs when its module is imported.
AT_IMPORT = "; do it in a function or a fixture, since the module is imported before a run is seeded"


@dataclass(slots=True)
class Facts:
    """All that a diagnosis found out about one test.

    Attributes
    ----------
    search : Search or None
        For sources and states that make runs identical.
    axis : AxisRuns or None
        Two runs in which a built-in axis was varied.
    arguments : list of Cause
        Causes that two runs showed in which an argument of the test was varied.
    first : FirstDivergence or None
    place : Location or None
        Of the first value that differs.
    rows : list of TraceRow
        The traces of two runs side by side.
    unwritten : Location or None
        The one line that leaves memory unwritten, where watching hid the difference.
    argument_changes : dict of name -> Location
        Where a run changes the value of an argument of the test.
    by_ending : bool
        Whether only the ends of the runs were compared.
    """

    search: Search | None = None
    axis: AxisRuns | None = None
    arguments: list[Cause] = field(default_factory=list)
    first: FirstDivergence | None = None
    place: Location | None = None
    rows: list[TraceRow] = field(default_factory=list)
    unwritten: Location | None = None
    argument_changes: dict[str, Location] = field(default_factory=dict)
    by_ending: bool = False

    @property
    def alike(self) -> str:
        """What is said of runs that a pin made identical."""
        return "ended alike" if self.by_ending else "were identical"

    @property
    def findings(self) -> list[Finding]:
        """Sources and states that made runs identical."""
        return self.search.findings if self.search is not None else []

    @property
    def shares_hash_seed(self) -> bool:
        """Whether the hashes of strings are ruled out: the runs had one hash seed, or pinning it did not help."""
        search = self.search
        return search is not None and (not search.is_spawned or HashSeed.name in search.ruled_out)


def name_causes(result: TestResult, facts: Facts | None = None, root: Path | None = None) -> list[Cause]:
    """Return the causes of a test's divergence: of blamed axes first, then of sources and states.

    Parameters
    ----------
    result : TestResult
        With its verdict, and the axes that are to blame.
    facts : Facts, optional
        Without a diagnosis none.
    root : Path, optional
        Folder that files are named relative to, as node ids are: a report is read on another machine too.
    """
    if result.verdict is not Verdict.DIVERGED and facts is None:
        return []
    facts = facts or Facts()
    causes = []
    for axis in dict.fromkeys(axis for axes in result.blamed.values() for axis in axes):
        runs = facts.axis if facts.axis is not None and facts.axis.axis == axis else None
        if (cause := name_axis(axis, result, runs, facts.unwritten)) is not None:
            causes.append(cause)
    causes += facts.arguments
    for finding in facts.findings:
        causes += name_finding(finding, facts)
    if facts.search is not None and not facts.findings and (cause := _name_shown(facts)):
        causes.append(cause)
    return [_relative_to(root, cause) for cause in causes]


def name_finding(finding: Finding, facts: Facts) -> list[Cause]:
    """Return the causes of what made runs identical."""
    if finding.state is not None:
        return [_name_state(finding.state, finding, facts)]
    return [_name_source(source, finding, facts) for source in finding.sources]


def _name_source(source: Source, finding: Finding, facts: Facts) -> Cause:
    line = finding.lines.get(source.name, PinnedLine())
    sightings = _find_sightings(source, finding, facts.place)
    if line.sighting is not None:
        sightings = [entry for entry in sightings if _at(entry) == _at(line.sighting)] or [line.sighting]
    place = facts.place if _owns_place(source, finding, facts.place) else None
    statement = code_in(place.source) if place is not None else ""
    seeds = place is not None and shows_generator(facts.rows, place)
    evidence = Evidence(finding.pair, sightings, place, statement, seeds, finding.reaches_result)
    code = source.name_code(evidence)
    sightings = source.choose_sightings(code, sightings)
    location = _choose_location(source, sightings, finding, place)
    if facts.place is None and source.is_placed_by_source:
        location = location or facts.unwritten
    library = find_library(sightings, location)
    runs = finding.trial.identical
    others = dict.fromkeys(other.label for other in finding.sources if other.label != source.label)
    parts = [
        source.pinned,
        f" (together with {', '.join(others)})" if others else "",
        f", {runs} of {runs} runs {facts.alike}; {_contrast(source.contrast, finding.trial)}",
        f": {meaning_of(code)}{f' ({source.library})' if source.library else ''}{source.describe(sightings)}",
    ]
    if location is not None and sightings:
        inside = f" inside {library}" if library else ""
        parts.append(f", reached in {Path(location.file).name}:{location.line}{inside}")
        if all(entry["kind"] == STARTED for entry in sightings):
            parts.append(", by the interpreter that is started there")
    if line.sighting is not None and line.is_alone:
        parts.append(f" (pinned at this line alone, runs {facts.alike} as well)")
    elif line.sighting is not None:
        parts.append(" (pinned at all of its other lines, runs still differed)")
    elif location is None and sightings and len(finding.sources) > 1:
        parts.append(f"; which of the {len(set(map(_at, sightings)))} lines that reach it is not known")
    fix = source.fix or _fix_at(location, code, library, sightings)
    if location is not None and location.function == MODULE:
        parts.append(", when the module is imported")
        fix += AT_IMPORT
    return Cause(code, "", "".join(parts), fix, "probed", location)


def _fix_at(location: Location | None, code: str, library: str, sightings: Sequence[Sighting] = ()) -> str:
    """Return the fix that suits the call at a place."""
    if location is None:
        return fix_of(code, library)
    here = {str(entry["detail"]) for entry in sightings if _at(entry) == (location.file, location.line)}
    return fix_of(code, library, read_source(location.file, location.line), here)


def _at(sighting: Sighting) -> tuple[str, int]:
    return sighting["file"], sighting["line"]


def _owns_place(source: Source, finding: Finding, place: Location | None) -> bool:
    """Return whether the first value that differs may come from a source: of several, it is only one's."""
    if place is None or len(finding.sources) == 1:
        return place is not None
    at = place.file, place.line
    line = finding.lines.get(source.name)
    if line is not None:
        return line.sighting is not None and _at(line.sighting) == at
    for other in finding.sources:
        shown = finding.lines.get(other.name)
        reached = _find_sightings(other, finding, place) if shown is None else [shown.sighting]
        if other is not source and any(entry is not None and _at(entry) == at for entry in reached):
            return False
    return True


def _choose_location(
    source: Source, sightings: list[Sighting], finding: Finding, place: Location | None
) -> Location | None:
    """Return the line of a source. Of one of several it is none rather than one that may be another's or a log's."""
    lines = {_at(entry) for entry in sightings if entry["file"]}
    line = finding.lines.get(source.name)
    is_shown = line is not None and line.sighting is not None
    is_reached = place is not None and (place.file, place.line) in lines
    if len(finding.sources) > 1 and not is_shown and len(lines) > 1 and not is_reached:
        return None
    return choose_place(sightings, place)


def _find_sightings(source: Source, finding: Finding, first: Location | None) -> list[Sighting]:
    """Return the sightings that give a source's place: those of this process, else those of started interpreters.

    Where the first value that differs comes from the line, or the function, that starts an interpreter and reaches the
    source in no other way, draws of this process elsewhere are not its cause.
    """
    kinds = source.places or source.kinds
    found = finding.pair[0].sightings(*kinds)
    known = {(entry["file"], entry["line"], entry["kind"], entry["detail"]) for entry in found}
    # A run that ended early, or took another branch, may not have reached all.
    for entry in finding.pair[1].sightings(*kinds):
        if (entry["file"], entry["line"], entry["kind"], entry["detail"]) not in known:
            found.append(entry)
    found = [entry for entry in found if entry.get("library") not in _BOOKKEEPING] or found
    near = _find_nearest(found, first) if first is not None else []
    if near and all(entry["kind"] == STARTED for entry in near):
        return near
    return [entry for entry in found if entry["kind"] != STARTED] or found


def _find_nearest(sightings: list[Sighting], place: Location) -> list[Sighting]:
    """Return the sightings at the line of a place, or without any those in its function."""
    inside = [entry for entry in sightings if (entry["file"], entry["function"]) == (place.file, place.function)]
    return [entry for entry in inside if entry["line"] == place.line] or inside


def _contrast(template: str, trial: Trial) -> str:
    if not trial.compared:
        return "no run without it was executed to compare"
    if trial.is_second:
        return f"without, {trial.differing} of {trial.compared} differed"
    return template.format(differing=trial.differing, compared=trial.compared)


def _name_state(state: dict[str, JSON], finding: Finding, facts: Facts) -> Cause:
    if state["kind"] == KIND:
        return _name_fixture(state, finding, facts)
    name = str(state["name"])
    code = code_of_state("cache" if _is_cache(state) else str(state["kind"]))
    was, now = str(state.get("was", "")), str(state.get("now", ""))
    change = f" ({was} -> {now})" if was != now and was and now else ""
    what = f"the flag ({name})" if state["kind"] == "framework_flag" else f"{name}{change}"
    return Cause(
        code, "", _say_restored(what, code, finding.trial, facts), fix_of(code), "state", _place_of_state(state, facts)
    )


def _name_fixture(state: dict[str, JSON], finding: Finding, facts: Facts) -> Cause:
    """Name a fixture that outlives the test, at the line that changes its value."""
    name, scope, code = str(state["name"]).removeprefix(PREFIX), state.get("scope"), code_of_state(KIND)
    evidence = _say_restored(f"the value of fixture `{name}` (scope={scope})", code, finding.trial, facts)
    if part := state.get("part"):
        evidence += f"; it changes {name}{part}"
    location = facts.argument_changes.get(name) or _find_use(name, str(state.get("file", "")), facts.place)
    return Cause(code, "", evidence, fix_of(code).replace("the fixture", f"fixture `{name}`"), "state", location)


def _find_use(fixture: str, file: str, first: Location | None) -> Location | None:
    """Return the line that uses a fixture: in the function of the first differing value, else in another fixture."""
    files = dict.fromkeys([first.file, file] if first is not None else [file])
    found = [place for each in files for place in find_uses(each, fixture) if place.function != fixture]
    same = [place for place in found if first is not None and place.function == first.function]
    others = [place for place in found if not place.function.startswith("test")]
    return next(iter([*same, *others]), first)


def _say_restored(what: str, code: str, trial: Trial, facts: Facts) -> str:
    # The first of the identical runs is a first run of its process.
    second = trial.identical - 1
    alike = "ended as a first run does" if facts.by_ending else "matched a first run"
    return (
        f"with {what} restored before each run, {second} of {second} second runs {alike}; "
        f"{_contrast('', trial)}: {meaning_of(code)}"
    )


def _is_cache(state: dict[str, Any]) -> bool:
    """Return whether a global that changed is a mapping that its file asks for keys it may not have yet."""
    is_mapping = state["kind"] == "module_global" and str(state.get("now")) in _MAPPINGS
    return is_mapping and is_looked_up(str(state.get("file", "")), str(state["name"]).rpartition(".")[2])


def _place_of_state(state: dict[str, Any], facts: Facts) -> Location | None:
    """Return the line that uses leaked state: where the first value differs, else in the nearest of its callers."""
    name = str(state["name"]).rpartition(".")[2].partition("(")[0]
    found = find_uses(str(state.get("file", "")), name)
    if state.get("kind") == "mutable_default" and (own := [place for place in found if place.function == name]):
        return own[0]  # a call shows nothing of a default
    first = facts.place
    if first is None:
        return found[0] if found else None
    callers = [caller[2] for caller in facts.first.callers] if facts.first is not None else []
    same = [place for place in found if place.function == first.function and place.file == first.file]
    above = [place for caller in callers for place in found if place.function == caller.rpartition(".")[2]]
    return next(iter([*same, *above]), first)


def _name_shown(facts: Facts) -> Cause | None:
    """Return the cause that the first differing value itself shows, where no pin made runs identical."""
    if facts.first is None:
        return None
    # Without a flow to the result: an address may be read and reach no result.
    statement = code_in(facts.first.source) if facts.first.flows else ""
    for source in registry.SOURCES:
        shown = source.show(facts.first, statement, shares_hash_seed=facts.shares_hash_seed)
        if shown is not None:
            code, what = shown
            return Cause(code, "", f"{what}: {meaning_of(code)}", fix_of(code), "seen", facts.place)
    return None


def shows_generator(rows: Sequence[TraceRow], place: Location) -> bool:
    """Return whether a generator differs at a place or soon after it, in the rows of two traces side by side."""
    return any(
        row.differs
        and row.function.rpartition(".")[2] == place.function
        and row.line >= place.line
        and _GENERATOR.search(f"{row.expected} {row.actual}")
        for row in rows
    )


def _relative_to(root: Path | None, cause: Cause) -> Cause:
    if root is None or cause.location is None:
        return cause
    place = replace(cause.location, file=cause.location.file.removeprefix(f"{root}{os.sep}"))
    return replace(cause, location=place)
