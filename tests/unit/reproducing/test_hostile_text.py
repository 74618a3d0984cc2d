"""What a record tells reaches no command unless it has the form of what it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_repro.errors import RecordError
from pytest_repro.model.redaction import hidden_digest
from pytest_repro.records.documents import Original
from pytest_repro.reproducing.requirements import find_python, find_sources, list_requirements
from pytest_repro.reproducing.subject import RecordedTest, Subject, check_nodeid
from pytest_repro.reproducing.variables import choose_options, choose_seed, choose_variables
from pytest_repro.reproducing.workspace import find_project, is_url

TEST = RecordedTest("t.py::t", 7, None, {}, {})


def subject_of(variables: Any, *tests: RecordedTest, **more: Any) -> Subject:
    environment = {"variables": variables, **more}
    return Subject(Original("statement.json", "0" * 64), True, {}, environment, tests or (TEST,), {})


NO_NODEIDS = ("", "t.py", "-k::t", "--pdb::t", "@args::t", "/t.py::t", "a/../../t.py::t", "C:/t.py::t", "t.py::t\0")


@pytest.mark.parametrize("nodeid", [*NO_NODEIDS, "a\\b.py::t"])
def test_a_node_id_that_is_none_is_refused(nodeid: str) -> None:
    with pytest.raises(RecordError, match="no node id"):
        check_nodeid(nodeid)


@pytest.mark.parametrize("nodeid", ["t.py::t", "tests/a b/t.py::Test::t[-x; rm -rf ~]", "t.py::t[../x]"])
def test_a_node_id_may_have_any_parameters(nodeid: str) -> None:
    check_nodeid(nodeid)


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONSTARTUP", "OMP_TOOL_LIBRARIES_PATH", "X"])
def test_a_variable_that_is_never_recorded_is_refused(name: str) -> None:
    with pytest.raises(RecordError, match=name):
        choose_variables(subject_of({name: "1"}))


def test_recorded_variables_are_set_unless_they_could_name_a_file() -> None:
    found = choose_variables(subject_of({"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_dump_to=/evil"}, hash_seed="7"))
    assert found.values == {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    assert found.not_had == ("XLA_FLAGS: its recorded value could name a file, and is not set",)


@pytest.mark.parametrize("seed", ["random", "-1", "1; x", 7, None])
def test_a_hash_seed_that_is_none_is_not_set(seed: Any) -> None:
    assert choose_variables(subject_of({}, hash_seed=seed)).values == {}


def test_a_variable_that_the_test_read_is_taken_from_here_if_it_has_the_recorded_digest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("MODE", "LEVEL", "API_TOKEN", "LD_PRELOAD")
    for name in names:
        monkeypatch.setenv(name, "own")
    read = {name: hidden_digest(name, "own") for name in names} | {"LEVEL": hidden_digest("LEVEL", "other")}
    found = choose_variables(subject_of({}, RecordedTest("t.py::t", 7, None, {}, {}, variables=read)))
    assert found.values == {"MODE": "own"}
    assert [text.partition(":")[0] for text in found.not_had] == ["API_TOKEN", "LD_PRELOAD", "LEVEL"]


@pytest.mark.parametrize(
    "words, chosen, ignored",
    [
        (["--repro-runs=5", "tests", "-k", "fit"], ["--repro-runs=5"], []),
        (["--repro-runs", "5"], ["--repro-runs=5"], []),
        (["--repro-runs=5 --pdb"], [], ["--repro-runs=5 --pdb"]),
        (["--repro-across=hash_seed,threads=1:2"], ["--repro-across=hash_seed,threads=1:2"], []),
        (["--repro-across=hash_seed,python=numpy==1"], [], ["--repro-across=hash_seed,python=numpy==1"]),
        (["--repro-across=host:prod"], [], ["--repro-across=host:prod"]),
        (["-p", "no:randomly", "-p", "evil", "-p", "no:repro"], ["-pno:randomly"], ["-p evil", "-p no:repro"]),
        (["-c", "other.ini", "--cov"], [], ["-c other.ini", "--cov"]),
        (["--repro-record=x", "--repro-json=y", "--repro-seed=1", "-q"], [], []),
    ],
)
def test_options_are_given_again_if_they_are_known_and_others_are_told(
    words: list[str], chosen: list[str], ignored: list[str]
) -> None:
    assert choose_options(words) == (chosen, ignored)


@pytest.mark.parametrize(
    "bases, expected",
    [([None], []), ([3, 3], ["--repro-seed=3"]), ([3, None], ["-o", "repro_seed=3"]), ([3, 3, 4], ["--repro-seed=3"])],
)
def test_the_seed_of_the_session_leaves_alone_the_seeds_of_markers(
    bases: list[int | None], expected: list[str]
) -> None:
    tests = [RecordedTest("t.py::t", 7, None, {}, {}, base_seed=base) for base in bases]
    assert choose_seed(subject_of({}, *tests)) == expected


def test_packages_become_releases_and_local_ones_are_left_to_the_checkout() -> None:
    packages = {
        "numpy": {"version": "2.4.6"},
        "torch": {"version": "2.13.0+cpu"},
        "pip": {"version": "26"},
        "pytest-repro": {"version": "0.1.0", "local": True},
        "toy-lib": {"version": "1", "local": True},
        "other": {"version": "1", "local": True, "code": {"commit": "c" * 40}},
    }
    found = list_requirements(packages)
    assert found.lines == ("numpy==2.4.6", "torch==2.13.0+cpu")
    assert (found.local, len(found.elsewhere)) == (("toy-lib",), 1)


NO_RELEASES = [("-r x", "1"), ("--index-url=http://evil", "1"), ("a @ http://evil", "1"), ("a[x]", "1"), ("a", "1; x")]


@pytest.mark.parametrize("name, release", [*NO_RELEASES, ("a", "1\n-r x"), ("a", None), ("a", "*")])
def test_a_package_that_is_no_release_is_refused(name: str, release: Any) -> None:
    with pytest.raises(RecordError, match="no name and version"):
        list_requirements({name: {"version": release}})


def test_local_packages_are_found_by_their_names_in_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "Toy.Lib"\n')
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "setup.py").write_text('setup(\n    name="part",\n)\n')
    files = ["pyproject.toml", "part/setup.py"]
    found = find_sources(tmp_path, ("toy-lib", "part", "absent"), files)
    assert found == ([tmp_path / "src", tmp_path / "part"], ["absent"])


@pytest.mark.parametrize("release", ["", "x", None, "3", "99.99.1", "3.11; rm -rf ~"])
def test_a_python_that_is_not_here_is_replaced_by_this_one(release: Any) -> None:
    assert find_python({"python": {"version": release}}) == ""


@pytest.mark.parametrize(
    "files, recorded, expected",
    [
        (["t.py", "a/t.py"], None, ""),
        (["a/t.py"], None, "a"),
        (["a/t.py", "b/t.py"], None, None),
        (["t.py", "a/t.py"], "a", "a"),
        (["t.py", "a/t.py"], "..", None),
        (["t.py"], 7, None),
    ],
)
def test_the_folder_of_the_project_is_the_recorded_one_or_the_only_one(
    files: list[str], recorded: Any, expected: str | None
) -> None:
    assert find_project(["t.py::t"], files, recorded) == expected


ADDRESSES = {"https://x/y.git": True, "git@x:y.git": True, "ext::sh -c x": False, "--upload-pack=x": False, ".": False}


@pytest.mark.parametrize("text, expected", ADDRESSES.items())
def test_an_address_is_of_a_transport_that_runs_no_command_of_its_own(text: str, expected: bool) -> None:
    assert is_url(text) is expected
