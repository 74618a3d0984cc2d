"""The clock, noted and pinned."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pytest_repro.model import Artifacts
from pytest_repro.sources import clock
from pytest_repro.sources.base import Evidence, Observation
from pytest_repro.sources.clock import PINNED_TIME_S, SLOW_TICK_S, TICK_S, Clock
from pytest_repro.sources.pins import patched_sources
from tests.unit.sources.helpers import begin_repetition, recorded


def test_a_pinned_clock_repeats_and_advances_so_that_a_loop_that_waits_for_it_ends():
    def readings():
        begin_repetition()
        with patched_sources(["time"]):
            end, count = time.time() + 5 * TICK_S, 0
            while time.time() < end:
                count += 1
            return count, time.perf_counter()

    assert readings() == readings()
    assert readings()[0] > 0


def test_each_repetition_begins_where_the_clock_starts():
    begin_repetition()
    with patched_sources(["time"]):
        first = time.time()
        time.time()
    begin_repetition()
    with patched_sources(["time"]):
        assert time.time() == first


def test_pandas_can_be_imported_while_the_clock_is_pinned():
    pytest.importorskip("pandas")
    script = """
        from pytest_repro.sources.pins import patched_sources
        with patched_sources(["time", "entropy"]):
            import pandas
            print(pandas.Timestamp(0).year)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "1970\n"


def test_a_callback_of_the_garbage_collector_does_not_move_a_pinned_clock():
    def callback(phase, info):
        time.perf_counter()

    def readings(*, collects):
        begin_repetition()
        with patched_sources(["time"]):
            first = time.time()
            if collects:
                gc.collect()
            return first, time.time()

    gc.callbacks.append(callback)
    try:
        assert readings(collects=True) == readings(collects=False)
    finally:
        gc.callbacks.remove(callback)


def test_readings_of_this_package_itself_are_real_and_not_noted():
    names = {"time": time}
    file = str(Path(clock.__file__).parents[1] / "tracing" / "planted.py")
    exec(compile("def read():\n    return time.perf_counter()\n", file, "exec"), names)
    with recorded() as seen, patched_sources(["time"]):
        assert names["read"]() < PINNED_TIME_S
    assert [entry for entry in seen.to_json() if entry["kind"] == "clock"] == []


@pytest.mark.parametrize(("pins", "tick_s"), [(["time"], TICK_S), (["time", "slow_clock"], SLOW_TICK_S)])
def test_readings_of_a_slow_clock_are_further_apart(pins: list[str], tick_s: float):
    begin_repetition()
    with patched_sources(pins):
        first, second = time.perf_counter(), time.perf_counter()
    assert second - first == pytest.approx(tick_s, rel=1e-3)


@pytest.mark.parametrize(
    ("detail", "reaches_result", "code"),
    [
        ("perf_counter", True, "time.duration"),
        ("perf_counter", False, "time.autotune"),
        ("perf_counter", None, "time.autotune"),
        ("time", True, "time.now"),
    ],
)
def test_a_duration_in_the_result_is_no_choice(detail: str, reaches_result: bool | None, code: str):
    run = Observation(Artifacts())
    sightings = [{"kind": "clock", "detail": detail, "file": "/a.py", "line": 1, "function": "f", "count": 1}]
    assert Clock().name_code(Evidence((run, run), sightings, reaches_result=reaches_result)) == code
