from __future__ import annotations

import copy
import gc
import importlib
import importlib.util
import json
import multiprocessing
import os
import platform
import random
import secrets
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from pytest_repro.axes.patches import StandIn
from pytest_repro.sources import sightings, sources
from pytest_repro.sources.pinned_clock import TICK_S
from pytest_repro.sources.sources import PINNED_PID, forget_counts, watched_sources

KINDS = ["default_rng", "seed_sequence", "random", "secrets", "uuid4", "urandom"]


def draw(kind):
    if kind == "default_rng":
        return np.random.default_rng().random()
    if kind == "seed_sequence":
        return np.random.SeedSequence().entropy
    if kind == "random":
        return random.Random().random()
    if kind == "secrets":
        return secrets.randbelow(10**12)
    if kind == "uuid4":
        return uuid.uuid4().hex
    if kind == "urandom":
        return os.urandom(8)
    return time.time_ns()


def run(kind, pins):
    forget_counts()
    with watched_sources(frozenset(pins)):
        return [draw(kind) for _ in range(3)]


@pytest.mark.parametrize("kind", KINDS)
def test_pinned_entropy_repeats_from_run_to_run_and_still_differs_from_draw_to_draw(kind):
    first, second = run(kind, ["entropy"]), run(kind, ["entropy"])
    assert first == second
    assert len(set(first)) == 3
    assert run(kind, []) != run(kind, [])


WORKERS = """
    import json, multiprocessing
    from pytest_repro.sources.sources import watched_sources
    from tests.unit.sources.test_sources import draw

    def last_in_worker(kind, number):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            return str(pool.map(draw, [kind] * number)[-1])

    found = {}
    for kind in %r:
        with watched_sources(frozenset({"workers"})):
            held = [last_in_worker(kind, 1), last_in_worker(kind, 3)]
            here = [str(draw(kind)), str(draw(kind))]
        with watched_sources(frozenset({"entropy"})):
            found[kind] = [held, here, [last_in_worker(kind, 1), last_in_worker(kind, 1)]]
    print(json.dumps(found))
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no forks here")
def test_entropy_of_forked_workers_is_pinned_apart_from_this_process_and_whoever_draws_it():
    # In an interpreter of its own: xdist has threads in this one, and a fork of them may never end.
    command = [sys.executable, "-c", textwrap.dedent(WORKERS) % KINDS]
    ended = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, check=True, timeout=120)
    found = json.loads(ended.stdout)
    assert set(found) == set(KINDS)
    for held, here, not_held in found.values():
        assert len(set(held)) == 1
        assert len(set(here)) == len(set(not_held)) == 2


def test_entropy_drawn_elsewhere_does_not_shift_what_a_line_draws():
    def at_this_line():
        return np.random.default_rng().random()

    forget_counts()
    with watched_sources(frozenset({"entropy"})):
        alone = at_this_line()
    forget_counts()
    with watched_sources(frozenset({"entropy"})):
        os.urandom(4)
        after = at_this_line()
    assert alone == after


def test_a_pinned_clock_repeats_and_goes_on_so_that_a_loop_that_waits_for_it_ends():
    def readings():
        forget_counts()
        with watched_sources(frozenset({"time"})):
            end, count = time.time() + 5 * TICK_S, 0
            while time.time() < end:
                count += 1
            return count, time.perf_counter()

    assert readings() == readings()
    assert readings()[0] > 0


def test_the_process_id_is_pinned_for_the_users_code():
    with watched_sources(frozenset({"pid"})):
        assert os.getpid() == PINNED_PID
    assert os.getpid() != PINNED_PID


def test_everything_is_put_back():
    before = [os.urandom, os.stat, os.getpid, time.time, random.seed, np.random.default_rng, random.Random.seed]
    with watched_sources(frozenset({"entropy", "time", "pid", "mtime"})):
        pass
    after = [os.urandom, os.stat, os.getpid, time.time, random.seed, np.random.default_rng, random.Random.seed]
    assert all(one is other for one, other in zip(before, after, strict=True))


def test_what_was_reached_is_noted_with_the_users_line():
    seen = sightings.Sightings()
    sightings.collect_into(seen)
    try:
        with watched_sources(frozenset()):
            np.random.default_rng()
            time.time()
            os.environ.get("HOME")
    finally:
        sightings.collect_into(None)
    found = {entry["kind"]: entry for entry in seen.to_json()}
    assert {"entropy", "clock", "environ"} <= set(found)
    assert found["environ"]["detail"] == "HOME"
    assert found["clock"]["line"] == found["entropy"]["line"] + 1
    assert found["clock"]["file"] == __file__


def test_names_of_temporary_files_are_no_source_of_entropy(tmp_path):
    import tempfile

    seen = sightings.Sightings()
    sightings.collect_into(seen)
    try:
        with watched_sources(frozenset()):
            Path(tempfile.mkdtemp(dir=tmp_path)).rmdir()
    finally:
        sightings.collect_into(None)
    assert "entropy" not in {entry["kind"] for entry in seen.to_json()}


def test_times_of_files_follow_their_names_alone(tmp_path):
    (tmp_path / "a").touch()

    def moment():
        with watched_sources(frozenset({"mtime"})):
            return (tmp_path / "a").stat().st_mtime, os.path.getmtime(tmp_path / "a")  # noqa: PTH204 - the other way to ask

    first = moment()
    os.utime(tmp_path / "a", (1, 1))
    assert moment() == first
    assert first[0] == first[1]


def test_times_of_files_do_not_follow_names_that_are_drawn(tmp_path):
    def moment():
        with watched_sources(frozenset({"mtime"})):
            descriptor, path = tempfile.mkstemp(dir=tmp_path)
            os.close(descriptor)
            return os.stat(path).st_mtime_ns  # noqa: PTH116 - as users ask

    assert moment() == moment()


def test_pandas_can_be_imported_while_the_clock_is_pinned():
    pytest.importorskip("pandas")
    script = """
        from pytest_repro.sources.sources import watched_sources
        with watched_sources(frozenset({"time", "entropy"})):
            import pandas
            print(pandas.Timestamp(0).year)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "1970\n"


def test_counts_are_kept_apart_by_repetition():
    assert sources.PINNED_TIME_S > 0
    forget_counts()
    with watched_sources(frozenset({"time"})):
        first = time.time()
    forget_counts()
    with watched_sources(frozenset({"time"})):
        assert time.time() == first


def test_a_callback_of_the_garbage_collector_does_not_move_a_pinned_clock():
    def callback(phase, info):
        time.perf_counter()

    def readings(*, collects):
        forget_counts()
        with watched_sources(frozenset({"time"})):
            first = time.time()
            if collects:
                gc.collect()
            return first, time.time()

    gc.callbacks.append(callback)
    try:
        assert readings(collects=True) == readings(collects=False)
    finally:
        gc.callbacks.remove(callback)


def test_functions_that_numba_compiles_by_their_identity_stay_themselves_where_it_is_loaded(monkeypatch):
    watched = (np.argsort, np.unique, np.ascontiguousarray, np.random.seed, random.seed)
    monkeypatch.setitem(sys.modules, "numba", type(sys)("numba"))
    with watched_sources(frozenset({"entropy"})):
        assert (np.argsort, np.unique, np.ascontiguousarray, np.random.seed, random.seed) == watched


def test_a_compiled_function_is_compiled_while_sources_are_watched():
    numba = pytest.importorskip("numba")

    @numba.njit
    def order(x):
        random.seed(3)
        np.random.seed(3)
        return np.argsort(x)[0] + random.random() * 0 + np.random.random() * 0

    with watched_sources(frozenset({"entropy"})):
        assert order(np.array([2.0, 1.0])) == 1


def test_the_library_that_reached_a_source_is_noted_and_none_where_the_users_line_did(tmp_path):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "a_lib.py").write_text("import numpy as np\ndef f(): return np.random.default_rng()\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location("a_lib", folder / "a_lib.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seen = sightings.Sightings()
    sightings.collect_into(seen)
    try:
        with watched_sources(frozenset()):
            module.f()
            np.random.default_rng()
    finally:
        sightings.collect_into(None)
    found = [(entry["line"], entry["library"]) for entry in seen.to_json() if entry["kind"] == "entropy"]
    assert {library for line, library in found if line == found[0][0]} == {"a_lib"}
    assert {library for line, library in found if line != found[0][0]} == {""}


def test_processes_that_only_ask_about_the_machine_are_no_workers(monkeypatch):
    def start(*args, **kwargs):
        sources.note_audit("subprocess.Popen", ("uname",))
        return ""

    seen = sightings.Sightings()
    sightings.collect_into(seen)
    monkeypatch.setattr(subprocess, "check_output", start)
    try:
        platform._Processor.from_subprocess()
        assert seen.to_json() == []
        start()
    finally:
        sightings.collect_into(None)
    assert [entry["kind"] for entry in seen.to_json()] == ["process"]


def test_what_this_package_reads_of_the_clock_as_it_watches_is_not_the_users():
    names = {"time": time}
    file = str(Path(sources.__file__).parents[1] / "tracing" / "planted.py")
    exec(compile("def read():\n    return time.perf_counter()\n", file, "exec"), names)
    seen = sightings.Sightings()
    sightings.collect_into(seen)
    try:
        with watched_sources(frozenset({"time"})):
            assert names["read"]() < sources.PINNED_TIME_S
    finally:
        sightings.collect_into(None)
    assert [entry for entry in seen.to_json() if entry["kind"] == "clock"] == []


def test_the_process_id_is_pinned_where_multiprocessing_tells_it_and_not_where_forks_are_told_apart():
    seen = sightings.Sightings()
    sightings.collect_into(seen)
    try:
        with watched_sources(frozenset({"pid"})):
            assert multiprocessing.current_process().ident == PINNED_PID
            assert tempfile._RandomNameSequence().rng is not None
    finally:
        sightings.collect_into(None)
    assert [entry["line"] for entry in seen.to_json() if entry["kind"] == "pid"] != []
    assert {entry["function"] for entry in seen.to_json() if entry["kind"] == "pid"} == {
        "test_the_process_id_is_pinned_where_multiprocessing_tells_it_and_not_where_forks_are_told_apart"
    }
    assert multiprocessing.current_process().ident == os.getpid()


def test_names_of_temporary_files_repeat_where_they_are_pinned_and_only_there(tmp_path):
    def name():
        forget_counts()
        handle, path = tempfile.mkstemp(dir=tmp_path)
        os.close(handle)
        Path(path).unlink()
        return Path(path).name

    def names(pins):
        found = []
        for _ in range(2):
            with watched_sources(frozenset(pins)):
                found.append(name())
        return found

    assert len(set(names({"names"}))) == 1
    assert len(set(names({"entropy"}))) == 2


USERS = """
import random
from random import seed
import numpy as np
import numba

@numba.njit
def compiled(n):
    random.seed(3)
    np.random.seed(4)
    return random.random() + np.random.random() + np.sort(np.arange(n)[::-1])[0]

@numba.njit
def by_its_own_name():
    seed(3)
    return random.random()

def run():
    random.seed()
    np.random.seed(None)
    np.random.default_rng(5)
    return compiled(3), by_its_own_name()
"""


def test_what_numba_compiles_is_the_real_call_and_what_python_calls_is_noted(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    path = tmp_path / "users_numba.py"
    path.write_text(USERS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_numba", raising=False)
    module = importlib.import_module("users_numba")
    seen = sightings.Sightings()
    sightings.collect_into(seen)
    try:
        with watched_sources(frozenset()):
            watched = module.run()
    finally:
        sightings.collect_into(None)
    assert module.run() == watched
    found = {(entry["kind"], entry["detail"].partition(" ")[0]) for entry in seen.to_json()}
    assert {("reseed", "random.seed()"), ("seeding", "numpy.random.default_rng")} <= found


def test_a_stand_in_is_equal_to_what_it_stands_for_and_can_be_copied():
    stand_in = StandIn(random.seed, lambda *args: args)
    assert stand_in == random.seed
    assert hash(stand_in) == hash(random.seed)
    assert stand_in == StandIn(random.seed, print)
    assert stand_in != np.random.seed
    assert stand_in(1, 2) == (1, 2)
    assert copy.deepcopy(StandIn(len, print)) == len
    assert stand_in.__name__ == "seed"
