"""Bad input is an error at the earliest moment, with the test's name and the fix, and is never silently ignored."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

MARKERS = {
    "rnus=3": "has no argument 'rnus'; did you mean runs?",
    "zzz=3": "has no argument 'zzz'; it knows runs, across, max_ulp",
    "max_ulp=-1": "max_ulp must not be negative",
    "max_ulp=1.5": "max_ulp must be a whole number of ulps, got 1.5",
    "max_ulp=True": "max_ulp must be a whole number of ulps, got True",
    "rtol=-1e-3": "rtol must not be negative",
    "rtol=float('nan')": "rtol must not be NaN",
    "atol=float('inf')": "atol must be finite",
    "atol='1'": "atol must be a number, got '1'",
    "norm=-1.0": "norm must not be negative",
    "runs=0": "runs=0 compares nothing; give at least 2",
    "runs=-2": "runs=-2 compares nothing",
    "runs='3'": "runs must be an integer >= 2, got the text '3'",
    "runs=2.0": "runs must be an integer >= 2, got 2.0",
    "runs=True": "runs must be an integer >= 2, got True",
    "runs=None": "runs must be an integer >= 2, got None",
    "runs=10**9": "is more than 100,000",
    "seed=-1": "seed must be an integer from 0 to 2**32 - 1, got -1",
    "seed=2**32": "seed must be an integer from 0 to 2**32 - 1, got 4294967296",
    "seed=1.0": "seed must be an integer from 0 to 2**32 - 1, got 1.0",
    "seed=True": "seed must be an integer from 0 to 2**32 - 1, got True",
    "seed_control=1": "seed_control must be True or False, got 1",
    "timeout=0": "timeout must be a number of seconds above 0, got 0",
    "timeout=float('nan')": "timeout must be a number of seconds above 0",
    "timeout='9'": "timeout must be a number of seconds above 0, got '9'",
    "tolerance=0.1": "tolerance must be a Tolerance or a mapping",
    "tolerance={}": "tolerance={} is empty and allows nothing",
    "tolerance={'*': 1}": "tolerance maps a glob (str) to a Tolerance",
    "tolerance=Tolerance(max_ulp=1), max_ulp=2": "give either tolerance= or max_ulp, not both",
    "across='hash'": "across",
    "across=['hashseed']": "did you mean 'hash_seed'?",
    "across={'x': [1, 2]}": "across= names 'x', no built-in axis and no argument of the test",
    "across={'arg': []}": "the list of values is empty",
    "across={'arg': [1]}": "has nothing to differ from",
    "across={'arg': [1, 1]}": "1 is given twice",
    "across={'arg': None}": "an argument of the test needs its values",
    "across=5": "across",
}


def test_every_wrong_marker_is_an_error_of_collection_that_names_the_test(sessions: Sessions) -> None:
    for number, argument in enumerate(MARKERS):
        sessions.write(
            f"""
            import pytest
            from pytest_repro import Tolerance

            @pytest.mark.reproducible({argument})
            def test_it(arg=None):
                raise SystemExit("must not run")
            """,
            f"test_{number}.py",
        )
    session = sessions.run(None)
    assert session.outcomes == {"errors": len(MARKERS)}, session.text
    for number, (argument, message) in enumerate(MARKERS.items()):
        start = session.text.index(f"ERROR collecting test_{number}.py")
        section = session.text[start : start + 600]
        assert f"test_{number}.py::test_it: " in section, section
        assert message in section, (argument, section)
        assert "Traceback" not in section


def test_positional_arguments_of_the_marker_are_rejected(sessions: Sessions) -> None:
    session = sessions.run("import pytest\n@pytest.mark.reproducible(3)\ndef test_it():\n    return 1\n")
    assert session.outcomes == {"errors": 1}
    assert "test_it.py::test_it: @reproducible takes keyword arguments only, got (3,): write runs=..." in session.text


OPTIONS = {
    "--repro-runs=0": "--repro-runs: runs=0 compares nothing",
    "--repro-runs=x": "--repro-runs: runs must be an integer >= 2, got 'x'",
    "--repro-runs=--5": "--repro-runs: runs must be an integer >= 2",
    "--repro-seed=-1": "--repro-seed: seed must be an integer from 0 to 2**32 - 1, or 'random', got '-1'",
    "--repro-seed=4294967296": "--repro-seed: seed must be an integer",
    "--repro-seed=abc": "--repro-seed: seed must be an integer",
    "--repro-max-ulp=-1": "--repro-max-ulp: max_ulp must not be negative, got -1",
    "--repro-max-ulp=1.5": "--repro-max-ulp: must be an integer, got '1.5'",
    "--repro-rtol=nan": "--repro-rtol: rtol must not be NaN",
    "--repro-atol=inf": "--repro-atol: atol must be finite",
    "--repro-atol=much": "--repro-atol: must be a number, got 'much'",
    "--repro-memory=lots": "--repro-memory: must be a size such as 512MiB or 2GiB, got 'lots'",
    "--repro-memory=0": "--repro-memory: must be a size of at least one byte",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_wrong_option_ends_the_session_before_it_begins(sessions: Sessions, option: str) -> None:
    session = sessions.run("def test_it():\n    pass\n", option)
    assert session.exitcode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {OPTIONS[option]}" in session.run.stderr.str()


def test_the_error_for_a_wrong_ini_value_names_its_key(sessions: Sessions) -> None:
    source = "import pytest\n@pytest.mark.reproducible\ndef test_it():\n    return 1\n"
    for line, message in {
        "repro_runs = 1.5": "repro_runs in pytest.ini: runs must be an integer >= 2, got '1.5'",
        "repro_seed = -4": "repro_seed in pytest.ini: seed must be an integer",
        "repro_rtol = -1": "repro_rtol in pytest.ini: rtol must not be negative, got -1.0",
        "repro_memory = 3 elephants": "repro_memory in pytest.ini: must be a size such as 512MiB",
    }.items():
        session = sessions.run(source, ini=line + "\n")
        assert session.exitcode == pytest.ExitCode.USAGE_ERROR
        assert message in session.run.stderr.str()


WHILE_RUNNING = """
    import itertools

    import numpy as np
    import pytest
    from pytest_repro import Tolerance

    calls = itertools.count()

    @pytest.mark.reproducible(tolerance={"wieghts/*": Tolerance(rtol=1e-3), "*": Tolerance()})
    def test_unknown_glob():
        return {"weights": {"w": np.ones(2)}}

    @pytest.mark.reproducible
    def test_two_captures(repro):
        repro.capture("loss", 1.0)
        repro.capture("loss", 1.0)

    @pytest.mark.reproducible
    def test_capture_and_return(repro):
        repro.capture("loss", 1.0)
        return {"loss": 2.0}

    @pytest.mark.reproducible
    def test_object():
        return {"model": {"encoder": map(len, [])}}

    @pytest.mark.reproducible
    def test_a_generator_is_returned():
        return {"batches": (i for i in range(3))}

    @pytest.mark.reproducible
    def test_a_file_is_returned(tmp_path):
        return {"log": (tmp_path / "x").open("w")}

    @pytest.mark.reproducible
    def test_a_cycle():
        values = []
        values.append(values)
        return values

    @pytest.mark.reproducible
    def test_bad_name(repro):
        repro.capture("", 1)

    @pytest.mark.reproducible
    def test_bad_step(repro):
        repro.step(-1, loss=1)

    @pytest.mark.reproducible
    def test_empty_step(repro):
        repro.step(0)

    @pytest.fixture
    def late(repro):
        yield
        repro.capture("late", 1)

    @pytest.mark.reproducible
    def test_captured_in_teardown(late):
        return 1
"""
MESSAGES = {
    "test_unknown_glob": ["no artifact matches 'wieghts/*'; the test's artifacts are weights/w"],
    "test_two_captures": ["repro.capture('loss', ...)", "loss"],
    "test_capture_and_return": ["the returned value", "loss"],
    "test_object": ["'model/encoder'", "map"],
    "test_a_generator_is_returned": ["'batches'", "generator"],
    "test_a_file_is_returned": ["log (_io.TextIOWrapper)", "holds no result"],
    "test_a_cycle": ["contains itself; return a tree without cycles"],
    "test_bad_name": ["repro.capture needs a non-empty str as name, got ''"],
    "test_bad_step": ["repro.step needs a step number >= 0, got -1"],
    "test_empty_step": ["repro.step(0) was given nothing to compare; write repro.step(0, loss=loss)"],
    "test_captured_in_teardown": ["came after the test's call had ended; capture inside the test"],
}


def test_a_value_that_cannot_be_compared_is_an_error_that_names_its_path(sessions: Sessions) -> None:
    session = sessions.run(WHILE_RUNNING)
    expected = {**dict.fromkeys(MESSAGES, "error"), "test_a_file_is_returned": "inconclusive"}
    assert session.verdicts == expected, session.text
    assert session.outcomes == {"failed": 10, "passed": 1, "errors": 1}
    for name, words in MESSAGES.items():
        for word in words:
            assert word in session.test(name)["reason"], (name, session.test(name)["reason"])


def test_a_type_that_changes_between_runs_is_a_divergence(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import itertools
        import numpy as np
        import pytest

        numbers = [1, 1.0, np.float32(1), np.float64(1)]
        values = iter([{"a": 1}, [1], *numbers, {"a": 1}, {"a": 1, "b": 2}, "1", b"1", 1, True])

        @pytest.mark.reproducible
        @pytest.mark.parametrize("i", range(6))
        def test_it(i):
            return next(values)
        """
    )
    assert set(session.verdicts.values()) == {"diverged"}, session.text
    kinds = [[d["kind"] for d in session.test(f"test_it[{i}]")["divergences"]] for i in range(6)]
    assert kinds == [["missing", "extra"], ["type"], ["type"], ["extra"], ["type"], ["type"]]


def test_a_generator_as_a_test_is_rejected_by_name(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible
        def test_generator():
            yield 1
        """
    )
    assert session.exitcode != 0
    assert "test_generator" in session.text
    other = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible
        async def test_async_generator():
            yield 1
        """
    )
    assert other.exitcode != 0
    assert "test_it.py::test_async_generator: a generator cannot be a test: return the results" in other.text


def test_a_faulty_random_number_generator_is_an_error_that_names_it(sessions: Sessions) -> None:
    source = "import pytest\n@pytest.mark.reproducible\ndef test_it():\n    return 1\ndef test_other():\n    pass\n"
    template = """
        class Rng:
            name = "mine"
            def seed(self, number): {seed}
            def save(self): {save}
            def restore(self, state): {restore}
        def pytest_repro_register_rng(config):
            return {given}
    """
    fine = {"seed": "pass", "save": "return 1", "restore": "pass", "given": "Rng()"}
    for wrong, message in (
        ({"given": "object()"}, "which has no name, seed, save, restore"),
        ({"save": "return None"}, "generator 'mine': save() returned None"),
        ({"save": "raise OSError('gone')"}, "generator 'mine': save() raised OSError: gone"),
        ({"seed": "raise OSError('gone')"}, "generator 'mine': seed() raised OSError: gone"),
        ({"restore": "raise OSError('gone')"}, "generator 'mine': restore() raised OSError: gone"),
    ):
        session = sessions.run(source, conftest=template.format(**fine | wrong))
        text = session.text + session.run.stderr.str()
        assert message in text, text
        assert "INTERNALERROR" not in text, text
        assert session.exitcode not in (0, pytest.ExitCode.INTERNAL_ERROR)


def test_a_report_that_cannot_be_written_is_a_usage_error(sessions: Sessions) -> None:
    source = "import pytest\n@pytest.mark.reproducible\ndef test_it():\n    return 1\n"
    (sessions.folder / "a_folder").mkdir()
    session = sessions.run(source, "--repro-json=a_folder", json_report=False)
    assert session.exitcode == pytest.ExitCode.USAGE_ERROR
    assert "--repro-json: 'a_folder' is a folder; give the name of a file" in session.run.stderr.str()
    (sessions.folder / "a_file").write_text("")
    session = sessions.run(source, "--repro-json=a_file/report.json", json_report=False)
    assert session.exitcode == pytest.ExitCode.USAGE_ERROR
    assert "--repro-json=a_file/report.json could not be written: " in session.text
    assert "written to" not in session.text
    assert session.outcomes == {"passed": 1}
