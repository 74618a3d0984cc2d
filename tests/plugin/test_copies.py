"""How many copies of a large array a session holds: the baseline's, and that of the run in hand."""

from __future__ import annotations

import re

import pytest

from tests.plugin.helpers import Sessions

MIB = 32
LARGE = """
    import numpy as np
    import pytest

    @pytest.mark.reproducible(runs=4)
    def test_large(repro):
        START
        weights = np.full(SIZE, 1.5)
        CHANGE
        return {"weights": weights}
"""
MEASURED = f"""
    import tracemalloc

    tracemalloc.start()
    def start(repro):
        print(f"peak until run {{repro.run}}: {{tracemalloc.get_traced_memory()[1] / 2**20 / {MIB}:.2f}} copies")
        tracemalloc.reset_peak()
"""


def fill(change: str, start: str = "pass", size: int = 20_000) -> str:
    return LARGE.replace("CHANGE", change).replace("START", start).replace("SIZE", str(size))


def measure_peaks(sessions: Sessions, change: str, outcome: str) -> list[float]:
    """Return the largest traced memory in each run but the last, in copies of the array."""
    source = MEASURED + fill(change, "start(repro)", MIB * 2**17)
    session = sessions.run(source, "-s", apart=True)  # tracemalloc would slow down this process
    assert session.outcomes == {outcome: 1}
    imports, *peaks = map(float, re.findall(r"peak until run \d: (\S+) copies", session.text))
    assert len(peaks) == 3
    return [peak - imports for peak in peaks]


def test_identical_runs_hold_two_copies(sessions: Sessions):
    assert max(measure_peaks(sessions, "pass", "passed")) < 2.2


def test_differing_runs_hold_a_third_copy_while_it_is_made(sessions: Sessions):
    assert max(measure_peaks(sessions, "weights[-1] += repro.run == 2", "failed")) < 3.2


@pytest.mark.parametrize("change", ["weights[0] = repro.run", "weights[-1] = repro.run"])
def test_an_array_is_shared_only_with_the_same_bits(sessions: Sessions, change: str):
    assert sessions.run(fill(change)).outcomes == {"failed": 1}


def test_a_capture_is_compared_as_it_was_whatever_is_written_afterwards(sessions: Sessions):
    change = "repro.capture('early', weights); weights[0] = repro.run; weights = weights[1:]"
    assert sessions.run(fill(change)).outcomes == {"passed": 1}
