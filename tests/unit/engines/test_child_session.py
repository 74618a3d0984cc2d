"""The surroundings of a child's run: environment, command, learnt imports, randomness, warnings, the keeper."""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import textwrap
import time
import warnings
import weakref
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pytest_repro.engines.condition import environment_of_child
from pytest_repro.engines.fork_client import why_no_fork
from pytest_repro.engines.fresh_fork import read_thread_counts, renew_randomness
from pytest_repro.engines.relay import MAX_CHARACTERS, WarningRelay, describe_warning
from pytest_repro.engines.starting import FIRST_PATH_KEY, first_path, plan_start
from pytest_repro.engines.workplace import Workplace, arguments_of_pytest
from pytest_repro.environments import keeper
from pytest_repro.environments.keeper import MARK_VARIABLE, find_processes
from pytest_repro.model import JSON, Condition


def python(source: str, **environment: str) -> Any:
    """Run source in a fresh interpreter, whose state it may spoil, and return the JSON that it prints."""
    command = [sys.executable, "-c", textwrap.dedent(source)]
    ended = subprocess.run(command, env=os.environ | environment, capture_output=True, check=True, timeout=60)
    return json.loads(ended.stdout)


def test_the_environment_is_the_users_without_pytests_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "COV_CORE_SOURCE", "MODE", "GONE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    environment = environment_of_child(Condition((("env", {"ADDED": "1", "GONE": None}),)), "mark.run")
    assert environment["MODE"] == "x"
    assert environment["ADDED"] == "1"
    assert environment["PYTHONHASHSEED"] == "1"
    assert environment[MARK_VARIABLE] == "mark.run"
    assert not {"PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "COV_CORE_SOURCE", "GONE"} & set(environment)


@pytest.mark.parametrize(
    "condition, users, expected",
    [
        ({}, None, "1"),
        ({}, "7", "7"),
        ({"process": 0}, None, "1"),
        ({"process": 0}, "7", "7"),
        ({"process": 2}, None, "3"),
        ({"process": 2}, "7", "3"),
        ({"hash_seed": 3}, "7", "3"),
        ({"process": 2, "hash_seed": 3}, None, "3"),
        ({"hash_seed": 3, "process": 2}, None, "3"),
        ({"hash_seed": None, "process": 2}, None, "3"),
        ({"process": 2, "pin:hash": True}, "7", "0"),
        ({"pin:hash": True, "process": 2}, None, "0"),
        ({"env": {"PYTHONHASHSEED": "5"}, "process": 2}, "7", "5"),
        ({"env": {"PYTHONHASHSEED": None}, "process": 2}, "7", None),
    ],
)
def test_the_hash_seed_of_a_child_is_its_axis_or_its_process_or_the_users_or_1(
    monkeypatch: pytest.MonkeyPatch, condition: dict[str, JSON], users: str | None, expected: str | None
) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    if users is not None:
        monkeypatch.setenv("PYTHONHASHSEED", users)
    environment = environment_of_child(Condition(tuple(condition.items())), "m")
    assert environment.get("PYTHONHASHSEED") == expected


def test_a_child_gets_the_arguments_of_the_session(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw3")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    config = pytester.parseconfig("-q", "--tb=short", str(pytester.path))
    arguments = arguments_of_pytest(config)
    assert arguments[:2] == ["-q", "--tb=short"]
    condition = Condition((("process", 2),))
    start = plan_start(config, "child", tmp_path / "job.json", arguments=arguments, condition=condition)
    # What the process starts with is taken back, except for what an axis sets.
    assert start.variables == {MARK_VARIABLE: None, "PYTHONHASHSEED": "7", "PYTEST_XDIST_WORKER": "gw3"}
    given = plan_start(config, "child", tmp_path, arguments=[], condition=Condition((("hash_seed", 2),)))
    assert "PYTHONHASHSEED" not in given.variables
    command = start.command(tmp_path)
    assert command[0] == sys.executable
    written = json.loads(Path(command[-1]).read_text())
    assert (written["arguments"], written["argv"]) == (arguments, sys.argv)


@pytest.mark.parametrize("condition, expected", [({}, "2"), ({"threads": 3}, "3"), ({"hash_seed": 1}, "2")])
def test_what_libraries_alone_are_to_find_is_taken_back_to_the_value_of_the_condition(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    condition: dict[str, JSON],
    expected: str,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    start = plan_start(
        pytester.parseconfig(),
        "fork_server_plugin",
        tmp_path,
        arguments=[],
        condition=Condition(tuple(condition.items())),
        for_libraries={"OMP_NUM_THREADS": "1"},
    )
    assert (start.variables["OMP_NUM_THREADS"], start.for_libraries) == (expected, {"OMP_NUM_THREADS": "1"})


def test_pools_of_the_size_that_they_start_with_are_not_chosen() -> None:
    source = """
        import json, os
        import numpy
        from pytest_repro.axes.native import find_pools
        from pytest_repro.engines.fresh_fork import read_thread_counts

        pools = find_pools()
        counts = [len(read_thread_counts()), len(read_thread_counts(chosen_only=True))]
        for pool in pools:
            pool.set_threads(len(os.sched_getaffinity(0)) + 1)
        counts.append(len(read_thread_counts(chosen_only=True)))
        print(json.dumps([len(pools), *counts]))
    """
    clean = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "")
    pools, all_counts, chosen, changed = python(source, **clean)
    assert (all_counts, chosen, changed) == (pools, 0, pools)


def test_variables_for_libraries_are_set_in_c_alone() -> None:
    source = """
        import json, os, subprocess
        from pytest_repro.engines.start_child import take_back
        take_back({"SET": "yes", "OMP_NUM_THREADS": None}, {"OMP_NUM_THREADS": "1"})
        in_c = subprocess.run("echo $OMP_NUM_THREADS", shell=True, capture_output=True, text=True).stdout
        print(json.dumps([os.environ.get("OMP_NUM_THREADS"), in_c, os.environ["SET"]]))
    """
    assert python(source, OMP_NUM_THREADS="3", SET="no") == [None, "1\n", "yes"]


def test_the_search_path_begins_as_in_the_users_session(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    config: Any = pytester.parseconfig("-q")
    main: Any = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    main.__file__, main.__spec__ = "/somewhere/bin/pytest", None
    assert first_path(config) == "/somewhere/bin"
    main.__spec__ = ModuleSpec("pytest.__main__", None)
    assert first_path(config) == str(pytester.path)
    config.workerinput = {FIRST_PATH_KEY: "/of/the/controller"}
    assert first_path(config) == "/of/the/controller"


def test_an_xdist_worker_passes_on_the_arguments_of_its_controller(pytester: pytest.Pytester) -> None:
    config: Any = pytester.parseconfig("-q")
    config.workerinput = {"repro_arguments": ["--import-mode=importlib", "tests"]}
    assert arguments_of_pytest(config) == ["--import-mode=importlib", "tests"]


def test_an_accelerators_driver_forbids_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        assert "Linux" in why_no_fork()
        return
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidiactl" or exists(path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "does not survive a fork" in why_no_fork()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert why_no_fork() == ""


LEARNING = """
    import json, os, sys
    sys.path.insert(0, FOLDER + "/site-packages")
    sys.path.insert(0, FOLDER)
    from pytest_repro.engines.imported import ImportedModules, import_modules
    watched = ImportedModules()
    BODY
    watched.note_end()
    print(json.dumps(watched.find_new()))
"""


@pytest.mark.parametrize(
    "body, learnt",
    [
        ("import installed", ["installed.inner", "installed"]),
        ("import installed.inner; import own", ["installed.inner", "installed"]),
        ("import own", []),
        ("pass", []),
        # What the body did first may have decided what the import did.
        ("os.environ['BACKEND'] = 'x'; import installed", []),
        ("os.environ.setdefault('BACKEND', 'x'); import installed", []),
        ("os.environ.pop('HOME', None); import installed", []),
        ("sys.path.append('/elsewhere'); import installed", []),
        # A package's own variable and pytest's bookkeeping are not set by the test.
        ("import setter, installed", ["setter", "installed.inner", "installed"]),
        ("os.environ['PYTEST_CURRENT_TEST'] = 'x'; import installed", ["installed.inner", "installed"]),
    ],
)
def test_installed_modules_are_learnt_unless_the_test_prepared_their_import(
    tmp_path: Path, body: str, learnt: list[str]
) -> None:
    packages = tmp_path / "site-packages"
    (packages / "installed").mkdir(parents=True)
    (packages / "installed" / "__init__.py").write_text("from installed import inner\n")
    (packages / "installed" / "inner.py").write_text("")
    (packages / "setter.py").write_text("import os\nos.environ['SET_BY_PACKAGE'] = '1'\n")
    (tmp_path / "own.py").write_text("")
    source = textwrap.dedent(LEARNING).replace("FOLDER", repr(str(tmp_path))).replace("BODY", body)
    assert python(source) == learnt


def test_sources_that_a_run_has_read_are_learnt(tmp_path: Path) -> None:
    (tmp_path / "before.py").write_text("before\n")
    (tmp_path / "read.py").write_text("def f():\n    raise ValueError\n")
    source = f"""
        import json, linecache, sys, traceback
        sys.path.insert(0, {str(tmp_path)!r})
        from pytest_repro.engines.imported import ImportedModules, read_sources
        linecache.getlines({str(tmp_path / "before.py")!r})
        watched = ImportedModules()
        import read
        try:
            read.f()
        except ValueError:
            traceback.format_exc()
        learnt = watched.find_new_sources()
        linecache.clearcache()
        read_sources([*learnt, "/no/such/file.py"])
        print(json.dumps([learnt, list(linecache.cache)]))
    """
    read = str(tmp_path / "read.py")
    assert python(source) == [[read], [read]]


def test_a_module_that_cannot_be_imported_is_skipped() -> None:
    source = """
        import json, sys
        from pytest_repro.engines.imported import import_modules
        import_modules(["no_such_module", "wave"])
        print(json.dumps("wave" in sys.modules))
    """
    assert python(source) is True


def test_generators_are_renewed_in_any_inherited_state() -> None:
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        drawn = set()
        for _ in range(3):
            random.seed(1)
            np.random.seed(1)
            renew_randomness()
            drawn |= {random.random(), float(np.random.random())}
        assert len(drawn) == 6
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


def test_a_fork_does_not_run_the_exit_handlers_of_the_server(tmp_path: Path) -> None:
    source = f"""
        import atexit, json, os, tempfile
        from pathlib import Path
        from pytest_repro.engines.fresh_fork import ExitHandlers, run_exit_handlers
        handlers, kept = ExitHandlers(), tempfile.TemporaryDirectory()
        handlers.set_aside()
        later = tempfile.TemporaryDirectory()
        atexit.register(lambda: open({str(tmp_path / "handlers")!r}, "a").write("server "))
        pid = os.fork()
        if pid == 0:
            handlers.forget()
            atexit.register(lambda: open({str(tmp_path / "handlers")!r}, "a").write("fork "))
            own = tempfile.TemporaryDirectory()
            Path({str(tmp_path / "own")!r}).write_text(own.name)
            run_exit_handlers()
            os._exit(0)
        os.waitpid(pid, 0)
        Path({str(tmp_path / "kept")!r}).write_text(kept.name)
        folders = [kept.name, later.name, Path({str(tmp_path / "own")!r}).read_text()]
        print(json.dumps([os.path.exists(folder) for folder in folders]))
        handlers.restore()
    """
    assert python(source) == [True, True, False]
    assert not Path((tmp_path / "kept").read_text()).exists()
    assert (tmp_path / "handlers").read_text() == "fork server "


def test_threads_are_counted_by_library() -> None:
    counts = read_thread_counts()
    assert all(isinstance(count, int) and count > 0 for count in counts.values())


class Recorded:
    """Takes the warnings that a relay publishes, as the session's item does."""

    nodeid = "test_it.py::test_it"

    def __init__(self) -> None:
        self.told: list[str] = []
        self.ihook = self.pytest_warning_recorded = self

    def call_historic(self, kwargs: dict[str, Any]) -> None:
        message = kwargs["warning_message"]
        self.told.append(f"{message.category.__name__}: {message.message} ({message.filename}:{message.lineno})")


def test_warnings_are_published_once_bounded_and_under_a_category_that_exists_here() -> None:
    class OwnWarning(Warning):
        pass

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn_explicit("plain", RuntimeWarning, "a.py", 1)
        warnings.warn_explicit("x" * 10**6, UserWarning, "a.py", 2)
        warnings.warn_explicit("mine", OwnWarning, "a.py", 3)
        warnings.warn_explicit("of pytest", pytest.PytestWarning, "a.py", 4)
    described = json.loads(json.dumps([describe_warning(message) for message in caught]))
    item: Any = Recorded()
    relay = WarningRelay(item)
    relay.publish(described)
    relay.publish(described)
    assert item.told == [
        "RuntimeWarning: plain (a.py:1)",
        f"UserWarning: {'x' * MAX_CHARACTERS} (a.py:2)",
        "UserWarning: OwnWarning: mine (a.py:3)",
        "PytestWarning: of pytest (a.py:4)",
    ]


def test_a_category_that_needs_more_than_a_message_does_not_break_the_relay() -> None:
    item: Any = Recorded()
    WarningRelay(item).publish(
        [
            {"text": "t", "category": "UnicodeWarning", "filename": "a", "lineno": 1},
            {"text": "t", "category": "Exception", "filename": "a", "lineno": 1},
        ]
    )
    assert item.told == ["UnicodeWarning: t (a:1)", "UserWarning: Exception: t (a:1)"]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_the_keeper_ends_marked_processes_and_removes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    mark = secrets.token_hex(8)  # of its own, or a session beside this one would lose its processes
    environment = os.environ | {MARK_VARIABLE: f"{mark}.run"}
    left = subprocess.Popen(["sleep", "500"], env=environment, start_new_session=True)
    other = subprocess.Popen(["sleep", "500"], env=os.environ | {MARK_VARIABLE: f"{mark}2.run"})
    try:
        command = [sys.executable, "-I", "-S", keeper.__file__, str(folder), f"{mark}."]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        time.sleep(0.3)
        assert folder.exists()
        assert left.poll() is None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0
        assert left.wait(5) == -9
        assert not folder.exists()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_closed_workplace_leaves_nothing() -> None:
    place = Workplace()
    directory = place.make_directory("run")
    assert directory.parent == place.folder
    place.close()
    assert not place.folder.exists()
    assert place._keeper.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_living_processes_are_found_by_group_or_mark() -> None:
    mark = secrets.token_hex(8)
    process = subprocess.Popen(["sleep", "500"], env={MARK_VARIABLE: f"{mark}.1"}, start_new_session=True)
    try:
        deadline = time.monotonic() + 10
        while find_processes(mark=f"{mark}.") != [process.pid] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert find_processes(mark=f"{mark}.1") == find_processes(group=process.pid) == [process.pid]
        assert find_processes(mark=f"{mark}.2") == []
    finally:
        process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert find_processes(mark=f"{mark}.", group=process.pid) == []
    process.wait()


def test_the_interpreter_still_keeps_its_finalizers_where_the_fork_expects_them() -> None:
    finalizer: Any = weakref.finalize
    assert isinstance(finalizer._registry, dict)
    assert isinstance(finalizer._registered_with_atexit, bool)
