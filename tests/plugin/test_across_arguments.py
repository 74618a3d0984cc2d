"""`across=` over arguments of the test, with all runs in one process."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

ARGUMENTS = """
    import itertools
    import random

    import numpy as np
    import pytest
    from pytest_repro import Axis

    calls = itertools.count()

    @pytest.mark.reproducible(across={"num_workers": [0, 2, 4]})
    def test_does_not_matter(num_workers):
        return random.random()

    @pytest.mark.reproducible(across={"num_workers": [0, 2]})
    def test_matters(num_workers):
        return num_workers

    @pytest.mark.reproducible(across={"num_workers": [0, 1], "prefetch": [False, True]}, runs=2)
    def test_two_axes(num_workers, prefetch):
        return 5 + prefetch

    @pytest.mark.reproducible(across={"dtype": Axis(["float32", "float64"], rtol=1e-6)})
    def test_of_its_own_tolerance(dtype):
        return float(np.float32(0.1)) if dtype == "float32" else 0.1

    @pytest.mark.reproducible(across={"num_workers": [0, 2]})
    def test_differs_anyway(num_workers):
        return next(calls)

    @pytest.mark.parametrize("size", [1, 2])
    @pytest.mark.reproducible(across={"num_workers": [0, 2]})
    def test_table(size, num_workers):
        assert num_workers in (0, 2)
        return size

    @pytest.mark.reproducible(across={"num_workers": [0, 2]})
    def test_fails_along_the_axis(num_workers):
        assert num_workers == 0
        return 1

    @pytest.mark.reproducible
    def test_without():
        return 1
"""


def test_results_are_compared_along_each_argument(sessions: Sessions) -> None:
    session = sessions.run(ARGUMENTS)
    assert session.verdicts == {
        "test_does_not_matter": "identical",
        "test_matters": "diverged",
        "test_two_axes": "diverged",
        "test_of_its_own_tolerance": "within_tolerance",
        "test_differs_anyway": "diverged",
        "test_table[1]": "identical",
        "test_table[2]": "identical",
        "test_fails_along_the_axis": "error",
        "test_without": "identical",
    }, session.text
    conditions = {
        name: [run["condition"] for run in session.test(name)["runs"]]
        for name in ("test_does_not_matter", "test_two_axes")
    }
    assert conditions["test_does_not_matter"] == [{}, {"num_workers": 2}, {"num_workers": 4}]
    planned, confirming = conditions["test_two_axes"][:4], conditions["test_two_axes"][4:]
    assert planned == [{}, {}, {"num_workers": 1}, {"prefetch": True}]
    assert confirming.count({"prefetch": True}) == confirming.count({}) == 3
    assert session.test("test_matters")["divergences"][0]["axis"] == "num_workers"
    assert session.test("test_two_axes")["matrix"] == {"num_workers": "identical", "prefetch": "diverged"}
    # A plain repeat, made because a run along the axis differed, shows that no axis is to blame.
    anyway = session.test("test_differs_anyway")
    assert [run["condition"] for run in anyway["runs"]] == [{}, {"num_workers": 2}, {}]
    assert anyway["matrix"] == {"num_workers": "unstable"}
    assert all(d["axis"] is None for d in anyway["divergences"])
    assert session.test("test_fails_along_the_axis")["runs"][1]["outcome"] == "failed"
    assert session.outcomes == {"passed": 5, "failed": 4}


def test_an_argument_named_seed_is_an_axis_like_any_other(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible(across={"seed": [1, 2]})
        def test_by_seed(seed):
            return seed

        @pytest.mark.reproducible(across={"seed": [1, 2]}, seed_control=True)
        def test_by_seed_with_control(seed, repro):
            return repro.seed
        """
    )
    assert session.verdicts == {"test_by_seed": "diverged", "test_by_seed_with_control": "identical"}, session.text


def test_the_option_reaches_the_tests_that_have_the_argument(sessions: Sessions) -> None:
    session = sessions.run(ARGUMENTS, "--repro-across=num_workers=0:3", "-k", "matter or without")
    assert session.verdicts == {
        "test_does_not_matter": "identical",
        "test_matters": "diverged",
        "test_without": "identical",
    }, session.text
    assert [run["condition"] for run in session.test("test_does_not_matter")["runs"]] == [{}, {"num_workers": 3}]


def test_the_matrix_is_in_the_summary_and_on_the_page_of_a_github_job(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = sessions.folder / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    session = sessions.run(ARGUMENTS, "-k", "matter or anyway")
    lines = [line.split() for line in session.text.splitlines()]
    assert ["num_workers"] in lines
    assert ["test_it.py::test_does_not_matter", "same"] in lines
    assert ["test_it.py::test_matters", "DIFFERS"] in lines
    assert ["test_it.py::test_differs_anyway", "UNSTABLE"] in lines
    assert "| test | num\\_workers |" in page.read_text()


def test_an_unknown_argument_is_an_error_that_names_the_test_once(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible(across={"hashseed": [0, 1]})
        def test_typo():
            return 1
        """
    )
    assert session.outcomes == {"errors": 1}
    assert "test_it.py::test_typo: across= names 'hashseed'" in session.text
    assert "test_typo: test_it.py::test_typo" not in session.text


@pytest.mark.parametrize("options", [(), ("--repro-isolate",)], ids=["here", "isolated"])
def test_none_is_a_value_of_an_argument_like_any_other(sessions: Sessions, options: tuple[str, ...]) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible(across={"stop": [None, 4]})
        def test_first(stop):
            return 0 if stop is None else stop

        @pytest.mark.reproducible(across={"stop": [4, None]})
        def test_last(stop):
            return 0 if stop is None else stop

        @pytest.mark.reproducible(across={"stop": [4, None], "fast": [None, True]})
        def test_does_not_matter(stop, fast):
            assert stop in (None, 4) and fast in (None, True)
            return 1
        """,
        "--no-repro-diagnose",
        *options,
    )
    assert session.verdicts == {"test_first": "diverged", "test_last": "diverged", "test_does_not_matter": "identical"}
    assert session.test("test_first")["matrix"] == session.test("test_last")["matrix"] == {"stop": "diverged"}
    assert {"stop": None} in [run["condition"] for run in session.test("test_last")["runs"]]


RESUMED = """
    import pytest

    @pytest.mark.reproducible(across={"interrupted": [False, True]})
    def test_resumed(interrupted):
        return int(interrupted)

    @pytest.mark.reproducible(across={"shuffle": [False, True]})
    def test_shuffled(shuffle):
        return int(shuffle)
"""


@pytest.mark.parametrize(
    "axes, meant",
    [
        ("interrupt=True:False", "did you mean the argument 'interrupted'?"),
        ("thread=1:2", "did you mean the axis 'threads'?"),
        ("batch=1:2", "give a test such an argument, or omit the name"),
        ("shuffle=False:True,batch=1:2", "give a test such an argument, or omit the name"),
    ],
)
def test_a_name_that_no_test_takes_is_rejected(sessions: Sessions, axes: str, meant: str) -> None:
    session = sessions.run(RESUMED, f"--repro-across={axes}")
    output = session.text + session.run.stderr.str()
    assert session.exitcode == pytest.ExitCode.USAGE_ERROR, output
    wrong = axes.split(",")[-1].partition("=")[0]
    assert f"--repro-across names {wrong!r}, no built-in axis and no argument of a reproducible test" in output
    assert meant in output


@pytest.mark.needs("xdist")
def test_a_worker_rejects_a_name_that_no_test_takes(sessions: Sessions) -> None:
    session = sessions.run(RESUMED, "--repro-across=interrupt=True:False", "-n1", plugins=("xdist",), apart=True)
    # pytest 9 repeats it in its short summary.
    times = 1 + (pytest.version_tuple >= (9, 0))
    assert session.text.count("--repro-across names 'interrupt',") == times, session.text
    assert session.outcomes["errors"] == 1
    assert "identical" not in session.verdicts.values()


def test_a_name_in_the_ini_file_that_no_test_takes_is_a_warning(sessions: Sessions) -> None:
    ini = "repro_across = interrupt=True:False\n"
    warning = "repro_across in pytest.ini names 'interrupt', no built-in axis and no argument of a reproducible test"

    session = sessions.run(RESUMED, "--no-repro-diagnose", ini=ini)
    assert warning in session.text
    assert "did you mean the argument 'interrupted'?" in session.text
    assert session.text.count("ReproWarning: repro_across") == 1
    assert session.verdicts == {"test_resumed": "diverged", "test_shuffled": "diverged"}

    session = sessions.run(RESUMED, "--no-repro-diagnose", "-W", "error::pytest_repro.ReproWarning", ini=ini)
    assert session.exitcode == pytest.ExitCode.USAGE_ERROR
    assert warning in session.text + session.run.stderr.str()


def test_part_of_a_suite_may_lack_the_arguments_that_the_ini_file_names(sessions: Sessions) -> None:
    session = sessions.run(RESUMED, "--no-repro-diagnose", "test_it.py", ini="repro_across = elsewhere=1:2\n")
    assert "ReproWarning" not in session.text
    assert session.verdicts == {"test_resumed": "diverged", "test_shuffled": "diverged"}


@pytest.mark.needs("xdist")
def test_workers_warn_once_of_a_name_in_the_ini_file(sessions: Sessions) -> None:
    ini = "repro_across = interrupt=True:False\n"
    session = sessions.run(RESUMED, "--no-repro-diagnose", "-n2", ini=ini, plugins=("xdist",), apart=True)
    assert session.text.count("ReproWarning: repro_across") == 1, session.text


def test_an_unknown_axis_in_the_ini_file_is_a_usage_error(sessions: Sessions) -> None:
    session = sessions.run(RESUMED, ini="repro_across = hash_sed\n")
    assert session.exitcode == pytest.ExitCode.USAGE_ERROR
    output = session.text + session.run.stderr.str()
    assert "repro_across in pytest.ini: unknown axis 'hash_sed': did you mean 'hash_seed'?" in output


def test_an_option_leaves_the_axes_of_tests_that_it_does_not_name(sessions: Sessions) -> None:
    session = sessions.run(RESUMED, "--repro-across=interrupted=True:False", "--no-repro-diagnose")
    assert session.verdicts == {"test_resumed": "diverged", "test_shuffled": "diverged"}, session.text
    assert session.test("test_shuffled")["matrix"] == {"shuffle": "diverged"}
    # Run alone, the test would be rejected for an argument that it does not take.
    assert "--repro-across" not in session.test("test_shuffled")["repeat_command"]
    assert "--repro-across=interrupted=True:False" in session.test("test_resumed")["repeat_command"]


def test_a_name_that_only_a_deselected_test_takes_is_accepted(sessions: Sessions) -> None:
    session = sessions.run(RESUMED, "--repro-across=interrupted=True:False", "--no-repro-diagnose", "-k", "shuffled")
    assert session.verdicts == {"test_shuffled": "diverged"}, session.text
