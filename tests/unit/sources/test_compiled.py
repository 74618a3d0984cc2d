"""Sources that compiled code reaches: a library written for the test, in C and in C++."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_repro.axes.clock_compiled import shift_compiled_clocks
from pytest_repro.axes.compiled_calls import find_library, replaced_calls
from pytest_repro.sources import compiled
from pytest_repro.sources.compiled import name_of_library
from pytest_repro.sources.pins import patched_sources as pinned
from tests.unit.sources.helpers import begin_repetition, recorded

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64") or shutil.which("c++") is None,
    reason="reads ELF tables; needs a compiler",
)

SOURCE = r"""
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <random>
#include <thread>
#include <vector>
#include <sys/random.h>
#include <sys/time.h>

static std::mutex lock, pool_lock;
static std::condition_variable pool_wakes;
static bool pool_ends = false;

extern "C" {
long c_time() { return time(nullptr); }
long c_gettimeofday() { timeval t; gettimeofday(&t, nullptr); return t.tv_sec; }
long c_clock() { timespec t; clock_gettime(CLOCK_REALTIME, &t); return t.tv_sec; }
long c_monotonic() { timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec; }
long cxx_clock() {
    using namespace std::chrono;
    return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}
unsigned long c_entropy() { unsigned long v = 0; getrandom(&v, sizeof v, 0); return v; }
unsigned long cxx_entropy() { return std::random_device{}(); }

/* The thread that is started last ends first, unless each has ended before the next is started. */
void race(int n, int *order) {
    int count = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < n; i++)
        threads.emplace_back([&count, order, n, i] {
            std::this_thread::sleep_for(std::chrono::milliseconds(20 * (n - i)));
            std::lock_guard<std::mutex> guard(lock);
            order[count++] = i;
        });
    for (auto &thread : threads) thread.join();
}

void pool(int n) {
    std::vector<std::thread> threads;
    for (int i = 0; i < n; i++)
        threads.emplace_back([] {
            std::unique_lock<std::mutex> guard(pool_lock);
            pool_wakes.wait(guard, [] { return pool_ends; });
        });
    { std::lock_guard<std::mutex> guard(pool_lock); pool_ends = true; }
    pool_wakes.notify_all();
    for (auto &thread : threads) thread.join();
    pool_ends = false;
}
}
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("planted")
    (folder / "planted.cpp").write_text(SOURCE, encoding="utf-8")
    library = folder / "planted.cpython-311.so"
    command = ["c++", "-shared", "-fPIC", "-O1", "-pthread", "-o", str(library), str(folder / "planted.cpp")]
    subprocess.run(command, check=True)
    loaded = ctypes.CDLL(str(library))
    for name in ("c_time", "c_gettimeofday", "c_clock", "c_monotonic", "cxx_clock"):
        loaded[name].restype = ctypes.c_long
    loaded["c_entropy"].restype = ctypes.c_ulong
    return loaded


@pytest.fixture
def seen():
    begin_repetition()
    with recorded() as collected:
        yield collected


CLOCKS = ["c_time", "c_gettimeofday", "c_clock", "cxx_clock"]


@pytest.mark.parametrize("name", CLOCKS)
def test_compiled_code_reads_a_pinned_clock_until_the_real_one_is_restored(planted, seen, name):
    with pinned(["time"]):
        assert planted[name]() == 1_700_000_000
    assert abs(planted[name]() - time.time()) < 60
    (entry,) = seen.to_json()
    assert (entry["kind"], entry["library"], Path(entry["file"]).name) == ("clock", "planted", Path(__file__).name)


def test_without_a_pin_the_clock_is_noted_and_true(planted, seen):
    now = time.time()
    with pinned():
        assert abs(planted.c_time() - now) < 60
    assert [entry["detail"] for entry in seen.to_json()] == ["time(), by compiled code"]


def test_durations_stay_true(planted, seen):
    before = planted.c_monotonic()
    with pinned(["time"]):
        assert 0 <= planted.c_monotonic() - before < 60


@pytest.mark.parametrize("name", ["c_entropy", "cxx_entropy"])
def test_pinned_entropy_of_compiled_code_repeats_and_differs_from_draw_to_draw(planted, seen, name):
    def draw(*pins):
        begin_repetition()
        with pinned(pins):
            return [planted[name]() for _ in range(3)]

    first = draw("entropy")
    assert first == draw("entropy")
    assert len(set(first)) == 3
    assert draw() != draw()


def test_compiled_code_is_pinned_at_one_line_alone(planted, seen, tmp_path):
    path = tmp_path / "users.py"
    path.write_text("def call(function):\n    one = function()\n    return one, function()", encoding="utf-8")
    names = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)

    def call(function):
        begin_repetition()
        with pinned([f"entropy@{path}:2", f"time@{path}:2"]):
            return names["call"](function)

    one, other = call(planted.c_entropy), call(planted.c_entropy)
    assert one[0] == other[0]
    assert one[1] != other[1]
    at_line, elsewhere = call(planted.c_time)
    assert at_line == 1_700_000_000
    assert abs(elsewhere - time.time()) < 60


def race(planted: ctypes.CDLL) -> list[int]:
    order = (ctypes.c_int * 4)()
    planted.race(4, order)
    return list(order)


@pytest.mark.parametrize("pin", ["serial", "inline"])
def test_threads_that_a_library_starts_run_one_after_the_other(planted, seen, pin):
    with pinned([pin]):
        assert race(planted) == [0, 1, 2, 3]
    assert {(entry["kind"], entry["library"]) for entry in seen.to_json()} == {("thread", "planted")}


def test_without_a_pin_they_are_noted_and_run_at_the_same_time(planted, seen):
    with pinned():
        assert race(planted) != [0, 1, 2, 3]
    assert [entry["kind"] for entry in seen.to_json()] == ["thread"]


def test_threads_that_wait_for_work_are_waited_for_once_alone(planted, seen, monkeypatch):
    monkeypatch.setattr(compiled, "PATIENCE_S", 0.2)
    waited = []
    real = compiled._wait_for_end
    monkeypatch.setattr(compiled, "_wait_for_end", lambda tasks: waited.append(tasks) or real(tasks))
    with pinned(["serial"]):
        planted.pool(3)
    assert len(waited) == 1


def test_a_call_from_a_thread_without_a_line_of_the_users_is_left_alone(planted, seen):
    # `Thread` calls the library itself, with no frame of the user's code above it.
    with pinned(["time"]):
        thread = threading.Thread(target=planted.c_time)
        thread.start()
        thread.join()
    assert [entry for entry in seen.to_json() if entry["kind"] == "clock"] == []


def test_the_axis_shifts_the_clock_of_compiled_code_and_restores_it(planted):
    for name in ("c_time", "c_gettimeofday", "cxx_clock"):
        with shift_compiled_clocks(86_400):
            assert 86_300 < planted[name]() - time.time() < 86_500
        assert abs(planted[name]() - time.time()) < 60
    with shift_compiled_clocks(86_400):
        assert planted.c_monotonic() < time.monotonic() + 60


def test_a_replacement_that_fails_returns_the_real_value(planted, seen, monkeypatch):
    monkeypatch.setattr(compiled, "note", lambda *args: 1 / 0)
    now = time.time()
    with pinned(["time"]):
        assert abs(planted.c_time() - now) < 60


def test_a_thread_is_started_once_whatever_fails_while_it_is_waited_for(planted, seen, monkeypatch):
    monkeypatch.setattr(compiled, "_wait_for_end", lambda tasks: 1 / 0)
    with pinned(["serial"]):
        assert sorted(race(planted)) == [0, 1, 2, 3]


def test_only_the_libraries_asked_for_are_touched(planted):
    with replaced_calls({"time": lambda path, real: lambda out: 7}, lambda path: "planted" in path) as found:
        assert [Path(path).name for path in found] == ["planted.cpython-311.so"]
        assert planted.c_time() == 7
    assert planted.c_time() != 7


def test_a_library_is_found_by_an_address_in_it(planted):
    address = ctypes.cast(planted.c_time, ctypes.c_void_p).value
    assert name_of_library(find_library(address)) == "planted"
    assert find_library(1) == ""
