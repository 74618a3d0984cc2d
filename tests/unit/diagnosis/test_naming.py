from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.diagnosis.axis_places import refine_axis
from pytest_repro.diagnosis.catalogue import CATALOGUE, LIBRARY_FIXES, fix_of
from pytest_repro.diagnosis.naming import (
    is_elementwise,
    library_at,
    name_address,
    name_finding,
    name_order,
    tells_generator,
)
from pytest_repro.diagnosis.observing import Finding, Observation
from pytest_repro.model import Artifacts, Cause, FirstDivergence, Location, TraceRow
from pytest_repro.sources.sources import FROM_COMPILED_CODE

PLACE = Location("test_it.py", 3, "test_it", "items = set(nodes)")
FIRST = FirstDivergence("test_it.py", 3, "test_it", "items", "items = set(nodes)", "a", "b", reordered="address")


def test_a_set_of_the_same_elements_in_another_order_shows_that_addresses_order_it() -> None:
    cause = name_order(FIRST, PLACE, shares_hash_seed=True)
    assert cause is not None
    assert (cause.code, cause.confidence, cause.location) == ("hash.address", "seen", PLACE)


@pytest.mark.parametrize("reordered", ["", "value"])
def test_other_values_show_nothing(reordered: str) -> None:
    assert name_order(dataclasses.replace(FIRST, reordered=reordered), PLACE, shares_hash_seed=True) is None


def test_under_another_hash_seed_it_may_be_the_hashes_of_strings() -> None:
    assert name_order(FIRST, PLACE, shares_hash_seed=False) is None


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"actual": "rng = RandomState"}, True),
        ({"actual": "streams = list of 3: Generator, Generator"}, True),
        ({"actual": "seed = 17"}, False),
        ({"actual": "rng = RandomState", "differs": False}, False),
        ({"actual": "rng = RandomState", "line": 2}, False),
        ({"actual": "rng = RandomState", "function": "other"}, False),
        ({"actual": "rng = MyGeneratorConfig"}, False),
    ],
)
def test_a_generator_that_differs_at_the_place_or_after_it_was_seeded_from_what_differs(
    row: dict[str, object], expected: bool
) -> None:
    found: dict[str, Any] = {"file": "t.py", "line": 4, "function": "TestFit.test_it", "source": "", "differs": True}
    assert tells_generator([TraceRow(**{**found, **row})], PLACE) is expected


def test_the_time_from_which_a_generator_is_seeded_is_told_from_the_time_itself() -> None:
    one = Observation(Artifacts(), {"sightings": []})
    finding = Finding(("time",), runs=4, differing="fresh processes", pair=(one, one))
    assert [cause.code for cause in name_finding(finding, PLACE)] == ["time.now"]
    assert [cause.code for cause in name_finding(finding, PLACE, seeds=True)] == ["time.seed"]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("key = block.data_ptr()", "process.address"),
        ("origin = feats.__array_interface__['data'][0]", "process.address"),
        ("bucket = id(layer) // 16", "process.address"),
        ("tag = zlib.crc32(repr(settings).encode())", "process.address"),
        ("tag = f'{settings!r}'", "process.address"),
        ("order = list(set(nodes))", "hash.address"),
        ("for node in set(nodes):  # hashed by id(node)", "hash.address"),
        ("grid(rows)", "hash.address"),
    ],
)
def test_a_line_that_asks_for_an_address_is_told_from_one_that_is_ordered_by_it(source: str, code: str) -> None:
    one = Observation(Artifacts(), {"sightings": []})
    finding = Finding(("address",), runs=4, differing="fresh processes", pair=(one, one))
    place = Location("test_it.py", 3, "test_it", source)
    assert [cause.code for cause in name_finding(finding, place)] == [code]


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
        ("workers", "process", "rng.worker_unseeded"),
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


@pytest.mark.parametrize(("kind", "line"), [("mutable_default", 1), ("module_global", 3)])
def test_a_default_that_grew_is_placed_at_its_function_and_a_global_where_it_differs(
    tmp_path: Path, kind: str, line: int
) -> None:
    users = tmp_path / "users.py"
    users.write_text("def fit(memory=[]):\n    memory.append(1)\n    return memory\n")
    state = {"kind": kind, "name": "users.fit()", "file": str(users)}
    first = Location(str(users), 3, "caller")
    finding = Finding(state=state, runs=2, differing="runs in one process")
    (cause,) = name_finding(finding, first)
    assert (cause.code, cause.location and cause.location.line) == (f"state.{kind}", line)


def test_what_leaked_is_placed_in_the_nearest_caller_that_uses_it_where_the_first_difference_does_not(
    tmp_path: Path,
) -> None:
    users = tmp_path / "users.py"
    users.write_text("ROWS = []\ndef far():\n    ROWS.append(1)\ndef near():\n    return fit(ROWS)\n")
    state = {"kind": "mutated_data", "name": "users.ROWS", "file": str(users)}
    finding = Finding(state=state, runs=2, differing="runs in one process")
    first = Location(str(tmp_path / "other.py"), 3, "fit")
    lines = [
        cause.location and cause.location.line
        for callers in (["near", "far"], ["far"], ["test_it"])
        for cause in name_finding(finding, first, callers=callers)
    ]
    assert lines == [5, 3, 3]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("aten.sigmoid.default", True),
        ("aten.tanh_.default", True),
        ("aten.gelu_backward.default", True),
        ("aten.pow.Tensor_Scalar", True),
        ("aten.mish", True),
        ("aten._log_softmax.default", False),
        ("aten.logsumexp.default", False),
        ("aten.cosine_similarity.default", False),
        ("aten.expand.default", False),
        ("aten.addmm.default", False),
        ("", False),
    ],
)
def test_operations_of_each_element_are_told_from_those_whose_names_are_like_theirs(op: str, expected: bool) -> None:
    assert is_elementwise(op) is expected


@pytest.mark.parametrize(
    ("source", "shares_hash_seed", "expected"),
    [
        ("token = id(self)", False, "process.address"),
        ("slot = hash(fn)", True, "hash.address"),
        ("slot = hash(fn)", False, None),  # the hash of a string, perhaps
        ("seen = valid(row)  # not id(row)", True, None),
    ],
)
def test_a_value_made_of_an_address_is_told_by_its_statement_where_no_probe_held_it(
    source: str, shares_hash_seed: bool, expected: str | None
) -> None:
    first = FirstDivergence("/a.py", 3, "f", "token", source, "1", "2")
    cause = name_address(first, PLACE, shares_hash_seed=shares_hash_seed)
    assert (cause and cause.code) == expected
    assert cause is None or (cause.confidence, cause.location) == ("seen", PLACE)
    assert name_address(replace(first, flows=False), PLACE, shares_hash_seed=shares_hash_seed) is None


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        (["numpy.random.seed 5"], ["numpy.random.seed 6"], "time.seed"),
        (["numpy.random.default_rng 0"], ["numpy.random.default_rng 0", "numpy.random.default_rng 1"], "time.now"),
    ],
)
def test_seeds_that_one_run_alone_came_to_are_no_seeds_from_the_clock(
    one: list[str], other: list[str], code: str
) -> None:
    pair = [observed(*({**sighting("seeding", ""), "detail": detail} for detail in each)) for each in (one, other)]
    finding = Finding(("time",), runs=4, differing="fresh processes", pair=(pair[0], pair[1]))
    assert [cause.code for cause in name_finding(finding, PLACE)] == [code]


def test_entropy_that_compiled_code_draws_at_the_first_line_that_differs_is_told_from_what_is_drawn_elsewhere() -> None:
    seen = observed(
        {**sighting("entropy", "lib", line=2), "detail": "os.urandom"},
        {**sighting("entropy", "", line=PLACE.line), "file": PLACE.file, "detail": FROM_COMPILED_CODE},
    )
    finding = Finding(("entropy",), runs=4, differing="fresh processes", pair=(seen, seen))
    assert [cause.code for cause in name_finding(finding, PLACE)] == ["rng.foreign_state"]
    assert [cause.code for cause in name_finding(finding)] == ["rng.os_entropy"]
