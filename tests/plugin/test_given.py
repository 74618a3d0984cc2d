"""`@given`: every example is repeated, and Hypothesis shrinks to the smallest input whose runs differ."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

pytestmark = pytest.mark.needs("hypothesis")

HEAD = """
    import itertools
    import random

    import numpy as np
    import pytest
    from hypothesis import HealthCheck, assume, example, given, reject, settings, strategies as st, target

    settings.register_profile("quick", max_examples=25)
    settings.load_profile("quick")
    calls = itertools.count()
"""


def test_examples_are_repeated_and_shrunk_to_the_smallest_that_differs(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    @pytest.mark.reproducible
    @given(xs=st.lists(st.integers(0, 1000)))
    def test_same(xs):
        return np.array(xs, dtype=float).sum(), random.random()

    @pytest.mark.reproducible(runs=3)
    @given(xs=st.lists(st.integers(0, 1000)))
    def test_differs_over_a_hundred(xs, repro):
        repro.capture("total", sum(xs) + (next(calls) if sum(xs) > 100 else 0))

    @pytest.mark.reproducible
    @settings(derandomize=True, max_examples=10)
    @given(x=st.floats())
    def test_derandomized(x):
        return x

    @pytest.mark.reproducible
    @given(x=st.integers())
    @example(x=12345)
    def test_explicit(x):
        return next(calls) if x == 12345 else 0

    @pytest.mark.reproducible
    class TestClass:
        @given(x=st.integers(0, 5))
        def test_method(self, x):
            return {"x": x}

        @given(x=st.integers(0, 5))
        def test_method_differs(self, x):
            return next(calls) * x

    @pytest.mark.reproducible
    @given(x=st.integers())
    def test_nothing(x):
        pass

    @pytest.mark.reproducible(runs=1)
    @given(x=st.integers())
    def test_once(x):
        return x

    @pytest.mark.reproducible
    @given(x=st.integers(0, 50))
    def test_raises(x):
        assert x < 7
        return x
""",
        plugins=("hypothesis",),
    )
    assert session.verdicts == {
        "test_same": "identical",
        "test_differs_over_a_hundred": "diverged",
        "test_derandomized": "identical",
        "test_explicit": "diverged",
        "TestClass::test_method": "identical",
        "TestClass::test_method_differs": "diverged",
        "test_nothing": "inconclusive",
        "test_once": "inconclusive",
        "test_raises": "error",
    }, session.text
    assert "xs=[101]" in session.text
    assert "x=12345" in session.text
    assert "x=7" in session.text
    assert len(session.test("test_differs_over_a_hundred")["runs"]) == 3
    assert session.outcomes == {"passed": 3, "failed": 6}, session.text
    assert session.test("test_same")["compared"]["elements"] > 0


def test_each_run_of_an_example_gets_a_fresh_copy_of_its_input(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    @pytest.mark.reproducible
    @given(xs=st.lists(st.integers(), min_size=1))
    def test_changes_its_input(xs):
        xs.append(len(xs))
        return xs

    @pytest.mark.reproducible
    @given(data=st.data())
    def test_data(data):
        return data.draw(st.integers())

    @pytest.mark.reproducible
    @given(rng=st.randoms())
    def test_random_that_draws(rng):
        return rng.random()

    @pytest.mark.reproducible
    @given(rng=st.randoms(use_true_random=True))
    def test_true_random(rng):
        return rng.random()

    @pytest.mark.reproducible
    @given(numbers=st.builds(lambda n: iter_of(n), st.integers(0, 9)))
    def test_not_to_be_copied(numbers):
        return list(numbers)

    def iter_of(n):
        yield from range(n)

    @pytest.mark.reproducible
    @given(x=st.integers(0, 9))
    def test_target(x):
        target(float(x), label="x")
        return x
""",
        plugins=("hypothesis",),
    )
    assert session.verdicts == {
        "test_changes_its_input": "identical",
        "test_data": "error",
        "test_random_that_draws": "error",
        "test_true_random": "identical",
        "test_not_to_be_copied": "error",
        "test_target": "identical",
    }, session.text
    assert "data=st.data() draws while the test runs" in session.text
    assert "rng=st.randoms() draws while the test runs" in session.text
    assert "numbers, a generator drawn by @given, cannot be copied" in session.text


def test_a_run_that_ends_early_does_not_pass_silently(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    @pytest.mark.reproducible
    @given(x=st.integers())
    def test_assumes_later(x):
        assume(next(calls) % 2 == 0)
        return x

    @pytest.mark.reproducible
    @given(x=st.integers())
    def test_assumes_the_same(x):
        assume(x % 2 == 0)
        return x

    later = itertools.count()

    @pytest.mark.reproducible
    @given(x=st.integers())
    def test_skips_later(x):
        if next(later) % 2:
            pytest.skip("second time")
        return x

    @pytest.mark.reproducible
    @given(x=st.integers())
    def test_skips(x):
        pytest.skip("no reason")
""",
        plugins=("hypothesis",),
    )
    assert session.verdicts == {
        "test_assumes_later": "diverged",
        "test_assumes_the_same": "identical",
        "test_skips_later": "diverged",
        "test_skips": "inconclusive",
    }, session.text
    assert session.outcomes == {"passed": 1, "failed": 2, "skipped": 1}
    assert session.test("test_assumes_later")["divergences"][0]["actual"] == "rejected by assume()"


def test_hypothesis_deadline_applies_to_one_run_of_an_example(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    import time

    @pytest.mark.reproducible(runs=4)
    @settings(deadline=200, max_examples=2)
    @given(x=st.integers())
    def test_slow_but_in_time(x):
        time.sleep(0.1)
        return x
""",
        plugins=("hypothesis",),
    )
    assert session.verdicts == {"test_slow_but_in_time": "identical"}, session.text


def test_fixtures_work_with_given_and_unsupported_options_are_errors(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    @pytest.fixture
    def used_up():
        return []

    @pytest.fixture(scope="module")
    def shared():
        return np.ones(3)

    @pytest.mark.reproducible
    @given(x=st.integers())
    def test_function_scope(x, used_up):
        return x

    @pytest.mark.reproducible
    @given(x=st.integers(0, 9))
    def test_module_scope(x, shared):
        return shared * x

    @pytest.mark.reproducible(seed_control=True)
    @given(x=st.integers())
    def test_seed_control(x):
        return x

    @pytest.mark.reproducible(across=["hash_seed"])
    @given(x=st.integers())
    def test_across(x):
        return x

    @pytest.mark.reproducible
    @given(x=st.integers(0, 9))
    def test_seeds(x, repro, seed_all):
        assert repro.seed == seed_all
        return repro.rng.random(), repro.run * 0, repro.seed
""",
        plugins=("hypothesis",),
    )
    assert session.verdicts == {
        "test_function_scope": "error",
        "test_module_scope": "identical",
        "test_seed_control": "error",
        "test_across": "error",
        "test_seeds": "identical",
    }, session.text
    assert "seed_control cannot be used with @given yet" in session.text
    assert "across= cannot be used with @given yet" in session.text
    assert "During handling of the above exception" not in session.text


UNMARKED = (
    HEAD
    + """
    seen = []

    @given(x=st.integers(0, 9))
    @settings(max_examples=5)
    def test_silent(x):
        seen.append(x)

    @given(x=st.integers(0, 9))
    def test_returns(x):
        return x

    @given(x=st.integers(0, 9))
    def test_fails_in_its_second_run(x, repro):
        assert repro.run == 1

    def test_silent_ran_once():
        assert len(seen) <= 5
"""
)


def test_unmarked_given_tests_are_repeated_only_if_they_return_something(sessions: Sessions) -> None:
    session = sessions.run(UNMARKED, "--repro-runs=2", "-k", "not second_run", plugins=("hypothesis",))
    assert session.outcomes == {"passed": 3}, session.text
    assert session.verdicts == {"test_returns": "identical"}


def test_repro_all_compares_unmarked_given_tests_by_their_outcome(sessions: Sessions) -> None:
    session = sessions.run(
        UNMARKED, "--repro-all", "-k", "(silent or second_run) and not once", plugins=("hypothesis",)
    )
    assert session.verdicts == {"test_silent": "identical", "test_fails_in_its_second_run": "error"}, session.text


def test_a_scan_compares_the_local_variables_of_each_example(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    class Service:
        pass

    @given(x=st.integers(0, 1000))
    def test_draws_entropy(x):
        y = random.SystemRandom().random() if x > 100 else 0

    @given(x=st.lists(st.integers()))
    def test_changes_its_input(x):
        total = sum(x) + random.random()
        x.append(1)

    class TestMethods:
        @given(x=st.integers(0, 5))
        def test_method(self, x):
            name = f"{x} of {type(self).__name__}"

    @given(x=st.integers(0, 5))
    def test_holds_what_is_not_looked_into(x):
        del x
        service = Service()
""",
        "--repro-all",
        "--no-repro-diagnose",
        plugins=("hypothesis",),
    )
    assert session.verdicts == {
        "test_draws_entropy": "diverged",
        "test_changes_its_input": "identical",
        "TestMethods::test_method": "identical",
        "test_holds_what_is_not_looked_into": "identical",
    }, session.text
    assert "x=101" in session.text  # the smallest that differs
    assert "1 test was compared by outcome only" in session.text


def test_examples_find_the_same_temporary_folders_and_their_base_is_no_part_of_a_text(sessions: Sessions) -> None:
    session = sessions.run(
        HEAD
        + """
    @pytest.fixture
    def data(tmp_path_factory):
        (tmp_path_factory.getbasetemp() / "list").write_text("1")
        folder = tmp_path_factory.mktemp("model")
        (folder / "data").write_text("2")
        return folder

    @pytest.mark.reproducible
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(x=st.integers(0, 5))
    def test_makes_a_folder(x, data, tmp_path_factory):
        assert [(data / "data").read_text(), (data.parent / "list").read_text()] == ["2", "1"]
        folder = tmp_path_factory.mktemp("model")
        assert list(folder.iterdir()) == []
        (folder / "weights").write_text(str(x))
        return str(folder)

    @pytest.mark.reproducible
    @given(x=st.integers(0, 5))
    def test_differs(x, tmp_path_factory):
        return f"{tmp_path_factory.getbasetemp()}/{next(calls)}"
""",
        "--no-repro-diagnose",
        plugins=("hypothesis",),
    )
    assert session.verdicts == {"test_makes_a_folder": "identical", "test_differs": "diverged"}, session.text
    assert "expected  '<tmp>/" in session.text
