"""The checks that the callbacks of all trainers share."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from pytest_repro.errors import CaptureError, MissingExtraError, UsageError
from pytest_repro.integrations.training import Recorder
from tests.integrations.helpers import begin


@pytest.mark.parametrize("given", [None, 7, object])
def test_a_callback_takes_the_fixture_and_nothing_else(given):
    with pytest.raises(UsageError, match="the value of the `repro` fixture"):
        Recorder(given, "", None)


@pytest.mark.parametrize("every", [0, -1, True, 1.5, "2"])
def test_an_interval_that_is_no_positive_integer_is_refused(every):
    with pytest.raises(UsageError, match="weights_every_n_steps"):
        Recorder(begin()[0], "", every)


def test_a_name_must_be_text():
    with pytest.raises(UsageError, match="name must be a str"):
        Recorder(begin()[0], 3, None)


def test_values_of_another_process_are_refused_and_not_lost():
    with pytest.raises(UsageError, match="computes in 2: use one device"):
        Recorder(begin()[0], "", None).begin(2)


def test_two_trainings_need_two_names():
    repro, run = begin()
    for name in ("a", "b"):
        Recorder(repro, name, None).take("weights", [1.0])
    assert {"a/weights/0", "b/weights/0"} <= set(run.artifacts.leaves)
    with pytest.raises(CaptureError, match="already used"):
        Recorder(repro, "a", None).take("weights", [1.0])


def test_weights_are_captured_at_every_nth_step():
    repro, run = begin()
    recorder = Recorder(repro, "", 2)
    for step in range(5):
        recorder.take_step(step, {"loss": float(step)}, lambda step=step: float(step))
    assert [path for path in run.artifacts.leaves if path.endswith("weights")] == ["step/1/weights", "step/3/weights"]


@pytest.mark.parametrize(
    ("name", "libraries", "extra"),
    [
        ("hydra", ["hydra"], "hydra"),
        ("lightning", ["lightning", "lightning.pytorch", "pytorch_lightning"], "lightning"),
        ("mlflow", ["mlflow"], "mlflow"),
        ("transformers", ["transformers"], "transformers"),
        ("wandb", ["wandb"], "wandb"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(name, libraries, extra, monkeypatch):
    for library in libraries:
        monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"pytest_repro.integrations.{name}", raising=False)
    with pytest.raises(MissingExtraError, match=rf"pip install pytest-repro\[{extra}\]"):
        importlib.import_module(f"pytest_repro.integrations.{name}")


def test_the_callbacks_are_loaded_by_nothing_else():
    code = (
        "import sys, pytest_repro.plugin, pytest_repro.cli, pytest_repro.session.recorder; print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pytest_repro.cli" in done.stdout
    assert "pytest_repro.integrations" not in done.stdout
