"""Every kind of test (function, method, parametrized, decorated) is repeated and compared by its results."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

KINDS = """
    import itertools
    import random

    import numpy as np
    import pytest

    calls = itertools.count()

    @pytest.mark.reproducible
    def test_same():
        return random.random(), np.random.rand(3)

    @pytest.mark.reproducible
    def test_other():
        return next(calls)

    @pytest.mark.reproducible(runs=3)
    def test_captured(repro):
        repro.capture("index", np.arange(3))
        repro.step(0, loss=0.5)
        repro.step(1, loss=0.25)

    @pytest.mark.reproducible
    @pytest.mark.parametrize("size, by", [(1, 0), (2, 1)], ids=["still", "moving"])
    def test_table(size, by):
        return np.full(size, next(calls) * by)

    @pytest.mark.reproducible
    class TestClass:
        seen = []

        def setup_method(self):
            self.fresh = []

        def test_fresh_self(self):
            self.fresh.append(1)
            self.own = getattr(self, "own", 0) + 1
            return {"fresh": self.fresh, "own": self.own}

        def test_shared_list(self):
            self.seen.append(1)
            return list(self.seen)

        @staticmethod
        def test_static():
            return 1.5

        @classmethod
        def test_of_class(cls):
            return cls.__name__

    class TestOuter:
        class TestInner:
            @pytest.mark.reproducible
            def test_nested(self):
                return 3
"""


def test_each_kind_of_test_is_repeated_and_judged(sessions: Sessions) -> None:
    session = sessions.run(KINDS)
    assert session.verdicts == {
        "test_same": "identical",
        "test_other": "diverged",
        "test_captured": "identical",
        "test_table[still]": "identical",
        "test_table[moving]": "diverged",
        "TestClass::test_fresh_self": "identical",
        "TestClass::test_shared_list": "diverged",
        "TestClass::test_static": "identical",
        "TestClass::test_of_class": "identical",
        "TestOuter::TestInner::test_nested": "identical",
    }
    assert session.outcomes == {"passed": 7, "failed": 3}
    assert len(session.test("test_captured")["runs"]) == 3
    assert session.test("test_captured")["compared"] == {"artifacts": 3, "elements": 5}
    assert session.test("test_other")["divergences"][0]["expected"] == "0"


def test_a_run_has_fresh_fixtures_and_one_outcome(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        log = []

        @pytest.fixture
        def resource(request):
            log.append("up")
            request.addfinalizer(lambda: log.append("final"))
            yield len(log)
            log.append("down")

        @pytest.fixture(autouse=True)
        def around():
            yield

        @pytest.mark.reproducible(runs=3)
        def test_it(resource, request):
            request.node.addfinalizer(lambda: log.append("node"))
            log.append("body")
            return 1

        def test_afterwards():
            assert log == ["up", "body", "node", "down", "final"] * 3
        """
    )
    assert session.outcomes == {"passed": 2}, session.text
    assert session.outcomes_of_runs("test_it") == ["passed"] * 3


def test_a_decorated_test_is_compared_by_the_result_of_its_decorator(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import asyncio
        import functools
        from unittest import mock

        import pytest

        def run_to_end(function):
            @functools.wraps(function)
            def call(*args, **kwargs):
                return asyncio.run(function(*args, **kwargs))
            return call

        def doubled(function):
            @functools.wraps(function)
            def call(*args, **kwargs):
                return 2 * function(*args, **kwargs)
            return call

        @pytest.mark.reproducible
        @run_to_end
        async def test_a_coroutine_run_to_its_end():
            return 5

        @pytest.mark.reproducible
        @doubled
        def test_doubled():
            return 2

        @pytest.mark.reproducible
        @mock.patch("os.getcwd", return_value="/somewhere")
        def test_patched(getcwd):
            import os
            return os.getcwd()
        """,
    )
    assert session.outcomes == {"passed": 3}, session.text
    assert set(session.verdicts.values()) == {"identical"}


def test_a_session_started_in_another_folder_names_the_test_from_there(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions.write(
        """
        import itertools, pytest
        calls = itertools.count()
        @pytest.mark.reproducible
        def test_it():
            return next(calls)
        """,
        "a/test_it.py",
    )
    sessions.write("[pytest]\n", "pytest.ini")
    other = sessions.folder / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    session = sessions.run(None, "../a/test_it.py")
    assert session.verdicts == {"test_it": "diverged"}, session.text
    assert session.test("test_it")["repeat_command"].startswith("pytest ../a/test_it.py::test_it ")
    again = sessions.run(None, *session.test("test_it")["repeat_command"].split()[1:])
    assert again.test("test_it")["seed"] == session.test("test_it")["seed"]
