"""The plugin together with xdist, randomly, rerunfailures, timeout, cov, benchmark and repeat."""

from __future__ import annotations

import json

import pytest

from tests.plugin.helpers import Sessions

SUITE = """
    import itertools
    import random

    import numpy as np
    import pytest

    calls = itertools.count()

    @pytest.fixture(scope="module")
    def weights():
        return np.random.rand(4)

    @pytest.mark.reproducible
    def test_same(weights):
        return {"weights": weights, "draw": random.random(), "of_numpy": np.random.rand(2)}

    @pytest.mark.reproducible(max_ulp=3)
    def test_close():
        return np.float64(1.0) + next(calls) * 2.0**-52

    @pytest.mark.reproducible
    @pytest.mark.parametrize("i", range(3))
    def test_table(i, repro):
        return repro.rng.random(), i

    @pytest.mark.reproducible
    class TestClass:
        def test_one(self):
            return random.random()

        def test_differs(self):
            return next(calls)

    @pytest.mark.reproducible
    def test_skipped():
        pytest.skip("nothing to do")

    @pytest.mark.reproducible
    def test_broken(weights):
        raise OSError("by itself")

    @pytest.mark.reproducible
    def test_silent():
        pass

    def test_ordinary():
        assert True
"""
VERDICTS = {
    "test_same": "identical",
    "test_close": "within_tolerance",
    "test_table[0]": "identical",
    "test_table[1]": "identical",
    "test_table[2]": "identical",
    "TestClass::test_one": "identical",
    "TestClass::test_differs": "diverged",
    "test_skipped": "inconclusive",
    "test_broken": "error",
    "test_silent": "inconclusive",
}
OUTCOMES = {"passed": 7, "failed": 3, "skipped": 1}


@pytest.mark.needs("xdist")
@pytest.mark.parametrize("options", [["-n2"], ["-n2", "--dist=loadscope"], ["-n0"]], ids=" ".join)
def test_xdist_workers_send_every_result_to_the_controller(sessions: Sessions, options: list[str]) -> None:
    session = sessions.run(SUITE, *options, plugins=("xdist",))
    assert session.verdicts == VERDICTS, session.text
    assert session.outcomes == OUTCOMES
    assert "1 diverged, 1 error, 1 inconclusive, 1 within tolerance, 5 identical, 1 skipped (10 tests" in session.text
    assert "tolerated: 1 ulp, 2.2e-16 relative (allowed: max_ulp=3) in result of test_it.py::test_close" in session.text
    assert session.text.count("= reproducibility =") == 1
    alone = sessions.run(SUITE)
    # The workers' results come in another order each time.
    assert session.report is not None
    assert alone.report is not None
    assert [test["nodeid"] for test in session.report["tests"]] == [test["nodeid"] for test in alone.report["tests"]]
    assert session.report["pytest"]["failing_tests"] == alone.report["pytest"]["failing_tests"]
    for name in VERDICTS:
        assert session.test(name)["seed"] == alone.test(name)["seed"]
        if VERDICTS[name] == "identical":
            assert session.test(name)["runs"][0]["digest"] == alone.test(name)["runs"][0]["digest"]


@pytest.mark.needs("xdist")
def test_a_random_seed_is_the_same_in_all_workers_and_repeats_the_session(sessions: Sessions) -> None:
    first = sessions.run(SUITE, "-n2", "--repro-seed=random", plugins=("xdist",))
    (header,) = [line for line in first.text.splitlines() if line.startswith("repro: --repro-seed=")]
    option = header.partition(" ")[2]
    again = sessions.run(SUITE, "-n2", option, plugins=("xdist",))
    for name in VERDICTS:
        assert first.test(name)["seed"] == again.test(name)["seed"]
        assert option in first.test(name)["repeat_command"]
    digests = [session.test("test_same")["runs"][0]["digest"] for session in (first, again)]
    assert digests[0] == digests[1]


@pytest.mark.needs("xdist")
def test_a_worker_that_dies_fails_the_session(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import os
        import pytest

        @pytest.mark.reproducible
        def test_dies(repro):
            if repro.run == 2:
                os._exit(1)
            return 1

        @pytest.mark.reproducible
        def test_lives():
            return 1
        """,
        "-n1",
        plugins=("xdist",),
    )
    assert session.exitcode == 1
    assert session.outcomes == {"passed": 1, "failed": 1}, session.text
    assert session.verdicts.get("test_dies") != "identical"
    assert session.verdicts["test_lives"] == "identical"


@pytest.mark.needs("randomly")
def test_randomly_reorders_and_reseeds_without_changing_a_verdict_or_a_value(sessions: Sessions) -> None:
    digests = []
    for seed in ("1", "2"):
        session = sessions.run(SUITE, f"--randomly-seed={seed}", plugins=("randomly",))
        assert session.verdicts == VERDICTS, session.text
        digests.append(
            {name: session.test(name)["runs"][0]["digest"] for name in VERDICTS if VERDICTS[name] == "identical"}
        )
    alone = sessions.run(SUITE)
    digests.append({name: alone.test(name)["runs"][0]["digest"] for name in digests[0]})
    assert digests[0] == digests[1] == digests[2]


@pytest.mark.needs("rerunfailures")
def test_reruns_do_not_turn_a_diverged_test_into_a_pass(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import itertools
        import pytest

        calls, flaky = itertools.count(), itertools.count()

        @pytest.mark.reproducible
        def test_differs():
            return min(next(calls), 1)

        @pytest.mark.reproducible
        @pytest.mark.flaky(reruns=3)
        def test_marked_flaky():
            return min(next(flaky), 1)

        ordinary = itertools.count()

        def test_ordinary():
            assert next(ordinary) == 1
        """,
        "--reruns=3",
        plugins=("rerunfailures",),
    )
    assert session.verdicts == {"test_differs": "diverged", "test_marked_flaky": "diverged"}, session.text
    assert session.outcomes == {"failed": 2, "passed": 1, "rerun": 1}, session.text


@pytest.mark.needs("timeout")
def test_a_timeout_ends_a_run_that_hangs(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import time
        import pytest

        @pytest.mark.reproducible
        @pytest.mark.timeout(0.5, method="signal")
        def test_hangs(repro):
            if repro.run == 2:
                time.sleep(30)
            return 1

        @pytest.mark.reproducible
        def test_same():
            return 1
        """,
        plugins=("timeout",),
    )
    assert session.verdicts == {"test_hangs": "error", "test_same": "identical"}, session.text
    assert "Timeout" in session.text
    assert session.outcomes == {"failed": 1, "passed": 1}


@pytest.mark.needs("timeout")
def test_a_timeout_applies_to_one_run(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import time
        import pytest

        @pytest.mark.reproducible(runs=4)
        @pytest.mark.timeout(1.5, method="signal")
        def test_slow_but_in_time():
            time.sleep(0.6)
            return 1
        """,
        plugins=("timeout",),
    )
    assert session.verdicts == {"test_slow_but_in_time": "identical"}, session.text


@pytest.mark.needs("cov")
@pytest.mark.parametrize("options", [[], ["--repro-all"]], ids=["marked", "all"])
def test_coverage_of_the_test_and_its_code_is_measured(sessions: Sessions, options: list[str]) -> None:
    sessions.write("def double(x):\n    if x > 100:\n        return 0\n    return 2 * x\n", "code_under_test.py")
    session = sessions.run(
        """
        import pytest
        from code_under_test import double

        @pytest.mark.reproducible
        def test_marked():
            value = double(2)
            return value

        def test_unmarked():
            found = double(101)
            assert found == 0
        """,
        "--cov=.",
        "--cov-report=json",
        *options,
        plugins=("cov",),
    )
    assert session.outcomes == {"passed": 2}, session.text
    files = json.loads((sessions.folder / "coverage.json").read_text())["files"]
    assert files["code_under_test.py"]["missing_lines"] == []
    assert files["test_it.py"]["missing_lines"] == []
    assert set(session.verdicts.values()) == {"identical"}


@pytest.mark.needs("benchmark")
def test_a_benchmark_is_measured_and_compared(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible
        def test_fast(benchmark):
            return benchmark(sum, range(10))

        @pytest.mark.reproducible
        def test_pedantic(benchmark):
            return benchmark.pedantic(sum, args=([1, 2],), rounds=3)
        """,
        "--benchmark-max-time=0.01",
        "--benchmark-min-rounds=2",
        "--benchmark-json=bench.json",
        plugins=("benchmark",),
    )
    assert session.verdicts == {"test_fast": "identical", "test_pedantic": "identical"}, session.text
    assert session.outcomes == {"passed": 2}
    names = [b["name"] for b in json.loads((sessions.folder / "bench.json").read_text())["benchmarks"]]
    assert set(names) == {"test_fast", "test_pedantic"}


@pytest.mark.needs("repeat")
def test_each_repetition_by_pytest_repeat_has_its_own_verdict(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import random
        import pytest

        @pytest.mark.reproducible
        def test_same():
            return random.random()
        """,
        "--count=3",
        plugins=("repeat",),
    )
    assert list(session.verdicts.values()) == ["identical"] * 3, session.text
    assert session.outcomes == {"passed": 3}
