"""What an interpreter must be started for, so that forks of it can make the runs of a condition."""

from __future__ import annotations

import pytest

from pytest_repro.engines.condition import MAX_DESCRIPTION, describe_interpreter, interpreter_of
from pytest_repro.model import JSON, Condition


@pytest.mark.parametrize(
    "condition, axes, needed",
    [
        ({}, [], {}),
        ({"timezone": "UTC", "cwd": "<empty>", "x": 1}, ["timezone", "cwd", "x"], {}),
        ({"hash_seed": 1}, ["hash_seed"], {"hash_seed": 1}),
        # Another axis has its variables at the start as well, if the plan needs an interpreter anyway.
        ({"hash_seed": 1, "timezone": "UTC", "x": 1}, ["hash_seed"], {"hash_seed": 1, "timezone": "UTC"}),
        ({"isa": None, "timezone": "UTC"}, ["isa", "timezone"], {"timezone": "UTC"}),
        ({"hash_seed": None}, ["hash_seed"], {}),
        ({"env": {}}, ["env"], {"env": {}}),
        ({"env": {"MODE": "a"}}, ["env"], {"env": {"MODE": "a"}}),
        ({"cpu_count": 1}, ["cpu_count"], {"cpu_count": 1}),
        ({"pin:hash": True}, [], {"pin:hash": True}),
        # The baseline's process is any, and another one must be fresh.
        ({"process": 0, "hash_seed": 0}, ["process", "hash_seed"], {"hash_seed": 0}),
        ({"process": 1, "hash_seed": 0}, ["process", "hash_seed"], None),
        # Pools of threads, accelerators, and pins that are about the interpreter itself.
        ({"env": {"OMP_NUM_THREADS": "1"}}, ["env"], None),
        ({"env": {"PYTHON_CPU_COUNT": "1"}}, ["env"], None),
        ({"env": {"CUDA_VISIBLE_DEVICES": "0"}}, ["env"], None),
        ({"hash_seed": 0, "pin:omp": True}, ["hash_seed"], None),
        ({"pin:address": True}, [], None),
    ],
)
def test_the_part_of_a_condition_for_which_an_interpreter_must_be_started(
    condition: dict[str, JSON], axes: list[str], needed: dict[str, JSON] | None
) -> None:
    found = interpreter_of(Condition(tuple(condition.items())), axes)
    assert (None if found is None else found.as_dict()) == needed


def test_an_interpreter_is_described_by_what_it_was_started_for() -> None:
    assert describe_interpreter(Condition()) == ""
    needed = Condition((("hash_seed", 1), ("env", {"MODE": "a", "GONE": None})))
    assert describe_interpreter(needed) == "PYTHONHASHSEED=1, MODE=a GONE unset"


def test_the_description_of_an_interpreter_has_no_secrets_and_a_bounded_length() -> None:
    needed = Condition((("env", {"SERVICE_API_KEY": "a text in words", "MODE": "x" * 5000}),))
    described = describe_interpreter(needed)
    assert described.startswith("SERVICE_API_KEY=[hidden] MODE=xxx")
    assert len(described) == MAX_DESCRIPTION
