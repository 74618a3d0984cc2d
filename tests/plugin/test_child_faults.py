"""Real faults of child processes: each is a named error, the other tests go on, and nothing is left behind."""

from __future__ import annotations

import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.faults import ENGINES, Leavings, Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")

FAULTS = """
    import atexit, multiprocessing, os, resource, signal, subprocess, sys, threading, time
    import numpy as np
    import pytest

    pytestmark = pytest.mark.reproducible

    def test_segfault():
        print("last words before the fault")
        os.kill(os.getpid(), signal.SIGSEGV)

    def test_killed():
        os.kill(os.getpid(), signal.SIGKILL)

    def test_out_of_memory():
        used = int(open("/proc/self/statm").read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))
        return np.ones(2**30)

    @pytest.mark.reproducible(timeout=1)
    def test_hanging():
        print("about to hang")
        time.sleep(600)

    def test_exit_0():
        os._exit(0)

    def test_sys_exit():
        sys.exit(3)

    def test_pytest_exit():
        pytest.exit("enough of this")

    def test_100_mb():
        for _ in range(100):
            sys.stdout.write("x" * 10**6)
        return 1

    def test_100_mb_and_killed():
        for number in range(100):
            sys.stdout.write("y" * 10**6 + "\\n")
        print("the last line of many")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    def test_grandchildren():
        subprocess.Popen(["sleep", "600"])
        subprocess.Popen(["sleep", "601"], start_new_session=True)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(602)
            os._exit(0)
        os.wait()
        return 1

    def test_grandchildren_of_a_killed_one():
        subprocess.Popen(["sleep", "603"], start_new_session=True)
        os.kill(os.getpid(), signal.SIGKILL)

    def test_semaphore_of_a_killed_one():
        semaphore = multiprocessing.get_context("spawn").Semaphore()
        open("semaphores.txt", "a").write(semaphore._semlock.name + "\\n")
        os.kill(os.getpid(), signal.SIGKILL)

    def test_disk_full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))
        return np.ones(10**6)

    def test_disk_full_for_the_answer():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        return 1

    def test_uncapturable():
        return {"thing": map(len, [])}

    def test_strange_output():
        os.write(1, b"bytes \\xff\\xfe\\n")
        print("surrogate \\udcff")
        assert not "surrogate \\udcff"

    def test_closes_its_output():
        os.chdir("/")
        os.close(1)
        os.close(2)
        return 1

    @pytest.mark.reproducible(runs=1)  # it takes as long as a child may take to end
    def test_threads_and_handlers_at_exit():
        threading.Thread(target=time.sleep, args=(600,)).start()
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        atexit.register(time.sleep, 600)
        return 1

    def test_long_message():
        raise AssertionError("z" * 50_000_000)

    def test_healthy():
        return np.arange(10)
"""


@pytest.fixture(scope="module", params=list(ENGINES))
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One session of all faults, under each engine."""
    folder = tmp_path_factory.mktemp(f"faults-{request.param}")
    (folder / "test_faults.py").write_text(textwrap.dedent(FAULTS))
    program = Program(folder, *ENGINES[request.param])
    try:
        yield program.finish()
    finally:
        program.kill_all()


@pytest.mark.parametrize(
    "test, expected",
    [
        ("test_segfault", ["run 1", "was killed by SIGSEGV", "last words before the fault"]),
        ("test_killed", ["run 1", "was killed by SIGKILL, as the kernel does when memory runs out"]),
        ("test_hanging", ["run 1", "was stopped after ", " s, its timeout", "about to hang"]),
        ("test_exit_0", ["run 1", "ended with exit code 0 and left no result"]),
        ("test_pytest_exit", ["run 1", "and left no result", "enough of this"]),
        ("test_100_mb_and_killed", ["was killed by SIGKILL", "the last line of many"]),
        ("test_grandchildren_of_a_killed_one", ["was killed by SIGKILL"]),
        ("test_semaphore_of_a_killed_one", ["was killed by SIGKILL"]),
        ("test_disk_full", ["run 1", "could not be handed over", "File too large"]),
        ("test_disk_full_for_the_answer", ["run 1", "the answer could not be written", "File too large"]),
    ],
)
def test_a_child_that_leaves_no_result_is_an_error_that_says_how_it_ended(
    session: Program, test: str, expected: list[str]
) -> None:
    assert session.test(test)["verdict"] == "error"
    shown = session.section(test)
    assert all(part in shown for part in expected), shown


@pytest.mark.parametrize(
    "test, expected",
    [
        ("test_out_of_memory", ["Unable to allocate"]),
        ("test_sys_exit", ["SystemExit: 3"]),
        ("test_uncapturable", ["thing", "map"]),
        ("test_strange_output", ["AssertionError", "bytes \ufffd\ufffd", "surrogate"]),
        ("test_long_message", ["AssertionError: zzz"]),
    ],
)
def test_a_failure_in_a_child_is_shown_as_pytest_shows_it(session: Program, test: str, expected: list[str]) -> None:
    assert session.test(test)["verdict"] == "error"
    shown = session.section(test)
    assert all(part in shown for part in expected), shown[:3000]


@pytest.mark.parametrize(
    "test",
    [
        "test_100_mb",
        "test_grandchildren",
        "test_closes_its_output",
        "test_healthy",
    ],
)
def test_a_child_that_returns_its_result_is_compared_whatever_else_it_does(session: Program, test: str) -> None:
    assert session.test(test)["verdict"] == "identical", session.text[-3000:]


def test_a_child_that_does_not_end_is_ended_once_it_has_returned_its_result(session: Program) -> None:
    test = session.test("test_threads_and_handlers_at_exit")
    outcomes = [run["outcome"] for run in test["runs"]]
    assert set(outcomes) == {"passed"}, session.text[-3000:]
    assert test["verdict"] == ("identical" if len(outcomes) > 1 else "inconclusive"), test


def test_the_report_stays_small(session: Program) -> None:
    assert len(session.text) < 2_000_000
    assert session.report_path.stat().st_size < 1_000_000


def test_faulty_children_leave_nothing_behind(session: Program) -> None:
    assert session.left() == Leavings([], [])
    names = (session.folder / "semaphores.txt").read_text().split()
    assert names
    assert not [name for name in names if Path(f"/dev/shm/sem.{name.lstrip('/')}").exists()]


CHILD_ONLY = """
    import os, pytest

    # A child does not find the mark in its environment, which it is to hand on as in a plain session.
    INITIAL = open("/proc/self/environ", "rb").read().split(b"\\0")
    MARKS = [entry for entry in INITIAL if entry.startswith(b"PYTEST_REPRO_RUN=")]
    IS_CHILD = bool(MARKS)
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_module_that_cannot_be_imported_in_the_child_is_an_error_that_shows_why(tmp_path: Path, engine: str) -> None:
    source = """
        if IS_CHILD:
            import no_such_module

        @pytest.mark.reproducible
        def test_it():
            return 1
    """
    (tmp_path / "test_it.py").write_text(textwrap.dedent(CHILD_ONLY) + textwrap.dedent(source))
    (tmp_path / "test_next.py").write_text("import pytest\n@pytest.mark.reproducible\ndef test_next(): return 1\n")
    program = Program(tmp_path, *ENGINES[engine]).finish()
    assert program.test("test_it")["verdict"] == "error"
    assert "ModuleNotFoundError: No module named 'no_such_module'" in program.section("test_it")
    assert program.test("test_next")["verdict"] == "identical"
    assert program.left() == Leavings([], [])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_child_that_collects_another_test_under_the_same_name_is_an_error(tmp_path: Path, engine: str) -> None:
    source = """
        if IS_CHILD:
            @pytest.mark.reproducible
            def test_it():
                return 2
        else:
            @pytest.mark.reproducible
            def test_it():
                return 1
    """
    (tmp_path / "test_it.py").write_text(textwrap.dedent(CHILD_ONLY) + textwrap.dedent(source))
    program = Program(tmp_path, *ENGINES[engine]).finish()
    assert program.test("test_it")["verdict"] == "error"
    assert "is another one: its source differs" in program.section("test_it")


def test_a_fork_that_waits_for_a_lost_lock_is_run_again_in_a_fresh_interpreter(tmp_path: Path) -> None:
    source = """
        import os, threading, time, pytest

        lock = threading.Lock()

        def hold():
            with lock:
                time.sleep(10**6 if IS_CHILD else 0)

        # In the process that forks, a thread holds the lock; in the fork there is no such thread.
        if any(mark.endswith(b".fork_server") for mark in MARKS):
            threading.Thread(target=hold, daemon=True).start()
            time.sleep(0.2)

        @pytest.mark.reproducible
        def test_it():
            with lock:
                return 1
    """
    (tmp_path / "test_it.py").write_text(textwrap.dedent(CHILD_ONLY) + textwrap.dedent(source))
    program = Program(tmp_path, "--repro-isolate").finish()
    test = program.test("test_it")
    assert test["verdict"] == "identical", program.text
    assert any("fresh interpreter" in note and "waiting for a lock" in note for note in test["notes"])
    assert program.left() == Leavings([], [])


HANGING = """
    import os, subprocess, time, pytest

    @pytest.mark.reproducible
    def test_hanging():
        subprocess.Popen(["sleep", "700"], start_new_session=True)
        open("started", "w").close()
        time.sleep(600)
"""


@pytest.mark.parametrize(
    "engine, signals, group",
    [
        ("fork", [signal.SIGINT], True),
        ("spawn", [signal.SIGINT], True),
        ("fork", [signal.SIGINT, signal.SIGINT], True),
        ("spawn", [signal.SIGTERM], False),
        ("fork", [signal.SIGKILL], False),
        ("spawn", [signal.SIGKILL], False),
    ],
)
def test_an_interrupted_session_leaves_nothing_behind(
    tmp_path: Path, engine: str, signals: list[signal.Signals], group: bool
) -> None:
    (tmp_path / "test_it.py").write_text(textwrap.dedent(HANGING))
    program = Program(tmp_path, *ENGINES[engine])
    try:
        program.wait_for("started")
        for number in signals:
            program.interrupt(number, group=group)
        program.finish(30)
        if signals[0] == signal.SIGINT:
            assert program.process.returncode == pytest.ExitCode.INTERRUPTED
        assert program.left() == Leavings([], [])
    finally:
        program.kill_all()


def test_a_fork_server_killed_between_two_tests_does_not_fail_the_second(tmp_path: Path) -> None:
    source = """
        import os, signal, pytest

        @pytest.mark.reproducible
        def test_first():
            return 1

        def test_between():
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    environment = open(f"/proc/{name}/environ", "rb").read().split(b"\\0")
                except OSError:
                    continue
                if os.environ["FAULT_TEST_SESSION"].encode() in b"".join(environment) and any(
                    entry.startswith(b"PYTEST_REPRO_RUN=") and entry.endswith(b".fork_server") for entry in environment
                ):
                    os.kill(int(name), signal.SIGKILL)

        @pytest.mark.reproducible
        def test_second():
            return 1
    """
    (tmp_path / "test_it.py").write_text(textwrap.dedent(source))
    program = Program(tmp_path, "--repro-isolate").finish()
    assert program.test("test_first")["verdict"] == "identical"
    second = program.test("test_second")
    assert second["verdict"] == "identical", program.text
    assert any("fresh interpreter" in note for note in second["notes"])
    assert program.left() == Leavings([], [])


def test_a_session_that_isolates_nothing_starts_no_process(tmp_path: Path) -> None:
    source = """
        import os, pytest

        @pytest.mark.reproducible
        def test_it():
            return 1

        def test_children():
            assert open(f"/proc/self/task/{os.getpid()}/children").read().split() == []
    """
    (tmp_path / "test_it.py").write_text(textwrap.dedent(source))
    program = Program(tmp_path).finish()
    assert program.process.returncode == 0, program.text
    # The same check fails where there are children.
    isolated = Program(tmp_path, "--repro-isolate").finish()
    assert isolated.process.returncode == 1, isolated.text
