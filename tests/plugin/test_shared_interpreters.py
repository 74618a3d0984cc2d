"""Forks of interpreters that were started for a condition: what they show, and what is left to fresh interpreters."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.faults import Leavings, Program
from tests.plugin.helpers import Session, Sessions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux only")

SHARED = """
    import os, random, sys, time, pytest

    ENTROPY = os.urandom(4).hex()
    UNSEEDED = random.Random().random()
    STARTED = time.time_ns()
    NAMES = list({"alpha", "beta", "gamma", "delta", "zeta"})
    SEEDS = pytest.mark.reproducible(across={"hash_seed": [0, 1, 2]})
    count = 0

    @SEEDS
    def test_first():
        global count
        count += 1
        sys.path.append("left behind")
        return count

    @SEEDS
    def test_second():
        global count
        count += 1
        return count, "left behind" in sys.path

    @SEEDS
    def test_order():
        return list({"alpha", "beta", "gamma", "delta", "zeta"})

    @SEEDS
    def test_order_at_import():
        return NAMES

    @SEEDS
    def test_entropy_at_import():
        return ENTROPY

    @SEEDS
    def test_generator_at_import():
        return UNSEEDED

    @SEEDS
    def test_clock_at_import():
        return STARTED

    @SEEDS
    def test_entropy():
        return random.Random().random()

    @pytest.mark.reproducible(across={"env": [{}, {"MODE": "other"}]})
    def test_variable():
        return os.environ.get("MODE", "none")

    @pytest.mark.reproducible(across={"hash_seed": [0, 1]}, runs=2)
    def test_repeated():
        return 1

    @pytest.mark.reproducible(across={"hash_seed": [0, 1], "process": 2})
    def test_other_process():
        return 1

    @SEEDS
    def test_fails():
        assert False, "by itself"

    @SEEDS
    def test_skips():
        pytest.skip("by itself")

    @pytest.mark.xfail(strict=True)
    @SEEDS
    def test_expected():
        assert False
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """One session of all these tests."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "test_it.py").write_text(textwrap.dedent(SHARED))
    program = Program(folder, "-overbosity_assertions=1").finish(400)
    assert program.left() == Leavings([], [])
    return program


def engines(test: dict[str, Any]) -> list[str]:
    """Return what made each run of a test."""
    return [f"{run['engine']} {run['interpreter']}".strip() for run in test["runs"]]


SEEDED = [f"fork PYTHONHASHSEED={seed}" for seed in (0, 1, 2)]


def test_each_run_is_a_fork_of_the_interpreter_of_its_hash_seed(program: Program) -> None:
    for name in ("test_first", "test_second"):
        test = program.test(name)
        assert (test["verdict"], test["engine"], engines(test)) == ("identical", "fork", SEEDED), program.text


def test_the_hash_seed_is_blamed_for_an_order(program: Program) -> None:
    for name in ("test_order", "test_order_at_import"):
        test = program.test(name)
        assert (test["verdict"], test["matrix"]) == ("diverged", {"hash_seed": "diverged"}), program.text
        assert engines(test) == SEEDED


@pytest.mark.parametrize("name", ["entropy_at_import", "generator_at_import", "clock_at_import"])
def test_a_draw_at_import_is_found_and_no_hash_seed_is_blamed_for_it(program: Program, name: str) -> None:
    test = program.test(f"test_{name}")
    assert (test["verdict"], test["matrix"]) == ("diverged", {"hash_seed": "unstable"}), program.text
    # A fork cannot repeat it, so fresh interpreters were asked.
    assert engines(test) == ["spawn"] * 3
    assert any("not by a fork: their results differ" in note for note in test["notes"])


def test_a_draw_of_a_run_is_found_by_forks_alone(program: Program) -> None:
    test = program.test("test_entropy")
    assert (test["verdict"], test["matrix"], engines(test)) == ("diverged", {"hash_seed": "unstable"}, SEEDED)


def test_a_variable_has_an_interpreter_for_each_value(program: Program) -> None:
    test = program.test("test_variable")
    assert test["matrix"] == {"env": "diverged"}
    assert engines(test) == ["fork env as is", "fork MODE=other"]


def test_repeats_and_other_processes_are_fresh(program: Program) -> None:
    repeated, other = program.test("test_repeated"), program.test("test_other_process")
    assert (repeated["verdict"], engines(repeated)) == ("identical", [SEEDED[0], "spawn", SEEDED[1]]), program.text
    assert (other["verdict"], engines(other)) == ("identical", [SEEDED[0], "spawn"]), program.text


def test_a_failure_is_shown_by_a_fresh_interpreter(program: Program) -> None:
    test = program.test("test_fails")
    assert (test["verdict"], engines(test)) == ("error", ["spawn"]), program.text
    assert "by itself" in program.section("test_fails")
    for name in ("test_skips", "test_expected"):
        assert set(engines(program.test(name))) <= set(SEEDED), program.text


def test_the_summary_counts_what_made_the_runs(program: Program) -> None:
    assert "runs were made by forks of interpreters started for 5 conditions;" in program.text
    section = program.section("test_order")
    assert "  engine  run 1: fork of an interpreter started under PYTHONHASHSEED=0\n" in section


def outcomes(session: Session) -> dict[str, Any]:
    """Return the verdict and the engines of each test."""
    return {test["nodeid"].partition("::")[2]: (test["verdict"], engines(test)) for test in session.report["tests"]}  # type: ignore[index]


def test_what_a_fork_gives_by_being_one_is_never_a_difference(sessions: Sessions) -> None:
    """A process that collected more than the test's own file differs from a fresh one in what it has imported."""
    sessions.write("import colorsys\ndef test_other(): pass\n", "test_other.py")
    source = """
        import sys, pytest

        @pytest.mark.reproducible(across={"hash_seed": [0, 1]}, runs=2)
        def test_modules():
            return "colorsys" in sys.modules

        @pytest.mark.reproducible(across={"hash_seed": [0, 1]})
        def test_not_in_forks():
            assert "colorsys" not in sys.modules
            return 1
    """
    session = sessions.run(source, "--repro-all", apart=True)
    assert outcomes(session)["test_modules"] == ("identical", ["spawn"] * 3), session.text
    assert outcomes(session)["test_not_in_forks"] == ("identical", ["spawn"] * 2), session.text


def test_a_scan_leaves_modules_that_draw_entropy_to_fresh_interpreters(sessions: Sessions) -> None:
    source = """
        import os

        DRAWN = os.urandom(1)[0] % 2

        def test_it():
            drawn = 1
            return drawn
    """
    session = sessions.run(source, "--repro-all", "--repro-across=hash_seed=0:1", apart=True)
    assert engines(session.test("test_it")) == ["spawn"] * 2, session.text


CRASHING = """
    import os, signal, threading, time, pytest

    lock = threading.Lock()
    # The environment with which this process was started says what it is.
    IS_SERVER = b".fork_server\\0" in open("/proc/self/environ", "rb").read() + b"\\0"
    HAS_SEED = os.environ.get("PYTHONHASHSEED") == "1"

    if IS_SERVER and HAS_SEED and MODE == "dies at once":
        os._exit(3)
    if IS_SERVER and HAS_SEED and MODE == "hangs in forks":
        threading.Thread(target=lambda: (lock.acquire(), time.sleep(10**6)), daemon=True).start()
        time.sleep(0.2)

    @pytest.mark.reproducible(across={"hash_seed": [0, 1]})
    @pytest.mark.parametrize("x", [1, 2, 3])
    def test_it(x):
        if IS_SERVER and HAS_SEED and MODE == "is killed":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(10)
        with lock:
            return x
"""


@pytest.mark.parametrize("mode", ["dies at once", "hangs in forks", "is killed"])
def test_a_server_that_fails_is_replaced_by_fresh_interpreters(tmp_path: Path, mode: str) -> None:
    source = textwrap.dedent(CRASHING).replace("MODE ==", f"{mode!r} ==")
    (tmp_path / "test_it.py").write_text(source)
    program = Program(tmp_path).finish(300)
    tests = [program.test(f"test_it[{x}]") for x in (1, 2, 3)]
    assert [test["verdict"] for test in tests] == ["identical"] * 3, program.text
    assert any("made by a fresh interpreter, not by a fork" in note for note in tests[0]["notes"])
    # It is not started again: its runs are made by fresh interpreters, and the others are forks.
    assert engines(tests[2]) == [SEEDED[0], "spawn"], program.text
    assert program.left() == Leavings([], [])


def test_imports_of_a_run_are_made_in_every_server_before_the_next_one(sessions: Sessions) -> None:
    source = """
        import sys, pytest

        @pytest.mark.reproducible(across={"hash_seed": [0, 1, 2]})
        def test_it():
            known = "colorsys" in sys.modules
            import colorsys
            return known
    """
    session = sessions.run(source, apart=True)
    assert outcomes(session)["test_it"] == ("identical", SEEDED), session.text


@pytest.mark.skipif(sys.platform == "linux" and len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.needs("torch")
def test_a_fork_has_the_thread_pools_of_a_fresh_interpreter(sessions: Sessions) -> None:
    source = """
        import os, pytest, torch

        def count():
            return [torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS"), len(os.sched_getaffinity(0))]

        @pytest.mark.reproducible(across={"cpu_count": [None, 1]})
        def test_cores():
            with open("counts.txt", "a") as file:
                print(count(), file=file)
            return 1

        @pytest.mark.reproducible(across={"hash_seed": [0, 1], "threads": [1, 2]})
        def test_threads():
            with open("threads.txt", "a") as file:
                print(count(), file=file)
            return 1
    """
    sessions.write(source)
    environment = {name: text for name, text in os.environ.items() if not name.endswith("_NUM_THREADS")}
    session = sessions.run_program(environment=environment)
    assert {name: made[0].split()[0] for name, (_, made) in outcomes(session).items()} == {
        "test_cores": "fork",
        "test_threads": "fork",
    }, session.text
    cores = len(os.sched_getaffinity(0))
    counts = (sessions.folder / "counts.txt").read_text().splitlines()
    assert set(counts) == {f"[{n}, None, {n}]" for n in (1, cores)}
    threads = (sessions.folder / "threads.txt").read_text().splitlines()
    assert set(threads) == {f"[{n}, '{n}', {cores}]" for n in (1, 2)}
