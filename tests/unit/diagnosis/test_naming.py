from __future__ import annotations

from typing import Any

import pytest

from pytest_repro.diagnosis.axis_places import refine_axis
from pytest_repro.diagnosis.catalogue import CATALOGUE, LIBRARY_FIXES, fix_of
from pytest_repro.diagnosis.naming import library_at, name_finding
from pytest_repro.diagnosis.procedure import Finding, Observation
from pytest_repro.model import Artifacts, Cause, Location


def sighting(kind: str, library: str, line: int = 3) -> dict[str, Any]:
    return {
        "kind": kind,
        "detail": kind,
        "file": "/a.py",
        "line": line,
        "function": "f",
        "count": 1,
        "library": library,
    }


def observed(*sightings: dict[str, Any]) -> Observation:
    return Observation(Artifacts(), {"sightings": list(sightings)})


@pytest.mark.parametrize(
    ("pin", "kind", "code"),
    [
        ("serial", "thread", "race.threads"),
        ("entropy", "entropy", "rng.os_entropy"),
        ("time", "clock", "time.now"),
        ("inline", "process", "rng.worker_unseeded"),
    ],
)
def test_a_source_inside_a_library_is_told_with_it_and_what_to_ask_it_for(pin: str, kind: str, code: str) -> None:
    seen = observed(sighting(kind, "lib"))
    (cause,) = name_finding(Finding((pin,), runs=4, differing="fresh processes", pair=(seen, seen)))
    assert cause.code == code
    assert cause.evidence.endswith("reached in a.py:3 inside lib")
    assert "lib" in cause.fix
    assert cause.fix == fix_of(code, "lib")


def test_a_source_that_the_users_own_line_reaches_too_is_the_users() -> None:
    seen = observed(sighting("thread", ""), sighting("thread", "lib"))
    (cause,) = name_finding(Finding(("serial",), runs=4, differing="fresh processes", pair=(seen, seen)))
    assert cause.fix == CATALOGUE["race.threads"][1]
    assert "inside" not in cause.evidence


def test_a_library_counts_at_the_line_that_is_named_alone() -> None:
    sightings = [sighting("thread", "lib", line=5)]
    assert library_at(sightings, Location("/a.py", 3)) == ""
    assert library_at(sightings, Location("/a.py", 5)) == "lib"
    assert library_at(sightings, None) == ""


def test_the_clock_axis_tells_of_the_library_that_reads_it() -> None:
    seen = observed(sighting("clock", "lib"))
    cause = Cause("time.now", "clock", "the runs agree with this fixed and differ with it varied", "", "axis", None)
    (refined,) = refine_axis([cause], "clock", 3600, seen, seen, None, Location("/a.py", 3, "f"))
    assert (refined.code, refined.fix) == ("time.now", fix_of("time.now", "lib"))
    assert "read inside lib" in refined.evidence


def test_every_fix_for_a_library_belongs_to_a_code_and_names_the_library() -> None:
    assert set(LIBRARY_FIXES) <= set(CATALOGUE)
    assert all("{library}" in text for text in LIBRARY_FIXES.values())
