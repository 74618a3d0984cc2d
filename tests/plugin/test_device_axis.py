"""The device axis: each run's device, the tolerance between devices, and devices that this machine lacks.

``cpu:1`` stands for a second device. A test that adds a known error there acts as a kernel that rounds differently.
"""

from __future__ import annotations

import pytest

from pytest_repro.frameworks.device_probe import why_missing
from tests.plugin.helpers import Sessions

NO_ACCELERATOR = pytest.mark.skipif(why_missing("cuda") is None, reason="needs a machine without a GPU")

TWO_DEVICES = """
    import numpy as np
    import pytest
    from pytest_repro import Axis

    def predict(device, error):
        return np.ones(4, np.float32) + np.float32(error if device == "cpu:1" else 0)

    @pytest.mark.reproducible(across={"device": Axis(["cpu", "cpu:1"], max_ulp=2)})
    def test_at_the_bound(repro):
        return predict(repro.device, 2 * 2.0**-23)

    @pytest.mark.reproducible(across={"device": Axis(["cpu", "cpu:1"], max_ulp=1)})
    def test_beyond_the_bound(device):
        return predict(device, 2 * 2.0**-23)

    @pytest.fixture
    def device():
        return "the fixture's own"

    @pytest.fixture
    def model(device):
        return predict(device, 1.0)

    @pytest.mark.reproducible(across={"device": ["cpu", "cpu:1"]})
    def test_through_a_fixture(model):
        return model

    @pytest.mark.reproducible(across={"device": ["cpu", "cpu:1"]})
    def test_differs_from_itself(repro):
        return np.random.default_rng().random()
"""


def test_a_run_gets_its_device_and_is_judged_by_the_tolerance_of_the_axis(sessions: Sessions) -> None:
    session = sessions.run(TWO_DEVICES)
    assert session.verdicts == {
        "test_at_the_bound": "within_tolerance",
        "test_beyond_the_bound": "diverged",
        "test_through_a_fixture": "diverged",
        "test_differs_from_itself": "diverged",
    }
    beyond = session.test("test_beyond_the_bound")
    assert [d["axis"] for d in beyond["divergences"]] == ["device"]
    assert beyond["divergences"][0]["max_ulp"] == 2
    assert session.test("test_at_the_bound")["matrix"] == {"device": "within_tolerance"}


def test_a_device_is_not_blamed_for_a_difference_on_one_device(sessions: Sessions) -> None:
    unstable = sessions.run(TWO_DEVICES, "-k", "itself").test("test_differs_from_itself")
    assert unstable["matrix"] == {"device": "unstable"}
    assert all(divergence["axis"] is None for divergence in unstable["divergences"])


@NO_ACCELERATOR
def test_a_test_whose_only_comparison_needs_an_absent_device_is_skipped(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible(across={"device": ["cpu", "cuda"]})
        def test_parity(repro):
            return 1.0

        @pytest.mark.reproducible(across={"device": ["cpu", "cuda"]}, runs=2)
        def test_repeated_too(repro):
            return 1.0
        """,
        "-rs",
    )
    assert session.outcomes == {"skipped": 1, "passed": 1}
    assert session.verdicts == {"test_parity": "inconclusive", "test_repeated_too": "identical"}
    assert session.test("test_repeated_too")["matrix"] == {"device": "not_available"}
    assert "device is not available here" in session.text


@NO_ACCELERATOR
def test_a_required_device_that_is_absent_stops_the_session(sessions: Sessions) -> None:
    session = sessions.run("def test_a(): pass", "--repro-require=device:cuda", apart=True)
    assert session.exitcode == pytest.ExitCode.USAGE_ERROR
    assert "device:cuda is required and missing" in session.run.stderr.str()


def test_a_required_device_that_is_present_changes_nothing(sessions: Sessions) -> None:
    assert sessions.run("def test_a(): pass", "--repro-require=device:cpu").outcomes == {"passed": 1}


def test_the_error_for_an_invalid_requirement_shows_what_to_write(sessions: Sessions) -> None:
    session = sessions.run("def test_a(): pass", "--repro-require=cuda", apart=True)
    assert "must be device:NAME" in session.run.stderr.str()


def test_the_command_line_accepts_devices_with_an_index(sessions: Sessions) -> None:
    session = sessions.run(TWO_DEVICES, "--repro-across=device=cpu:cpu:1", "-k", "fixture")
    assert session.verdicts == {"test_through_a_fixture": "diverged"}


def test_an_unknown_device_is_an_error_of_collection(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible(across={"device": ["cpu", "gpu"]})
        def test_parity(repro):
            return 1.0
        """
    )
    assert session.outcomes == {"errors": 1}
    assert "device must be 'cpu', 'cuda', 'cuda:1', 'mps' or 'xpu', got 'gpu'" in session.text


@pytest.mark.needs("torch")
def test_torch_tensors_of_two_devices_are_comparable(sessions: Sessions) -> None:
    session = sessions.run(
        """
        import pytest
        import torch

        @pytest.mark.reproducible(across={"device": ["cpu", "cpu:1"]})
        def test_parity(device):
            torch.manual_seed(0)
            model = torch.nn.Linear(3, 2).to(device)
            return {"weights": model, "predictions": model(torch.ones(1, 3, device=device))}
        """,
        apart=True,
    )
    assert session.verdicts == {"test_parity": "identical"}


@pytest.mark.parametrize("options", [["--repro-isolate"], ["--repro-across=device=cpu:cpu:1,hash_seed=0:1"]])
def test_an_isolated_run_gets_its_device_too(sessions: Sessions, options: list[str]) -> None:
    session = sessions.run(
        """
        import pytest

        @pytest.mark.reproducible(across={"device": ["cpu", "cpu:1"]})
        def test_parity(repro):
            return repro.device
        """,
        *options,
        apart=True,
    )
    assert session.verdicts == {"test_parity": "diverged"}
    assert session.test("test_parity")["matrix"]["device"] == "diverged"
