from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.diagnosis.axis_causes import AxisRuns
from pytest_repro.diagnosis.catalogue import fix_of
from pytest_repro.diagnosis.naming import Facts, name_causes, name_finding, shows_generator
from pytest_repro.diagnosis.observing import Finding, PinnedLine, Search, Trial
from pytest_repro.diagnosis.places import find_library
from pytest_repro.model import Cause, FirstDivergence, Location, TestResult, TraceRow, Verdict
from pytest_repro.sources.base import STARTED
from pytest_repro.sources.entropy import FROM_COMPILED_CODE
from tests.unit.diagnosis.helpers import finding_of, observed, sighting

PLACE = Location("test_it.py", 3, "test_it", "items = set(nodes)")
FIRST = FirstDivergence("test_it.py", 3, "test_it", "items", "items = set(nodes)", "a", "b", reordered="address")
DIVERGED = TestResult("test_it.py::test_it", Verdict.DIVERGED, 0)


def name_shown(first: FirstDivergence, *, shares_hash_seed: bool) -> Cause | None:
    """Return the cause of runs that no pin made identical."""
    search = Search(is_spawned=not shares_hash_seed, where="between")
    causes = name_causes(DIVERGED, Facts(search, first=first, place=PLACE))
    return causes[0] if causes else None


def test_a_set_of_the_same_elements_in_another_order_shows_that_addresses_order_it() -> None:
    cause = name_shown(FIRST, shares_hash_seed=True)
    assert cause is not None
    assert (cause.code, cause.confidence, cause.location) == ("hash.address", "seen", PLACE)


@pytest.mark.parametrize("reordered", ["", "value"])
def test_other_values_show_nothing(reordered: str) -> None:
    assert name_shown(dataclasses.replace(FIRST, reordered=reordered), shares_hash_seed=True) is None


def test_under_another_hash_seed_the_hashes_of_strings_may_be_the_cause() -> None:
    assert name_shown(FIRST, shares_hash_seed=False) is None


def test_a_first_difference_names_nothing_where_no_source_was_searched() -> None:
    first = dataclasses.replace(FIRST, source="token = id(self)")
    assert name_causes(DIVERGED, Facts(first=first, place=PLACE)) == []
    assert name_causes(DIVERGED, Facts(Search(), first=first, place=PLACE)) != []


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
def test_a_generator_that_differs_at_the_place_or_after_it_was_seeded_from_the_source(
    row: dict[str, object], expected: bool
) -> None:
    found: dict[str, Any] = {"file": "t.py", "line": 4, "function": "TestFit.test_it", "source": "", "differs": True}
    assert shows_generator([TraceRow(**{**found, **row})], PLACE) is expected


def test_a_clock_from_which_a_generator_is_seeded_is_another_cause_than_the_time_itself() -> None:
    row = TraceRow("t.py", 3, "test_it", "", "", "rng = RandomState", differs=True)
    for rows, code in (([], "time.now"), ([row], "time.seed")):
        facts = Facts(Search([finding_of("time")], where="between"), place=PLACE, rows=rows)
        assert [cause.code for cause in name_causes(DIVERGED, facts)] == [code]


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
@pytest.mark.parametrize("pin", ["address", "heap", "shift"])
def test_a_line_that_reads_an_address_is_another_cause_than_one_that_is_ordered_by_it(
    pin: str, source: str, code: str
) -> None:
    place = Location("test_it.py", 3, "test_it", source)
    assert [cause.code for cause in name_finding(finding_of(pin), Facts(place=place))] == [code]


@pytest.mark.parametrize(
    ("pin", "kind", "code"),
    [
        ("serial", "thread", "race.threads"),
        ("serial", "process", "race.completion_order"),
        ("entropy", "entropy", "rng.os_entropy"),
        ("time", "clock", "time.now"),
        ("inline", "process", "rng.worker_unseeded"),
        ("workers", "process", "rng.worker_unseeded"),
    ],
)
def test_a_source_inside_a_library_is_named_with_it_and_with_its_own_fix(pin: str, kind: str, code: str) -> None:
    (cause,) = name_finding(finding_of(pin, one=observed(sighting(kind, "lib"))), Facts())
    assert cause.code == code
    assert cause.evidence.endswith("reached in a.py:3 inside lib")
    assert "lib" in cause.fix
    assert cause.fix == fix_of(code, "lib")


def test_a_source_that_the_users_own_line_reaches_too_is_the_users() -> None:
    seen = observed(sighting("thread"), sighting("thread", "lib"))
    (cause,) = name_finding(finding_of("serial", one=seen), Facts())
    assert cause.fix == fix_of("race.threads")
    assert "inside" not in cause.evidence


def test_a_library_counts_only_at_the_line_that_is_named() -> None:
    sightings = [sighting("thread", "lib", line=5)]
    assert find_library(sightings, Location("/a.py", 3)) == ""
    assert find_library(sightings, Location("/a.py", 5)) == "lib"
    assert find_library(sightings, None) == ""


def test_the_evidence_counts_the_runs_with_the_pin_and_those_without() -> None:
    (cause,) = name_finding(finding_of("time", one=observed(sighting("clock"))), Facts())
    assert cause.evidence == (
        "with the clock frozen, 4 of 4 runs were identical; without, 3 of 4 differed: "
        "the time of day, reached in a.py:3"
    )


def test_of_several_sources_each_is_a_cause_that_names_the_others() -> None:
    causes = name_finding(finding_of("time", "pid"), Facts())
    assert [cause.code for cause in causes] == ["time.now", "process.pid"]
    assert causes[0].evidence.startswith("with the clock frozen (together with process id), 4 of 4 runs were identical")


@pytest.mark.parametrize(
    ("statement", "detail", "expected"),
    [
        ("key = uuid.uuid4().hex", "os.urandom", "uuid4() takes no seed"),
        ("x = secrets.randbelow(9)", "SystemRandom", "entropy takes no seed"),
        ("rng = np.random.default_rng()", "numpy seed sequence", "give the generator a seed"),
    ],
)
def test_the_fix_of_a_draw_suits_the_line_that_draws(
    tmp_path: Path, statement: str, detail: str, expected: str
) -> None:
    file = tmp_path / "users.py"
    file.write_text(f"def f():\n    {statement}\n    x = uuid.uuid4()\n")
    seen = observed(
        sighting("entropy", file=str(file), line=2, detail=detail),
        sighting("entropy", file=str(file), line=3, detail="os.urandom"),
    )
    (cause,) = name_finding(finding_of("entropy", one=seen), Facts(place=Location(str(file), 2, "f", statement)))
    assert expected in cause.fix


def test_the_name_of_a_temporary_file_is_not_to_be_seeded() -> None:
    (cause,) = name_finding(finding_of("names", one=observed(sighting("tempname"))), Facts())
    assert cause.fix.startswith("leave names of temporary files out of the result")


def two_sources(**lines: PinnedLine) -> Finding:
    """Return entropy and the clock as causes together, both of which are reached in lines 3 and 7."""
    seen = observed(*(sighting(kind, line=line) for kind in ("entropy", "clock") for line in (3, 7)))
    return dataclasses.replace(finding_of("entropy", "time", one=seen), lines=lines)


def test_of_two_causes_each_is_at_the_line_that_an_experiment_shows() -> None:
    place = Location("/a.py", 3, "f", "x = draw()")
    lines = {
        "entropy": PinnedLine(sighting("entropy", line=3)),
        "time": PinnedLine(sighting("clock", line=7), is_alone=False),
    }
    causes = name_finding(two_sources(**lines), Facts(place=place))
    assert [cause.location and cause.location.line for cause in causes] == [3, 7]
    assert causes[0].evidence.endswith("(pinned at this line alone, runs were identical as well)")
    assert causes[1].evidence.endswith("(pinned at all of its other lines, runs still differed)")


@pytest.mark.parametrize("lines", [{}, {"entropy": PinnedLine(), "time": PinnedLine()}])
def test_of_two_causes_none_has_a_line_that_may_be_the_others(lines: dict[str, PinnedLine]) -> None:
    place = Location("/a.py", 3, "f", "x = draw()")
    causes = name_finding(two_sources(**lines), Facts(place=place))
    assert [cause.location for cause in causes] == [None, None]
    assert all("; which of the 2 lines that reach it is not known" in cause.evidence for cause in causes)


def test_of_two_causes_one_that_is_not_noted_is_not_at_the_line_of_the_other_one() -> None:
    place = Location("/a.py", 3, "f", "x = draw()")
    causes = name_finding(finding_of("hash", "entropy", one=observed(sighting("entropy"))), Facts(place=place))
    assert [cause.location and cause.location.line for cause in causes] == [None, 3]


def test_a_generator_at_the_line_of_one_cause_does_not_make_the_other_one_its_seed() -> None:
    place = Location("/a.py", 3, "f", "rng = default_rng()")
    rows = [TraceRow("/a.py", 3, "f", place.source, "rng = Generator #1", "rng = Generator #2", True)]
    lines = {"time": PinnedLine(sighting("clock", line=7))}
    causes = name_finding(two_sources(**lines), Facts(place=place, rows=rows))
    assert [cause.code for cause in causes] == ["rng.os_entropy", "time.now"]


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        (Trial(4), "no run without it was executed to compare"),
        (Trial(4, 2, 4, is_second=True), "without, 2 of 4 differed"),
    ],
)
def test_the_evidence_says_which_runs_were_compared(trial: Trial, expected: str) -> None:
    finding = dataclasses.replace(finding_of("memory"), trial=trial)
    (cause,) = name_finding(finding, Facts())
    assert f"4 of 4 runs were identical; {expected}: memory" in cause.evidence


def test_files_that_were_left_are_named_in_the_evidence() -> None:
    seen = observed(sighting("left", detail="/tmp/mean.txt"))
    finding = dataclasses.replace(finding_of("disk", one=seen), trial=Trial(3, 2, 2))
    (cause,) = name_finding(finding, Facts())
    assert cause.evidence == (
        "with the files that earlier runs left moved aside, 3 of 3 runs were identical; 2 of 2 that found them had "
        "another result: a file that an earlier run left (mean.txt), reached in a.py:3"
    )


def test_an_interpreter_that_is_started_gives_the_place_where_this_process_reaches_no_source() -> None:
    (cause,) = name_finding(finding_of("pid", one=observed(sighting("interpreter", line=5))), Facts())
    assert cause.evidence.endswith("reached in a.py:5, by the interpreter that is started there")
    seen = observed(sighting("interpreter", line=5), sighting("pid", line=7))
    (cause,) = name_finding(finding_of("pid", one=seen), Facts())
    assert cause.evidence.endswith("reached in a.py:7")


def state_of(kind: str, name: str, file: Path, **values: str) -> Finding:
    state: dict[str, Any] = {"kind": kind, "name": name, "file": str(file), **values}
    one = observed()
    return Finding(Trial(5, 4, 4, is_second=True), (one, one), state=state)


@pytest.mark.parametrize(("kind", "line"), [("mutable_default", 1), ("module_global", 3)])
def test_a_default_that_grew_is_placed_at_its_function_and_a_global_where_it_differs(
    tmp_path: Path, kind: str, line: int
) -> None:
    users = tmp_path / "users.py"
    users.write_text("def fit(memory=[]):\n    memory.append(1)\n    return memory\n")
    place = Location(str(users), 3, "caller")
    (cause,) = name_finding(state_of(kind, "users.fit()", users), Facts(place=place))
    assert (cause.code, cause.location and cause.location.line) == (f"state.{kind}", line)


def test_leaked_state_is_placed_in_the_nearest_caller_that_uses_it_where_the_first_difference_does_not(
    tmp_path: Path,
) -> None:
    users = tmp_path / "users.py"
    users.write_text("ROWS = []\ndef far():\n    ROWS.append(1)\ndef near():\n    return fit(ROWS)\n")
    place = Location(str(tmp_path / "other.py"), 3, "fit")
    lines = []
    for callers in (["near", "far"], ["far"], ["test_it"]):
        first = dataclasses.replace(FIRST, callers=tuple(("users.py", 1, caller) for caller in callers))
        (cause,) = name_finding(state_of("mutated_data", "users.ROWS", users), Facts(first=first, place=place))
        lines.append(cause.location and cause.location.line)
    assert lines == [5, 3, 3]


@pytest.mark.parametrize(
    ("kind", "code"),
    [("module_global", "state.module_global"), ("stale_buffer", "memory.stale_buffer"), ("iterator", "state.iterator")],
)
def test_a_state_is_named_with_its_change_and_the_runs_that_were_compared(tmp_path: Path, kind: str, code: str) -> None:
    (cause,) = name_finding(state_of(kind, "users.STEPS", tmp_path / "users.py", was="0", now="1"), Facts())
    assert (cause.code, cause.confidence) == (code, "state")
    assert cause.evidence.startswith(
        "with users.STEPS (0 -> 1) restored before each run, 4 of 4 second runs matched a first run; "
        "without, 4 of 4 differed: "
    )


def test_a_mapping_that_is_looked_up_is_a_cache(tmp_path: Path) -> None:
    users = tmp_path / "users.py"
    users.write_text("MEMO = {}\ndef f(key):\n    if key not in MEMO: MEMO[key] = 1\n    return MEMO[key]\n")
    (cause,) = name_finding(state_of("module_global", "users.MEMO", users, was="dict", now="dict"), Facts())
    assert cause.code == "state.cache"


@pytest.mark.parametrize(
    ("source", "shares_hash_seed", "expected"),
    [
        ("token = id(self)", False, "process.address"),
        ("slot = hash(fn)", True, "hash.address"),
        ("slot = hash(fn)", False, None),  # the hash of a string, perhaps
        ("seen = valid(row)  # not id(row)", True, None),
    ],
)
def test_a_value_made_of_an_address_is_shown_by_its_statement_where_no_probe_pinned_it(
    source: str, shares_hash_seed: bool, expected: str | None
) -> None:
    first = FirstDivergence("/a.py", 3, "f", "token", source, "1", "2")
    cause = name_shown(first, shares_hash_seed=shares_hash_seed)
    assert (cause and cause.code) == expected
    assert cause is None or (cause.confidence, cause.location) == ("seen", PLACE)
    assert name_shown(dataclasses.replace(first, flows=False), shares_hash_seed=shares_hash_seed) is None


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        (["numpy.random.seed 5"], ["numpy.random.seed 6"], "time.seed"),
        (["numpy.random.default_rng 0"], ["numpy.random.default_rng 0", "numpy.random.default_rng 1"], "time.now"),
    ],
)
def test_seeds_that_one_run_alone_used_are_no_seeds_from_the_clock(one: list[str], other: list[str], code: str) -> None:
    pair = [observed(*(sighting("seeding", detail=detail) for detail in each)) for each in (one, other)]
    finding = finding_of("time", one=pair[0], other=pair[1])
    assert [cause.code for cause in name_finding(finding, Facts(place=PLACE))] == [code]


def test_entropy_that_compiled_code_draws_at_the_first_line_that_differs_is_its_generators() -> None:
    drawn = sighting("entropy", line=PLACE.line, file=PLACE.file, detail=FROM_COMPILED_CODE)
    finding = finding_of("entropy", one=observed(sighting("entropy", "lib", line=2, detail="os.urandom"), drawn))
    assert [cause.code for cause in name_finding(finding, Facts(place=PLACE))] == ["rng.foreign_state"]
    assert [cause.code for cause in name_finding(finding, Facts())] == ["rng.os_entropy"]


def test_the_one_line_that_leaves_memory_unwritten_is_the_place_of_unwritten_memory_alone() -> None:
    facts = Facts(Search([finding_of("memory", "pid")], where="between"), unwritten=PLACE)
    assert [cause.location for cause in name_causes(DIVERGED, facts)] == [PLACE, None]


def test_an_axis_comes_before_what_else_was_found_and_files_are_named_from_the_root(tmp_path: Path) -> None:
    matrix, blamed = {"clock": "diverged"}, {2: ["clock"]}
    result = TestResult("t", Verdict.DIVERGED, 0, matrix=matrix, blamed=blamed)
    seen = observed(sighting("clock", file=str(tmp_path / "train.py")))
    facts = Facts(axis=AxisRuns("clock", 3600, seen, seen), arguments=[Cause("batch.kernel", "size", "", "")])
    causes = name_causes(result, facts, tmp_path)
    assert [cause.code for cause in causes] == ["time.now", "batch.kernel"]
    assert causes[0].location is not None
    assert causes[0].location.file == "train.py"


@pytest.mark.parametrize("verdict", [Verdict.IDENTICAL, Verdict.WITHIN_TOLERANCE, Verdict.INCONCLUSIVE, Verdict.ERROR])
def test_only_a_divergence_has_a_cause(verdict: Verdict) -> None:
    result = TestResult("t", verdict, 0, matrix={"clock": "diverged"}, blamed={2: ["clock"]})
    assert name_causes(result) == []


def test_a_decoy_in_this_process_is_not_the_place_of_entropy_in_a_started_interpreter(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\n" * 9)
    decoy, started = sighting("entropy", line=2, file=str(file)), sighting(STARTED, line=7, file=str(file))
    facts = Facts(place=Location(str(file), 7, "f"))
    [cause] = name_finding(finding_of("entropy", one=observed(decoy, started)), facts)
    assert cause.location is not None
    assert cause.location.line == 7
    assert cause.evidence.endswith("by the interpreter that is started there")
    facts = Facts(place=Location(str(file), 2, "f"))
    [cause] = name_finding(finding_of("entropy", one=observed(decoy, started)), facts)
    assert cause.location is not None
    assert cause.location.line == 2
