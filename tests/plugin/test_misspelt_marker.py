"""A marker that is almost `reproducible`: pytest only warns, and the test would pass unchecked."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

MARKED = """
    import random, pytest

    {mark}
    class TestTraining:
        def test_one(self):
            assert random.random() >= 0
"""
PROPOSAL = "Write @pytest.mark.reproducible"


@pytest.mark.parametrize("name", ["reproducable", "reproducibl", "repro"])
def test_a_misspelt_marker_is_an_error_of_collection_that_proposes_the_right_one(sessions: Sessions, name: str) -> None:
    session = sessions.run(MARKED.format(mark=f"@pytest.mark.{name}"), json_report=False)
    assert session.exitcode == 2
    assert session.outcomes == {"errors": 1}
    assert f"test_it.py::TestTraining: no plugin knows the marker '{name}'" in session.text
    assert PROPOSAL in session.text


def test_the_marker_of_a_module_and_of_one_test_are_read_too(sessions: Sessions) -> None:
    sessions.write("import pytest\npytestmark = pytest.mark.reproducable\ndef test_one(): pass\n", "test_module.py")
    sessions.write("import pytest\n@pytest.mark.reproducable()\ndef test_two(): pass\n", "test_function.py")
    session = sessions.run(None, json_report=False)
    assert session.outcomes == {"errors": 2}
    assert "test_module.py: no plugin knows" in session.text
    assert "test_function.py::test_two: no plugin knows" in session.text


def test_a_marker_that_is_added_after_the_collection_is_an_error_of_usage(sessions: Sessions) -> None:
    conftest = """
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker("reproducable")
    """
    session = sessions.run("def test_one(): pass", conftest=conftest, apart=True, json_report=False)
    assert session.exitcode == 4
    assert PROPOSAL in str(session.run.stderr.str())


def test_a_registered_marker_is_no_misspelling(sessions: Sessions) -> None:
    ini = "markers =\n    reproduce: of another plugin\n    repro(issue): of this project\n"
    source = """
        import pytest

        @pytest.mark.reproduce
        @pytest.mark.repro(12)
        def test_one():
            pass
    """
    session = sessions.run(source, "-Werror", ini=ini, json_report=False)
    assert session.exitcode == 0
    assert session.outcomes == {"passed": 1}
