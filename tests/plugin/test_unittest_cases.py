"""`unittest.TestCase`: repeated with its setUp, cleanups and skips."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions


def test_a_test_case_is_repeated_with_its_setup_and_cleanups(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import itertools
        import unittest

        import pytest

        log = []
        calls = itertools.count()

        @pytest.mark.reproducible
        class TestCase(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                log.append("class up")

            @classmethod
            def tearDownClass(cls):
                log.append("class down")

            def setUp(self):
                log.append("up")
                self.values = []

            def tearDown(self):
                log.append("down")
                self.values.append("changed too late to count")

            def test_1_same(self):
                self.addCleanup(log.append, "cleaned")
                self.values.append(1)
                return self.values

            def test_2_differs(self):
                return next(calls)

            def test_3_nothing(self):
                pass

        def test_order():
            assert log == ["class up"] + ["up", "down", "cleaned"] * 2 + ["up", "down"] * 4 + ["class down"]
        """
    )
    assert session.verdicts == {
        "TestCase::test_1_same": "identical",
        "TestCase::test_2_differs": "diverged",
        "TestCase::test_3_nothing": "inconclusive",
    }
    assert session.outcomes == {"passed": 2, "failed": 2}, session.text


def test_an_async_test_case_is_compared_by_its_returned_value(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import itertools
        import unittest

        import pytest

        calls = itertools.count()

        @pytest.mark.reproducible
        class TestAsync(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.start = 3

            async def test_same(self):
                return self.start

            async def test_differs(self):
                return next(calls)
        """
    )
    assert session.verdicts == {"TestAsync::test_same": "identical", "TestAsync::test_differs": "diverged"}, (
        session.text
    )


def test_failures_and_skips_of_a_test_case_are_reported_as_usual(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import itertools
        import unittest

        import pytest

        @pytest.mark.reproducible
        class TestCase(unittest.TestCase):
            late = itertools.count()
            broken = itertools.count()
            torn = itertools.count()

            def test_skips(self):
                self.skipTest("not today")

            def test_skips_later(self):
                if next(self.late):
                    self.skipTest("not any more")
                return 1

            def test_fails_later(self):
                self.assertEqual(next(self.broken), 0, "once only")
                return 1

            @unittest.expectedFailure
            def test_expected(self):
                self.fail("as expected")

        @pytest.mark.reproducible
        class TestTorn(unittest.TestCase):
            torn = itertools.count()

            def tearDown(self):
                if next(self.torn):
                    raise OSError("cannot clean up twice")

            def test_torn(self):
                return 1

        @pytest.mark.reproducible
        class TestSetUp(unittest.TestCase):
            def setUp(self):
                raise OSError("no such thing")

            def test_set_up(self):
                return 1
        """
    )
    assert session.verdicts == {
        "TestCase::test_skips": "inconclusive",
        "TestCase::test_skips_later": "diverged",
        "TestCase::test_fails_later": "error",
        "TestCase::test_expected": "inconclusive",
        "TestTorn::test_torn": "error",
        "TestSetUp::test_set_up": "error",
    }
    assert session.outcomes == {"failed": 4, "skipped": 1, "xfailed": 1}, session.text
    assert "once only" in session.text
    assert "run 1 passed, run 2 skipped at test_it.py:16: not any more" in session.text
    assert session.outcomes_of_runs("TestCase::test_fails_later") == ["passed", "failed"]


@pytest.mark.skipif(pytest.version_tuple < (9, 0), reason="subtests came with pytest 9")
def test_a_failed_subtest_fails_its_run(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import unittest

        import pytest

        @pytest.mark.reproducible
        class TestCase(unittest.TestCase):
            def test_good(self):
                for i in range(3):
                    with self.subTest(i=i):
                        self.assertLess(i, 3)
                return 1

            def test_bad(self):
                for i in range(3):
                    with self.subTest(i=i):
                        self.assertNotEqual(i, 1)
                return 1

        @pytest.mark.reproducible
        def test_function(subtests):
            for i in range(3):
                with subtests.test("odd", i=i):
                    assert i != 1
            return 1
        """
    )
    assert session.verdicts == {
        "TestCase::test_good": "identical",
        "TestCase::test_bad": "error",
        "test_function": "error",
    }, session.text
    assert session.text.count("SUBFAILED(i=1)") == 1
    assert session.text.count("SUBFAILED[odd] (i=1)") == 1
    # pytest counts the TestCase itself as passed, next to its failed subtest.
    assert session.outcomes["failed"] == 3, session.text
    assert "subtest" in session.test("test_function")["reason"]
