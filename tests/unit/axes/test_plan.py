"""The number of runs for a set of axes, and the condition of each run."""

from __future__ import annotations

import pytest

from pytest_repro.axes.machine import Machine
from pytest_repro.axes.parse import parse_across
from pytest_repro.axes.plan import plan_conditions
from pytest_repro.axes.spec import Axis
from pytest_repro.errors import UsageError
from pytest_repro.model import Condition, Tolerance

MACHINE = Machine("linux", "x86_64", 4, frozenset({"avx2", "fma"}), ("glibc", "2.36"), True, ("C", "C.utf8", "POSIX"))
ONE_CORE = Machine("linux", "x86_64", 1, frozenset({"avx2", "fma"}), ("glibc", "2.36"), True, ("C",))


def test_axes_with_one_tolerance_are_varied_together() -> None:
    plan = plan_conditions(parse_across({"hash_seed": [0, 1, 2, 3], "threads": [1, 2], "process": 2}), MACHINE)
    assert plan.baseline == Condition((("hash_seed", 0), ("threads", 1), ("process", 0)))
    assert [run.condition.as_dict() for run in plan.runs] == [
        {"hash_seed": 1, "threads": 2, "process": 1},
        {"hash_seed": 2},
        {"hash_seed": 3, "threads": 2, "process": 1},
    ]


def test_an_axis_with_its_own_tolerance_has_its_own_runs() -> None:
    plan = plan_conditions(
        parse_across({"hash_seed": [0, 1], "threads": Axis([1, 2], max_ulp=64), "timezone": ["UTC", "EST5EDT"]}),
        MACHINE,
    )
    assert [(r.condition.as_dict(), r.tolerance) for r in plan.runs] == [
        ({"hash_seed": 1, "timezone": "EST5EDT"}, None),
        ({"threads": 2}, Tolerance(max_ulp=64)),
    ]


def test_axes_with_equal_tolerances_share_runs() -> None:
    plan = plan_conditions(
        parse_across({"threads": Axis([1, 2], max_ulp=4), "isa": Axis(["generic"], max_ulp=4)}), MACHINE
    )
    assert len(plan.runs) == 1


def test_equal_rules_with_other_references_do_not_share_runs() -> None:
    one, other = Tolerance.auto([1.0]), Tolerance.auto([2.0])
    plan = plan_conditions(
        parse_across({"threads": Axis([1, 2], tolerance=one), "hash_seed": Axis([0, 1], tolerance=other)}), MACHINE
    )
    assert len(plan.runs) == 2


def test_each_argument_is_varied_alone_so_that_it_cannot_hide_a_fault_of_another_axis() -> None:
    plan = plan_conditions(parse_across({"hash_seed": [0, 1], "fast": [False, True], "batch": [1, 8, 32]}), MACHINE)
    assert plan.baseline.as_dict() == {"hash_seed": 0, "fast": False, "batch": 1}
    assert [run.condition.as_dict() for run in plan.runs] == [
        {"hash_seed": 1},
        {"fast": True},
        {"batch": 8},
        {"batch": 32},
    ]


def test_every_value_of_every_axis_is_run_at_least_once() -> None:
    requests = parse_across(
        {"hash_seed": [0, 1, 2, 3, 4], "threads": [1, 2, 3], "clock": [0, 3600], "fast": [False, True]}
    )
    plan = plan_conditions(requests, MACHINE)
    for axis in plan.axes:
        taken = [plan.complete(run.condition).as_dict()[axis.name] for run in plan.runs]
        assert set(axis.values) <= {plan.baseline.as_dict()[axis.name], *taken}


def test_true_and_1_are_two_values_of_an_argument() -> None:
    plan = plan_conditions(parse_across({"flag": [1, True]}), MACHINE)
    assert [run.condition.values for run in plan.runs] == [(("flag", True),)]
    assert plan.runs[0].condition.values[0][1] is True


def test_none_means_unchanged_also_where_the_baseline_changes_the_axis() -> None:
    plan = plan_conditions(parse_across({"timezone": ["UTC", None], "hash_seed": [0, 1]}), MACHINE)
    assert plan.complete(plan.runs[0].condition).as_dict() == {"hash_seed": 1}


def test_the_engine_is_the_strongest_that_any_axis_needs() -> None:
    assert plan_conditions((), MACHINE).needs == "in_process"
    assert plan_conditions(parse_across(["file_order"]), MACHINE).needs == "in_process"
    assert plan_conditions(parse_across(["file_order", "hash_seed"]), MACHINE).needs == "spawn"
    assert plan_conditions(parse_across({"batch": [1, 2]}), MACHINE).needs == "in_process"


def test_an_axis_that_the_machine_cannot_vary_is_an_error_if_it_is_named() -> None:
    with pytest.raises(UsageError, match="cpu_count"):
        plan_conditions(parse_across(["cpu_count"]), ONE_CORE)


def test_an_axis_of_all_that_the_machine_cannot_vary_is_reported() -> None:
    plan = plan_conditions(parse_across(["all"]), ONE_CORE)
    assert "cpu_count" in dict(plan.unavailable)
    assert "cpu_count" not in [axis.name for axis in plan.axes]
    assert plan.runs


def test_a_value_that_the_machine_does_not_have_is_omitted_and_reported() -> None:
    plan = plan_conditions(parse_across({"cpu_count": [1, 2, 64]}), MACHINE)
    assert [axis.values for axis in plan.axes if axis.name == "cpu_count"] == [(1, 2)]
    assert any("64" in note for note in plan.notes)


def test_a_variable_that_two_axes_would_set_is_rejected() -> None:
    with pytest.raises(UsageError, match="TZ twice"):
        plan_conditions(
            parse_across({"env": [{"TZ": "UTC"}, {"TZ": "EST5EDT"}], "timezone": ["UTC", "EST5EDT"]}), MACHINE
        )


def test_a_variable_that_no_other_axis_sets_is_accepted() -> None:
    assert plan_conditions(parse_across({"env": [{"TZ": "UTC"}, {"TZ": "EST5EDT"}]}), MACHINE).runs


def test_all_default_values_need_at_most_three_runs_beyond_the_baseline() -> None:
    assert len(plan_conditions(parse_across(["all"]), MACHINE).runs) == 3


def test_none_is_unchanged_for_a_built_in_axis_and_a_value_of_an_argument() -> None:
    plan = plan_conditions(parse_across({"hash_seed": [None, 1], "stop": [None, 4]}), MACHINE)
    assert plan.baseline.as_dict() == {"stop": None}
    assert plan.complete(Condition((("hash_seed", 1),))).as_dict() == {"hash_seed": 1, "stop": None}
    other = plan_conditions(parse_across({"hash_seed": [1, None], "stop": [4, None]}), MACHINE)
    assert other.complete(Condition((("hash_seed", None), ("stop", None)))).as_dict() == {"stop": None}
