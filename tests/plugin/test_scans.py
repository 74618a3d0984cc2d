"""`--repro-all` over suites that nobody wrote for it: what passes alone passes, and what differs is found.

Each test runs the same files in this process, in child processes, and in the workers of pytest-xdist.
"""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Session, Sessions

ENGINES = [
    pytest.param((), (), id="in_process"),
    pytest.param(("--repro-isolate",), (), id="isolate"),
    pytest.param(("-n2",), ("xdist",), id="xdist", marks=pytest.mark.needs("xdist")),
]
engines = pytest.mark.parametrize("options, plugins", ENGINES)


def scan(sessions: Sessions, source: str, options: tuple[str, ...], plugins: tuple[str, ...]) -> Session:
    # In a process of its own: pytester keeps what the hooks of a session in this process are given.
    return sessions.run(source, "--repro-all", *options, plugins=plugins, apart=True)


PASSING = """
    import gc
    import os
    import random
    import sys
    import tempfile
    import unittest
    import warnings
    import weakref
    from pathlib import Path

    import numpy as np
    import pytest

    @pytest.fixture
    def left_alone():
        before = np.random.get_state()[1].copy()
        yield
        np.testing.assert_array_equal(np.random.get_state()[1], before)

    def test_draws_nothing(left_alone):
        x = 1.0
        assert x == 1

    @pytest.fixture
    def seeded():
        np.random.seed(0)

    def test_after_a_fixture_that_seeds(seeded):
        x = np.random.rand()
        assert x == 0.5488135039273248

    class TestSetupMethod:
        def setup_method(self):
            random.seed(42)

        def test_draw(self):
            assert random.randint(0, 10**6) == 670487

    class TestSetupClass:
        @classmethod
        def setup_class(cls):
            np.random.seed(0)

        def test_draw(self):
            assert np.random.rand() == 0.5488135039273248

    class TestCase(unittest.TestCase):
        def setUp(self):
            random.seed(42)

        def tearDown(self):
            gc.collect()
            assert [reference() for reference in self.held] == [None]

        def test_draw(self):
            model = Model()
            self.held = [weakref.ref(model)]
            assert random.randint(0, 10**6) == 670487

        def test_subtests(self):
            self.held = [lambda: None]
            for i in range(2):
                with self.subTest(i=i):
                    assert i < 2

    @pytest.fixture(scope="module")
    def seeds_and_draws():
        np.random.seed(0)
        return np.random.rand()

    def test_after_a_wider_fixture_that_seeds(seeds_and_draws):
        x = np.random.rand()
        assert [seeds_and_draws, x] == [0.5488135039273248, 0.7151893663724195]

    class Model:
        pass

    @pytest.fixture
    def held():
        references = []
        yield references
        gc.collect()
        assert [reference() for reference in references] == [None]

    def test_leaves_nothing(held):
        model = Model()
        held.append(weakref.ref(model))

    def test_no_tracer():
        functions = sys.gettrace(), sys.getprofile()
        assert functions == (None, None)

    @pytest.fixture
    def store(tmp_path_factory):
        return tmp_path_factory.mktemp("store", numbered=False)

    def test_store(store, tmp_path, tmp_path_factory):
        (store / "a").write_text("1")
        assert (store / "a").read_text() == "1"
        (tmp_path.parent / "beside").mkdir()
        others = [tmp_path_factory.mktemp("other") for _ in range(2)]
        text = f"written to {tmp_path}/a, {store}"
        assert [path.name for path in (tmp_path, *others)] == ["test_store0", "other0", "other1"]

    @pytest.fixture(scope="module")
    def kept(tmp_path_factory):
        path = tmp_path_factory.mktemp("kept")
        (path / "data").write_text("once")
        return path

    def test_wider_folder(kept, tmp_path):
        assert (kept / "data").read_text() == "once"

    def test_drawn_names():
        with tempfile.TemporaryDirectory() as folder:
            name = Path(folder).name
            lines = [f"log in {folder}"]

    def test_address():
        text = repr(Model())

    @pytest.mark.skipif(pytest.version_tuple < (9,), reason="the fixture is new in pytest 9")
    def test_sub(subtests):
        for i in range(3):
            with subtests.test(i=i):
                assert i < 3

    def test_warns():
        for _ in range(2):
            warnings.warn("twice")

    @pytest.mark.xfail(strict=True, reason="known")
    def test_known():
        assert 1 == 2

    @pytest.mark.parametrize("x, rng", [(np.random.rand(2), np.random.default_rng(0))])
    def test_parameters(x, rng):
        y = x + rng.random(2)

    @pytest.mark.parametrize("model, sizes", [(Model(), [1, 2])])
    def test_changes_its_parameters(model, sizes):
        sizes.append(len(sizes))
        model.calls = getattr(model, "calls", 0) + 1
        total = sum(sizes) + model.calls
        assert total == 6
"""


@engines
def test_tests_that_pass_alone_pass(sessions: Sessions, options: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    plain = sessions.run(PASSING, "-Walways", json_report=False, plugins=plugins)
    session = scan(sessions, PASSING, ("-Walways", *options), plugins)
    assert plain.outcomes["passed"] == 17 - ("skipped" in plain.outcomes), plain.text
    assert session.outcomes == plain.outcomes, session.text
    assert session.run.parseoutcomes()["warnings"] == plain.run.parseoutcomes()["warnings"]
    verdicts = session.verdicts
    assert verdicts.pop("test_known") == "inconclusive"
    if "skipped" in plain.outcomes:
        assert verdicts.pop("test_sub") == "inconclusive"
    assert set(verdicts.values()) == {"identical"}
    assert "test_known" not in session.text.rpartition("= reproducibility =")[2].partition("= short test summary")[0]
    assert "tests were compared by outcome only" in session.text


DIFFERING = """
    import datetime
    import random
    from pathlib import Path

    import pytest

    CHOICE = random.SystemRandom()

    @pytest.fixture(autouse=True)
    def unseeded(request):
        if request.node.name == "test_draw":
            random.seed()

    class Model:
        pass

    def test_draw():
        x = random.random()

    def test_text():
        answer = "".join(CHOICE.choice("abcdefgh") for _ in range(20))

    def test_words():
        words = [CHOICE.choice(["cat", "dog", "cow"]) for _ in range(30)]

    def test_beside_an_object():
        row = {"model": Model(), "name": "forest", "accuracy": CHOICE.random()}

    def test_beside_a_text():
        result = {"model": "forest", "accuracy": CHOICE.random()}

    def test_path(tmp_path):
        path = tmp_path / str(CHOICE.randrange(10**9))

    def test_bytes():
        content = CHOICE.randbytes(8)

    def test_moment():
        moment = datetime.datetime.fromtimestamp(CHOICE.randrange(10**9))

    def test_set():
        names = {str(CHOICE.random())}
"""


@engines
def test_results_that_differ_are_found(sessions: Sessions, options: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    session = scan(sessions, DIFFERING, options, plugins)
    assert len(session.verdicts) == 9
    assert set(session.verdicts.values()) == {"diverged"}, session.text
    assert session.test("test_beside_an_object")["divergences"][0]["artifact"] == "row/accuracy"


def test_a_generator_that_a_module_makes_from_entropy_is_another_in_each_process(sessions: Sessions) -> None:
    source = """
        import random

        rng = random.Random()

        def test_draw():
            x = rng.random()
    """
    session = sessions.run(source, "--repro-all", "--repro-isolate")
    assert session.verdicts == {"test_draw": "diverged"}, session.text


PARAMETERS = """
    import random

    import numpy as np
    import pytest

    CHOICE = random.SystemRandom()

    @pytest.mark.parametrize("x", [np.random.rand()])
    def test_seeded(x):
        y = 2 * x

    @pytest.mark.parametrize("x, y", [(np.random.default_rng().random(2), 1)])
    def test_entropy(x, y):
        z = 2 * x

    @pytest.mark.parametrize("rng", [np.random.default_rng()])
    def test_generator(rng):
        z = rng.random()

    class Shared:
        @pytest.mark.parametrize("rng", [np.random.RandomState(0), np.random.default_rng(0)])
        def test_shared(self, rng):
            z = rng.normal(size=2)

    class TestFirst(Shared):
        pass

    class TestSecond(Shared):
        pass

    @pytest.mark.parametrize("x", [CHOICE.random()])
    def test_named(x):
        y = 2 * x
"""


@pytest.mark.parametrize("options", [(), ("--repro-isolate",)], ids=["in_process", "isolate"])
def test_parameters_that_are_drawn_anew_are_named(sessions: Sessions, options: tuple[str, ...]) -> None:
    session = sessions.run(PARAMETERS, "--repro-all", *options)
    by_test = {test["nodeid"].partition("::")[2].partition("[")[0]: test for test in (session.report or {})["tests"]}
    # The generators are seeded, and the first of two tests that share them leaves them in another state.
    shared = {name: verdict for name, verdict in session.verdicts.items() if "Test" in name}
    assert (len(shared), set(shared.values())) == (4, {"identical"}), session.text
    assert by_test["test_seeded"]["verdict"] == "identical", session.text
    named = {"test_entropy": "'x'", "test_generator": "'rng'", "test_named": "'x'"}
    for name, parameter in named.items():
        assert by_test[name]["verdict"] in ("inconclusive", "error"), session.text
        assert f"its parameter {parameter} has another value in each process" in by_test[name]["reason"]


@pytest.mark.needs("hypothesis")
def test_tests_of_hypothesis_pass_though_their_examples_cannot_be_repeated(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import threading

        from hypothesis import given, settings, strategies as st
        from hypothesis.stateful import RuleBasedStateMachine, rule

        settings.register_profile("quick", max_examples=10)
        settings.load_profile("quick")

        class Machine(RuleBasedStateMachine):
            @rule()
            def step(self):
                assert True

        TestMachine = Machine.TestCase

        @given(st.data())
        def test_data(data):
            assert isinstance(data.draw(st.integers()), int)

        @given(st.tuples(st.data(), st.integers()))
        def test_nested(pair):
            assert pair[0].draw(st.text()) is not None

        @given(st.randoms())
        def test_randoms(random):
            assert random.random() < 2

        @given(st.builds(threading.Lock))
        def test_without_copy(lock):
            assert lock
        """,
        "--repro-all",
        plugins=("hypothesis",),
    )
    assert session.outcomes == {"passed": 5}, session.text
    assert set(session.verdicts.values()) == {"identical"}
    assert any("the whole test was run twice" in note for note in session.test("test_data")["notes"])


@pytest.mark.needs("hypothesis")
def test_a_test_whose_examples_cannot_be_repeated_fails_if_its_second_pass_does(sessions: Sessions) -> None:
    session = sessions.run(
        """
        from hypothesis import given, settings, strategies as st

        calls = []

        @settings(max_examples=5, database=None)
        @given(st.data())
        def test_data(data):
            calls.append(data.draw(st.integers()))
            assert len(calls) < 8
        """,
        "--repro-all",
        plugins=("hypothesis",),
    )
    assert session.outcomes == {"failed": 1}, session.text


@pytest.mark.needs("hypothesis")
def test_axes_of_the_session_are_not_varied_in_given_tests_of_a_scan(sessions: Sessions) -> None:
    session = sessions.run(
        """
        from hypothesis import given, settings, strategies as st

        @settings(max_examples=10)
        @given(st.integers())
        def test_it(x):
            assert x == x
        """,
        "--repro-all",
        "--repro-across=timezone",
        plugins=("hypothesis",),
    )
    assert session.outcomes == {"passed": 1}, session.text
    assert session.test("test_it")["matrix"] == {"timezone": "not_varied"}


def test_a_suite_in_an_installed_package_is_the_users_code(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a_package", "a_package/tests"):
        sessions.write("", f"lib/site-packages/{name}/__init__.py")
    sessions.write("import random\nrng = random.Random()\n", "lib/site-packages/a_package/drawing.py")
    sessions.write(
        """
        from a_package.drawing import rng

        def test_draw():
            x = rng.random()
        """,
        "lib/site-packages/a_package/tests/test_rng.py",
    )
    elsewhere = sessions.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setenv("PYTHONPATH", str(sessions.folder / "lib" / "site-packages"))
    session = sessions.run_program("--pyargs", "a_package", "--repro-all", "--repro-diagnose", folder=elsewhere)
    (test,) = (session.report or {})["tests"]
    assert test["verdict"] == "diverged", session.text
    assert "cause   state.rng_object" in session.text
    assert "`x` differs first" in session.text
    program, *arguments = test["repeat_command"].split()
    assert program == "pytest"
    assert arguments[:2] == ["--pyargs", "a_package.tests.test_rng::test_draw"]
    again = sessions.run_program(*arguments, folder=elsewhere)
    assert (again.report or {})["tests"][0]["seed"] == test["seed"]


@pytest.mark.needs("pandas")
@pytest.mark.parametrize("engine", [(), ("--repro-isolate",)])
def test_the_clock_in_an_installed_package_has_the_same_cause_and_line_as_in_a_folder(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, engine: tuple[str, ...]
) -> None:
    source = """
        from datetime import datetime
        import pandas as pd

        def test_now():
            table = pd.DataFrame({"made": [datetime.now()] * 4})
        """
    options = ("--repro-all", "--repro-diagnose", *engine)
    installed = sessions.folder / "lib" / "site-packages"
    for name in ("a_package", "a_package/tests"):
        sessions.write("", f"lib/site-packages/{name}/__init__.py")
    sessions.write(source, "lib/site-packages/a_package/tests/test_now.py")
    sessions.write(source, "elsewhere/test_now.py")
    sessions.write("[pytest]\n", "elsewhere/pytest.ini")
    elsewhere = sessions.folder / "elsewhere"
    monkeypatch.setenv("PYTHONPATH", str(installed))
    found = []
    for arguments in (("--pyargs", "a_package"), ("test_now.py",)):
        session = sessions.run_program(*arguments, *options, folder=elsewhere)
        (test,) = (session.report or {})["tests"]
        (cause,) = test["diagnosis"]["causes"]
        found.append((cause["code"], cause["location"]["source"]))
    assert found == [("time.now", 'table = pd.DataFrame({"made": [datetime.now()] * 4})')] * 2


def test_readings_of_the_clock_and_durations_are_left_out(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import random
        import time

        def test_passes():
            t0 = time.perf_counter()
            total = sum(range(1000))
            times = []
            times.append(time.perf_counter() - t0)
            assert max(times) < 60

        def test_differs():
            t0 = time.perf_counter()
            drawn = random.SystemRandom().random()
            elapsed = time.perf_counter() - t0

        def test_seeds():
            t0 = time.time_ns()
            drawn = random.Random(t0).random()

        def test_repeats():
            t0, times = time.perf_counter(), []
            while time.perf_counter() - t0 < 0.01:
                times.append(time.perf_counter())
        """,
        *("--repro-all", "--repro-diagnose", "-k", "not repeats"),
        apart=True,
    )
    assert session.verdicts == {"test_passes": "identical", "test_differs": "diverged", "test_seeds": "diverged"}
    assert session.test("test_passes")["not_compared"] == [
        {"name": "t0", "type": "float", "reason": "a clock reading"},
        {"name": "times/0", "type": "float", "reason": "a duration"},
    ]
    assert "float: a duration: times/0 of test_it.py::test_passes" in session.text
    # What is left out is neither shown as a difference nor named as a cause.
    diagnosis = session.test("test_differs")["diagnosis"]
    assert [cause["code"] for cause in diagnosis["causes"]] == ["rng.os_entropy"]
    assert diagnosis["first_divergence"]["name"] == "drawn"
    assert {cause["code"] for cause in session.test("test_seeds")["diagnosis"]["causes"]} == {"time.seed"}
    for engine in ((), ("--repro-isolate",)):
        session = sessions.run(None, "--repro-all", *engine)
        expected = dict.fromkeys(["test_differs", "test_seeds", "test_repeats"], "diverged")
        assert session.verdicts == {"test_passes": "identical", **expected}, session.text
