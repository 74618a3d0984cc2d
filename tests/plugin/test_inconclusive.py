"""A test of which nothing was compared, or that ran once, never passes."""

from __future__ import annotations

from tests.plugin.helpers import Sessions


def test_a_test_without_anything_to_compare_fails_with_the_reason(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import numpy as np
        import pytest

        @pytest.mark.reproducible
        def test_nothing():
            x = 1

        @pytest.mark.reproducible
        def test_empty_containers():
            return {"weights": {}, "metrics": []}

        @pytest.mark.reproducible
        def test_empty_arrays():
            return np.empty((0, 3)), np.array([])

        @pytest.mark.reproducible
        def test_one_of_two_is_empty():
            return np.empty(0), 1

        @pytest.mark.reproducible(runs=1)
        def test_one_run():
            return 1

        @pytest.mark.reproducible
        def test_ok():
            return ""

        @pytest.mark.reproducible
        class TestIntercepted:
            def test_not_called(self):
                raise SystemExit("is not called")
        """,
        conftest="""
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(pyfuncitem):
            if pyfuncitem.name == "test_not_called":
                return True
        """,
    )
    verdicts = session.verdicts
    assert verdicts.pop("test_ok") == "identical"
    assert verdicts.pop("test_one_of_two_is_empty") == "identical"
    assert verdicts == dict.fromkeys(verdicts, "inconclusive"), session.text
    assert session.outcomes == {"passed": 2, "failed": 5}
    assert session.test("test_nothing")["reason"].startswith("the test returned nothing and captured nothing")
    assert session.test("test_empty_containers")["reason"].startswith("all that the test returned or captured is empty")
    assert session.test("test_empty_arrays")["reason"].startswith("all that the test returned or captured is empty")
    assert session.test("test_one_run")["reason"].startswith("fewer than two runs were made")
    assert session.text.count("Inconclusive: ") >= 5


def test_repro_runs_1_fails_marked_tests_and_leaves_the_others(sessions: Sessions) -> None:
    source = "import pytest\n@pytest.mark.reproducible\ndef test_it():\n    return 1\ndef test_other():\n    pass\n"
    session = sessions.run(source, "--repro-runs=1")
    assert session.verdicts == {"test_it": "inconclusive"}
    assert session.outcomes == {"passed": 1, "failed": 1}
    # The command to repeat the test makes two runs.
    assert "--repro-runs=2" in session.test("test_it")["repeat_command"]
