"""Resuming: each loss is named, in every kind of process, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pytest_repro import DivergenceError, InconclusiveError, Tolerance, UsageError, assert_resume_equivalent
from pytest_repro.errors import ChildError
from tests.unit.equivalences import loops

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux")


def run_in_new_interpreter(code):
    """Run code and return what it prints. Another test may have loaded a framework here that cannot be forked."""
    imports = "from functools import partial; from pytest_repro import *; from tests.unit.equivalences import loops\n"
    command = [sys.executable, "-c", imports + code]
    root = Path(__file__).parents[3]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=root, check=True).stdout


def test_a_complete_checkpoint_passes_in_a_new_interpreter():
    shown = assert_resume_equivalent(loops.Walk, steps=4)
    assert shown.verdict == "identical"
    assert shown.trials == ("resumed at step 1", "resumed at step 2")
    assert shown.notes == ()


@pytest.mark.parametrize(
    ("process", "note"),
    [
        ("fresh", None),
        ("same", "ran in this process, as requested"),
        pytest.param("fork", "ran in forks of this process, as requested", marks=needs_fork),
    ],
)
def test_a_lost_momentum_is_named_in_every_kind_of_process(process, note):
    message = run_in_new_interpreter(f"""if True:
        try:
            assert_resume_equivalent(partial(loops.Walk, "momentum"), steps=5, process={process!r})
        except DivergenceError as error:
            print(error)
        """)
    assert "cause     resume.momentum: lost between save() and load()" in message
    assert "first     step 2: weights" in message
    assert ("note" in message) == (note is not None)
    assert (note or "") in message


@pytest.mark.parametrize(
    ("lost", "cause"),
    [("python_rng", "resume.python_rng"), ("numpy_rng", "resume.numpy_rng"), ("global numpy", "resume.numpy_rng")],
)
def test_a_lost_generator_is_named(lost, cause):
    with pytest.raises(DivergenceError, match=f"cause +{cause}: "):
        assert_resume_equivalent(partial(loops.Walk, lost), steps=4, process="same")


def test_saving_that_draws_a_random_number_is_named_as_saving():
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(partial(loops.Walk, "save draws"), steps=4, resume_at=2, process="same")
    assert "cause     resume.save: saving itself changes the training state" in str(caught.value)
    assert "`generators/python`" in str(caught.value)


def test_a_lost_iterator_that_cannot_be_compared_is_named():
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(loops.Iterating, steps=4, process="same")
    assert "cause     resume.data_order: lost between save() and load()" in str(caught.value)
    assert "`stream` (data_order) at step 1: it cannot be compared" in str(caught.value)


def test_a_training_that_never_repeats_is_inconclusive():
    with pytest.raises(InconclusiveError, match="differs from one process to the next"):
        assert_resume_equivalent(loops.Unseeded, steps=3)


def test_functions_over_a_dict_are_enough():
    functions = {"step": loops.step_dict, "save": loops.save_dict}
    assert assert_resume_equivalent(loops.make_dict, steps=4, load=loops.load_dict, **functions)
    with pytest.raises(DivergenceError, match=r"rounded\s+to\s+float32"):
        assert_resume_equivalent(loops.make_dict, steps=4, load=loops.load_float32, process="same", **functions)


def test_a_tolerance_applies_to_the_artifacts_that_it_names():
    functions = {"step": loops.step_dict, "save": loops.save_dict, "load": loops.load_float32, "process": "same"}
    shown = assert_resume_equivalent(loops.make_dict, steps=4, rtol=1e-6, **functions)
    assert shown.verdict == "within_tolerance"
    with pytest.raises(DivergenceError):
        assert_resume_equivalent(loops.make_dict, steps=4, tolerance={"x": Tolerance(rtol=1e-12)}, **functions)


@needs_fork
def test_a_local_function_falls_back_to_a_fork_and_the_report_says_so():
    shown = run_in_new_interpreter("print(assert_resume_equivalent(lambda: loops.Walk(), steps=3))")
    assert "ran in forks instead of new interpreters, with the same hash seed and imports: `make` is a lambda" in shown


def test_a_fallback_in_this_process_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    monkeypatch.setattr("pytest_repro.frameworks.base_state._is_imported", lambda name: name in ("random", "numpy"))
    shown = assert_resume_equivalent(lambda: loops.Walk(), steps=3)
    assert "ran with fresh objects in this process instead of in new ones: `make` is a lambda, and " in str(shown)
    assert re.search("(jax|tensorflow) does not survive a fork", str(shown))


def test_the_callers_generators_are_restored():
    np.random.seed(7)
    expected = np.random.random()
    np.random.seed(7)
    assert_resume_equivalent(loops.Walk, steps=3, process="same")
    assert np.random.random() == expected


def test_the_users_own_error_comes_with_its_traceback():
    with pytest.raises(ChildError, match=r"(?s)training straight through.*RuntimeError: no step 0"):
        assert_resume_equivalent(loops.Failing, steps=3)


def test_a_save_that_writes_nothing_is_rejected():
    with pytest.raises(UsageError, match="wrote nothing"):
        assert_resume_equivalent(loops.Silent, steps=3, process="same")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 1}, "steps must be an integer >= 2, got 1"),
        ({"steps": True}, "steps must be"),
        ({"steps": 4, "resume_at": 4}, "leaves nothing to train"),
        ({"steps": 4, "resume_at": 0}, "resume_at must be an integer >= 1"),
        ({"steps": 4, "resume_at": ()}, "empty"),
        ({"steps": 4, "process": "thread"}, "process must be one of"),
        ({"steps": 4, "step": 3}, "step must be a function"),
        ({"steps": 4, "rtoll": 1}, "no argument 'rtoll'"),
        ({"steps": 4, "rtol": -1}, "must not be negative"),
        ({"steps": 4, "seed": -1}, "seed"),
    ],
)
def test_a_wrong_argument_is_rejected_before_anything_runs(arguments, message):
    with pytest.raises(UsageError, match=message):
        assert_resume_equivalent(loops.Failing, **arguments)


def test_a_lambda_cannot_run_in_a_new_interpreter():
    with pytest.raises(UsageError, match="`make` is a lambda; move it to module level"):
        assert_resume_equivalent(lambda: loops.Walk(), steps=3, process="fresh")


def test_a_missing_method_of_a_trainer_is_named():
    with pytest.raises(UsageError, match="dict, which has no method step"):
        assert_resume_equivalent(loops.make_dict, steps=3, process="same")


def test_a_step_that_returns_a_loss_instead_of_a_state_is_rejected():
    functions = {"save": loops.save_dict, "load": loops.load_dict, "process": "same"}
    with pytest.raises(UsageError, match=r"step\(\) returned a float, but the state is a dict"):
        assert_resume_equivalent(loops.make_dict, steps=3, step=lambda state, i: 0.5, **functions)
