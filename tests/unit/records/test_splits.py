"""What explains a split: only what all environments of a group share and no other has, the likeliest first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_repro.records.differences import find_differences
from pytest_repro.records.splits import explain_split
from tests.unit.records.folders import environment


def explain(groups, environments):
    def differences(one, other):
        return find_differences({"environment": environments[one]}, {"environment": environments[other]})

    return explain_split(groups, differences)


def told(explanations):
    return [({fact.part: fact.values for fact in each.facts}, each.group) for each in explanations]


def test_a_fact_that_divides_like_the_results_is_named_with_the_value_of_each_group():
    libc = "glibc 2.40"
    there = [environment(), environment(libc=libc), environment(blas="Haswell"), environment(blas="Haswell", libc=libc)]
    (found,) = explain([[0, 1], [2, 3]], there)
    assert (found.group, found.facts[0].part, found.facts[0].confirm) == (None, "BLAS or OpenMP", "--repro-across=isa")
    assert found.facts[0].values == (("openblas SkylakeX",), ("openblas Haswell",))


def test_of_several_facts_that_fit_the_likeliest_comes_first():
    found = explain([[0], [1]], [environment(), environment(numpy="2.2.6", libc="glibc 2.31", python="3.13.0")])
    assert [each.facts[0].part for each in found] == ["package that computes", "C library", "python"]
    assert found[0].facts[0].values == (("2.4.0",), ("2.2.6",))
    # Both, since nothing says in which of the two environments the command will be run.
    options = ["--repro-across=python=numpy==2.4.0:numpy==2.2.6", "--repro-across=isa"]
    assert [each.facts[0].confirm for each in found][:2] == options


def test_a_group_may_be_alone_with_a_value_while_the_others_differ_among_themselves():
    there = [environment(), environment(), environment(blas="Haswell"), environment(blas="Zen")]
    values = (("openblas SkylakeX",), ("openblas Haswell", "openblas Zen"))
    assert told(explain([[0, 1], [2, 3]], there)) == [({"BLAS or OpenMP": values}, None)]


def test_versions_explain_by_a_range_that_no_other_environment_is_in():
    there = [environment(numpy=version) for version in ("2.4.6", "2.10.0", "2.2.6", "1.26.4")]
    values = (("2.4.6", "2.10.0"), ("2.2.6", "1.26.4"))
    assert told(explain([[0, 1], [2, 3]], there)) == [({"package that computes": values}, None)]
    assert explain([[0, 3], [1, 2]], there) == []


def test_the_command_to_confirm_has_a_release_of_each_group():
    there = [environment(numpy=version) for version in ("2.2.6", "2.2.4", "2.4.6")]
    (found,) = explain([[0, 1], [2]], there)
    assert found.facts[0].confirm == "--repro-across=python=numpy==2.2.6:numpy==2.4.6"


def test_values_are_told_in_the_shortest_form_that_divides_the_groups():
    there = [environment(), environment()]
    for number, made in enumerate(there):
        made["thread_pools"][0]["version"] = f"0.3.{number}"
    ((found,),) = (each.facts for each in explain([[0], [1]], there))
    assert found.values == (("openblas SkylakeX 0.3.0",), ("openblas SkylakeX 0.3.1",))


def test_a_fact_that_a_group_does_not_share_explains_nothing():
    there = [environment(), environment(blas="Haswell"), environment(blas="Haswell")]
    assert explain([[0, 1], [2]], there) == []


def test_each_of_three_groups_may_have_a_cause_of_its_own():
    there = [environment(), environment(), environment(numpy="2.2.6"), environment(libc="glibc 2.31")]
    assert told(explain([[0, 1], [2], [3]], there)) == [
        ({"package that computes": (("2.4.0",), ("2.2.6",), ("2.4.0",))}, 1),
        ({"C library": (("glibc 2.36",), ("glibc 2.36",), ("glibc 2.31",))}, 2),
    ]


def test_where_no_single_fact_does_the_smallest_combination_is_named():
    there = [
        environment(),
        environment(numpy="2.2.6"),
        environment(blas="Haswell"),
        environment(numpy="2.2.6", blas="Haswell"),
    ]
    (found,) = explain([[0, 1, 2], [3]], there)
    assert (found.group, {fact.part for fact in found.facts}) == (1, {"package that computes", "BLAS or OpenMP"})


def test_environments_that_are_recorded_alike_are_not_explained():
    assert explain([[0], [1]], [environment(), environment()]) == []


def test_another_copy_of_this_plugin_explains_nothing():
    there = [environment(), environment()]
    there[1]["packages"]["pytest-repro"] = {
        "version": "0.1.0",
        "record": "sha256:b",
        "local": True,
        "code": {"commit": "c"},
    }
    assert explain([[0], [1]], there) == []


def test_what_is_unknown_somewhere_explains_nothing_there():
    there = [environment(), environment(), environment()]
    there[2]["variables"] = {"unavailable": "it took longer than 1 s"}
    assert explain([[0, 1], [2]], there) == []


VALUES = st.builds(
    environment,
    numpy=st.sampled_from(["2.2", "2.4"]),
    blas=st.sampled_from(["Zen", "Haswell", "SkylakeX"]),
    libc=st.sampled_from(["glibc 2.36", "glibc 2.41"]),
    threads=st.sampled_from([1, 4]),
)


@given(st.lists(VALUES, min_size=2, max_size=6), st.data())
def test_every_explanation_holds_of_its_group_and_of_no_other_environment(environments, data):
    numbers = [data.draw(st.integers(0, 2)) for _ in environments]
    groups = [[i for i, n in enumerate(numbers) if n == each] for each in range(3)]
    groups = [group for group in groups if group]
    if len(groups) < 2:
        return

    def differing(one, other):
        found = find_differences({"environment": environments[one]}, {"environment": environments[other]})
        return {(each.part, each.name) for each in found}

    for explanation in explain(groups, environments):
        keys = {(fact.part, fact.name) for fact in explanation.facts}
        for group in groups if explanation.group is None else [groups[explanation.group]]:
            outside = [i for other in groups if other is not group for i in other]
            assert all(differing(one, other) & keys for one in group for other in outside)
            if explanation.group is not None and "C library" not in {part for part, _ in keys}:
                assert not any(differing(one, other) & keys for one in group for other in group)
