"""Parsing the axes that a marker or the command line requests."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_repro.axes.parse import check_arguments, parse_across, parse_across_option
from pytest_repro.axes.plan import plan_conditions
from pytest_repro.axes.spec import BUILT_IN_NAMES, WITHOUT_DEFAULTS, Axis
from pytest_repro.errors import UsageError
from pytest_repro.model import Tolerance


def test_none_requests_no_axis() -> None:
    assert parse_across(None) == ()


def test_names_take_their_default_values() -> None:
    requests = parse_across(["hash_seed", "threads"])
    assert [(r.name, r.kind, r.values) for r in requests] == [
        ("hash_seed", "built_in", None),
        ("threads", "built_in", None),
    ]


def test_a_count_of_processes_becomes_their_numbers() -> None:
    assert parse_across({"process": 3})[0].values == (0, 1, 2)


def test_another_name_is_an_argument_of_the_test() -> None:
    (request,) = parse_across({"num_workers": [0, 2]})
    assert (request.kind, request.values) == ("argument", (0, 2))


def test_an_axis_object_has_its_tolerance() -> None:
    (request,) = parse_across({"threads": Axis([1, 2], max_ulp=64)})
    assert (request.values, request.tolerance) == ((1, 2), Tolerance(max_ulp=64))


def test_an_axis_without_values_takes_the_defaults() -> None:
    (request,) = parse_across({"threads": Axis(max_ulp=64)})
    assert request.values is None


def test_one_value_of_a_built_in_axis_is_compared_with_the_unchanged_axis() -> None:
    assert parse_across({"timezone": ["Asia/Tokyo"]})[0].values == (None, "Asia/Tokyo")


def test_all_requests_every_axis_with_defaults_as_optional() -> None:
    requests = parse_across(["all"])
    assert [r.name for r in requests] == [n for n in BUILT_IN_NAMES if n not in WITHOUT_DEFAULTS]
    assert all(r.is_optional for r in requests)


def test_an_axis_named_together_with_all_is_not_optional() -> None:
    requests = parse_across_option("all,threads=1:2")
    threads = [r for r in requests if r.name == "threads"]
    assert [(r.values, r.is_optional) for r in threads] == [((1, 2), False)]


@pytest.mark.parametrize(
    ("across", "message"),
    [
        ("threads_", "did you mean 'threads'"),
        (["hash_sed"], "did you mean 'hash_seed'"),
        (["num_workers"], "needs its values"),
        ([1], "names of axes"),
        (["threads", "threads"], "twice"),
        ({"threads": []}, "empty"),
        ({"threads": [1, 1]}, "is given twice"),
        ({"threads": 4}, r"as a list, as in \[..., 4\]"),
        ({"process": 1}, "2 or more"),
        ({"process": True}, "2 or more"),
        ({"process": [0]}, "nothing to differ from"),
        ({"num_workers": [0]}, "nothing to differ from"),
        ({"timezone": [None]}, "nothing to differ from"),
        ({"num_workers": None}, "needs its values"),
        ({"num_workers": "02"}, "list of values"),
        ({"layer": [object(), object()]}, "look the object up"),
        ({"shape": [(1, 2), (2, 1)]}, "write a list"),
        ({"x": [{1}, {2}]}, "set"),
        ({"device": ["cpu", "gpu"]}, "device must be"),
        (["python"], "the axis 'python' needs its values"),
        ("host", "the axis 'host' needs its values"),
        ({"python": [3.12]}, "names no environment"),
        ({"host": ["a", "a"]}, "is given twice"),
        ({"": [1, 2]}, "name"),
        ({3: [1, 2]}, "name"),
        ({"all": [1, 2]}, r"across=\['all'\]"),
        ({"hash_seed": [-1, 0]}, "must be an integer from 0"),
        ({"hash_seed": [True, 0]}, "must be an integer from 0"),
        ({"hash_seed": [0, 2**32]}, "must be an integer from 0"),
        ({"env": ["A=1", "A=2"]}, "must be a dict"),
        ({"env": [{"A": 1}, {"A": 2}]}, "must be text .or None to unset it., got 1"),
        ({"env": [{"A=": "1"}, {}]}, "cannot name"),
        (7, "list of axes or a dict"),
    ],
)
def test_the_message_of_a_wrong_request_holds_the_correct_form(across: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_across(across)


def test_the_option_parses_values_by_axis() -> None:
    requests = parse_across_option("hash_seed, threads=1:2 ,timezone=UTC:Asia/Tokyo,env=A=1;B=2:A=2")
    assert [(r.name, r.values) for r in requests] == [
        ("hash_seed", None),
        ("threads", (1, 2)),
        ("timezone", ("UTC", "Asia/Tokyo")),
        ("env", ({"A": "1", "B": "2"}, {"A": "2"})),
    ]
    assert all(r.from_option for r in requests)


def test_the_option_counts_processes() -> None:
    assert parse_across_option("process=3")[0].values == (0, 1, 2)


def test_the_option_parses_arguments_as_literals() -> None:
    (request,) = parse_across_option("resume=False:true:1:0.5:none:None")
    assert request.values == (False, True, 1, 0.5, "none", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing between two commas"),
        ("threads,,isa", "missing between two commas"),
        ("threads=", "no value after"),
        ("threads=1::2", "value is missing"),
        ("threads=one:two", "threads"),
        ("threads=1:2,threads", "twice"),
        ("thread", "did you mean 'threads'"),
        ("host", "needs its values"),
        ("env=A:B", "takes assignments"),
        ("process=1", "2 or more"),
    ],
)
def test_the_message_of_a_wrong_option_holds_the_correct_form(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_across_option(text)


def test_an_argument_that_the_test_lacks_is_rejected_with_the_axis_that_was_meant() -> None:
    with pytest.raises(UsageError, match=r"test_x.*did you mean the axis 'hash_seed'"):
        check_arguments(parse_across({"hash_sed": [0, 1]}), {"repro"}, "test_x")


def test_an_argument_of_the_option_does_not_apply_to_tests_without_it() -> None:
    requests = parse_across_option("num_workers=0:2,hash_seed")
    assert [r.name for r in check_arguments(requests, {"repro"}, "test_x")] == ["hash_seed"]
    assert [r.name for r in check_arguments(requests, {"num_workers"}, "test_y")] == ["num_workers", "hash_seed"]


def test_a_text_is_read_as_on_the_command_line_but_its_names_must_be_known() -> None:
    assert [(request.name, request.values) for request in parse_across("hash_seed,threads=1:2")][1] == (
        "threads",
        (1, 2),
    )
    requests = parse_across("workers=0:2")
    with pytest.raises(UsageError, match="workers"):
        check_arguments(requests, (), "test_it")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("host:prod:box", (None, "prod", "box")),
        ("host=prod", (None, "prod")),
        ("python:numpy==2.2.*", (None, "numpy==2.2.*")),
        ("python=numpy>=2,<2.3:.venv-old", (None, "numpy>=2,<2.3", ".venv-old")),
        ("python=torch==2.12.*;numpy<2.4,threads=1:2", (None, "torch==2.12.*;numpy<2.4")),
        (r"python=C:\envs\old", (None, r"C:\envs\old")),
    ],
)
def test_environments_are_compared_with_this_one(text: str, values: tuple[str | None, ...]) -> None:
    assert parse_across_option(text)[0].values == values


def test_this_environment_is_added_to_any_number_of_others() -> None:
    assert parse_across({"python": ["a", "b"]})[0].values == (None, "a", "b")
    assert parse_across({"python": ["a", None]})[0].values == ("a", None)


def test_a_run_has_one_environment() -> None:
    requests = parse_across({"python": ["a"], "host": ["b"]})
    with pytest.raises(UsageError, match="python and host at once"):
        plan_conditions(requests)
