from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_repro.diagnosis.arguments import ArgumentEvidence, name_argument
from pytest_repro.diagnosis.observing import Observation
from pytest_repro.model import Artifacts, Location

PLACE = Location("a.py", 7, "fit", "loss.backward()")


def observed(*sightings: tuple[str, str, int]) -> Observation:
    entries = [
        {"kind": kind, "detail": detail, "file": "a.py", "line": 7, "function": "fit", "count": count}
        for kind, detail, count in sightings
    ]
    return Observation(Artifacts(), {"sightings": entries})


def evidence(
    name: str, base: Observation, varied: Observation, *, size: float | None = 1e-7, agrees: bool = True, **first: Any
) -> ArgumentEvidence:
    value = SimpleNamespace(name="x", expected="1", actual="2", source="x = f(y)", op="", module="", **{})
    for key, text in first.items():
        setattr(value, key, text)
    return ArgumentEvidence(name, base, varied, value, PLACE, size, lambda pin: agrees)


def codes(seen: ArgumentEvidence) -> list[str]:
    return [cause.code for cause in name_argument(seen)]


NOTHING = observed()


def test_an_argument_that_was_seen_to_do_nothing_has_no_cause() -> None:
    assert codes(evidence("rate", NOTHING, NOTHING)) == []


def test_a_name_alone_names_no_batch_where_no_value_of_the_code_was_seen_to_differ() -> None:
    seen = ArgumentEvidence("batch_size", NOTHING, NOTHING, None, None, 1e-7, lambda pin: True)
    assert codes(seen) == []


@pytest.mark.parametrize(
    ("saves", "loads", "code"),
    [
        (["module", "optimizer"], ["module"], "resume.optimizer"),
        (["module", "optimizer", "scheduler"], ["module", "optimizer"], "resume.scheduler"),
        (["module", "torch_rng"], ["module"], "resume.torch_rng"),
    ],
)
def test_what_was_saved_and_not_loaded_is_what_a_resumed_run_lacks(
    saves: list[str], loads: list[str], code: str
) -> None:
    varied = observed(*(("saves", kind, 1) for kind in saves), *(("loads", kind, 1) for kind in loads))
    assert codes(evidence("resume", NOTHING, varied)) == [code]


def test_what_both_runs_load_is_no_resume() -> None:
    both = observed(("saves", "optimizer", 1), ("loads", "module", 1))
    assert codes(evidence("resume", both, both)) == []


def test_more_backward_calls_for_more_than_rounding_are_more_steps_unless_the_argument_says_parts() -> None:
    one, four = observed(("backward", "backward", 3)), observed(("backward", "backward", 12))
    assert codes(evidence("n", one, four)) == ["distributed.accumulation"]
    assert codes(evidence("n", one, four, size=0.3)) == []
    assert codes(evidence("epochs", one, four, size=None)) == []
    assert codes(evidence("micro_batches", one, four, size=0.3)) == ["distributed.accumulation"]
    assert codes(evidence("micro_batches", four, four, size=0.3)) == []


def test_a_world_of_another_size_is_blamed_only_for_rounding() -> None:
    assert codes(evidence("world_size", NOTHING, NOTHING)) == ["distributed.world_size"]
    assert codes(evidence("world_size", NOTHING, NOTHING, size=0.3)) == []


def test_workers_are_blamed_only_if_working_in_this_process_makes_both_runs_agree() -> None:
    none, two = observed(("loader", "num_workers=0", 1)), observed(("loader", "num_workers=2", 1))
    assert codes(evidence("n", none, two)) == ["workers.rng_stream"]
    assert codes(evidence("n", none, two, agrees=False)) == []


def test_a_flag_that_both_runs_set_to_another_value_is_blamed() -> None:
    off, on = (observed(("precision", f"torch.set_flush_denormal({value})", 1)) for value in (False, True))
    assert codes(evidence("fast", off, on)) == ["precision.flag"]
    assert codes(evidence("fast", on, on)) == []


def test_a_flag_is_blamed_only_if_leaving_its_call_out_makes_both_runs_agree() -> None:
    varied = observed(("precision", "set_float32_matmul_precision('medium')", 1))
    assert codes(evidence("fast", NOTHING, varied)) == ["precision.flag"]
    assert codes(evidence("fast", NOTHING, varied, agrees=False)) == []


def test_batches_are_told_apart_by_size_of_the_difference_and_by_what_normalises() -> None:
    norm = observed(("statistics", "batch_norm", 1))
    assert codes(evidence("batch_size", norm, norm, size=0.2)) == ["batch.statistics"]
    assert codes(evidence("batch_size", NOTHING, NOTHING)) == ["batch.kernel"]
    assert codes(evidence("batch_size", NOTHING, NOTHING, op="aten.sigmoid")) == ["batch.simd_tail"]
    assert codes(evidence("batch_size", NOTHING, NOTHING, size=0.2, source="L = max(map(len, c))")) == ["batch.padding"]
    assert codes(evidence("batch_size", NOTHING, NOTHING, size=0.2, source="x = f(y)")) == []
