"""Lost parts of a checkpoint: those that matter are named, among decoys that are lost too and do not matter."""

from __future__ import annotations

import re
import sys
from functools import partial

import numpy as np
import pytest

from pytest_repro import DivergenceError, assert_resume_equivalent
from pytest_repro.equivalences.restoring import Twins
from pytest_repro.errors import UnstableError
from tests.plugin.helpers import unwrap
from tests.unit.equivalences import checkpoints
from tests.unit.equivalences.checkpoints import Kitchen

CODES = {
    "python": "resume.python_rng",
    "numpy": "resume.numpy_rng",
    "rng": "resume.numpy_rng",
    "own_random": "resume.python_rng",
    "opt": "resume.optimizer",
    "sched": "resume.scheduler",
    "scaler": "resume.scaler",
    "ema": "resume.ema",
    "norm": "resume.norm",
    "stopper": "resume.stopper",
    "buffer": "resume.buffer",
    "epoch": "resume.data_order",
    "order": "resume.data_order",
    "stream": "resume.data_order",
}
DECOYS = ("python", "numpy", "rng", "own_random", "opt", "sched", "scaler")


def fail(make, **options) -> DivergenceError:
    with pytest.raises(DivergenceError) as caught:
        assert_resume_equivalent(make, **{"steps": 8, "process": "same"} | options)
    return caught.value


def read_row(error: DivergenceError, label: str = "cause") -> set[str]:
    found = re.search(rf"^  {label} +(.*?): ", unwrap(str(error)), re.MULTILINE)
    return set(found[1].split(", ")) if found else set()


def test_every_part_has_a_case():
    assert CODES.keys() == set(Kitchen.PARTS)


@pytest.mark.parametrize("part", Kitchen.PARTS)
def test_one_lost_part_on_which_the_weights_depend_is_named(part):
    assert read_row(fail(partial(Kitchen, part, part))) == {CODES[part]}


@pytest.mark.parametrize("part", Kitchen.PARTS)
def test_a_part_is_named_alone_where_others_are_lost_and_nothing_depends_on_them(part):
    decoys = [decoy for decoy in DECOYS if decoy != part]
    error = fail(partial(Kitchen, " ".join([part, *decoys]), part))
    assert read_row(error) == {CODES[part]}
    assert "lost too, and nothing depends on it: " in unwrap(str(error))


@pytest.mark.parametrize(
    ("make", "causes"),
    [
        (partial(Kitchen, "norm rng python", "norm rng"), {"resume.norm", "resume.numpy_rng"}),
        (
            partial(Kitchen, "opt sched ema numpy", "opt sched ema"),
            {"resume.optimizer", "resume.scheduler", "resume.ema"},
        ),
        (partial(Kitchen, "ema python numpy", ""), {"resume.ema"}),
        (partial(Kitchen, "python", ""), {"resume.python_rng"}),
        (partial(checkpoints.Rounding, "python opt", ""), {"resume.half_checkpoint"}),
        (partial(checkpoints.Rounding, "norm python", "norm"), {"resume.half_checkpoint", "resume.norm"}),
        (partial(checkpoints.DrawingSave, "", "python"), {"resume.save"}),
        (partial(checkpoints.DrawingSave, "norm", "norm"), {"resume.norm"}),
        (partial(Kitchen, " ".join(Kitchen.PARTS), " ".join(Kitchen.PARTS)), set(CODES.values())),
        (partial(checkpoints.Nested, "norm python", "norm"), {"resume.norm"}),
    ],
    ids=[
        "two", "three", "a product", "only a generator", "rounded", "rounded and lost", "save draws",
        "save draws in vain", "everything", "inside an object",
    ],
)  # fmt: skip
def test_several_lost_parts_are_named_and_no_other(make, causes):
    assert read_row(fail(make)) == causes


def test_a_lost_record_is_named_only_if_nothing_else_is():
    error = fail(partial(checkpoints.Recording, "norm python", "norm"))
    assert read_row(error) == {"resume.norm"}
    assert "nothing depends on it: `history`, `generators/python`" in unwrap(str(error))
    assert read_row(fail(checkpoints.Recording)) == {"resume.history"}


@pytest.mark.parametrize("used", ["", " ".join(part for part in Kitchen.PARTS if part != "stream")])
def test_a_complete_checkpoint_passes(used):
    assert assert_resume_equivalent(partial(Kitchen, "", used), steps=8, process="same").verdict == "identical"


@pytest.mark.parametrize("process", ["fresh", "fork"])
def test_a_part_is_named_in_another_process(process):
    if process == "fork" and "jax" in sys.modules:
        pytest.skip("another test has loaded JAX here, which does not survive a fork")
    error = fail(partial(Kitchen, "norm python rng", "norm"), process=process)
    assert read_row(error) == {"resume.norm"}
    evidence = "with `norm` restored, the training ends like the one without a stop, apart from what nothing depends on"
    assert evidence in unwrap(str(error))


@pytest.mark.parametrize("select", [None, checkpoints.weights_of])
def test_a_part_of_a_dict_is_named_whatever_is_compared(select):
    functions = {"step": checkpoints.step_dict, "save": checkpoints.save_dict, "load": checkpoints.load_dict}
    assert read_row(fail(checkpoints.make_dict, state=select, **functions)) == {"resume.mean"}


def test_state_of_a_class_is_no_part_so_lost_parts_are_only_suspected():
    error = fail(partial(checkpoints.ClassCounter, "norm", "norm"))
    assert (read_row(error), read_row(error, "suspected")) == (set(), {"resume.norm"})
    assert error.equivalence.explanation.cause == ""
    assert "the results differ even with all of them restored" in str(error)


def test_entropy_after_the_stop_makes_the_training_unstable_and_blames_no_part():
    with pytest.raises(UnstableError, match="differs from one process to the next without a stop: step 5"):
        assert_resume_equivalent(partial(checkpoints.Drifting, "norm", "norm"), steps=8, process="same")


def test_parts_that_could_not_be_tried_in_time_are_only_suspected(monkeypatch):
    monkeypatch.setattr("pytest_repro.equivalences.resumed_runs.EXPERIMENT_S", -1.0)
    error = fail(partial(Kitchen, "norm", "norm"))
    assert (read_row(error), read_row(error, "suspected")) == (set(), {"resume.norm"})
    assert "there was no time to try it" in str(error)


def test_a_lost_part_within_the_bounds_is_not_named():
    error = fail(partial(checkpoints.Rounding, "norm", "norm"), tolerance={"weights": checkpoints.LOOSE})
    assert "resume.norm" in read_row(error)


def test_a_restored_part_keeps_its_references_to_other_parts():
    whole, loaded = ({"weights": (w := np.ones(2) * k), "opt": checkpoints.Momentum(w)} for k in (1, 2))
    whole["opt"].velocity += 5
    opt = Twins(whole, loaded).restore("opt")
    assert opt is loaded["opt"]
    assert opt.weights is loaded["weights"]
    assert (opt.velocity.tolist(), loaded["weights"].tolist()) == ([5, 5], [2, 2])
    assert Twins(whole, loaded).find_references() == {"opt/weights": "weights"}


def test_what_cannot_be_copied_is_taken_from_the_other_state():
    whole, loaded = ({"stream": (i for i in range(5))} for _ in range(2))
    next(whole["stream"])
    assert next(Twins(whole, loaded).restore("stream")) == 1
