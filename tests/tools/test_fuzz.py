"""`tools/fuzz.py`: report of a fuzzed reader, which is not sound if the fuzzer ran nothing."""

from __future__ import annotations

import pytest

from tools.fuzz import read_outcome

SOUND = "#2 INITED cov: 71 ft: 90\n#4096 pulse cov: 92 ft: 131\nDone 365972 runs in 41 second(s)\n"
CRASHED = "INFO: seed corpus\nValueError: x\ncov: 81\nTest unit written to /tmp/a/crash-7ea2\n"


def test_runs_and_edges_of_a_sound_reader_are_reported() -> None:
    outcome = read_outcome(SOUND, 0)
    assert not outcome.crashed
    assert outcome.describe("tensors").split() == ["tensors", "365,972", "runs", "92", "edges", "sound"]


def test_a_crash_is_reported_with_the_input_file() -> None:
    assert read_outcome(CRASHED, 77).describe("record").endswith("CRASHED, input in /tmp/a/crash-7ea2")


@pytest.mark.parametrize(
    ("output", "returncode"),
    [("", 0), (SOUND, 1), ("Done 0 runs in 0 second(s)", 0), ("ModuleNotFoundError: atheris", 1)],
)
def test_a_fuzzer_that_did_not_finish_counts_as_crashed(output: str, returncode: int) -> None:
    assert read_outcome(output, returncode).crashed
