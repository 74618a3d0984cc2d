"""Scans along an axis that needs an interpreter of its own: one process for each value runs test after test."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.faults import Leavings, Program
from tests.plugin.helpers import Sessions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux only")

NAMES = '{"alpha", "beta", "gamma", "delta", "zeta", "eta"}'
SUITE = f"""
    import os, pytest, sys

    seen = []

    def note(what):
        with open(os.path.join({{folder!r}}, "log.txt"), "a") as file:
            print(what, os.getpid(), os.environ["PYTHONHASHSEED"], file=file)

    @pytest.fixture(scope="module")
    def costly():
        note("set_up")
        yield 3
        note("torn_down")

    def test_first(costly):
        note("first")
        value = costly

    def test_second(costly, tmp_path):
        note("second")
        (tmp_path / "file").write_text("")
        value = costly, sorted(os.listdir(tmp_path.parent))

    @pytest.mark.skip(reason="not today")
    def test_skipped():
        pass

    @pytest.mark.xfail
    def test_expected():
        note("expected")
        assert False

    def test_leaves_an_order():
        note("leaves")
        seen[:] = {NAMES}

    def test_reads_what_was_left():
        note("reads")
        order = list(seen)

    def test_after_it():
        note("after")
        value = 1

    def test_order():
        note("order")
        names = list({NAMES})

    def test_ends_the_process():
        note("ends")
        if os.environ["PYTHONHASHSEED"] == "1" and len(seen):
            os._exit(3)
        value = 1

    @pytest.mark.reproducible
    def test_marked():
        seen.append(1)
        return len(seen)

    def test_last(capfd):
        print("shown")
        note("last")
        value = capfd.readouterr().out
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("series")
    (folder / "test_it.py").write_text(textwrap.dedent(SUITE).replace("{folder!r}", repr(str(folder))))
    program = Program(folder, "--repro-all", "--repro-across=hash_seed=0:1", "--no-repro-diagnose")
    yield program.finish(300)
    assert program.left() == Leavings([], [])


def processes(program: Program, what: str) -> dict[str, list[str]]:
    """Return the processes that noted something, by hash seed."""
    found: dict[str, list[str]] = {}
    for line in (program.folder / "log.txt").read_text().splitlines():
        name, process, seed = line.split()
        if name == what:
            found.setdefault(seed, []).append(process)
    return found


def test_one_process_for_each_value_runs_test_after_test(program: Program) -> None:
    first = processes(program, "first")
    assert {seed: len(made) for seed, made in first.items()} == {"0": 1, "1": 1}, program.text
    assert first["0"] != first["1"]
    for name in ("second", "leaves"):
        assert processes(program, name) == first, name


def test_the_report_says_how_many_tests_the_process_of_a_run_had_run(program: Program) -> None:
    before = {
        name: [run["tests_before"] for run in program.test(f"test_{name}")["runs"]] for name in ("first", "second")
    }
    assert before == {"first": [0, 0], "second": [1, 1]}, program.text
    assert "came after other tests in one process" in " ".join(program.text.split())


def test_fixtures_that_outlive_a_test_are_set_up_once_and_torn_down(program: Program) -> None:
    assert processes(program, "set_up") == processes(program, "first")
    assert processes(program, "torn_down") == processes(program, "first")


def test_verdicts_are_those_of_processes_of_their_own(program: Program) -> None:
    verdicts = {name: program.test(f"test_{name}")["verdict"] for name in ("first", "second", "after_it", "last")}
    assert set(verdicts.values()) == {"identical"}, program.text
    order = program.test("test_order")
    assert (order["verdict"], order["matrix"]) == ("diverged", {"hash_seed": "diverged"}), program.text


def test_what_depends_on_other_tests_alone_is_told(program: Program) -> None:
    test = program.test("test_reads_what_was_left")
    assert test["verdict"] == "identical", program.text
    assert any("may depend on what other tests leave" in note for note in test["notes"]), test["notes"]
    made = processes(program, "reads")
    assert {seed: len(found) for seed, found in made.items()} == {"0": 2, "1": 2}
    # The next test begins a series of its own.
    assert set(processes(program, "after")["0"]).isdisjoint(made["0"])


def test_a_process_that_ends_is_replaced(program: Program) -> None:
    assert program.test("test_ends_the_process")["verdict"] == "identical", program.text
    assert program.test("test_last")["verdict"] == "identical", program.text


def test_a_test_with_the_marker_has_processes_of_its_own(sessions: Sessions) -> None:
    source = """
        import pytest

        count = 0

        def counted():
            global count
            count += 1
            return count

        def test_one():
            value = counted()

        @pytest.mark.reproducible
        def test_two():
            return counted()

        def test_three():
            value = counted()
    """
    session = sessions.run(source, "--repro-all", "--repro-across=hash_seed=0:1", "--repro-record=records", apart=True)
    text = session.text
    assert {test["verdict"] for test in session.report["tests"]} == {"identical"}, text  # type: ignore[index]


@pytest.mark.parametrize("option", ["--repro-isolate", "-s", "--repro-record=records"])
def test_options_that_need_a_process_for_each_run_have_it(sessions: Sessions, option: str) -> None:
    source = """
        import os

        def note():
            with open("log.txt", "a") as file:
                print(os.getpid(), file=file)

        def test_one():
            note()

        def test_two():
            note()
    """
    sessions.run(source, "--repro-all", "--repro-across=hash_seed=0:1", option, apart=True)
    log: Any = Path(sessions.folder, "log.txt").read_text().split()
    assert len(log) == len(set(log)) == 4
