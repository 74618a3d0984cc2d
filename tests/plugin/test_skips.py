"""A test that skips in its first run is skipped, and one that skips only later has diverged."""

from __future__ import annotations

from tests.plugin.helpers import Sessions


def test_a_skip_in_the_first_run_is_a_skip(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.fixture
        def absent():
            pytest.skip("no device")

        @pytest.mark.reproducible
        @pytest.mark.skip(reason="by mark")
        def test_mark():
            return 1

        @pytest.mark.reproducible
        @pytest.mark.skipif(True, reason="by condition")
        def test_condition():
            return 1

        @pytest.mark.reproducible
        def test_imperative():
            pytest.skip("by call")

        @pytest.mark.reproducible
        def test_missing_module():
            pytest.importorskip("no_such_module_at_all")

        @pytest.mark.reproducible
        def test_fixture(absent):
            return 1
        """
    )
    assert session.outcomes == {"skipped": 5}
    assert session.exitcode == 0
    assert set(session.verdicts.values()) == {"inconclusive"}
    assert session.test("test_mark")["reason"] == "skipped in its first run: by mark"
    assert session.outcomes_of_runs("test_imperative") == ["skipped", "skipped"]
    assert session.outcomes_of_runs("test_mark") == ["skipped"]


def test_a_skip_in_a_later_run_is_a_divergence(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import itertools
        import pytest

        body, fixture = itertools.count(), itertools.count()

        @pytest.fixture
        def sometimes():
            if next(fixture) == 1:
                pytest.skip("gone")

        @pytest.mark.reproducible(runs=3)
        def test_body():
            if next(body) == 2:
                pytest.skip("enough")
            return 1

        @pytest.mark.reproducible
        def test_fixture(sometimes):
            return 1

        def test_teardown_was_complete(request):
            assert request.session._setupstate.stack.keys() >= {request.node}
        """
    )
    assert session.verdicts == {"test_body": "diverged", "test_fixture": "diverged"}
    assert session.outcomes == {"failed": 1, "errors": 1, "passed": 1}, session.text
    assert "run 1 passed, run 3 skipped at test_it.py:15: enough" in session.text
    assert session.outcomes_of_runs("test_body") == ["passed", "passed", "skipped"]
    assert session.test("test_body")["divergences"][0]["artifact"] == "outcome"
