"""Fixtures of class, module and session scope are set up once, and their draws do not shift those of a run."""

from __future__ import annotations

from tests.plugin.helpers import Sessions


def test_wider_fixtures_are_set_up_once_and_shift_no_generator(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import random

        import numpy as np
        import pytest

        ups = []

        @pytest.fixture(scope="session")
        def data():
            ups.append("session")
            return np.random.rand(3), random.random()

        @pytest.fixture(scope="module", params=["a", "b"])
        def model(request, data):
            ups.append(request.param)
            return np.random.rand(2)

        @pytest.fixture(scope="class")
        def of_class():
            ups.append("class")
            return random.random()

        def setup_module():
            random.random()
            np.random.rand(5)

        @pytest.fixture
        def drawn():
            return random.random(), np.random.rand()

        @pytest.mark.reproducible(runs=3)
        def test_it(model, data, drawn):
            return model, data, drawn, random.random(), np.random.rand()

        @pytest.mark.reproducible
        class TestClass:
            def test_it(self, of_class):
                return of_class, random.random()

        def test_were_set_up_once():
            assert ups == ["session", "a", "b", "class"]
        """
    )
    assert session.outcomes == {"passed": 4}, session.text
    assert set(session.verdicts.values()) == {"identical"}


def test_draws_of_a_wider_fixture_do_not_depend_on_the_test_that_requests_it_first(sessions: Sessions) -> None:
    source = """
        import random
        import pytest

        @pytest.fixture(scope="session")
        def weights():
            return random.random()

        @pytest.mark.reproducible
        def test_a(weights):
            return weights

        @pytest.mark.reproducible
        def test_b(weights):
            return weights
    """
    digests = []
    for selection in ("test_it.py", "test_it.py::test_b"):
        session = sessions.run(source, selection)
        digests.append(session.test("test_b")["runs"][0]["digest"])
    assert digests[0] == digests[1]


def test_a_run_that_changes_the_value_of_a_wider_fixture_is_a_divergence(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import numpy as np
        import pytest

        @pytest.fixture(scope="module")
        def weights():
            return np.zeros(3)

        @pytest.mark.reproducible
        def test_trains_on(weights):
            weights += 1
            return weights
        """
    )
    assert session.verdicts == {"test_trains_on": "diverged"}
    assert session.test("test_trains_on")["divergences"][0]["expected"] == "1.0"
    assert session.test("test_trains_on")["divergences"][0]["actual"] == "2.0"


def test_a_flag_set_by_a_wider_fixture_lasts_and_one_set_by_a_test_does_not(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import decimal

        import numpy as np
        import pytest

        @pytest.fixture(scope="module")
        def precise():
            decimal.getcontext().prec = 50
            yield
            decimal.getcontext().prec = 28

        @pytest.mark.reproducible
        def test_uses(precise):
            return decimal.getcontext().prec

        @pytest.mark.reproducible
        def test_leaves_another(precise):
            decimal.getcontext().prec = 7
            return 1

        @pytest.mark.reproducible
        def test_leaves_errors_raised():
            old = np.seterr(all="raise")
            return [old["divide"] != "raise"]

        def test_later(precise):
            assert decimal.getcontext().prec == 50
            assert np.geterr()["divide"] == "warn"
        """
    )
    assert session.verdicts["test_uses"] == "identical", session.text
    assert session.test("test_uses")["notes"] == []
    (note,) = session.test("test_leaves_another")["notes"]
    assert note == "python decimal context was left at prec=7; restored to prec=50"
    # Run 1's setting leaked into run 2, which is the test's own fault.
    assert session.verdicts["test_leaves_errors_raised"] == "diverged"
    assert session.outcomes == {"passed": 3, "failed": 1}
