"""Setups, bodies and teardowns that fail by themselves: pytest's usual reports, with the number of the run."""

from __future__ import annotations

from tests.plugin.helpers import Sessions

SOURCE = """
    import itertools

    import pytest

    def failing_in(run, where):
        count = itertools.count(1)

        @pytest.fixture
        def fixture():
            number = next(count)
            if where == "setup" and number == run:
                raise OSError(f"setup {number}")
            yield number
            if where == "teardown" and number == run:
                raise OSError(f"teardown {number}")

        return fixture

    setup_1, setup_2 = failing_in(1, "setup"), failing_in(2, "setup")
    teardown_1, teardown_2, teardown_3, too = (failing_in(run, "teardown") for run in (1, 2, 3, 3))
    bodies = [itertools.count(1) for _ in range(3)]
    log = []

    @pytest.fixture(scope="module", autouse=True)
    def module():
        log.append("up")
        yield
        log.append("down")

    @pytest.mark.reproducible(runs=3)
    def test_setup_1(setup_1):
        return 1

    @pytest.mark.reproducible(runs=3)
    def test_setup_2(setup_2):
        return 1

    @pytest.mark.reproducible(runs=3)
    def test_teardown_1(teardown_1):
        return 1

    @pytest.mark.reproducible(runs=3)
    def test_teardown_2(teardown_2):
        return 1

    @pytest.mark.reproducible(runs=3)
    def test_teardown_3(teardown_3):
        return 1

    @pytest.mark.reproducible(runs=3)
    def test_diverges_and_teardown_3(too):
        return next(bodies[0])

    @pytest.mark.reproducible(runs=3)
    def test_body_1():
        raise OSError("body 1")

    @pytest.mark.reproducible(runs=3)
    def test_body_2():
        print("printed in run", number := next(bodies[1]))
        assert number != 2, "body 2"
        return 1

    def test_module_was_set_up_once():
        assert log == ["up"]
"""


def test_each_failure_is_reported_as_usual_with_the_run_that_failed(sessions: Sessions) -> None:
    session = sessions.run(SOURCE)
    ran = {name: session.outcomes_of_runs(name) for name in session.verdicts}
    assert ran == {
        "test_setup_1": ["error"],
        "test_setup_2": ["passed", "error"],
        "test_teardown_1": ["error"],
        "test_teardown_2": ["passed", "error"],
        "test_teardown_3": ["passed", "passed", "error"],
        "test_diverges_and_teardown_3": ["passed", "passed", "error"],
        "test_body_1": ["failed"],
        "test_body_2": ["passed", "failed"],
    }, session.text
    verdicts = session.verdicts
    assert verdicts.pop("test_diverges_and_teardown_3") == "diverged"
    assert set(verdicts.values()) == {"error"}
    # pytest counts a test whose teardown fails as passed and as an error.
    assert session.outcomes == {"passed": 4, "failed": 3, "errors": 6}, session.text
    for words in (
        "run 1 of 3 broke in its setup or teardown by itself",
        "run 2 of 3 broke in its setup or teardown by itself",
        "run 1 of 3 failed by itself",
        "run 2 of 3 failed by itself",
        "run 1 passed with the same seed and the same condition",
        "ERROR at teardown of test_teardown_2",
    ):
        assert words in session.text
    assert session.test("test_body_2")["reason"].startswith("run 2 failed by itself: AssertionError: body 2")
    # The report holds only the output of the run that failed.
    assert "printed in run 2" in session.text
    assert "printed in run 1" not in session.text


def test_stopping_at_the_first_failure_tears_down_the_wider_fixtures(sessions: Sessions) -> None:
    source = """
        import itertools
        import pytest

        calls = itertools.count()

        @pytest.fixture(scope="module", autouse=True)
        def module():
            yield
            print("module torn down")

        @pytest.mark.reproducible
        def test_1():
            return 1

        @pytest.mark.reproducible
        def test_2():
            return next(calls)

        def test_3():
            pass
    """
    for option in ("-x", "--maxfail=1"):
        session = sessions.run(source, option, "-s")
        assert session.outcomes == {"passed": 1, "failed": 1}, session.text
        assert session.text.count("module torn down") == 1
        assert "stopping after 1 failures" in session.text
        assert session.verdicts == {"test_1": "identical", "test_2": "diverged"}


def test_pytest_exit_within_a_test_restores_the_state_of_the_process(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import decimal
        import pytest

        @pytest.mark.reproducible
        def test_leaves():
            decimal.getcontext().prec = 5
            pytest.exit("enough", returncode=7)
        """,
        conftest="""
        import decimal
        before = decimal.getcontext().prec

        def pytest_sessionfinish():
            print("precision", "restored" if decimal.getcontext().prec == before else "lost")
        """,
    )
    assert session.exitcode == 7
    assert "precision restored" in session.text
