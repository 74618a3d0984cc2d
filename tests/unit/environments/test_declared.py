"""Environments that a project names, in TOML and in an ini file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_repro.environments.declared import find_declared, read_declared
from pytest_repro.environments.environment import TIMEOUT_S, Environment
from pytest_repro.errors import UsageError


def toml(folder: Path, lines: str) -> dict[str, Environment]:
    (folder / "pyproject.toml").write_text(f"[tool.pytest_repro.environments]\n{lines}\n", encoding="utf-8")
    return read_declared(folder, None)


@pytest.mark.parametrize(
    ("line", "prefix", "python"),
    [
        ('box = "ssh user@box"', ("ssh", "user@box"), "python3"),
        ('box = "podman run -i image python3.12"', ("podman", "run", "-i", "image"), "python3.12"),
        ('box = "kubectl exec -i pod -- /opt/bin/python"', ("kubectl", "exec", "-i", "pod", "--"), "/opt/bin/python"),
        ('box = ["ssh", "a b", "c"]', ("ssh", "a b", "c"), "python3"),
        ("box = \"ssh -o 'User=a b' c\"", ("ssh", "-o", "User=a b", "c"), "python3"),
        ('box = {command = "srun -p gpu", python = "py"}', ("srun", "-p", "gpu"), "py"),
        ('box = "python3.12"', (), "python3.12"),
        ('box = {python = ".venv-old"}', (), ".venv-old"),
    ],
)
def test_a_command_is_a_prefix_and_a_last_word_that_is_python_is_the_interpreter(tmp_path, line, prefix, python):
    box = toml(tmp_path, line)["box"]
    assert (box.name, box.prefix, box.python) == ("box", prefix, python)
    assert (box.sync, box.directory, box.timeout_s) == (False, "", TIMEOUT_S)


def test_a_word_that_exists_in_the_project_is_an_environment_of_this_machine(tmp_path):
    (tmp_path / ".venv-old").mkdir()
    old = toml(tmp_path, 'old = ".venv-old"\nbox = ".venv-new"')
    assert old["old"].is_local
    assert old["old"].python == ".venv-old"
    assert not old["box"].is_local


def test_a_table_gives_the_folder_there_and_whether_files_are_sent_and_a_limit(tmp_path):
    line = 'box = {command = "ssh box", sync = true, directory = "/srv/project", timeout = 20}'
    box = toml(tmp_path, line)["box"]
    assert (box.sync, box.directory, box.timeout_s) == (True, "/srv/project", 20.0)


def test_the_project_folder_is_filled_in(tmp_path):
    box = toml(tmp_path, 'box = "podman run -i -v {root}:{root} -w {root} image"')["box"]
    assert f"{tmp_path}:{tmp_path}" in box.prefix


@pytest.mark.parametrize(
    ("spec", "prefix", "python", "directory"),
    [
        ("ssh=user@box", ("ssh", "-T", "user@box"), "python3", ""),
        (
            "ssh=-p 2222 user@box//python=python3.12//chdir=/x",
            ("ssh", "-T", "-p", "2222", "user@box"),
            "python3.12",
            "/x",
        ),
        ("ssh=box//ssh_config=conf//id=one", ("ssh", "-T", "-F", "conf", "box"), "python3", ""),
        ("popen//python=python3.11", (), "python3.11", ""),
    ],
)
def test_a_specification_for_execnet_is_read_as_its_users_write_it(tmp_path, spec, prefix, python, directory):
    box = toml(tmp_path, f'box = ["{spec}"]')["box"]
    assert (box.prefix, box.python, box.directory) == (prefix, python, directory)


def test_a_specification_with_blanks_may_be_written_as_text(tmp_path):
    assert toml(tmp_path, 'box = "ssh=-p 2222 user@box//python=py"')["box"].prefix == (
        "ssh",
        "-T",
        "-p",
        "2222",
        "user@box",
    )


def test_an_ini_file_names_environments_too(tmp_path):
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = -ra\n[pytest_repro.environments]\nbox = ssh user@box\nbox.sync = yes\nbox.timeout = 5\n"
        "Pod = kubectl exec -i %(pod) -- python3\n",
        encoding="utf-8",
    )
    found = read_declared(tmp_path, tmp_path / "pytest.ini")
    assert (found["box"].prefix, found["box"].sync, found["box"].timeout_s) == (("ssh", "user@box"), True, 5.0)
    assert found["Pod"].prefix == ("kubectl", "exec", "-i", "%(pod)", "--")


def test_a_toml_file_of_pytest_has_the_table_without_tool(tmp_path):
    (tmp_path / "pytest.toml").write_text('[pytest_repro.environments]\nbox = "ssh box"\n', encoding="utf-8")
    assert list(read_declared(tmp_path, tmp_path / "pytest.toml")) == ["box"]


def test_without_files_there_are_none(tmp_path):
    assert read_declared(tmp_path, None) == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"1box" = "ssh box"', "environment '1box': a name has letters"),
        ("box = 3", "environment 'box': give a command as text, or a table with command, python, sync"),
        ('box = ""', "environment 'box': give a command, as in"),
        ("box = []", "environment 'box': give a command, as in"),
        ("box = [1]", "environment 'box': the command must be text or a list of words"),
        ('box = "ssh \'box"', "environment 'box': the command cannot be parsed: No closing quotation"),
        ('box = {kommand = "ssh box"}', "environment 'box': unknown key 'kommand'; known are command, python"),
        ('box = {command = "ssh box", sync = "maybe"}', "environment 'box': sync must be true or false"),
        ('box = {command = "ssh box", timeout = 0}', "environment 'box': timeout must be a number of seconds above 0"),
        ('box = {command = "ssh box", timeout = true}', "environment 'box': timeout must be a number of seconds"),
        ('box = {command = "ssh box", timeout = nan}', "environment 'box': timeout must be a number of seconds"),
        ('box = {command = "ssh box", python = 3}', "environment 'box': python must be text"),
        ('box = {command = "ssh box", directory = 3}', "environment 'box': directory must be text"),
        ('box = {command = "ssh box", directory = "srv"}', "environment 'box': directory must be an absolute path"),
        ('box = "ssh=box//nice=3"', "has 'nice'; known are ssh, popen, python, chdir, ssh_config, id"),
        ("box = ", "pyproject.toml cannot be read"),
    ],
)
def test_a_bad_entry_is_named_with_its_fault(tmp_path, line, message):
    with pytest.raises(UsageError) as raised:
        toml(tmp_path, line)
    assert message in str(raised.value)
    assert "pyproject.toml" in str(raised.value)


def test_a_section_that_is_no_table_and_a_file_that_cannot_be_parsed_are_refused(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.pytest_repro]\nenvironments = 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match="must be a table"):
        read_declared(tmp_path, None)
    (tmp_path / "pyproject.toml").unlink()
    (tmp_path / "pytest.ini").write_text("[pytest]\n[pytest]\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"pytest\.ini cannot be read"):
        read_declared(tmp_path, tmp_path / "pytest.ini")


def test_a_name_in_two_files_is_refused(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest_repro.environments]\nbox = ssh box\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest_repro.environments]\nbox = "ssh b"\n', encoding="utf-8")
    with pytest.raises(UsageError, match="'box' is named twice"):
        read_declared(tmp_path, tmp_path / "pytest.ini")


def test_an_unknown_name_is_told_with_the_names_that_there_are(tmp_path):
    declared = toml(tmp_path, 'prod = "ssh prod"\nbox = "ssh box"')
    with pytest.raises(UsageError, match="did you mean 'prod'"):
        find_declared(declared, "prdo")
    with pytest.raises(UsageError, match="named environments are box, prod"):
        find_declared(declared, "zzz")
    with pytest.raises(UsageError, match="the project names none; add it to"):
        find_declared({}, "zzz")
