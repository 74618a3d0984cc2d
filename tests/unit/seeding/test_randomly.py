"""Seeds while pytest-randomly is active."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pytest_repro import seeding
from pytest_repro.seeding import randomly
from tests.unit.seeding.helpers import run_python

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def kept() -> object:
    """Restore every generator after the test."""
    state = seeding.save_state()
    yield
    seeding.restore_state(state)


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def reseed_as_randomly_does(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    randomly.reseed(seed)


@pytest.mark.parametrize("seed", [0, -5, 2**32, 2**33 + 7, 2**70])
def test_outside_of_a_run_torch_gets_the_seed_and_the_others_keep_it(seed: int) -> None:
    reseed_as_randomly_does(seed)
    drawn = draw()
    assert drawn[0] == random.Random(seed).random()
    assert drawn[1] == np.random.RandomState(seed % 2**32).rand()
    torch.manual_seed(seed % 2**32)
    assert drawn[2] == float(torch.rand(()))


def test_within_a_run_the_runs_seed_is_kept() -> None:
    with seeding.seeded(3):
        expected = draw()
    with seeding.seeded(3):
        reseed_as_randomly_does(77)
        assert draw() == expected


def test_within_a_run_that_was_seeded_again_the_later_seed_is_kept() -> None:
    with seeding.seeded(3):
        seeding.seed_everything(4)
        expected = draw()
    with seeding.seeded(3):
        seeding.seed_everything(4)
        reseed_as_randomly_does(77)
        assert draw() == expected


def test_pytest_randomly_reseeds_torch_before_every_phase_through_the_entry_point(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_randomly")
    pytester.makepyfile(
        """
        import pytest, torch

        @pytest.fixture
        def weights():
            return float(torch.rand(()))

        def test_draws(weights):
            with open("draws.txt", "a") as file:
                print(weights, float(torch.rand(())), file=file)
        """
    )
    # The entry point may be absent from an editable install that is older than it.
    pytester.makeconftest(
        """
        import pytest_randomly
        from pytest_repro.seeding.randomly import reseed

        pytest_randomly.entrypoint_reseeds = [reseed]
        """
    )
    for _ in range(2):
        pytester.runpytest_subprocess("-p", "randomly", "--randomly-seed=5").assert_outcomes(passed=1)
    first, second = pytester.path.joinpath("draws.txt").read_text().splitlines()
    assert first == second


def test_loading_the_entry_point_imports_no_framework() -> None:
    code = """
        import sys
        from pytest_repro.seeding.randomly import reseed
        reseed(3)
        print(sorted({"numpy", "torch", "hypothesis", "sklearn"} & set(sys.modules)))
    """
    assert run_python(code) == "[]"
