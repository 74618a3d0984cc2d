"""Diagnosis in real sessions: each test has one planted fault, whose cause and place are named."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from tests.plugin.faults import Program
from tests.plugin.helpers import Sessions

FAULTS = """
    import multiprocessing
    import os
    import queue
    import subprocess
    import sys
    import threading
    import time
    from pathlib import Path
    import numpy as np
    import pytest

    STEPS = []

    @pytest.mark.reproducible
    def test_entropy():
        rng = np.random.default_rng()
        return rng.normal(size=3)

    @pytest.mark.reproducible
    def test_started():
        command = [sys.executable, "-c", "import random; print(random.random())"]
        return float(subprocess.check_output(command))

    @pytest.mark.reproducible(runs=5)
    def test_started_order():
        script = "print(*set('the quick brown fox jumps over'.split()))"
        return {"printed": subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout}

    def draw(_):
        return float(np.random.default_rng().normal())

    def start_run():
        label = os.urandom(16).hex()
        path = "/" + label
        print(path, time.time())

    @pytest.mark.reproducible
    def test_workers():
        start_run()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(draw, range(6))

    @pytest.mark.reproducible
    def test_two_causes():
        start_run()
        return {"drawn": np.random.default_rng().normal(), "read": time.time() % 1}

    def stamp():
        return time.time() % 1

    @pytest.mark.reproducible
    def test_two_lines():
        start_run()
        drawn = np.random.default_rng().normal()
        return {"both": drawn + stamp()}

    @pytest.mark.reproducible
    def test_readers():
        box, total = queue.Queue(3), 0.0

        def read(number):
            for row in range(200):
                time.sleep(1e-6)
                box.put(0.1 * row + number)

        for number in range(3):
            threading.Thread(target=read, args=(number,)).start()
        for _ in range(600):
            total = 0.9 * total + box.get()
        return total

    @pytest.mark.reproducible
    def test_state():
        STEPS.append(1)
        return len(STEPS)

    @pytest.mark.reproducible
    def test_left_file():
        cache = Path(__file__).with_name("mean.txt")
        if cache.exists():
            return float(cache.read_text())
        cache.write_text("0.3")
        return 0.1 + 0.2

    @pytest.mark.reproducible(across={"rate": [0.1, 0.2]})
    def test_argument(rate):
        return rate * 2

    @pytest.mark.reproducible(across={"batch_size": [8, 4]})
    def test_batch(batch_size):
        data = np.arange(24.0).reshape(8, 3) ** 2
        data = data - data.mean(axis=0)  # of all rows, in both runs
        parts = []
        for start in range(0, 8, batch_size):
            rows = data[start : start + batch_size]
            scaled = rows / rows.std(axis=0)
            parts.append(scaled @ np.ones(3))
        return np.concatenate(parts)

    @pytest.mark.reproducible
    @pytest.mark.xfail(strict=True)
    def test_expected_to_fail():
        return os.urandom(4).hex()

    @pytest.mark.reproducible
    def test_innocent():
        np.random.default_rng()
        return np.arange(3)
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """One session with all faults, for all tests here."""
    folder = tmp_path_factory.mktemp("diagnosis")
    (folder / "test_it.py").write_text(textwrap.dedent(FAULTS), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return Program(folder, "--repro-diagnose").finish()


def test_entropy_is_named_with_its_line_and_shown_in_the_failure(session: Program) -> None:
    (cause,) = session.test("test_entropy")["diagnosis"]["causes"]
    assert (cause["code"], cause["confidence"]) == ("rng.os_entropy", "probed")
    assert cause["location"]["source"] == "rng = np.random.default_rng()"
    first = session.test("test_entropy")["diagnosis"]["first_divergence"]
    assert (first["function"], first["name"]) == ("test_entropy", "rng.state")
    text = session.text
    assert "cause   rng.os_entropy" in text
    assert "where   test_it.py:" in text


def test_entropy_of_an_interpreter_that_the_test_starts_is_named(session: Program) -> None:
    (cause,) = session.test("test_started")["diagnosis"]["causes"]
    assert cause["code"] == "rng.os_entropy"
    assert cause["location"]["source"] == "return float(subprocess.check_output(command))"
    assert cause["evidence"].endswith("by the interpreter that is started there")


def test_the_hash_seed_of_an_interpreter_that_the_test_starts_is_named(session: Program) -> None:
    (cause,) = session.test("test_started_order")["diagnosis"]["causes"]
    assert cause["code"] == "hash.str_hashseed"
    assert "with PYTHONHASHSEED fixed in the interpreter that the test starts" in cause["evidence"]
    assert "subprocess.run" in cause["location"]["source"]


def test_entropy_of_workers_is_distinguished_from_that_of_the_test(session: Program) -> None:
    (cause,) = session.test("test_workers")["diagnosis"]["causes"]
    assert (cause["code"], cause["confidence"]) == ("rng.worker_unseeded", "probed")
    assert cause["location"]["function"] == "test_workers"
    first = session.test("test_workers")["diagnosis"]["first_divergence"]
    assert (first["function"], first["flows"]) == ("test_workers", True)


@pytest.mark.parametrize(
    ("test", "functions"),
    [("test_two_causes", ["test_two_causes", "test_two_causes"]), ("test_two_lines", ["test_two_lines", "stamp"])],
)
def test_two_causes_are_named_each_at_its_line_and_not_at_that_of_a_log(
    session: Program, test: str, functions: list[str]
) -> None:
    causes = session.test(test)["diagnosis"]["causes"]
    found = {cause["code"]: cause["location"]["function"] for cause in causes}
    assert found == dict(zip(["rng.os_entropy", "time.now"], functions, strict=True))


def test_threads_that_fill_one_queue_are_named_by_their_line(session: Program) -> None:
    (cause,) = session.test("test_readers")["diagnosis"]["causes"]
    assert (cause["code"], cause["confidence"]) == ("race.threads", "probed")
    assert cause["location"]["source"] == "threading.Thread(target=read, args=(number,)).start()"


def test_leaked_state_is_named(session: Program) -> None:
    (cause,) = session.test("test_state")["diagnosis"]["causes"]
    assert (cause["code"], cause["confidence"]) == ("state.module_global", "state")
    assert "STEPS" in cause["evidence"]
    assert "STEPS" in cause["location"]["source"]


def test_a_file_that_the_first_run_left_is_named_and_stays_in_its_place(session: Program) -> None:
    (cause,) = session.test("test_left_file")["diagnosis"]["causes"]
    assert (cause["code"], cause["confidence"]) == ("state.disk", "probed")
    assert "mean.txt" in cause["evidence"]
    assert cause["location"]["source"] == "if cache.exists():"
    assert [path.name for path in session.folder.glob("*mean*")] == ["mean.txt"]


def test_an_argument_that_is_meant_to_change_the_result_has_no_cause(session: Program) -> None:
    assert session.test("test_argument")["verdict"] == "diverged"
    assert session.test("test_argument")["diagnosis"]["causes"] == []
    assert "cause   unknown" in session.text


def test_a_statistic_of_the_batch_is_named_with_its_line(session: Program) -> None:
    (cause,) = session.test("test_batch")["diagnosis"]["causes"]
    assert (cause["code"], cause["axis"]) == ("batch.statistics", "batch_size")
    assert cause["location"]["source"] == "scaled = rows / rows.std(axis=0)"


def test_an_expected_failure_is_not_diagnosed(session: Program) -> None:
    assert session.test("test_expected_to_fail")["verdict"] == "diverged"
    assert session.test("test_expected_to_fail")["diagnosis"] is None


def test_an_identical_test_is_not_diagnosed(session: Program) -> None:
    assert session.test("test_innocent")["verdict"] == "identical"
    assert session.test("test_innocent")["diagnosis"] is None


ONE = """
    import os
    import pytest

    @pytest.mark.reproducible
    def test_it():
        return os.urandom(4).hex()
"""


def test_the_diagnosis_can_be_switched_off(sessions: Sessions) -> None:
    found = sessions.run(ONE, "--no-repro-diagnose")
    assert found.test("test_it")["diagnosis"] is None
    assert found.outcomes == {"failed": 1}


def test_a_spent_budget_is_reported_and_keeps_the_verdict(sessions: Sessions) -> None:
    found = sessions.run(ONE, "--repro-diagnose", "--repro-diagnose-budget=0.001")
    diagnosis = found.test("test_it")["diagnosis"]
    assert (found.test("test_it")["verdict"], diagnosis["complete"], diagnosis["causes"]) == ("diverged", False, [])
    assert "the diagnosis stopped after" in found.text
    assert "before it could try a source" in found.text
    assert (
        "go on with: pytest test_it.py::test_it --repro-runs=2 --repro-seed=0 --repro-diagnose-budget=120" in found.text
    )


@pytest.mark.parametrize("budget", ["0", "-1", "soon", "nan"])
def test_an_invalid_budget_is_a_usage_error(sessions: Sessions, budget: str) -> None:
    found = sessions.run(ONE, f"--repro-diagnose-budget={budget}", json_report=False)
    assert found.exitcode == pytest.ExitCode.USAGE_ERROR


def test_a_diagnosis_that_raises_hides_neither_verdict_nor_failure(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_repro.session import diagnosing

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the probes are out of order")

    monkeypatch.setattr(diagnosing.SessionProber, "observe", broken)
    found = sessions.run(ONE, "--repro-diagnose")
    assert found.test("test_it")["verdict"] == "diverged"
    assert found.outcomes == {"failed": 1}
    assert "the diagnosis could not be finished: RuntimeError: the probes are out of order" in found.text


SAME_LINE = """
    import random
    import pytest

    def draw():
        return random.SystemRandom().random()

    @pytest.mark.reproducible
    def test_one(): return draw()

    @pytest.mark.reproducible
    def test_other(): return draw() + 1
"""


def test_the_same_finding_in_another_test_is_confirmed_by_few_runs(sessions: Sessions) -> None:
    found = sessions.run(SAME_LINE, "--repro-diagnose")
    causes = [found.test(name)["diagnosis"]["causes"][0] for name in ("test_one", "test_other")]
    assert [(cause["code"], cause["location"]["line"]) for cause in causes] == [("rng.os_entropy", 6)] * 2
    assert "3 of 3 runs were identical" not in causes[0]["evidence"]
    assert "3 of 3 runs were identical" in causes[1]["evidence"]


def test_tests_share_the_budget_of_the_session(sessions: Sessions) -> None:
    found = sessions.run(SAME_LINE, "--repro-diagnose", "--repro-budget=0.001s")
    assert not found.test("test_other")["diagnosis"]["complete"]
    assert "the session's 0.001 s of CPU time (--repro-budget)" in found.text


def test_a_diagnosis_that_ran_out_of_time_goes_on_where_it_stopped(sessions: Sessions) -> None:
    code = """
        import os, time
        from pathlib import Path
        import pytest

        @pytest.mark.reproducible
        def test_it():
            os.urandom(4), time.time(), os.getpid()
            until = time.process_time() + 0.1
            while time.process_time() < until: pass
            return Path("/proc/self/stat").read_text().split()[0]
    """

    def diagnose(budget: str) -> tuple[Any, int]:
        options = "--repro-diagnose", "--repro-isolate", f"--repro-diagnose-budget={budget}"
        found = sessions.run(code, *options).test("test_it")["diagnosis"]
        return found, len(found["ruled_out"])

    stopped, few = diagnose("2.5")
    assert (stopped["complete"], stopped["causes"]) == (False, [])
    assert few
    assert stopped["not_tried"]
    found, all_of_them = diagnose("120")
    assert (found["complete"], found["causes"]) == (True, [])
    assert set(stopped["not_tried"]) <= set(found["ruled_out"])
    assert all_of_them > few


@pytest.mark.parametrize("options", [(), ("--repro-isolate",)])
def test_a_plain_repeat_that_differs_leaves_no_axis_to_blame(sessions: Sessions, options: tuple[str, ...]) -> None:
    code = """
        import itertools, os, pytest
        count = itertools.count()
        @pytest.mark.reproducible(runs=2, across="threads=1:2")
        def test_it(): return next(count) + os.getpid()
    """
    found = sessions.run(code, "--repro-diagnose", *options).test("test_it")
    assert found["matrix"] == {"threads": "unstable"}
    assert not [cause for cause in found["diagnosis"]["causes"] if cause["axis"] == "threads"]
    assert any("a plain repeat of run 1 differs" in note for note in found["notes"])
