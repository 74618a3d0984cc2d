from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_repro.diagnosis.axis_places import refine_axis
from pytest_repro.diagnosis.observing import Observation
from pytest_repro.model import Artifacts, Cause, Location


def seen_reading(*variables: str) -> Observation:
    sightings = [
        {"kind": "environ", "detail": name, "file": "/a.py", "line": 3, "function": "f", "count": 1, "library": ""}
        for name in variables
    ]
    return Observation(Artifacts(), {"sightings": sightings})


def refined(cause: str, axis: str, value: Any, seen: Observation, first: Any, place: Location | None) -> str:
    (found,) = refine_axis([Cause(cause, axis, "", "", "probed")], axis, value, seen, seen, first, place)
    return found.code


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
def test_a_variable_that_the_code_reads_is_told_by_the_precision_that_it_chooses(
    expected: str, actual: str, code: str
) -> None:
    first = SimpleNamespace(expected=expected, actual=actual, op="")
    assert refined("env.variable", "env", {"RUN_WITH": "x"}, seen_reading("RUN_WITH"), first, None) == code


@pytest.mark.parametrize(
    ("seeds", "others", "code"),
    [(["random 5"], ["random 6"], "time.seed"), (["random 5"], ["random 5", "random 6"], "time.now")],
)
def test_another_number_of_seeds_is_no_seed_from_the_clock(seeds: list[str], others: list[str], code: str) -> None:
    base, varied = (
        Observation(Artifacts(), {"sightings": [{"kind": "seeding", "detail": each, "line": 3} for each in details]})
        for details in (seeds, others)
    )
    (found,) = refine_axis([Cause("time.now", "clock", "", "", "probed")], "clock", 3600, base, varied, None, None)
    assert found.code == code


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("order = np.argsort(-scores)", "isa.numpy_sort"),
        ("best = scores.argpartition(5)[:5]", "isa.numpy_sort"),
        ("total = scores.sum()", "isa.numpy"),
        ("order = sort_key + 1", "isa.numpy"),
    ],
)
def test_a_line_that_sorts_is_told_by_its_source_where_no_call_is_seen(
    tmp_path: Path, statement: str, code: str
) -> None:
    file = tmp_path / "code.py"
    file.write_text(f"def f(scores):\n    {statement}\n")
    place = Location(str(file), 2, "f", statement)
    assert refined("isa.numpy", "isa", {"numpy": "baseline"}, seen_reading(), None, place) == code
    assert refined("isa.numpy", "isa", {"numpy": "baseline"}, seen_reading(), None, None) == "isa.numpy"
