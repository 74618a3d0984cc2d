from __future__ import annotations

from typing import Any

import pytest

from pytest_repro.diagnosis.axis_causes import name_causes
from pytest_repro.diagnosis.isa_libraries import find_libraries
from pytest_repro.model import Condition, TestResult, Verdict

LEVEL: dict[str, Any] = {"OPENBLAS_CORETYPE": "Nehalem", "MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"}


def switches_of(condition: Condition) -> set[str]:
    ((axis, value),) = condition
    assert axis == "isa"
    assert isinstance(value, dict)
    return set(value)


def test_the_library_whose_switch_alone_differs_is_found() -> None:
    assert find_libraries(lambda condition: "MKL_CBWR" in switches_of(condition), LEVEL) == ["mkl"]


def test_each_library_is_asked_for_by_itself_and_only_if_the_level_moves_it() -> None:
    asked: list[set[str]] = []

    def differs(condition: Condition) -> bool:
        asked.append(switches_of(condition))
        return False

    assert find_libraries(differs, LEVEL) == []
    assert asked == [{"OPENBLAS_CORETYPE"}, {"ATEN_CPU_CAPABILITY"}, {"MKL_CBWR"}]


@pytest.mark.parametrize(
    "components, code", [({"isa": ["aten"]}, "isa.aten"), ({"isa": []}, "isa.kernels"), ({}, "isa.kernels")]
)
def test_the_cause_names_the_library_only_where_one_was_found(components: dict[str, list[str]], code: str) -> None:
    matrix, blamed = {"isa": "diverged"}, {2: ["isa"]}
    result = TestResult("t", Verdict.DIVERGED, 0, matrix=matrix, blamed=blamed, components=components)
    assert [cause.code for cause in name_causes(result)] == [code]
