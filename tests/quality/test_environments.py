"""Every test file is run by an environment that continuous integration runs."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOX = configparser.ConfigParser(interpolation=None)
TOX.read(ROOT / "tox.ini", encoding="utf-8")
#: The environments that run tests in .ci/run.
ENVIRONMENTS = re.findall(r"^tox run .*-e ([\w,-]+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
FOLDERS = ("tests", "examples")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
TESTS = [path for path in FILES if path.name.startswith("test_")]


@dataclass
class Command:
    """One pytest command of an environment."""

    chosen: list[str]
    ignored: list[str]
    marks: str

    @cached_property
    def files(self) -> set[Path]:
        """The test files that it runs, some or all of their tests."""
        return {path for path in TESTS if is_below(path, self.chosen) and not is_below(path, self.ignored)}


def is_below(path: Path, names: list[str]) -> bool:
    return any(path.is_relative_to(ROOT / name) for name in names)


def commands(environment: str) -> list[Command]:
    """Read the pytest commands of an environment from tox.ini."""
    text = TOX[f"testenv:{environment}"]["commands"]
    text = re.sub(r"\{\[([\w:]+)\](\w+)\}", lambda m: TOX[m[1]][m[2]].strip(), text)
    found = []
    for line in re.sub(r"\\\n", " ", text).replace("{posargs:", "").replace("}", "").strip().splitlines():
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "pytest"], line
        marks = words[words.index("-m", 3) + 1] if "-m" in words[3:] else ""
        ignored = [word.removeprefix("--ignore=") for word in words if word.startswith("--ignore=")]
        found.append(Command([word for word in words if word.startswith(FOLDERS)], ignored, marks))
    return found


(NAMES,) = ENVIRONMENTS
COMMANDS = {name: commands(name) for name in NAMES.split(",")}


def test_every_test_of_every_file_is_run_by_an_environment():
    unrun = {}
    for path in TESTS:
        marks = {command.marks for found in COMMANDS.values() for command in found if path in command.files}
        wanted = {"needs", "not needs"} if "mark.needs(" in path.read_text(encoding="utf-8") else {"not needs"}
        if not ("" in marks or marks >= wanted):
            unrun[str(path.relative_to(ROOT))] = f"only with -m in {sorted(marks)}" if marks else "not at all"
    assert unrun == {}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_path_in_a_command_exists_and_has_tests(name):
    for command in COMMANDS[name]:
        assert command.files
        for place in (*command.chosen, *command.ignored):
            assert any(path.is_relative_to(ROOT / place) for path in TESTS), place


def test_every_ignored_file_would_otherwise_be_run():
    for found in COMMANDS.values():
        for command in found:
            assert all(is_below(ROOT / name, command.chosen) for name in command.ignored)


def test_a_file_that_pytest_does_not_collect_holds_no_tests():
    for path in set(FILES) - set(TESTS):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert [name for name in functions if name.startswith("test_")] == [], path


def test_the_tests_that_ran_are_counted_for_every_command():
    counted = re.findall(r"count_tests\.py \.tox/junit ([\w -]+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    written = re.findall(r"--junitxml=\{env:JUNIT\}([\w-]*)\.xml", (ROOT / "tox.ini").read_text(encoding="utf-8"))
    assert len(counted[0].split()) == sum(len(found) for found in COMMANDS.values())
    assert {name for name in counted[0].split() if "-" in name} == {
        f"frameworks{suffix}" for suffix in written if suffix
    }
