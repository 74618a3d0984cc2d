"""Seeds: derived from the test's name, set before each run, and restored after the test."""

from __future__ import annotations

import pytest

from tests.plugin.helpers import Sessions

SEEDED = """
    import random

    import numpy as np
    import pytest

    @pytest.fixture
    def drawn():
        return random.random()

    @pytest.mark.reproducible(runs=3)
    def test_it(repro, drawn):
        # The fixture drew the first number.
        expected = random.Random(repro.seed)
        assert [drawn, random.random()] == [expected.random(), expected.random()]
        return repro.seed, repro.rng.random(2), drawn, random.random(), np.random.rand(2)

    @pytest.mark.reproducible
    @pytest.mark.parametrize("i", [0, 1])
    def test_table(i, repro):
        assert repro.device == "cpu"
        return repro.seed
"""


def test_a_seed_is_the_same_in_every_process_and_differs_between_tests(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = []
    for hash_seed in ("0", "1"):
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        session = sessions.run(SEEDED, apart=True)
        assert set(session.verdicts.values()) == {"identical"}, session.text
        reports.append([(t["nodeid"], t["seed"], t["runs"][0]["digest"]) for t in (session.report or {})["tests"]])
    assert reports[0] == reports[1]
    assert len({seed for _, seed, _ in reports[0]}) == 3


def test_the_printed_command_repeats_a_failure(sessions: Sessions) -> None:
    source = """
        import itertools
        import random
        import pytest

        calls = itertools.count()

        @pytest.mark.reproducible(runs=3)
        def test_differs():
            return random.random() + next(calls)
    """
    first = sessions.run(source, "--repro-seed=random")
    command = first.test("test_differs")["repeat_command"]
    assert f"  next    {command}" in first.text
    program, *arguments = command.split()
    assert program == "pytest"
    again = sessions.run(None, *arguments)
    assert again.test("test_differs")["divergences"] == first.test("test_differs")["divergences"]
    assert len(again.test("test_differs")["runs"]) == 3


def test_generators_are_restored_after_a_test_even_when_it_fails(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import random

        import numpy as np
        import pytest

        random.seed(11)
        np.random.seed(11)
        expected = random.Random(11).random(), np.random.RandomState(11).rand()

        @pytest.mark.reproducible
        def test_passes(seed_all):
            return random.random(), np.random.rand()

        @pytest.mark.reproducible
        def test_fails():
            random.random()
            raise OSError

        @pytest.fixture
        def broken():
            yield
            raise OSError

        @pytest.mark.reproducible
        def test_breaks(broken):
            return random.random()

        @pytest.mark.reproducible
        def test_skips():
            random.random()
            pytest.skip()

        def test_seeded(seed_all):
            assert random.random() == random.Random(seed_all).random()

        def test_ordinary():
            assert (random.random(), np.random.rand()) == expected
        """
    )
    assert session.outcomes == {"passed": 4, "failed": 1, "errors": 1, "skipped": 1}, session.text


def test_the_fixtures_work_in_ordinary_tests_too(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import random
        import numpy as np

        def test_seeds(repro, seed_all):
            assert repro.seed == seed_all
            assert repro.run == 1
            assert random.random() == random.Random(repro.seed).random()
            assert repro.rng.random() == np.random.default_rng(repro.seed).random()
            repro.capture("x", 1)

        def test_others(repro):
            assert repro.seed != 0

        def test_deterministic(deterministic):
            assert deterministic is not None
        """
    )
    assert session.outcomes == {"passed": 3}, session.text
    assert session.report is not None
    assert (session.report["tests"], "environment" in session.report) == ([], False)


def test_seed_control_needs_another_result_with_another_seed(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import random
        import numpy as np
        import pytest

        pytestmark = pytest.mark.reproducible(seed_control=True)

        def test_obeys(repro):
            return np.random.default_rng(repro.seed).random()

        def test_obeys_global():
            return random.random()

        def test_ignores(repro):
            return np.random.default_rng(42).random()

        def test_differs():
            return np.random.default_rng().random()

        def test_nothing():
            pass

        def test_fails_with_another(repro, request):
            assert repro.run < 3
            return random.random()
        """
    )
    assert session.verdicts == {
        "test_obeys": "identical",
        "test_obeys_global": "identical",
        "test_ignores": "inconclusive",
        "test_differs": "diverged",
        "test_nothing": "inconclusive",
        "test_fails_with_another": "error",
    }, session.text
    assert session.test("test_ignores")["reason"].startswith("seed ignored: another seed produced the same result")
    runs = session.test("test_obeys")["runs"]
    assert [run["condition"] for run in runs[:2]] == [{}, {}]
    assert list(runs[2]["condition"]) == ["another seed"]
    assert "2 identical runs are weak evidence: " in session.text
    assert session.outcomes == {"passed": 2, "failed": 4}


def test_a_registered_generator_of_another_package_is_seeded_and_restored(sessions: Sessions) -> None:
    sessions.write("import random\nrng = random.Random(1)\n", "simulator.py")
    session = sessions.run(
        """
        import random
        import simulator
        import pytest

        @pytest.mark.reproducible(runs=3)
        def test_it():
            return simulator.rng.random()

        def test_restored():
            assert simulator.rng.random() == random.Random(1).random()
        """,
        conftest="""
        import simulator

        class SimulatorRng:
            name = "simulator"
            def seed(self, number):
                simulator.rng.seed(number)
            def save(self):
                return simulator.rng.getstate()
            def restore(self, state):
                simulator.rng.setstate(state)

        def pytest_repro_register_rng(config):
            return SimulatorRng()
        """,
    )
    assert session.outcomes == {"passed": 2}, session.text
    assert session.verdicts == {"test_it": "identical"}


TORCH = """
    import random
    import pytest

    @pytest.mark.reproducible
    def test_imports_torch_in_its_body():
        before = random.random()
        import torch
        layer = torch.nn.Linear(3, 2)
        return {"weights": layer, "draw": torch.rand(2), "before": before, "after": random.random()}

    @pytest.mark.reproducible
    def test_imports_sklearn_in_its_body():
        import numpy as np
        from sklearn.linear_model import SGDClassifier
        x = np.random.rand(20, 3)
        return SGDClassifier(max_iter=5, tol=None).fit(x, x[:, 0] > 0.5)

    @pytest.mark.reproducible
    def test_leaves_flags_changed():
        import torch
        torch.set_default_dtype(torch.float64)
        return torch.zeros(2, dtype=torch.float32)

    @pytest.mark.reproducible
    def test_kernels(deterministic):
        import torch
        assert torch.are_deterministic_algorithms_enabled()
        return torch.ones(2).cumsum(0)

    @pytest.mark.reproducible
    def test_trains_in_place():
        import torch
        model = torch.nn.Linear(2, 1)
        history = []
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(torch.rand(4, 2)).square().mean()
            loss.backward()
            optimizer.step()
            history.append(model.weight)
        return {"model": model, "optimizer": optimizer, "history": history}

    def test_flags_are_restored():
        import torch
        assert torch.get_default_dtype() is torch.float32
        assert not torch.are_deterministic_algorithms_enabled()
"""


@pytest.mark.needs("torch", "sklearn")
def test_a_first_import_in_the_body_shifts_no_draws_and_flags_are_restored(sessions: Sessions) -> None:
    session = sessions.run(TORCH, apart=True)
    assert session.outcomes == {"passed": 6}, session.text
    assert set(session.verdicts.values()) == {"identical"}
    (note,) = session.test("test_leaves_flags_changed")["notes"]
    assert "float64" in note
    assert "restored to" in note
