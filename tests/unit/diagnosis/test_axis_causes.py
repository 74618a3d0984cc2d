from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pytest_repro.axes import BUILT_IN_NAMES
from pytest_repro.diagnosis.axis_causes import AxisRuns, find_libraries, name_axis
from pytest_repro.diagnosis.catalogue import fix_of
from pytest_repro.diagnosis.naming import name_causes
from pytest_repro.diagnosis.trace_statements import is_elementwise
from pytest_repro.model import (
    ArtifactComparison,
    Cause,
    Comparison,
    Condition,
    Location,
    RunResult,
    TestResult,
    Verdict,
)
from pytest_repro.sources.base import Observation
from tests.unit.diagnosis.helpers import observed, sighting


def result(matrix: dict[str, str], blamed: dict[int, list[str]], **more: Any) -> TestResult:
    return TestResult("test_it.py::test_a", Verdict.DIVERGED, 0, matrix=matrix, blamed=blamed, **more)


def test_a_blamed_axis_names_its_cause_with_the_axes_that_changed_nothing_as_evidence() -> None:
    (cause,) = name_causes(result({"hash_seed": "diverged", "timezone": "identical"}, {2: ["hash_seed"]}))
    assert (cause.code, cause.axis) == ("hash.str_hashseed", "hash_seed")
    assert "varied alone, timezone changed nothing" in cause.evidence
    assert "sorted" in cause.fix


def test_the_evidence_counts_the_runs_along_the_axis() -> None:
    differing = Comparison((ArtifactComparison("w", "values", within=False),), 1, 1)
    runs = [(RunResult(number, Condition((("clock", number),))), differing) for number in (2, 3)]
    runs += [(RunResult(4, Condition((("clock", 4),))), Comparison()), (RunResult(5), Comparison())]
    (cause,) = name_causes(result({"clock": "diverged"}, {2: ["clock"]}, comparisons=runs))
    assert cause.evidence.startswith(
        "2 of 3 runs with another value of clock differed, and runs with the same one were"
    )


@pytest.mark.parametrize("cell", ["unstable", "not_isolated", "not_varied", "identical"])
def test_an_axis_that_was_not_shown_to_be_to_blame_names_no_cause(cell: str) -> None:
    assert name_causes(result({"threads": cell}, {2: ["threads"]})) == []


def test_nothing_blamed_names_nothing() -> None:
    assert name_causes(result({"threads": "diverged"}, {2: []})) == []


def test_an_axis_blamed_in_two_runs_is_named_once() -> None:
    causes = name_causes(result({"clock": "diverged"}, {2: ["clock"], 3: ["clock"]}))
    assert [cause.code for cause in causes] == ["time.now"]


def test_every_axis_but_a_bare_process_stands_for_a_cause() -> None:
    without = [axis for axis in BUILT_IN_NAMES if not name_causes(result({axis: "diverged"}, {2: [axis]}))]
    # A fresh process differs in addresses, its id and entropy drawn at import: which one it was is open.
    assert without == ["process"]


def test_an_argument_of_the_test_is_blamed_without_a_guess_at_the_cause() -> None:
    assert name_causes(result({"num_workers": "diverged"}, {2: ["num_workers"]})) == []


def named(
    axis: str, value: Any, base: Observation, varied: Observation | None = None, component: str = "", **more: Any
) -> Cause:
    """Return the cause of a blamed axis, by two watched runs."""
    runs = AxisRuns(axis, value, base, varied or base, **more)
    components = {axis: [component]} if component else {}
    cause = name_axis(axis, result({axis: "diverged"}, {2: [axis]}, components=components), runs)
    assert cause is not None
    return cause


@pytest.mark.parametrize(
    ("expected", "actual", "code"),
    [
        ("Tensor float32 (64, 8): -0.648311198, 0.38", "Tensor bfloat16 (64, 8): -0.648, 0.38", "precision.env"),
        ("ndarray float64 (3,): 1, 2, 3", "ndarray float32 (3,): 1, 2, 3", "precision.env"),
        ("float32(0.5)", "float64(0.5)", "precision.env"),
        ("Tensor float32 (64, 8): 1, 2", "Tensor float32 (64, 8): 1, 3", "env.variable"),
        ("Tensor float32 (64, 8): 1, 2", "Tensor int64 (64, 8): 1, 2", "env.variable"),
        ("'float32'", "'bfloat16'", "env.variable"),
    ],
)
def test_a_variable_that_the_code_reads_is_named_by_the_precision_that_it_chooses(
    expected: str, actual: str, code: str
) -> None:
    first = SimpleNamespace(expected=expected, actual=actual, op="")
    seen = observed(sighting("environ", detail="RUN_WITH"))
    assert named("env", {"RUN_WITH": "x"}, seen, first=first).code == code


@pytest.mark.parametrize(
    ("variable", "is_read", "code"),
    [
        ("ONEDNN_DEFAULT_FPMATH_MODE", False, "precision.env"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", True, "env.variable"),
        ("OMP_NUM_THREADS", False, "threads.reduction_order"),
        ("ATEN_CPU_CAPABILITY", False, "isa.aten"),
        ("MKL_CBWR", False, "isa.mkl"),
        ("OPENBLAS_CORETYPE", False, "isa.openblas"),
        ("NPY_DISABLE_CPU_FEATURES", False, "isa.numpy"),
        ("TZ", False, "env.timezone"),
        ("LC_ALL", False, "env.locale"),
        ("PYTHONHASHSEED", False, "hash.str_hashseed"),
        ("LR", False, "env.variable"),
    ],
)
def test_a_variable_is_named_by_who_reads_it(variable: str, is_read: bool, code: str) -> None:
    seen = observed(sighting("environ", detail=variable)) if is_read else observed()
    cause = named("env", {variable: "x"}, seen)
    assert (cause.code, cause.fix) == (code, fix_of(code))


@pytest.mark.parametrize(
    ("seeds", "others", "code"),
    [(["random 5"], ["random 6"], "time.seed"), (["random 5"], ["random 5", "random 6"], "time.now")],
)
def test_another_number_of_seeds_is_no_seed_from_the_clock(seeds: list[str], others: list[str], code: str) -> None:
    base, varied = (observed(*(sighting("seeding", detail=each) for each in details)) for details in (seeds, others))
    assert named("clock", 3600, base, varied).code == code


def test_the_clock_axis_names_the_library_that_reads_it() -> None:
    cause = named("clock", 3600, observed(sighting("clock", "lib")), place=Location("/a.py", 3, "f"))
    assert (cause.code, cause.fix) == ("time.now", fix_of("time.now", "lib"))
    assert "read inside lib" in cause.evidence


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("order = np.argsort(-scores)", "isa.numpy_sort"),
        ("best = scores.argpartition(5)[:5]", "isa.numpy_sort"),
        ("total = scores.sum()", "isa.numpy"),
        ("order = sort_key + 1", "isa.numpy"),
    ],
)
def test_a_line_that_sorts_is_recognised_by_its_source_where_no_call_is_seen(
    tmp_path: Any, statement: str, code: str
) -> None:
    file = tmp_path / "code.py"
    file.write_text(f"def f(scores):\n    {statement}\n")
    place = Location(str(file), 2, "f", statement)
    assert named("isa", {"numpy": "baseline"}, observed(), component="numpy", place=place).code == code
    assert named("isa", {"numpy": "baseline"}, observed(), component="numpy").code == "isa.numpy"


@pytest.mark.parametrize(("op", "code"), [("aten.sigmoid.default", "threads.simd_tail"), ("aten.sum.default", None)])
def test_threads_are_named_by_the_operation_that_differs(op: str, code: str | None) -> None:
    first = SimpleNamespace(op=op, expected="", actual="")
    assert named("threads", 1, observed(), first=first).code == (code or "threads.reduction_order")


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("aten.sigmoid.default", True),
        ("aten.tanh_.default", True),
        ("aten.gelu_backward.default", True),
        ("aten.pow.Tensor_Scalar", True),
        ("aten.mish", True),
        ("aten._log_softmax.default", False),
        ("aten.logsumexp.default", False),
        ("aten.cosine_similarity.default", False),
        ("aten.expand.default", False),
        ("aten.addmm.default", False),
        ("", False),
    ],
)
def test_operations_on_each_element_are_distinguished_from_those_with_similar_names(op: str, expected: bool) -> None:
    assert is_elementwise(op) is expected


LEVEL: dict[str, Any] = {"OPENBLAS_CORETYPE": "Nehalem", "MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"}


def test_the_fix_of_a_hash_seed_suits_the_line_that_calls_hash(tmp_path: Path) -> None:
    file = tmp_path / "users.py"
    file.write_text("def f():\n    x = hash(token)\n")
    cause = named("hash_seed", {}, observed(), place=Location(str(file), 2, "f", "x = hash(token)"))
    assert cause.fix.startswith("replace hash()")


def switches_of(condition: Condition) -> set[str]:
    ((axis, value),) = condition
    assert axis == "isa"
    assert isinstance(value, dict)
    return set(value)


def test_the_library_whose_switch_alone_differs_is_found() -> None:
    assert list(find_libraries(lambda condition: "MKL_CBWR" in switches_of(condition), LEVEL)) == ["mkl"]


def test_each_library_is_varied_by_itself_and_only_if_the_level_moves_it() -> None:
    asked: list[set[str]] = []

    def differs(condition: Condition) -> bool:
        asked.append(switches_of(condition))
        return False

    assert list(find_libraries(differs, LEVEL)) == []
    assert sorted(map(sorted, asked)) == [["ATEN_CPU_CAPABILITY"], ["MKL_CBWR"], ["OPENBLAS_CORETYPE"]]


@pytest.mark.parametrize(("loaded", "order"), [(True, ["aten", "openblas"]), (False, ["openblas", "aten"])])
def test_the_libraries_of_a_loaded_framework_come_first_and_each_is_known_at_once(
    monkeypatch: pytest.MonkeyPatch, loaded: bool, order: list[str]
) -> None:
    # Not in `sys.modules` itself: pytest-randomly would seed what has the name of torch.
    modules = {"torch": ModuleType("torch")} if loaded else {}
    monkeypatch.setattr("pytest_repro.diagnosis.axis_causes.sys", SimpleNamespace(modules=modules))
    asked: list[set[str]] = []

    def differs(condition: Condition) -> bool:
        asked.append(switches_of(condition))
        return "MKL_CBWR" not in switches_of(condition)

    libraries = find_libraries(differs, LEVEL)
    assert next(libraries) == order[0]
    assert len(asked) == 1
    assert list(libraries) == order[1:]


@pytest.mark.parametrize(
    ("components", "code"), [({"isa": ["aten"]}, "isa.aten"), ({"isa": []}, "isa.kernels"), ({}, "isa.kernels")]
)
def test_the_cause_names_the_library_only_where_one_was_found(components: dict[str, list[str]], code: str) -> None:
    found = result({"isa": "diverged"}, {2: ["isa"]}, components=components)
    assert [cause.code for cause in name_causes(found)] == [code]
