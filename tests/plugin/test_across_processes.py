"""Axes that need processes: a test that depends on one diverges along it, and other tests are identical."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.faults import Leavings, Program
from tests.plugin.helpers import Sessions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux only")

HEAD = """
import os, time, pytest

ENTROPY = os.urandom(4).hex()
"""
#: The axes that a fork can vary, all of which are varied in each test.
FORKED = {"timezone": None, "cwd": None, "clock": None, "file_order": None, "threads": [1, 2]}
#: axis -> body of a test that depends only on it, and the axes that are varied in that test.
DEPENDENT = {
    "timezone": ("return time.localtime(0).tm_hour", FORKED),
    "cwd": ("return os.path.exists('marker.txt')", FORKED),
    "clock": ("return time.localtime().tm_year", FORKED),
    "file_order": ("return os.listdir(FILES)", FORKED),
    "threads": ("return os.environ.get('OMP_NUM_THREADS')", FORKED),
    "nothing": ("return [1.5, 'x']", FORKED),
    "process": ("return ENTROPY", {"process": 2}),
    "hash_seed": (
        "return list({'alpha', 'beta', 'gamma', 'delta', 'zeta'})",
        {"hash_seed": [0, 1], "env": [{}, {"A": "1"}]},
    ),
    # One axis alone: each further fresh interpreter takes a second.
    "env": ("return os.environ.get('MODE', 'none')", {"env": [{}, {"MODE": "other"}]}),
    # Python uses UTF-8 in the C locale, too, and then sets a flag.
    "locale": ("import sys; return sys.flags.utf8_mode", {"locale": ["C.UTF-8", "C"]}),
    "nothing_at_all": ("return [1.5, 'x']", {"process": 2, "hash_seed": [0, 1], "env": [{}, {"MODE": "other"}]}),
}
if sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1:
    DEPENDENT["cpu_count"] = ("return len(os.sched_getaffinity(0))", {"cpu_count": [1, 2]})


@pytest.fixture(scope="module")
def tests_by_axis(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Reports of one session with a test per axis."""
    folder = tmp_path_factory.mktemp("across")
    (folder / "marker.txt").touch()
    (folder / "files").mkdir()
    for number in range(9):
        (folder / "files" / f"{number}.txt").touch()
    source = HEAD + f"FILES = {str(folder / 'files')!r}\n"
    for name, (body, across) in DEPENDENT.items():
        source += f"\n@pytest.mark.reproducible(across={across!r})\ndef test_{name}():\n    {body}\n"
    (folder / "test_it.py").write_text(source)
    program = Program(folder, "--repro-isolate").finish(400)
    assert program.left() == Leavings([], [])
    return {name: program.test(f"test_{name}") for name in DEPENDENT}


@pytest.mark.parametrize("name", ["nothing", "nothing_at_all"])
def test_a_test_that_depends_on_nothing_is_identical_along_every_axis(
    tests_by_axis: dict[str, dict[str, Any]], name: str
) -> None:
    test = tests_by_axis[name]
    assert test["verdict"] == "identical"
    assert set(test["matrix"].values()) <= {"identical", "not_varied"}


@pytest.mark.parametrize("axis", [name for name in DEPENDENT if not name.startswith("nothing")])
def test_a_test_that_depends_on_one_axis_diverges_along_that_axis_only(
    tests_by_axis: dict[str, dict[str, Any]], axis: str
) -> None:
    test = tests_by_axis[axis]
    assert test["verdict"] == "diverged", test
    assert [name for name, cell in test["matrix"].items() if cell == "diverged"] == [axis], test["matrix"]


def test_an_axis_that_changed_nothing_is_inconclusive(sessions: Sessions) -> None:
    # The environment that a run reports leaves out pytest's own variables.
    source = """
        import pytest

        @pytest.mark.reproducible(across={"env": [{}, {"PYTEST_THING": "1"}]})
        def test_it():
            return 1
    """
    session = sessions.run(source)
    assert session.test("test_it")["matrix"] == {"env": "not_varied"}
    assert session.verdicts == {"test_it": "inconclusive"}


def test_each_axis_has_its_own_tolerance(sessions: Sessions) -> None:
    source = """
        import pytest, time
        from pytest_repro import Axis

        @pytest.mark.reproducible(across={"timezone": Axis(["UTC", "Asia/Tokyo"], rtol=BOUND), "cwd": None})
        def test_it():
            return 1.0 + 1e-8 * time.localtime(0).tm_hour
    """
    within = sessions.run(source.replace("BOUND", "1e-6"))
    assert within.verdicts == {"test_it": "within_tolerance"}
    beyond = sessions.run(source.replace("BOUND", "1e-8"))
    assert beyond.verdicts == {"test_it": "diverged"}
    assert beyond.test("test_it")["matrix"] == {"timezone": "diverged", "cwd": "identical"}


KINDS = """
    import asyncio, os, unittest, pytest

    pytestmark = pytest.mark.reproducible(ACROSS)

    @pytest.mark.parametrize("x", [1, 2], ids=["with space", "br[ack]::et"])
    def test_parameters(x):
        return x

    @pytest.mark.parametrize("word", ["süß", "日本"])
    def test_unicode(word):
        return word

    class TestClass:
        def test_method(self, tmp_path):
            self.value = 1
            return self.value

        class TestInner:
            def test_method(self):
                return 2

    class TestCase(unittest.TestCase):
        def setUp(self):
            self.value = 3

        def test_case(self):
            self.assertEqual(self.value, 3)

    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_async():
        await asyncio.sleep(0)
        return 4

    @pytest.mark.xfail(reason="known", strict=True)
    def test_xfail():
        assert False

    @pytest.mark.xfail(reason="varies", strict=True)
    def test_xfail_by_divergence():
        return os.urandom(8).hex()

    def test_skip():
        pytest.skip("not here")

    def test_differs():
        return os.urandom(8).hex()
"""


@pytest.mark.needs("anyio")
@pytest.mark.parametrize("engine", ["fork", "spawn"])
def test_every_kind_of_test_is_run_in_children(sessions: Sessions, engine: str) -> None:
    across = "" if engine == "fork" else "across=['process']"
    session = sessions.run(KINDS.replace("ACROSS", across), "--repro-isolate", plugins=("anyio",))
    assert session.outcomes == {"passed": 7, "failed": 2, "xfailed": 2, "skipped": 1}, session.text
    verdicts = session.verdicts
    differing = {name for name, verdict in verdicts.items() if verdict == "diverged"}
    assert differing == {"test_differs", "test_xfail_by_divergence"}
    # A test of a TestCase returns nothing.
    assert verdicts["TestCase::test_case"] == "inconclusive"
    assert verdicts["test_skip"] == "inconclusive"


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_children_collect_the_test_as_the_session_did(sessions: Sessions, mode: str) -> None:
    """With options of a conftest, -p plugins, addopts of the ini file, and a root other than the working directory."""
    sessions.write("def pytest_configure(config):\n    config.from_plugin = 'from a plugin'\n", "own_plugin.py")
    sessions.write("[pytest]\naddopts = --own=5\npythonpath = .\n", "pytest.ini")
    sessions.write(
        "import pytest\n"
        "def pytest_addoption(parser): parser.addoption('--own', type=int)\n"
        "@pytest.fixture\n"
        "def own(pytestconfig): return pytestconfig.getoption('own'), pytestconfig.from_plugin\n",
        "conftest.py",
    )
    for folder in ("sub/one", "sub/two"):
        sessions.write(
            """
            import os, pytest

            @pytest.mark.reproducible
            @pytest.mark.parametrize("x", [1.5])
            def test_it(own, x):
                assert own == (5, "from a plugin")
                return os.getcwd()
            """,
            f"{folder}/test_it.py" if mode == "importlib" else f"{folder}/test_{folder[-3:]}.py",
        )
    for engine in ([], ["--repro-across=process"]):
        session = sessions.run_program(
            *("-pown_plugin", f"--import-mode={mode}", "--repro-isolate", *engine, "-k", "it or one or two", "."),
            folder=sessions.folder / "sub",
            environment=os.environ | {"PYTHONPATH": str(sessions.folder)},
        )
        assert session.outcomes == {"passed": 2}, session.text
        tests = (session.report or {})["tests"]
        assert [test["verdict"] for test in tests] == ["identical"] * 2
        assert not any(note for test in tests for note in test["notes"])


@pytest.mark.needs("xdist")
@pytest.mark.parametrize(
    "engine, distribution", [([], "loadgroup"), (["--repro-across=process"], "load")], ids=["fork", "spawn"]
)
def test_xdist_workers_run_tests_in_their_own_children(
    sessions: Sessions, engine: list[str], distribution: str
) -> None:
    source = """
        import os, pytest

        @pytest.mark.xdist_group("one")
        @pytest.mark.reproducible
        @pytest.mark.parametrize("x", [1, 2])
        def test_it(x, own):
            assert own == 7
            # As in a run in the worker itself.
            assert os.environ["PYTEST_XDIST_WORKER"].startswith("gw")
            return x

        @pytest.mark.reproducible
        def test_differs():
            return os.urandom(8).hex()
    """
    conftest = """
        import pytest
        def pytest_addoption(parser): parser.addoption("--own", type=int)
        @pytest.fixture
        def own(pytestconfig): return pytestconfig.getoption("own")
    """
    session = sessions.run(
        source,
        *("-n2", f"--dist={distribution}", "--own=7", "--repro-isolate", *engine),
        conftest=conftest,
        plugins=("xdist",),
    )
    assert session.outcomes == {"passed": 2, "failed": 1}, session.text
    assert sorted(session.verdicts.values()) == ["diverged", "identical", "identical"]


def test_the_matrix_fits_80_columns_and_is_in_json_and_on_githubs_page(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = sessions.folder / "page.md"
    page.write_text("before\n")
    source = """
        import os, pytest

        AXES = ["timezone", "file_order", "clock", "cwd"]

        @pytest.mark.reproducible(across=AXES)
        def test_with_a_name_that_is_longer_than_what_a_column_can_hold_without_being_shortened():
            return os.getcwd()

        @pytest.mark.reproducible(across=["file_order"])
        def test_short():
            return 1
    """
    monkeypatch.setenv("COLUMNS", "80")
    sessions.write(source)
    environment = os.environ | {"GITHUB_STEP_SUMMARY": str(page)}
    session = sessions.run_program("--color=no", "--repro-isolate", environment=environment)
    text = session.text
    lines = text.partition("= reproducibility =")[2].partition("short test summary")[0].splitlines()
    matrix = [line for line in lines if line.count("same") + line.count("DIFFERS") > 1]
    assert all(len(line) <= 80 for line in lines if "same" in line or "file_order" in line), text
    assert "\x1b" not in text
    assert matrix[0].count("same") == 3
    assert (session.report or {})["tests"][0]["matrix"] == {
        "timezone": "identical",
        "file_order": "identical",
        "clock": "identical",
        "cwd": "diverged",
    }
    assert page.read_text().startswith("before\n")
    assert r"| file\_order |" in page.read_text()


def test_unseeded_draws_differ_between_forks_of_one_process(sessions: Sessions) -> None:
    source = """
        import os, random, tempfile, uuid, pytest
        import numpy as np

        def _drawn_unseeded():
            return {
                "uuid": str(uuid.uuid4()),
                "tempfile": next(tempfile._get_candidate_names()),
                "generator": float(np.random.default_rng().random()),
                "random": random.Random().random(),
                "system": random.SystemRandom().random(),
                "pid": os.getpid(),
            }

        @pytest.fixture
        def early():
            return {}

        @pytest.mark.parametrize("name", list(_drawn_unseeded()))
        @pytest.mark.reproducible
        def test_it(name):
            return _drawn_unseeded()[name]
    """
    session = sessions.run(source, "--repro-isolate")
    assert set(session.verdicts.values()) == {"diverged"}, session.verdicts


def test_the_global_generators_differ_between_forks_before_a_run_is_seeded(sessions: Sessions) -> None:
    # The hook draws before the plugin seeds the run.
    conftest = """
        import random, pytest
        import numpy as np

        def pytest_runtest_logstart():
            open("drawn.txt", "a").write(f"{random.random()} {np.random.random()}\\n")
    """
    source = "import pytest\n@pytest.mark.reproducible(runs=3)\ndef test_it(): return 1\n"
    session = sessions.run(source, "--repro-isolate", conftest=conftest, apart=True)
    assert session.outcomes == {"passed": 1}
    pairs = [line.split() for line in (sessions.folder / "drawn.txt").read_text().splitlines()]
    # One of the session itself, and one of each run.
    assert len(pairs) == 4
    assert all(len(set(column)) == 4 for column in zip(*pairs, strict=True))


@pytest.mark.needs("torch")
def test_forks_have_as_many_torch_threads_as_the_session(sessions: Sessions) -> None:
    source = """
        import os, pytest, torch

        @pytest.mark.reproducible
        def test_it():
            assert "OMP_NUM_THREADS" not in os.environ
            assert torch.get_num_threads() == int(open("count.txt").read())
            return torch.randn(300, 300) @ torch.randn(300, 300)
    """
    # Collected first, and run in the session itself.
    count = """
        import torch

        def test_count():
            torch.set_num_threads(3)
            open("count.txt", "w").write(str(torch.get_num_threads()))
    """
    sessions.write(count, "test_count.py")
    sessions.write(source)
    environment = {name: text for name, text in os.environ.items() if name != "OMP_NUM_THREADS"}
    session = sessions.run_program("--repro-isolate", environment=environment)
    assert session.outcomes == {"passed": 2}, session.text


def test_the_path_of_a_test_may_hold_anything(sessions: Sessions) -> None:
    folder = Path("a b/ü [1]")
    sessions.write("import pytest\n@pytest.mark.reproducible\ndef test_it(): return 1\n", f"{folder}/test_it.py")
    session = sessions.run(None, "--repro-isolate")
    assert session.verdicts == {"test_it": "identical"}, session.text
    assert session.test("test_it")["notes"] == []
