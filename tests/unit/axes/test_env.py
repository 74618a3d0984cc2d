"""Environment variables, in real interpreters."""

from __future__ import annotations

import os

from tests.unit.axes.children import judge, run_child

READ = "import os; seen['A'] = os.environ.get('REPRO_A')"


def test_variables_are_set_before_anything_is_imported() -> None:
    child = run_child({"env": {"REPRO_A": "1"}}, before="import os; seen['early'] = os.environ.get('REPRO_A')")
    assert child.seen["early"] == "1"


def test_none_unsets_a_variable() -> None:
    assert run_child({"env": {"REPRO_A": None}}, READ, env={"REPRO_A": "outer"}).seen["A"] is None


def test_a_variable_that_only_one_run_names_counts_as_varied() -> None:
    plain, one, same = (run_child({"env": value}) for value in ({}, {"REPRO_A": "1"}, {"REPRO_A": "1"}))
    assert judge(plain, one, "env").status == "varied"
    assert judge(one, same, "env").status == "not_varied"


def test_a_variable_set_to_its_old_value_counts_as_not_varied() -> None:
    outer = {"REPRO_A": "1"}
    assert (
        judge(run_child({"env": {}}, env=outer), run_child({"env": {"REPRO_A": "1"}}, env=outer), "env").status
        == "not_varied"
    )


def test_a_variable_of_another_axis_does_not_count_as_env() -> None:
    one = run_child({"env": {}, "timezone": "UTC0"}, axes=["env"])
    other = run_child({"env": {}, "timezone": "EST5EDT"}, axes=["env"])
    assert judge(one, other, "env").status == "not_varied"


def test_a_variable_of_another_axis_counts_where_env_names_it() -> None:
    outer = {"LC_ALL": "C.UTF-8"}
    plain, one, other = (run_child({"env": v}, env=outer) for v in ({}, {"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}))
    assert judge(one, other, "env").varied == judge(plain, one, "env").varied == ("LC_ALL",)
    assert judge(plain, other, "env").status == "not_varied"


def test_a_run_that_changes_the_variable_is_reported() -> None:
    child = run_child({"env": {"REPRO_A": "1"}}, "import os; os.environ['REPRO_A'] = '2'")
    assert child.effect.problems == (("REPRO_A", "the run changed it"),)


def test_values_never_reach_the_record() -> None:
    child = run_child({"env": {"REPRO_A": "1"}}, env={"REPRO_SECRET": "hunter2"})
    assert "hunter2" not in str(child.effect.to_json())
    assert "REPRO_SECRET" not in os.environ
