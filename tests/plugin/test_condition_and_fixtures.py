"""A run's condition encloses its fixtures, and nothing of it is left afterwards, whatever they undo and when."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

ENGINES = pytest.mark.parametrize("options", [(), ("--repro-isolate",)], ids=["in process", "isolated"])


@ENGINES
def test_a_fixture_that_restores_what_it_found_leaves_nothing_of_the_condition(
    sessions: Sessions, options: tuple[str, ...]
) -> None:
    session = sessions.run(
        """
        import os, time
        import pytest

        LISTDIR, CWD, ENVIRON = os.listdir, os.getcwd(), dict(os.environ)

        @pytest.mark.reproducible(across=["cwd"])
        def test_chdir(repro, monkeypatch, tmp_path):
            monkeypatch.chdir(tmp_path)
            return 1.0

        @pytest.mark.reproducible(across={"timezone": ["UTC0", "EST5"], "threads": [1, 2]})
        def test_variables(repro, monkeypatch):
            monkeypatch.setenv("TZ", "CET-1")
            monkeypatch.setenv("OMP_NUM_THREADS", "1")
            return 1.0

        @pytest.mark.reproducible(across=["file_order"])
        def test_function(repro, monkeypatch):
            monkeypatch.setattr(os, "listdir", lambda path=".": ["a"])
            return os.listdir()

        @pytest.mark.reproducible(across=["clock"])
        def test_clock(repro, monkeypatch):
            monkeypatch.setattr(time, "time", lambda: 0.0)
            return time.time()

        def test_after():
            assert os.listdir is LISTDIR
            assert os.listdir.__module__ == os.name == "posix" or os.name == "nt"
            assert os.getcwd() == CWD
            differing = {n for n in {*os.environ, *ENVIRON} if os.environ.get(n) != ENVIRON.get(n)}
            assert differing <= {"PYTEST_CURRENT_TEST"}
            assert abs(time.time() - os.stat_result(os.stat(__file__)).st_atime) < 86_400
        """,
        *options,
        apart=True,
    )
    assert set(session.verdicts.values()) == {"identical"}, session.text
    assert session.outcomes == {"passed": 5}


def test_a_fixture_of_a_wider_scope_keeps_and_restores_its_own(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import os
        import pytest

        BEFORE = os.environ.get("TZ"), os.environ.get("OMP_NUM_THREADS"), os.getcwd(), os.listdir

        @pytest.fixture(scope="class")
        def world(tmp_path_factory):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("TZ", "CET-1")
                patch.setenv("OMP_NUM_THREADS", "7")
                patch.setattr(os, "listdir", lambda path=".": ["of the class"])
                patch.chdir(tmp_path_factory.mktemp("world"))
                yield os.getcwd()

        class TestWorld:
            @pytest.mark.reproducible(across=["file_order", "timezone", "threads", "cwd"])
            def test_one(self, world):
                return {"names": os.listdir()}

            @pytest.mark.reproducible(across=["file_order", "timezone", "threads", "cwd"])
            def test_other(self, world):
                return {"names": os.listdir()}

            def test_between(self, world):
                assert (os.environ["TZ"], os.environ["OMP_NUM_THREADS"], os.getcwd()) == ("CET-1", "7", world)

        def test_after():
            assert (os.environ.get("TZ"), os.environ.get("OMP_NUM_THREADS"), os.getcwd(), os.listdir) == BEFORE
        """
    )
    assert set(session.verdicts.values()) == {"identical"}, session.text
    assert session.outcomes == {"passed": 4}


def test_a_change_that_the_test_makes_for_good_is_not_lost(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import os
        import pytest

        @pytest.mark.reproducible(across={"timezone": ["UTC0", "EST5"]})
        def test_sets(repro):
            os.environ["TZ"] = "CET-1"
            return 1.0

        def test_after():
            assert os.environ.pop("TZ") == "CET-1"
        """
    )
    assert session.outcomes == {"passed": 2}


def test_the_teardown_of_a_fixture_sees_the_condition(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import os
        import pytest

        seen = []

        @pytest.fixture
        def watched():
            seen.append(os.environ["TZ"])
            yield
            seen.append(os.environ["TZ"])

        @pytest.mark.reproducible(across={"timezone": ["UTC0", "EST5"]})
        def test_watched(watched, repro):
            seen.append(os.environ["TZ"])
            return 1.0

        def test_after():
            assert seen == ["UTC0"] * 3 + ["EST5"] * 3
        """
    )
    assert session.outcomes == {"passed": 2}


@ENGINES
def test_an_axis_whose_functions_the_test_replaced_is_not_varied(sessions: Sessions, options: tuple[str, ...]) -> None:
    session = sessions.run(
        """
        import datetime, os, time
        from unittest import mock
        import pytest

        @pytest.mark.reproducible(across=["file_order"])
        def test_listings(repro, monkeypatch):
            for name in ("listdir", "scandir"):
                monkeypatch.setattr(os, name, mock.Mock(side_effect=RuntimeError))
            return 1.0

        @pytest.mark.reproducible(across=["clock"])
        def test_clocks(repro, monkeypatch):
            for name in ("time", "time_ns", "localtime"):
                monkeypatch.setattr(time, name, mock.MagicMock())
            monkeypatch.setattr(datetime, "datetime", mock.MagicMock())
            return 1.0

        @pytest.mark.reproducible(across=["file_order"])
        def test_one_of_two(repro, monkeypatch):
            monkeypatch.setattr(os, "listdir", mock.Mock())
            return 1.0
        """,
        *options,
        apart=True,
    )
    assert session.verdicts == {
        "test_listings": "inconclusive",
        "test_clocks": "inconclusive",
        "test_one_of_two": "identical",
    }
    notes = {name: " ".join(session.test(name)["notes"]) for name in session.verdicts}
    assert "os.listdir: the test replaced it" in notes["test_listings"]
    assert "time.time: the test replaced it" in notes["test_clocks"]
    assert "varied os.scandir, not os.listdir; os.listdir: the test replaced it" in notes["test_one_of_two"]


@ENGINES
def test_replaced_functions_reach_workers_of_every_kind(sessions: Sessions, options: tuple[str, ...]) -> None:
    session = sessions.run(
        """
        import multiprocessing, os
        import pytest

        @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
        @pytest.mark.parametrize("kind", ["D", "I"])
        @pytest.mark.reproducible(across={"file_order": ["sorted", "reversed"]})
        def test_pool(repro, tmp_path, method, kind):
            for name in "abc":
                (tmp_path / name).touch()
            with multiprocessing.get_context(method).Pool(1) as pool:
                names = pool.map(os.listdir, [str(tmp_path)])
            return names if kind == "D" else len(names[0])
        """,
        *options,
        apart=True,
    )
    assert len(session.verdicts) == 6
    assert session.verdicts == {name: "diverged" if "[D-" in name else "identical" for name in session.verdicts}


@pytest.mark.needs("joblib")
def test_workers_that_joblib_keeps_do_not_keep_a_condition(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import os
        import joblib
        import pytest

        @pytest.mark.reproducible(across={"file_order": ["sorted", "reversed"]})
        def test_workers(repro, tmp_path):
            for name in "abc":
                (tmp_path / name).touch()
            return joblib.Parallel(2)(joblib.delayed(os.listdir)(str(tmp_path)) for _ in range(2))
        """,
        apart=True,
    )
    assert session.verdicts == {"test_workers": "diverged"}
