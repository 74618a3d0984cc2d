from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_repro.diagnosis.arguments import ArgumentEvidence, name_argument
from pytest_repro.diagnosis.batch_statistics import Neighbours
from pytest_repro.diagnosis.resumption import Unrestored
from pytest_repro.model import Artifacts, Location
from pytest_repro.sources.base import Observation

PLACE = Location("a.py", 7, "fit", "loss.backward()")


def observed(*sightings: tuple[str, str, int]) -> Observation:
    entries = [
        {"kind": kind, "detail": detail, "file": "a.py", "line": 7, "function": "fit", "count": count}
        for kind, detail, count in sightings
    ]
    return Observation(Artifacts(), {"sightings": entries})


def evidence(
    name: str,
    base: Observation,
    varied: Observation,
    *,
    size: float | None = 1e-7,
    are_identical: bool = True,
    **first: Any,
) -> ArgumentEvidence:
    value = SimpleNamespace(name="x", expected="1", actual="2", source="x = f(y)", op="", module="", **{})
    for key, text in first.items():
        setattr(value, key, text)
    return ArgumentEvidence(name, base, varied, value, PLACE, size, lambda pin: are_identical)


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
def test_state_that_a_resumed_run_saves_and_does_not_load_is_its_cause(
    saves: list[str], loads: list[str], code: str
) -> None:
    varied = observed(*(("saves", kind, 1) for kind in saves), *(("loads", kind, 1) for kind in loads))
    assert codes(evidence("resume", NOTHING, varied)) == [code]


def test_state_that_both_runs_load_does_not_make_a_resumed_run() -> None:
    both = observed(("saves", "optimizer", 1), ("loads", "module", 1))
    assert codes(evidence("resume", both, both)) == []


def test_more_backward_calls_for_more_than_rounding_are_more_steps_unless_the_argument_says_parts() -> None:
    one, four = observed(("backward", "backward", 3)), observed(("backward", "backward", 12))
    assert codes(evidence("n", one, four)) == ["distributed.accumulation"]
    assert codes(evidence("n", one, four, size=0.3)) == []
    assert codes(evidence("epochs", one, four, size=None)) == []
    assert codes(evidence("micro_batches", one, four, size=0.3)) == ["distributed.accumulation"]
    assert codes(evidence("micro_batches", four, four, size=0.3)) == []


def test_another_world_size_is_reported_with_rounding_or_with_more() -> None:
    (rounding,) = name_argument(evidence("world_size", NOTHING, NOTHING))
    (more,) = name_argument(evidence("world_size", NOTHING, NOTHING, size=0.3))
    assert rounding.code == more.code == "distributed.world_size"
    assert "differ by rounding" in rounding.evidence
    assert "by more than rounding" in more.evidence
    assert "rounding" not in more.fix
    assert codes(evidence("micro_batches", NOTHING, NOTHING, size=0.3)) == ["distributed.accumulation"]
    assert codes(evidence("heads", NOTHING, NOTHING, size=0.3)) == []


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("a, b = next(it)", "resume.data_order"),
        ("x = x + torch.randn(5, generator=g)", "resume.torch_rng"),
        ("w -= 0.05 * grad + 0.01 * torch.randn_like(w)", "resume.torch_rng"),
        ("fit(net, dropout(x), y)", "resume.torch_rng"),
        ("noise = rng.normal(size=3)", "resume.numpy_rng"),
        ("rows = random.sample(rows, 3)", "resume.python_rng"),
    ],
)
def test_the_first_draw_of_a_resumed_run_shows_which_generator_was_not_restored(source: str, code: str) -> None:
    assert codes(evidence("interrupted", NOTHING, NOTHING, size=0.3, source=source)) == [code]
    for other in ("rate", "early_stopping", "stop_words"):
        assert codes(evidence(other, NOTHING, NOTHING, size=0.3, source=source)) == []


def test_a_loop_that_continues_elsewhere_shows_the_order_of_data() -> None:
    loop = {"source": "for k in range(first, 5):", "expected": "3", "actual": "0"}
    assert codes(evidence("interrupted", NOTHING, NOTHING, size=0.3, **loop)) == ["resume.data_order"]
    assert codes(evidence("interrupted", NOTHING, NOTHING, size=0.3, **loop | {"expected": "0.5"})) == []


def test_an_array_of_unknown_purpose_counts_as_an_average_and_a_number_does_not() -> None:
    seen = evidence("interrupted", NOTHING, NOTHING, size=0.3)
    array = ("ndarray float64 (3,): 0.1, 0.2, 0.3", "ndarray float64 (3,): 0, 0, 0")
    seen.traced.unrestored = [
        Unrestored("n", "20", "0", "", "a.py", 8, "fit"),
        Unrestored("mean", *array, "", "a.py", 9, "fit"),
    ]
    (cause,) = name_argument(seen)
    assert (cause.code, cause.location and cause.location.line) == ("resume.ema", 9)
    seen.traced.unrestored = [seen.traced.unrestored[0]]
    assert codes(seen) == []


def test_the_longest_row_is_named_with_its_line() -> None:
    seen = evidence("batch_size", NOTHING, NOTHING, size=0.3)
    seen.traced.neighbours = Neighbours(STATISTIC, Location("a.py", 8, "pad", "width = max(group)"))
    (cause,) = name_argument(seen)
    assert (cause.code, cause.location) == ("batch.padding", seen.traced.neighbours.longest)


def test_workers_are_blamed_only_if_working_in_this_process_makes_both_runs_identical() -> None:
    none, two = observed(("loader", "num_workers=0", 1)), observed(("loader", "num_workers=2", 1))
    assert codes(evidence("n", none, two)) == ["workers.rng_stream"]
    assert codes(evidence("n", none, two, are_identical=False)) == []


def test_a_flag_that_both_runs_set_to_another_value_is_blamed() -> None:
    off, on = (observed(("precision", f"torch.set_flush_denormal({value})", 1)) for value in (False, True))
    assert codes(evidence("fast", off, on)) == ["precision.flag"]
    assert codes(evidence("fast", on, on)) == []


def test_a_flag_is_blamed_only_if_both_runs_are_identical_without_its_call() -> None:
    varied = observed(("precision", "set_float32_matmul_precision('medium')", 1))
    assert codes(evidence("fast", NOTHING, varied)) == ["precision.flag"]
    assert codes(evidence("fast", NOTHING, varied, are_identical=False)) == []


def test_causes_of_batches_differ_by_the_size_of_the_difference_and_by_statistics() -> None:
    norm = observed(("statistics", "batch_norm", 1))
    assert codes(evidence("batch_size", norm, norm, size=0.2)) == ["batch.statistics"]
    assert codes(evidence("batch_size", NOTHING, NOTHING)) == ["batch.kernel"]
    assert codes(evidence("batch_size", NOTHING, NOTHING, op="aten.sigmoid")) == ["batch.simd_tail"]
    assert codes(evidence("batch_size", NOTHING, NOTHING, size=0.2, source="L = max(map(len, c))")) == ["batch.padding"]
    assert codes(evidence("batch_size", NOTHING, NOTHING, size=0.2, source="x = f(y)")) == []


def lost(name: str, code: str) -> Unrestored:
    return Unrestored(name, "5", "0", code, "a.py", 9, "fit")


def test_newly_made_state_is_blamed_where_a_run_loads_or_the_argument_says_that_it_resumes() -> None:
    loading = observed(("loads", "module", 1))
    for name, varied in (("n", loading), ("resume", NOTHING), ("restart_at", NOTHING)):
        seen = evidence(name, NOTHING, varied)
        seen.traced.unrestored = [lost("count", ""), lost("sched.epoch", "resume.scheduler")]
        (cause,) = name_argument(seen)
        assert cause.code == "resume.scheduler"
        assert "`sched.epoch` held 5" in cause.evidence
        assert cause.location is not None
        assert cause.location.line == 9


def test_a_variable_set_for_another_reason_does_not_make_a_resumed_run() -> None:
    seen = evidence("augment", NOTHING, NOTHING)
    seen.traced.unrestored = [lost("order", "resume.data_order")]
    assert name_argument(seen) == []
    saving = evidence("save_every", NOTHING, observed(("saves", "optimizer", 1)))
    assert name_argument(saving) == []


def test_of_several_that_were_lost_the_one_is_blamed_that_the_first_difference_reads() -> None:
    seen = evidence("resume", NOTHING, NOTHING, source="w = w - velocity")
    seen.traced.unrestored = [lost("order", "resume.data_order"), lost("velocity", "resume.optimizer")]
    assert codes(seen) == ["resume.optimizer"]


def test_state_that_was_seen_to_be_loaded_is_blamed_last() -> None:
    seen = evidence("resume", NOTHING, observed(("loads", "optimizer", 1)), source="self.opt.step()")
    seen.traced.unrestored = [lost("opt", "resume.optimizer"), lost("sched", "resume.scheduler")]
    assert codes(seen) == ["resume.scheduler"]
    seen.traced.unrestored = [lost("opt", "resume.optimizer")]
    assert codes(seen) == ["resume.optimizer"]


def test_generators_for_each_part_of_the_work_are_blamed_where_their_number_changes() -> None:
    one, three = (observed(*(("seeding", f"default_rng {i}", 1) for i in range(n))) for n in (1, 3))
    assert codes(evidence("n_jobs", one, three, size=0.3)) == ["workers.rng_stream"]
    assert codes(evidence("n_jobs", one, three)) == []  # rounding is not another stream
    assert codes(evidence("rate", one, three, size=0.3)) == []
    assert codes(evidence("n_jobs", three, three, size=0.3)) == []


def test_rows_padded_to_the_longest_of_their_batch_are_blamed_for_more_than_rounding() -> None:
    padding = observed(("padding", "pad_sequence", 1))
    assert codes(evidence("batch_size", padding, padding, size=0.2)) == ["batch.padding"]
    assert codes(evidence("batch_size", padding, padding)) == ["batch.kernel"]


def test_another_layout_of_an_array_is_blamed_for_rounding_alone() -> None:
    plain, fortran = "ndarray float32 (3, 2): 1, 2", "ndarray float32 (3, 2) in Fortran order: 1, 2"
    assert codes(evidence("from_frame", NOTHING, NOTHING, expected=plain, actual=fortran)) == ["memory.layout"]
    assert codes(evidence("from_frame", NOTHING, NOTHING, expected=plain, actual=fortran, size=0.2)) == []
    assert codes(evidence("n", NOTHING, NOTHING, expected=plain, actual=fortran.replace("2", "3"))) == []


STATISTIC = Location("a.py", 9, "scale", "scaled = rows - rows.mean(axis=0)")


def test_a_statistic_over_the_batch_is_named_with_its_line_where_more_than_rounding_differs() -> None:
    seen = evidence("batch_size", NOTHING, NOTHING, size=0.3)
    assert codes(seen) == []
    seen.traced.neighbours = Neighbours(STATISTIC)
    (cause,) = name_argument(seen)
    assert (cause.code, cause.location) == ("batch.statistics", STATISTIC)
    assert "`scaled = rows - rows.mean(axis=0)`" in cause.evidence
    seen.size = 1e-7
    assert codes(seen) == ["batch.kernel"]


def test_rows_that_are_compared_with_each_other_are_named_before_all_else() -> None:
    seen = evidence("batch_size", NOTHING, NOTHING, size=0.3)
    crossed = Location("a.py", 7, "score", "sims = left @ right.T")
    seen.traced.neighbours = Neighbours(STATISTIC, None, crossed)
    (cause,) = name_argument(seen)
    assert (cause.code, cause.location) == ("batch.statistics", crossed)


def test_a_statistic_is_not_named_where_rows_are_padded_to_the_longest() -> None:
    for source in ("width = max(len(row) for row in rows)", "x = pad(rows)", "n = max(map(len, rows))"):
        seen = evidence("batch_size", NOTHING, NOTHING, size=0.3, source=source)
        seen.traced.neighbours = Neighbours(STATISTIC)
        assert codes(seen) == ["batch.padding"]
    seen = evidence("n_features", NOTHING, NOTHING, size=0.3)
    seen.traced.neighbours = Neighbours(STATISTIC)
    assert codes(seen) == []


def test_a_function_that_one_run_takes_compiled_is_named_where_rounding_differs() -> None:
    place = Location("a.py", 7, "f", "step = fast if compiled else plain")
    seen = evidence("compiled", NOTHING, NOTHING)
    assert codes(seen) == []
    seen.traced.compiled = place
    (cause,) = name_argument(seen)
    assert (cause.code, cause.confidence, cause.location) == ("compile.jit", "seen", place)
    seen.size = 0.3
    assert codes(seen) == []


def test_an_argument_by_whatever_name_is_a_size_of_batches_where_data_are_cut_by_it() -> None:
    seen = evidence("group", NOTHING, NOTHING)
    assert codes(seen) == []
    seen.traced.cut = "size"
    assert codes(seen) == ["batch.kernel"]
    seen.size, seen.traced.neighbours = 0.3, Neighbours(STATISTIC)
    assert codes(seen) == ["batch.statistics"]


def test_an_argument_by_whatever_name_is_a_number_of_parts_where_data_are_cut_into_so_many() -> None:
    seen = evidence("pieces", NOTHING, NOTHING)
    seen.traced.cut = "parts"
    assert codes(seen) == ["distributed.accumulation"]
    seen.size = 0.3  # another result, as may be asked for
    assert codes(seen) == []


def test_a_run_is_resumed_that_saves_and_loads_whatever_the_argument_is_called() -> None:
    lost = Unrestored("rng.state", "a", "b", "resume.numpy_rng", "a.py", 9, "f")
    seen = evidence("relaunch", NOTHING, NOTHING)
    seen.traced.unrestored = [lost]
    assert codes(seen) == []
    seen.traced.unrestored = [lost._replace(is_resumed=True)]
    assert codes(seen) == ["resume.numpy_rng"]
