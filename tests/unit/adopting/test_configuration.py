"""The doctor reads pytest's configuration as pytest does, and finds what pytest would refuse, ignore or misread."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.adopting.configuration import read_configuration, read_kinds

KNOWS_TYPES = pytest.version_tuple >= (9,)


def check(folder: Path, **files: str) -> list[str]:
    """Return what is to be mended in files, which are named without their dot: ``pytest_ini``."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return [
        f"{each.place} {each.text}; {each.fix}" for each in read_configuration(folder).findings if each.weight == "mend"
    ]


def test_good_configurations_have_nothing_to_mend(tmp_path: Path) -> None:
    text = '[tool.pytest.ini_options]\nrepro_runs = 3\nrepro_across = ["hash_seed", "threads=1:2", "lr=1:2"]\n'
    assert check(tmp_path, pyproject_toml=text) == []
    found = read_configuration(tmp_path)
    assert (found.file, found.is_typed) == ("pyproject.toml", False)


@pytest.mark.skipif(not KNOWS_TYPES, reason="pytest 8 has no typed table")
def test_two_tables_and_wrong_types_are_found(tmp_path: Path) -> None:
    text = '[tool.pytest]\nrepro_runs = "3"\nrepro_across = "hash_seed"\nrepro_all = true\n'
    first, second = check(tmp_path, pyproject_toml=text)
    assert first.startswith("pyproject.toml:2 repro_runs: must be an integer, got '3'")
    assert second.startswith("pyproject.toml:3 repro_across: must be a list of texts")
    (found,) = check(
        tmp_path, pyproject_toml="[tool.pytest]\nrepro_runs = 3\n[tool.pytest.ini_options]\naddopts = '-q'\n"
    )
    assert "it has [tool.pytest] and [tool.pytest.ini_options]" in found


@pytest.mark.parametrize(
    "line, text",
    [
        ("repro_run = 3", "pytest knows no key 'repro_run'; did you mean repro_runs?"),
        ("rerpo_runs = 3", "pytest knows no key 'rerpo_runs'; did you mean repro_runs?"),
        ("repro_json = a.json", "repro_json has no meaning here; give --repro-json on the command line"),
        ("repro_across = hash_sed", "did you mean 'hash_seed'?"),
        ("repro_across = thread=1:2", "'thread' is no built-in axis; did you mean threads?"),
        ("addopts = -q -p no:repro", "the plugin is off"),
    ],
)
def test_a_key_that_does_nothing_is_found_with_its_line(tmp_path: Path, line: str, text: str) -> None:
    (found,) = check(tmp_path, pytest_ini=f"[pytest]\n# a comment\n{line}\n")
    assert found.startswith("pytest.ini:3 ")
    assert text in found


def test_settings_in_a_file_that_pytest_does_not_take_are_found(tmp_path: Path) -> None:
    (found,) = check(tmp_path, pytest_ini="[pytest]\n", setup_cfg="[tool:pytest]\nrepro_runs = 3\n")
    assert found.startswith("setup.cfg:2 repro_runs: not read, since pytest takes pytest.ini")


@pytest.mark.parametrize(
    "name, text", [("pyproject_toml", "[tool\n"), ("pytest_ini", "runs\n"), ("pyproject_toml", "x = 1\nx = 2\n")]
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str, text: str) -> None:
    found = check(tmp_path, **{name: text})
    assert any("cannot" in each and "read" in each for each in found), found


def test_pytest_agrees_about_the_file_that_it_takes(tmp_path: Path, pytester: pytest.Pytester) -> None:
    for name, text in {
        "tox.ini": "[pytest]\nrepro_runs = 3\n",
        "setup.cfg": "[tool:pytest]\nrepro_runs = 4\n",
        "pyproject.toml": "[tool.other]\nx = 1\n",
    }.items():
        (pytester.path / name).write_text(text, encoding="utf-8")
    found = read_configuration(pytester.path)
    assert found.file == "tox.ini"
    session = pytester.runpytest_inprocess("--collect-only")
    session.stdout.fnmatch_lines(["configfile: tox.ini*"])


def test_variables_in_files_of_ci_are_noted(tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "ci.yml").write_text("env:\n  # OMP_NUM_THREADS: 2\n  PYTHONHASHSEED: 0\n  MY_OMP_NUM_THREADS: 1\n")
    found = read_configuration(tmp_path).findings
    assert [(each.place, each.weight) for each in found] == [(".github/workflows/ci.yml:3", "note")]


def test_every_key_of_the_plugin_is_known() -> None:
    kinds, without_key = read_kinds()
    assert {"repro_runs", "repro_hints"} <= set(kinds)
    assert "repro_json" in without_key
    assert not set(kinds) & without_key
