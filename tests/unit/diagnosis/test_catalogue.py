from __future__ import annotations

import re

import pytest

from pytest_repro.diagnosis import arguments, axis_places, naming
from pytest_repro.diagnosis.catalogue import CATALOGUE, fix_of, meaning_of


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_cause_has_a_meaning_and_a_fix(code: str) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", code)
    assert meaning_of(code)
    assert fix_of(code)


@pytest.mark.parametrize("module", [arguments, naming])
def test_every_code_that_is_named_is_in_the_catalogue(module: object) -> None:
    import inspect

    source = inspect.getsource(module)  # type: ignore[arg-type]
    families = "|".join({code.partition(".")[0] for code in CATALOGUE})
    named = set(re.findall(rf'"((?:{families})\.[a-z_]+)"', source))
    assert named
    assert named <= CATALOGUE.keys()


def test_a_variable_is_told_apart_by_who_reads_it() -> None:
    read = [{"detail": "ONEDNN_DEFAULT_FPMATH_MODE"}]
    assert axis_places._code_of_variables(["ONEDNN_DEFAULT_FPMATH_MODE"], []) == "precision.env"
    assert axis_places._code_of_variables(["ONEDNN_DEFAULT_FPMATH_MODE"], read) == "env.variable"
    assert axis_places._code_of_variables(["OMP_NUM_THREADS"], []) == "threads.reduction_order"
    assert axis_places._code_of_variables(["LR"], []) == "env.variable"
