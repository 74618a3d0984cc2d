"""Tests in child processes behave as usual: output, logs, warnings, coverage, debuggers and fixtures."""

from __future__ import annotations

import pytest

from tests.plugin.faults import ENGINES
from tests.plugin.helpers import Sessions

pytestmark = pytest.mark.parametrize("engine", list(ENGINES))

TALKING = """
    import logging, sys, warnings, pytest

    @pytest.mark.reproducible
    def test_it(repro):
        print(f"printed in run {repro.run}")
        print("written to stderr", file=sys.stderr)
        logging.getLogger("training").warning("logged")
        warnings.warn("take care", DeprecationWarning)
        warnings.warn(type("Own", (Warning,), {})("of its own kind"))
        assert FINE
        return 1
"""


def test_output_is_shown_with_s_run_by_run(sessions: Sessions, engine: str) -> None:
    text = sessions.run(TALKING + "\n    FINE = True\n", "-s", *ENGINES[engine], apart=True).text
    assert [text.count(f"printed in run {run}") for run in (1, 2)] == [1, 1]
    assert text.index("printed in run 1") < text.index("printed in run 2")
    assert text.count("written to stderr") == 2
    # Nothing of the child's own session.
    assert text.count("test session starts") == 1


def test_output_and_logs_of_a_failing_run_are_in_its_report(sessions: Sessions, engine: str) -> None:
    text = sessions.run(TALKING + "\n    FINE = False\n", *ENGINES[engine]).text
    for section, line in (("stdout", "printed in run 1"), ("stderr", "written to stderr"), ("log", "logged")):
        assert line in text.partition(f"Captured {section} call")[2].splitlines()[1]
    assert "assert FINE" in text


def test_output_of_a_passing_test_is_not_shown_by_default(sessions: Sessions, engine: str) -> None:
    sessions.write(TALKING + "\n    FINE = True\n")
    run = sessions.pytester.runpytest_inprocess(*ENGINES[engine], "-ppytest_repro.plugin", "-pno:cacheprovider")
    assert "printed in run" not in run.stdout.str()
    assert run.parseoutcomes()["passed"] == 1


def test_warnings_are_listed_once_under_their_category(sessions: Sessions, engine: str) -> None:
    text = sessions.run(TALKING + "\n    FINE = True\n", "-Wdefault", *ENGINES[engine]).text
    assert text.count("DeprecationWarning: take care") == 1
    assert text.count("UserWarning: Own: of its own kind") == 1
    assert "test_it.py::test_it" in text.partition("warnings summary")[2]


def test_a_warning_turned_into_an_error_fails_the_test_in_the_child(sessions: Sessions, engine: str) -> None:
    session = sessions.run(TALKING + "\n    FINE = True\n", "-Werror::DeprecationWarning", *ENGINES[engine])
    assert session.verdicts == {"test_it": "error"}
    assert "DeprecationWarning: take care" in session.text


@pytest.mark.needs("cov")
def test_lines_run_in_a_child_count_in_the_coverage(sessions: Sessions, engine: str) -> None:
    sessions.write("def used():\n    return 1\n\ndef unused():\n    return 2\n", "library.py")
    source = """
        import pytest

        @pytest.mark.reproducible
        def test_it():
            import library
            return library.used()
    """
    session = sessions.run(
        source, "--cov=library", "--cov-report=term-missing", *ENGINES[engine], plugins=("cov",), ini="pythonpath = ."
    )
    line = next(line for line in session.text.splitlines() if line.startswith("library.py"))
    assert line.split() == ["library.py", "4", "1", "75%", "5"]
    assert not list(sessions.folder.glob(".coverage.*"))


def test_fixtures_of_every_scope_are_set_up_once_in_each_child_and_torn_down_there(
    sessions: Sessions, engine: str
) -> None:
    conftest = """
        import os, pytest

        def note(text):
            with open("log.txt", "a") as log:
                log.write(f"{os.getpid()} {text}\\n")

        @pytest.fixture(scope="session")
        def server():
            note("session up")
            yield 1
            note("session down")

        @pytest.fixture(scope="module")
        def data(server):
            note("module up")
            yield 2
            note("module down")
    """
    source = """
        import pytest

        @pytest.mark.reproducible(runs=3)
        def test_it(data, server):
            return data
    """
    assert sessions.run(source, *ENGINES[engine], conftest=conftest).outcomes == {"passed": 1}
    lines = [line.split(maxsplit=1) for line in (sessions.folder / "log.txt").read_text().splitlines()]
    by_process: dict[str, list[str]] = {}
    for process, text in lines:
        by_process.setdefault(process, []).append(text)
    # Besides the three runs, the process axis has one of its own.
    assert len(by_process) == (3 if engine == "fork" else 4)
    assert set(map(tuple, by_process.values())) == {("session up", "module up", "module down", "session down")}


def test_a_teardown_that_fails_in_a_child_is_an_error(sessions: Sessions, engine: str) -> None:
    source = """
        import pytest

        @pytest.fixture(scope="module")
        def data():
            yield 1
            raise OSError("cannot let go")

        @pytest.mark.reproducible
        def test_it(data):
            return data
    """
    session = sessions.run(source, *ENGINES[engine])
    assert session.verdicts == {"test_it": "error"}
    assert "cannot let go" in session.text


def test_temporary_folders_are_fresh_and_removed_with_the_session(
    sessions: Sessions, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = sessions.folder / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    source = """
        import tempfile, pytest

        kept = []

        @pytest.mark.reproducible
        def test_it(tmp_path):
            assert not list(tmp_path.iterdir())
            (tmp_path / "file").touch()
            kept.append(tempfile.TemporaryDirectory())
            return 1
    """
    assert sessions.run(source, *ENGINES[engine], apart=True).outcomes == {"passed": 1}
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("pytest-of")] == []


def test_the_instance_of_a_test_class_is_created_for_each_run(sessions: Sessions, engine: str) -> None:
    source = """
        import os, pytest, unittest

        @pytest.mark.reproducible
        class TestIt(unittest.TestCase):
            def __init__(self, name):
                super().__init__(name)
                self.drawn = os.urandom(8).hex()

            def test_it(self):
                return self.drawn
    """
    assert set(sessions.run(source, *ENGINES[engine]).verdicts.values()) == {"diverged"}


@pytest.mark.parametrize("capture", ["fd", "sys", "tee-sys"])
def test_output_of_the_collection_does_not_appear_in_a_run(sessions: Sessions, engine: str, capture: str) -> None:
    source = """
        import os, pytest, sys
        print("while collecting")
        os.write(1, b"past sys.stdout\\n")

        @pytest.mark.reproducible
        def test_it():
            print("in the run")
            raise ValueError("broken")
    """
    text = sessions.run(source, *ENGINES[engine], f"--capture={capture}").text
    shown = text[text.rindex("Captured stdout call") :]
    assert "in the run" in shown
    assert "while collecting" not in shown


@pytest.mark.parametrize("option", ["--pdb", "--trace"])
def test_a_debugger_keeps_the_runs_in_this_process_unless_an_axis_forbids_it(
    sessions: Sessions, engine: str, option: str
) -> None:
    source = """
        import os, pytest

        @pytest.mark.reproducible
        def test_it(repro):
            open("pids.txt", "a").write(f"{os.getpid()} ")
            return 1
    """
    sessions.write(source)
    # The debugger is only told to continue.
    session = sessions.run_program(option, *ENGINES[engine], given="c\n" * 9)
    if engine == "fork":
        assert "1 passed" in session.text
        assert f"run in this process, since {option} cannot follow" in (sessions.folder / "report.json").read_text()
        assert len(set((sessions.folder / "pids.txt").read_text().split())) == 1
    else:
        assert f"its axes need processes of their own, where {option} cannot follow; omit {option}" in session.text


def test_only_the_parent_writes_junit_and_log_files(sessions: Sessions, engine: str) -> None:
    session = sessions.run(
        TALKING + "\n    FINE = True\n", "--junitxml=out.xml", "--log-file=out.log", "-v", *ENGINES[engine]
    )
    assert session.outcomes == {"passed": 1}
    junit = (sessions.folder / "out.xml").read_text()
    assert junit.count("<testcase") == 1
    assert '<property name="repro_verdict" value="identical"' in junit
    assert not (sessions.folder / ".pytest_cache").exists()


def test_hooks_for_reports_are_called_once_for_a_test(sessions: Sessions, engine: str) -> None:
    conftest = """
        def pytest_runtest_logreport(report):
            if report.when == "call":
                open("reports.txt", "a").write("x")
    """
    sessions.run(TALKING + "\n    FINE = True\n", *ENGINES[engine], conftest=conftest)
    assert (sessions.folder / "reports.txt").read_text() == "x"


def test_a_generator_registered_by_a_hook_is_seeded_in_the_child(sessions: Sessions, engine: str) -> None:
    conftest = """
        import itertools, random, pytest

        class Own:
            name = "own"
            generator = random.Random()
            seed = staticmethod(generator.seed)
            save = staticmethod(generator.getstate)
            restore = staticmethod(generator.setstate)

        @pytest.fixture
        def own():
            return Own.generator

        def pytest_repro_register_rng(config):
            return Own
    """
    source = """
        import pytest

        @pytest.mark.reproducible
        def test_it(own):
            return own.random()
    """
    assert sessions.run(source, *ENGINES[engine], conftest=conftest).verdicts == {"test_it": "identical"}


LOGGING = """
    import logging, pytest

    @pytest.fixture
    def logged():
        logging.getLogger("mine").info("from the setup")

    @pytest.mark.reproducible
    def test_it(logged):
        logging.getLogger("mine").warning("from the test")
        return 1
"""


def test_live_logs_are_shown_run_by_run(sessions: Sessions, engine: str) -> None:
    session = sessions.run(LOGGING, "-o", "log_cli=true", "--log-level=INFO", *ENGINES[engine])
    shown = [line.strip("- ") for line in session.text.partition("= PASSES =")[0].splitlines()]
    shown = [line for line in shown if line.startswith("live log") or "from the" in line]
    assert [line.partition(" ")[0] if "from the" in line else line for line in shown] == [
        "live log setup (run 1 of 2)",
        "INFO",
        "live log call (run 1 of 2)",
        "WARNING",
        "live log setup (run 2 of 2)",
        "INFO",
        "live log call (run 2 of 2)",
        "WARNING",
    ]
    assert session.outcomes == {"passed": 1}


def test_logs_of_a_passing_test_are_not_shown_by_default(sessions: Sessions, engine: str) -> None:
    text = sessions.run(LOGGING, "--log-level=INFO", *ENGINES[engine]).text
    assert "from the test" in text
    assert "from the test" not in text.partition("= PASSES =")[0]
