"""The command `pytest-repro init`: what it finds, what it would write, and that it takes nothing away."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import iniconfig
import pytest

from pytest_repro.adopting.init import make_plan, write_plan
from pytest_repro.adopting.training_functions import find_candidates
from pytest_repro.cli import main
from pytest_repro.errors import UsageError

TABLE = "[tool.pytest]" if pytest.version_tuple >= (9,) else "[tool.pytest.ini_options]"


def write(folder: Path, **files: str) -> None:
    """Write files, named with a double underscore for a slash and a single one for the dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    status = main(["init", *map(str, arguments)])
    return status, capsys.readouterr().out


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_write_nothing_is_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, pyproject_toml="[project]\nname = 'p'\n", train_py="def train(seed):\n    return seed\n")
    before = tree(tmp_path)
    status, text = run(capsys, tmp_path)
    assert (status, tree(tmp_path)) == (0, before)
    assert "nothing was changed; --write writes it" in text
    assert "training found: train.py:1 train; its name is train, it returns a value, it takes a seed" in text
    status, text = run(capsys, tmp_path, "--json")
    assert (json.loads(text)["training"]["module"], tree(tmp_path)) == ("train", before)


def test_what_is_written_is_what_was_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, train_py="def train(seed):\n    return seed\n")
    planned = {each.name: each.content for each in make_plan(tmp_path).files}
    status, text = run(capsys, tmp_path, "--write")
    assert status == 0, text
    assert planned.items() <= tree(tmp_path).items()
    assert set(planned) == {
        "pytest.ini",
        "tests/test_reproducible_train.py",
        ".github/workflows/reproducibility.yml",
        ".gitlab-ci.yml",
    }


def test_existing_files_are_refused_and_their_text_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, tmp_path, "--write")[0] == 0
    before = tree(tmp_path)
    status, text = run(capsys, tmp_path, "--write")
    assert (status, tree(tmp_path)) == (1, before)
    assert "tests/test_reproducible_training.py: not written: it exists, and is not overwritten" in text
    assert "pytest.ini: not written: it has settings of the plugin already: repro_runs" in text
    assert "@pytest.mark.reproducible" in text


def test_a_link_to_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".gitlab-ci.yml").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "pytest.ini").symlink_to(tmp_path / "other.ini")
    (tmp_path / "other.ini").write_text("[pytest]\naddopts = -q\n")
    write_plan(make_plan(tmp_path, "gitlab"))
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "pytest.ini").is_symlink()
    assert "repro" not in (tmp_path / "other.ini").read_text()


def test_a_file_that_changed_after_the_plan_is_not_written(tmp_path: Path) -> None:
    write(tmp_path, pytest_ini="[pytest]\n")
    plan = make_plan(tmp_path, "none")
    write(tmp_path, pytest_ini="[pytest]\naddopts = -q\n")
    with pytest.raises(UsageError, match=r"pytest.ini was changed in the meantime"):
        write_plan(plan)
    assert (tmp_path / "pytest.ini").read_text() == "[pytest]\naddopts = -q\n"


CONFIGURATIONS = {
    "pyproject_toml": [
        ("[project] # mine\nname = 'p'\n", TABLE),
        ("[project]\nname = 'p'", TABLE),
        ("[project]\r\nname = 'p'\r\n", TABLE),
        ("[tool.pytest.ini_options]  # ours\naddopts = '-q'\n\n[tool.ruff]\n", ""),
        ("[tool.pytest.ini_options]\naddopts = '-q'", ""),
    ],
    "pytest_ini": [("[pytest]\naddopts = -q\n# end\n", ""), ("", "[pytest]")],
    "tox_ini": [("[tox]\nenvlist = a\n\n[pytest]\naddopts = -q\n[other]\nx = 1\n", "")],
    "setup_cfg": [("[metadata]\nname = p\n[tool:pytest]\naddopts = -q\n", "")],
}


@pytest.mark.parametrize("name, text, header", [(name, *each) for name, all in CONFIGURATIONS.items() for each in all])
def test_settings_are_inserted_and_all_else_stays_as_it_is(tmp_path: Path, name: str, text: str, header: str) -> None:
    write(tmp_path, **{name: text})
    write_plan(make_plan(tmp_path, "none"))
    path = tmp_path / name.replace("_", ".")
    new = path.read_bytes().decode()
    inserted = [line for line in new.splitlines() if line not in text.splitlines() and line]
    assert "repro_runs = 3" in inserted
    assert all(line.startswith(("repro_runs", "#")) or line == header for line in inserted), inserted
    left = [line for line in new.splitlines() if line in text.splitlines() and line]
    assert left == [line for line in text.splitlines() if line]
    assert ("\r\n" in text) == ("\r\n" in new)
    assert "\n" not in new.replace("\r\n", "") or "\r\n" not in text
    if path.suffix == ".toml":
        tomllib.loads(new)
    else:
        iniconfig.IniConfig(path.name, data=new)


@pytest.mark.parametrize(
    "text",
    [
        "tool.pytest.ini_options.addopts = '-q'\n",
        "[tool]\npytest = { ini_options = { addopts = '-q' } }\n",
    ],
)
def test_a_table_that_no_line_can_be_added_to_is_left_alone_with_the_lines_to_add(tmp_path: Path, text: str) -> None:
    write(tmp_path, pyproject_toml=text)
    planned = make_plan(tmp_path, "none").files[0]
    assert "add them by hand" in planned.refused
    assert "repro_runs = 3" in planned.refused
    write_plan(make_plan(tmp_path, "none"))
    assert (tmp_path / "pyproject.toml").read_text() == text


def test_a_configuration_with_faults_is_to_be_mended_first(tmp_path: Path) -> None:
    write(tmp_path, pytest_ini="[pytest]\nrepro_run = 3\n")
    assert "mend it first: pytest.ini:2 pytest knows no key 'repro_run'" in make_plan(tmp_path, "none").files[0].refused


def test_the_function_that_a_test_can_call_best_is_chosen(tmp_path: Path) -> None:
    write(
        tmp_path,
        src__pkg____init___py="",
        src__pkg__other_py="def train(config):\n    print(config)\n",
        src__pkg__model_py="def train_step(x):\n    return x\n\ndef fit(X, y, epochs=50, seed=0):\n    return X\n",
        tests__test_it_py="def train(seed):\n    return seed\n",
    )
    (tmp_path / "src" / "pkg" / "__init__.py").touch()
    found = find_candidates(tmp_path)
    assert [(each.file, each.name, each.module) for each in found] == [
        ("src/pkg/model.py", "fit", "pkg.model"),
        ("src/pkg/other.py", "train", "pkg.other"),
    ]
    assert found[0].folder == "src"
    assert found[0].arguments == (("X", "data"), ("y", "labels"), ("epochs", "2"), ("seed", "repro.seed"))
    assert found[1].unknown == ("config",)


@pytest.mark.parametrize(
    "source",
    [
        "def train():\n    yield 1\n",
        "async def train():\n    return 1\n",
        "import click\n@click.command()\ndef train():\n    return 1\n",
        "def train_loader():\n    return 1\n",
        "def load():\n    return 1\n",
        "def train(:\n",
    ],
)
def test_what_no_test_can_call_is_not_chosen(tmp_path: Path, source: str) -> None:
    write(tmp_path, code_py=source)
    assert find_candidates(tmp_path) == []


def test_an_argument_that_cannot_be_known_is_a_todo_and_the_test_is_skipped_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, code_py="def train(config, *, lr, seed=0):\n    return config\n")
    text = make_plan(tmp_path, "none").files[1].shown
    compile(text, "test.py", "exec")
    assert text.count("TODO") == 2
    assert '@pytest.mark.skip(reason="TODO: give the argument config, then remove this line")' in text
    assert "train(config, lr=0.01, seed=repro.seed)" in text


@pytest.mark.parametrize(
    "existing, ci, names",
    [
        ({}, "", [".github/workflows/reproducibility.yml", ".gitlab-ci.yml"]),
        ({".github/x": ""}, "", [".github/workflows/reproducibility.yml"]),
        ({".gitlab-ci.yml": "stages: [a]\n"}, "", [".gitlab/reproducibility.yml"]),
        ({".github/x": ""}, "gitlab", [".gitlab-ci.yml"]),
        ({}, "none", []),
    ],
)
def test_the_files_are_for_the_ci_that_the_project_uses(
    tmp_path: Path, existing: dict[str, str], ci: str, names: list[str]
) -> None:
    for name, text in existing.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    plan = make_plan(tmp_path, ci)
    assert [each.name for each in plan.files[2:]] == names
    assert bool(plan.notes) == (".gitlab-ci.yml" in existing)


def test_what_is_no_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
