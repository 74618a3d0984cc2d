"""The command line beats the marker, and the marker beats the ini file, for each option."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions


def test_the_number_of_runs_follows_the_precedence(sessions: Sessions) -> None:
    source = """
        import pytest

        @pytest.mark.reproducible
        def test_default():
            return 1

        @pytest.mark.reproducible(runs=4)
        def test_marker():
            return 1

        def test_unmarked():
            return 1
    """

    def count(session: object) -> dict[str, int]:
        return {t["nodeid"].partition("::")[2]: len(t["runs"]) for t in session.report["tests"]}  # type: ignore[attr-defined]

    options = ["-k", "not unmarked"]
    assert count(sessions.run(source, *options)) == {"test_default": 2, "test_marker": 4}
    assert count(sessions.run(source, "--repro-runs=3")) == {"test_default": 3, "test_marker": 3, "test_unmarked": 3}
    ini = "repro_runs = 3\n"
    assert count(sessions.run(source, *options, ini=ini)) == {"test_default": 3, "test_marker": 4}
    assert count(sessions.run(source, "--repro-runs=5", *options, ini=ini)) == {"test_default": 5, "test_marker": 5}


@pytest.mark.parametrize(
    "name, small, large", [("max_ulp", "1", "100"), ("rtol", "1e-16", "1e-12"), ("atol", "1e-16", "1e-12")]
)
def test_each_bound_follows_the_precedence(sessions: Sessions, name: str, small: str, large: str) -> None:
    source = f"""
        import itertools
        import numpy as np
        import pytest
        from pytest_repro import Tolerance

        calls = itertools.count()

        def value():
            return np.float64(1.0) + (next(calls) % 2) * 10 * 2.0**-52

        @pytest.mark.reproducible
        def test_none():
            return value()

        @pytest.mark.reproducible({name}={small})
        def test_small():
            return value()

        @pytest.mark.reproducible({name}={large})
        def test_large():
            return value()

        @pytest.mark.reproducible(tolerance={{"other": Tolerance(rtol=0.5)}})
        def test_globs():
            return {{"value": value(), "other": 1.0}}
    """
    option = f"--repro-{name.replace('_', '-')}="
    tight, loose = "diverged", "within_tolerance"

    def verdicts(*options: str, ini: str = "") -> list[str]:
        return list(sessions.run(source, *options, ini=ini or "# nothing\n").verdicts.values())

    assert verdicts() == [tight, tight, loose, tight]
    assert verdicts(option + large) == [loose, loose, loose, loose]
    assert verdicts(option + small) == [tight, tight, tight, tight]
    assert verdicts(ini=f"repro_{name} = {large}\n") == [loose, tight, loose, tight]
    assert verdicts(ini=f"repro_{name} = {small}\n") == [tight, tight, loose, tight]
    assert verdicts(option + small, ini=f"repro_{name} = {large}\n") == [tight, tight, tight, tight]


def test_a_bound_on_the_command_line_widens_the_bounds_per_dtype(sessions: Sessions) -> None:
    source = """
        import itertools
        import numpy as np
        import pytest
        from pytest_repro import Axis, Tolerance

        calls = itertools.count()

        @pytest.mark.reproducible(tolerance=Tolerance.per_dtype())
        def test_marker():
            return {"x": np.float32([1.0]) + np.float32(1e-6) * (next(calls) % 2)}

        @pytest.mark.reproducible(across={"scale": Axis([0.0, 1e-6], tolerance=Tolerance.per_dtype())})
        def test_axis(scale):
            return {"x": np.float32([1.0]) + np.float32(scale)}

        @pytest.mark.reproducible(across={"n": Axis([1, 2], tolerance=Tolerance.per_dtype())})
        def test_integers(n):
            return {"n": n}
    """
    session = sessions.run(source)
    assert list(session.verdicts.values()) == ["within_tolerance", "within_tolerance", "diverged"], session.text
    allowed = "float32's default: rtol=1.3e-06, atol=1e-05"
    assert session.test("test_marker")["largest_tolerated"]["allowed"] == allowed
    assert session.test("test_axis")["largest_tolerated"]["allowed"] == allowed
    assert "allowed   int has no default: no difference" in session.text
    wider = sessions.run(source, "--repro-atol=1e-3", "-k", "marker").test("test_marker")
    assert wider["largest_tolerated"]["allowed"] == "for float32: rtol=1.3e-06, atol=0.001"


def test_an_axis_keeps_its_bounds_when_the_command_line_changes_its_values(sessions: Sessions) -> None:
    source = """
        import numpy as np
        import pytest
        from pytest_repro import Axis, Tolerance

        A = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)

        @pytest.mark.reproducible(across={"device": Axis(["cpu", "cuda"], auto=True)})
        def test_auto(repro):
            a = repro.place(A)
            return a @ a if repro.device == "cpu" else (a[:, ::-1] @ a[::-1])

        @pytest.mark.reproducible(across={"device": Axis(["cpu", "cuda"], atol=1e-3), "n": Axis([0, 1], atol=5.0)})
        def test_bound(repro, n):
            return {"x": n + 1e-4 * (repro.device != "cpu")}

        @pytest.mark.reproducible(across={"device": ["cpu", "cuda"]})
        def test_exact(repro):
            return {"x": 1e-4 * (repro.device != "cpu")}
    """
    session = sessions.run(source, "--repro-across=device=cpu:1:cpu:2")
    assert session.verdicts == {
        "test_auto": "identical",
        "test_bound": "identical",
        "test_exact": "identical",
    }, session.text  # neither is `cpu`
    assert [run["condition"] for run in session.test("test_auto")["runs"]][1] == {
        "float64 reference": "float64",
        "device": "cpu",
    }
    session = sessions.run(source, "--repro-across=device=cpu:cpu:1")
    assert session.verdicts == {
        "test_auto": "within_tolerance",
        "test_bound": "within_tolerance",
        "test_exact": "diverged",
    }, session.text
    assert session.test("test_bound")["largest_tolerated"]["allowed"] == "atol=0.001"
    # The bound of one axis does not apply to another.
    other = sessions.run(source, "--repro-across=timezone,n=0:4", "-k", "bound")
    assert other.test("test_bound")["largest_tolerated"]["allowed"] == "atol=5"
    assert other.test("test_bound")["matrix"] == {"timezone": "identical", "n": "within_tolerance"}
    assert sessions.run(source, "--repro-across=n=0:6", "-k", "bound").verdicts == {"test_bound": "diverged"}


@pytest.mark.parametrize("isolate", [[], ["--repro-isolate"]])
def test_an_argument_keeps_its_first_value_when_the_command_line_varies_another_axis(
    sessions: Sessions, isolate: list[str]
) -> None:
    source = """
        import pytest

        @pytest.mark.reproducible(across={"n": [5, 6], "device": ["cpu", "cuda"]})
        def test_it(n, device):
            assert (n, device) == (5, "cpu")
            return n
    """
    session = sessions.run(source, "--repro-across=timezone", *isolate, apart=bool(isolate))
    assert session.verdicts == {"test_it": "identical"}, session.text
    assert session.test("test_it")["matrix"] == {"timezone": "identical"}


def test_axes_of_the_ini_file_apply_to_tests_whose_marker_names_none(sessions: Sessions) -> None:
    source = """
        import pytest

        @pytest.mark.reproducible(across={"n": [5, 6]})
        def test_own(n):
            return 1

        @pytest.mark.reproducible
        def test_from_the_ini_file():
            return 1
    """
    session = sessions.run(source, ini="repro_across = timezone\n")
    assert session.verdicts == {"test_own": "identical", "test_from_the_ini_file": "identical"}, session.text
    assert session.test("test_own")["matrix"] == {"n": "identical"}
    assert session.test("test_from_the_ini_file")["matrix"] == {"timezone": "identical"}


def test_the_seed_follows_the_precedence(sessions: Sessions) -> None:
    source = """
        import pytest

        @pytest.mark.reproducible
        def test_derived(repro):
            return repro.seed

        @pytest.mark.reproducible(seed=7)
        def test_fixed(repro):
            return repro.seed
    """

    def seeds(*options: str, ini: str = "# nothing\n") -> list[int]:
        session = sessions.run(source, *options, ini=ini)
        assert set(session.verdicts.values()) == {"identical"}
        return [test["seed"] for test in session.report["tests"]]  # type: ignore[index]

    plain = seeds()
    assert plain[1] == 7
    from_zero = seeds("--repro-seed=0")
    assert from_zero[0] == plain[0]
    assert from_zero[1] != 7
    from_option = seeds("--repro-seed=5")
    assert from_option[0] != plain[0]
    assert seeds(ini="repro_seed = 5\n") == [from_option[0], 7]
    assert seeds("--repro-seed=0", ini="repro_seed = 5\n")[0] == plain[0]


def test_seed_control_follows_the_precedence(sessions: Sessions) -> None:
    source = """
        import pytest

        @pytest.mark.reproducible
        def test_ignores_its_seed():
            return 1

        @pytest.mark.reproducible(seed_control=False)
        def test_opts_out():
            return 1

        @pytest.mark.reproducible(seed_control=True)
        def test_opts_in():
            return 1
    """
    passes, fails = "identical", "inconclusive"

    def verdicts(*options: str, ini: str = "# nothing\n") -> list[str]:
        return list(sessions.run(source, *options, ini=ini).verdicts.values())

    assert verdicts() == [passes, passes, fails]
    assert verdicts("--repro-seed-control") == [fails, fails, fails]
    assert verdicts(ini="repro_seed_control = true\n") == [fails, passes, fails]


def test_repro_all_follows_the_precedence(sessions: Sessions) -> None:
    source = """
        def test_unmarked():
            value = 1.5
    """
    assert sessions.run(source, ini="repro_all = true\n").verdicts == {"test_unmarked": "identical"}
    assert sessions.run(source, ini="repro_all = false\n").verdicts == {}
    assert sessions.run(source, "--repro-all", ini="repro_all = false\n").verdicts == {"test_unmarked": "identical"}


def test_markers_of_module_class_and_function_are_merged_and_the_closest_wins(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        pytestmark = pytest.mark.reproducible(runs=3, seed=1, max_ulp=5)

        def test_module():
            return 1

        @pytest.mark.reproducible(runs=4)
        class TestClass:
            def test_class(self):
                return 1

            @pytest.mark.reproducible(seed=2)
            @pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.reproducible(runs=5))])
            def test_function(self, x):
                return x
        """
    )
    assert {
        test["nodeid"].rpartition("::")[2]: (len(test["runs"]), test["seed"])
        for test in (session.report or {})["tests"]
    } == {
        "test_module": (3, 1),
        "test_class": (4, 1),
        "test_function[1]": (4, 2),
        "test_function[2]": (5, 2),
    }


def test_a_marker_that_a_conftest_adds_after_collection_counts(sessions: Sessions) -> None:
    conftest = """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.reproducible(runs=3))
    """
    source = "import itertools\ncalls = itertools.count()\ndef test_it():\n    return next(calls)\n"
    sessions.write(source)
    sessions.write(conftest, "conftest.py")
    plain = sessions.run(None, json_report=False)
    assert "1 diverged" in plain.text
    assert plain.outcomes == {"failed": 1}
    assert sessions.run(None).outcomes_of_runs("test_it") == ["passed"] * 3
    wrong = sessions.run(None, conftest=conftest.replace("runs=3", "rnus=3"), json_report=False)
    assert "has no argument 'rnus'; did you mean runs?" in wrong.text + wrong.run.stderr.str()
    assert wrong.exitcode != 0
