"""The environments that a project names, in ``[tool.pytest_repro.environments]`` or in its ini file."""

from __future__ import annotations

import configparser
import difflib
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_repro.environments.environment import TIMEOUT_S, Environment
from pytest_repro.errors import UsageError

#: Section of an ini file, and the table of a TOML file without ``tool.``.
SECTION = "pytest_repro.environments"
MAX_BYTES = 2**20
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_FIELDS = ("command", "python", "sync", "directory", "timeout")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
#: Last words of a command that are an interpreter: ``podman run ... image python3``.
_PYTHON = re.compile(r"(.*/)?(python|pypy)[0-9.]*")


def read_declared(root: Path, file: Path | None) -> dict[str, Environment]:
    """Return the named environments.

    Parameters
    ----------
    root : Path
        The project's folder, which stands for ``{root}`` in commands.
    file : Path, optional
        pytest's configuration file. ``pyproject.toml`` in `root` is read as well.

    Raises
    ------
    UsageError
        If an entry is wrong.
    """
    found: dict[str, Environment] = {}
    for path in dict.fromkeys([root / "pyproject.toml", *([file] if file is not None else [])]):
        for name, given in _read_table(path).items():
            if name in found:
                raise UsageError(f"the environment {name!r} is named twice: in pyproject.toml and in {path.name}")
            found[name] = _read_environment(name, given, root, path.name)
    return found


def find_declared(declared: Mapping[str, Environment], name: str) -> Environment:
    """Return an environment by its name, and raise UsageError with the names that there are."""
    if name in declared:
        return declared[name]
    close = difflib.get_close_matches(name, sorted(declared), n=1)
    known = f"named environments are {', '.join(sorted(declared))}" if declared else "the project names none"
    hint = f"did you mean {close[0]!r}?" if close else f"{known}; add it to [tool.{SECTION}]"
    raise UsageError(f"no environment is named {name!r}: {hint}")


def _read_table(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path.name} has more than {MAX_BYTES // 2**20} MB")
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return {}
    if path.suffix == ".toml":
        try:
            content: Any = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path.name} cannot be read: {error}") from None
        # pytest.toml has no table `tool`.
        for key in ("tool", *SECTION.split(".")) if "tool" in content else SECTION.split("."):
            content = content.get(key, {}) if isinstance(content, dict) else {}
        if not isinstance(content, dict):
            raise UsageError(f"{path.name}: [tool.{SECTION}] must be a table")
        return content
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise UsageError(f"{path.name} cannot be read: {error}") from None
    return _gather(parser[SECTION]) if parser.has_section(SECTION) else {}


def _gather(section: Mapping[str, str]) -> dict[str, Any]:
    """Return the environments of an ini file, where ``prod.sync = true`` adds to ``prod = command``."""
    found: dict[str, Any] = {}
    for key, text in section.items():
        name, _, field = key.rpartition(".")
        if name and field in _FIELDS:
            found.setdefault(name, {})[field] = text.strip()
        else:
            found.setdefault(key, {})["command"] = text.strip()
    return found


def _read_environment(name: str, given: Any, root: Path, where: str) -> Environment:
    where = f"{where}: environment {name!r}"
    if not _NAME.fullmatch(name):
        raise UsageError(f"{where}: a name has letters, digits, '_', '.' and '-', and begins with a letter")
    fields = {"command": given} if isinstance(given, (str, list)) else given
    if not isinstance(fields, dict):
        raise UsageError(f"{where}: give a command as text, or a table with {', '.join(_FIELDS)}")
    if unknown := sorted(set(fields) - set(_FIELDS)):
        raise UsageError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(_FIELDS)}")
    words = _read_command(fields.get("command", ""), root, where)
    python, directory = _read_text(fields, "python", where), _read_text(fields, "directory", where)
    timeout_s = _read_seconds(fields.get("timeout", TIMEOUT_S), where)
    if not words and not python:
        raise UsageError(f'{where}: give a command, as in "ssh user@box", or python = the path of an interpreter')
    if len(words) == 1 and not python and is_execnet(words[0]):
        words, python, directory = _read_execnet(words[0], where, directory)
    elif len(words) == 1 and not python and _is_local(words[0], root):
        words, python = [], words[0]
    elif words and not python and _PYTHON.fullmatch(words[-1]):
        python = words.pop()
    if directory and not PurePosixPath(directory).is_absolute():
        raise UsageError(f"{where}: directory must be an absolute path, the project's folder there")
    sync = _read_flag(fields.get("sync", False), where)
    return Environment(name, python or "python3", tuple(words), sync, directory, timeout_s)


def is_execnet(word: str) -> bool:
    """Return whether a word is a specification as pytest-xdist's users write them for execnet."""
    return word.startswith(("ssh=", "popen//", "vagrant_ssh="))


def _read_execnet(spec: str, where: str, directory: str) -> tuple[list[str], str, str]:
    """Return the command, the interpreter and the folder that ``ssh=user@box//python=python3.12`` stands for."""
    parts = [part.partition("=") for part in spec.split("//") if part]
    values = {name: text for name, _, text in parts}
    if unknown := sorted(set(values) - {"ssh", "popen", "python", "chdir", "ssh_config", "id"}):
        raise UsageError(f"{where}: {spec!r} has {unknown[0]!r}; known are ssh, popen, python, chdir, ssh_config, id")
    words = []
    if "ssh" in values:
        configured = ["-F", values["ssh_config"]] if "ssh_config" in values else []
        words = ["ssh", "-T", *configured, *_split(values["ssh"], where)]
    return words, values.get("python", "python3"), values.get("chdir", directory)


def _is_local(word: str, root: Path) -> bool:
    """Return whether a single word is an interpreter, a virtual environment or a file with requirements."""
    return (root / Path(word).expanduser()).exists() or bool(_PYTHON.fullmatch(word))


def _read_command(given: Any, root: Path, where: str) -> list[str]:
    if isinstance(given, list) and all(isinstance(word, str) for word in given):
        words = list(given)
    elif isinstance(given, str) and is_execnet(given):
        words = [given]
    elif isinstance(given, str):
        words = _split(given, where)
    else:
        raise UsageError(f"{where}: the command must be text or a list of words")
    return [word.replace("{root}", str(root)) for word in words]


def _split(text: str, where: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{where}: the command cannot be parsed: {error}") from None


def _read_text(fields: Mapping[str, Any], key: str, where: str) -> str:
    text = fields.get(key, "")
    if not isinstance(text, str):
        raise UsageError(f"{where}: {key} must be text")
    return text


def _read_flag(given: Any, where: str) -> bool:
    text = str(given).lower()
    if text not in (*_TRUE, *_FALSE):
        raise UsageError(f"{where}: sync must be true or false")
    return text in _TRUE


def _read_seconds(given: Any, where: str) -> float:
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(given, bool) or not 0 < seconds < 1e7:
        raise UsageError(f"{where}: timeout must be a number of seconds above 0")
    return seconds
