"""Tests without the marker: `--repro-runs` takes those that return something, `--repro-all` takes all."""

from __future__ import annotations

from tests.plugin.helpers import Sessions

SUITE = """
    import itertools
    import decimal
    import random

    import numpy as np
    import pytest

    ran = []
    counts = {name: itertools.count() for name in "abcdef"}

    @pytest.fixture
    def resource():
        ran.append("resource up")
        yield 3
        ran.append("resource down")

    def test_returns_the_same():
        return random.random()

    def test_returns_another():
        return next(counts["a"])

    def test_captures(repro):
        repro.capture("x", next(counts["b"]))

    def test_returns_only_once():
        if next(counts["c"]) == 0:
            return 1

    def test_returns_nothing(resource):
        ran.append("body")
        decimal.getcontext().prec = 11

    def test_ran_once_and_its_flag_lasts():
        assert ran == ["resource up", "body", "resource down"]
        assert decimal.getcontext().prec == 11
        decimal.getcontext().prec = 28

    @pytest.mark.skip
    def test_skipped():
        return 1

    def test_skips_later():
        if next(counts["d"]):
            pytest.skip("later")
        return 1

    def test_fails_later():
        assert next(counts["e"]) == 0
        return 1

    @pytest.mark.xfail
    def test_expected():
        assert False
"""


def test_repro_runs_takes_unmarked_tests_that_return_something(sessions: Sessions) -> None:
    session = sessions.run(SUITE, "--repro-runs=3")
    assert session.verdicts == {
        "test_returns_the_same": "identical",
        "test_returns_another": "diverged",
        "test_captures": "diverged",
        "test_returns_only_once": "diverged",
        "test_skips_later": "diverged",
        "test_fails_later": "error",
    }, session.text
    assert session.outcomes == {"passed": 3, "failed": 5, "skipped": 1, "xfailed": 1}
    assert len(session.test("test_returns_the_same")["runs"]) == 3
    assert session.test("test_returns_only_once")["divergences"][0]["kind"] == "missing"


def test_without_an_option_unmarked_tests_are_left_alone(sessions: Sessions) -> None:
    session = sessions.run(SUITE.replace('counts["a"]', 'counts["f"]'), ini="repro_runs = 3\n")
    assert session.verdicts == {}


ORDINARY = """
    import functools
    import os
    import threading
    import time
    import unittest

    import numpy as np
    import pytest

    class Thing:
        def __init__(self):
            self.lock = threading.Lock()

    @pytest.fixture
    def numbers():
        return iter(range(3))

    def test_nothing():
        pass

    def test_asserts(numbers):
        total = sum(numbers)
        assert total == 3

    def test_objects(tmp_path, monkeypatch, capsys, caplog, request):
        thing = Thing()
        where = tmp_path / "x"
        where.write_text("y")
        monkeypatch.setenv("A", "1")
        print("out")
        assert capsys.readouterr().out == "out\\n"
        handle = where.open()
        handle.close()
        generator = (i for i in range(3))
        clock = functools.partial(time.time)

    def test_arrays():
        x = np.random.rand(3)
        y = x @ x
        assert y >= 0

    def test_raises():
        with pytest.raises(ZeroDivisionError) as caught:
            1 / 0
        assert caught.type is ZeroDivisionError

    def test_warns(recwarn):
        import warnings
        warnings.warn("careful")
        assert len(recwarn) == 1

    @pytest.mark.parametrize("x", [1, 2])
    def test_table(x):
        doubled = x * 2
        assert doubled > x

    class TestMethods:
        shared = 0

        def setup_method(self):
            self.value = 1

        def test_method(self):
            value = self.value
            assert value == 1

    class TestCase(unittest.TestCase):
        def test_case(self):
            value = 3
            self.assertEqual(value, 3)

    @pytest.mark.skipif(True, reason="here")
    def test_skips():
        assert False

    @pytest.mark.xfail(strict=True)
    def test_expected():
        assert False
"""


def test_a_suite_of_ordinary_tests_passes_unchanged_under_repro_all(sessions: Sessions) -> None:
    plain = sessions.run(ORDINARY, json_report=False)
    scanned = sessions.run(ORDINARY, "--repro-all")
    assert plain.outcomes == {"passed": 10, "skipped": 1, "xfailed": 1}, plain.text
    assert scanned.outcomes == plain.outcomes, scanned.text
    verdicts = scanned.verdicts
    assert verdicts.pop("test_skips") == "inconclusive"
    assert verdicts.pop("test_expected") == "inconclusive"
    assert len(verdicts) == 10
    assert set(verdicts.values()) == {"identical"}
    assert scanned.test("test_arrays")["compared"] == {"artifacts": 2, "elements": 4}
    assert "  inconclusive  test_it.py::test_expected" not in scanned.text
    assert "compared by outcome only" in scanned.text
    assert "compared by its outcome only: no value of it was compared" in scanned.test("test_nothing")["notes"]


def test_repro_all_compares_outcomes_and_local_variables(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import itertools
        import numpy as np
        import pytest

        c = {name: itertools.count() for name in "abcdef"}

        def test_local_number():
            loss = 0.5 + next(c["a"])
            assert loss

        def test_local_array_in_place():
            weights = np.zeros(3)
            for _ in range(3):
                weights += next(c["b"]) // 3

        def test_local_in_a_container():
            metrics = {"accuracy": [0.5, next(c["c"])]}

        def test_outcome():
            assert next(c["d"]) == 0

        def test_raises():
            raise OSError("always")

        def test_returns():
            unused = next(c["e"])
            return 1

        def test_early_return():
            loss = 1.0
            if next(c["f"]):
                return
            later = 2.0

        @pytest.mark.reproducible
        def test_marked():
            local = 1.0
        """,
        "--repro-all",
    )
    assert session.verdicts == {
        "test_local_number": "diverged",
        "test_local_array_in_place": "diverged",
        "test_local_in_a_container": "diverged",
        "test_outcome": "diverged",
        "test_raises": "error",
        "test_returns": "identical",
        "test_early_return": "diverged",
        # The marker needs results, which this test lacks.
        "test_marked": "inconclusive",
    }, session.text
    assert session.test("test_local_number")["divergences"][0]["artifact"] == "loss"
    assert session.test("test_local_in_a_container")["divergences"][0]["artifact"] == "metrics/accuracy/1"
    assert "--repro-all" in session.test("test_local_number")["repeat_command"]
    assert session.test("test_outcome")["reason"].startswith("run 1 passed, run 2 failed at test_it.py:")


def test_axes_that_unmarked_tests_do_not_take_are_told_as_not_varied(sessions: Sessions) -> None:
    source = """
        import pytest

        def test_of_a_set():
            return list({"a", "b", "c", "d", "e"})

        def test_silent():
            pass

        @pytest.mark.reproducible
        def test_marked():
            return list({"a", "b", "c", "d", "e"})
    """
    options = ["--repro-runs=2", "--repro-across=hash_seed=1:2"]
    session = sessions.run(source, *options)
    assert session.verdicts == {"test_of_a_set": "identical", "test_marked": "diverged"}, session.text
    assert session.test("test_of_a_set")["matrix"] == {"hash_seed": "not_varied"}
    assert (
        "hash_seed not varied: a test without the marker takes axes with --repro-all"
        in session.test("test_of_a_set")["notes"]
    )
    varied = sessions.run(source, *options, "--repro-all")
    assert varied.verdicts["test_of_a_set"] == "diverged", varied.text
