"""pytest's configuration in a project, read as pytest reads it, and what is wrong in it."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import iniconfig
import pytest

from pytest_repro.adopting.findings import Finding
from pytest_repro.adopting.switches import VARIABLES
from pytest_repro.axes.parse import parse_across_option
from pytest_repro.environments.declared import read_declared
from pytest_repro.errors import StoreError, UsageError
from pytest_repro.model.reading import read_file
from pytest_repro.session.ini_values import MEANING, join_list

#: Files that pytest reads, the first that has settings wins -> the section of an ini file.
FILES = {
    "pytest.toml": "",
    ".pytest.toml": "",
    "pytest.ini": "pytest",
    ".pytest.ini": "pytest",
    "pyproject.toml": "",
    "tox.ini": "pytest",
    "setup.cfg": "tool:pytest",
}
#: Files in which variables of determinism are set, besides Python's.
_OTHER_FILES = (
    "tox.ini",
    "pyproject.toml",
    "setup.cfg",
    "pytest.ini",
    ".env",
    ".gitlab-ci.yml",
    "Dockerfile",
    "Makefile",
)
MAX_BYTES = 1_000_000
#: Numbers of pytest's release from which it reads typed tables.
TYPED = (9,)


@dataclass
class Configuration:
    """What a project's files tell pytest.

    Attributes
    ----------
    file : str
        The file that pytest takes. Empty where there is none.
    is_typed : bool
        Whether its values have types: ``[tool.pytest]``, ``pytest.toml``.
    keys : dict of str -> value
        Of that file.
    environments : tuple of str
        Names of ``[tool.pytest_repro.environments]``.
    """

    file: str = ""
    is_typed: bool = False
    keys: dict[str, Any] = field(default_factory=dict)
    environments: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)

    def mend(self, file: str, line: int, code: str, text: str, fix: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(file, line, code, "mend", text, fix))


def read_kinds() -> tuple[dict[str, str], set[str]]:
    """Return the kind of each key of this plugin, and the options that have no key.

    The plugin is looked up as pytest does: it stands above this module, which must not import it.
    """
    plugin = next(iter(entry_points(group="pytest11", name="repro"))).load()
    kinds = {name: kind for name, kind, *_ in plugin.OPTIONS} | dict.fromkeys(plugin.SWITCHES, "flag")
    return kinds, {name for name, *_ in plugin.RECORD_OPTIONS} | {"repro_json"}


def read_configuration(root: Path) -> Configuration:
    """Read and check the configuration of the project in a folder, without starting pytest."""
    found = Configuration()
    for name, section in FILES.items():
        try:
            keys, is_typed = _read_keys(root, name, section, found)
        except _UnreadableError as error:
            found.mend(name, 0, "unreadable_configuration", f"pytest cannot read it: {error}")
            continue
        if keys is None:
            continue
        if found.file:
            lost = sorted(key for key in keys if key.startswith("repro"))
            if lost:
                text = f"{', '.join(lost)}: not read, since pytest takes {found.file} and no other file"
                found.mend(name, _line_of(root / name, lost[0]), "ignored_setting", text, f"move it to {found.file}")
            continue
        found.file, found.is_typed, found.keys = name, is_typed, keys
    _check_keys(root, found)
    _find_variables(root, found)
    try:
        found.environments = tuple(read_declared(root, root / found.file if found.file else None))
    except (UsageError, OSError) as error:
        found.mend(found.file or "pyproject.toml", 0, "wrong_environment", str(error))
    found.findings.sort()
    return found


class _UnreadableError(Exception):
    pass


def _read_text(path: Path) -> str:
    try:
        return read_file(path, max_bytes=MAX_BYTES, follows_links=True).decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, StoreError, UnicodeDecodeError) as error:
        raise _UnreadableError(str(error)[:200]) from None


def _read_keys(root: Path, name: str, section: str, found: Configuration) -> tuple[dict[str, Any] | None, bool]:
    """Return one file's settings, or None if pytest takes none from it, and whether they are typed."""
    path = root / name
    if not path.is_file():
        return None, False
    text = _read_text(path)
    if section:
        return _read_ini(path, text, section, found), False
    if name != "pyproject.toml" and pytest.version_tuple < TYPED:
        found.mend(name, 0, "ignored_setting", f"pytest {pytest.__version__} does not read it: pytest 9 does")
        return None, False
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _UnreadableError(str(error)[:200]) from None
    if name != "pyproject.toml":
        table = content.get("pytest", {})
        return (dict(table) if isinstance(table, dict) else {}), True
    table = content.get("tool", {}).get("pytest", {}) if isinstance(content.get("tool"), dict) else {}
    if not isinstance(table, dict):
        return None, False
    options = table.get("ini_options")
    typed = {key: value for key, value in table.items() if key != "ini_options"}
    if typed and options:
        line = _line_of(path, "[tool.pytest]", is_header=True)
        found.mend(name, line, "two_tables", "it has [tool.pytest] and [tool.pytest.ini_options]", "keep one of them")
    if typed and pytest.version_tuple < TYPED:
        text = f"pytest {pytest.__version__} ignores [tool.pytest], which only pytest 9 reads"
        found.mend(name, 0, "ignored_setting", text, "use [tool.pytest.ini_options]")
        typed = {}
    if isinstance(options, dict) and options:
        return dict(options), False
    return (typed, True) if typed else (None, False)


def _read_ini(path: Path, text: str, section: str, found: Configuration) -> dict[str, Any] | None:
    try:
        sections = iniconfig.IniConfig(path.name, data=text)
    except iniconfig.ParseError as error:
        raise _UnreadableError(str(error)[:200]) from None
    if path.name == "setup.cfg" and "pytest" in sections.sections and section not in sections.sections:
        found.mend(path.name, 0, "wrong_section", "pytest refuses [pytest] in setup.cfg", "write [tool:pytest]")
    if section in sections.sections:
        return dict(sections[section].items())
    return {} if path.name.endswith("pytest.ini") else None


def _check_keys(root: Path, found: Configuration) -> None:
    kinds, without_key = read_kinds()
    for key, value in found.keys.items():
        line = _line_of(root / found.file, key)
        if key in kinds:
            for text, fix in _check_value(key, kinds[key], value, found.is_typed):
                found.mend(found.file, line, "wrong_value", f"{key}: {text}", fix)
            if not isinstance(value, (list, dict)):
                found.findings.append(Finding(found.file, line, "setting", "note", f"{key} = {value}"))
            else:
                found.findings.append(Finding(found.file, line, "setting", "note", f"{key} is set"))
        elif key in without_key:
            option = "--" + key.replace("_", "-")
            found.mend(
                found.file, line, "unknown_key", f"{key} has no meaning here", f"give {option} on the command line"
            )
        elif close := difflib.get_close_matches(key, kinds, n=1, cutoff=0.85):
            found.mend(found.file, line, "unknown_key", f"pytest knows no key {key!r}", f"did you mean {close[0]}?")
        elif key.startswith("repro_"):
            close = difflib.get_close_matches(key, kinds, n=1)
            hint = f"did you mean {close[0]}?" if close else "see `pytest --help`"
            found.mend(found.file, line, "unknown_key", f"pytest knows no key {key!r}", hint)
    words = found.keys.get("addopts", "")
    words = words if isinstance(words, list) else str(words).split()
    if "no:repro" in words or "-pno:repro" in words:
        found.mend(
            found.file,
            _line_of(root / found.file, "addopts"),
            "switched_off",
            "addopts has -p no:repro: the plugin is off",
        )


def _check_value(key: str, kind: str, value: Any, is_typed: bool) -> Iterator[tuple[str, str]]:
    wanted, example, types = MEANING[kind]
    if is_typed and (not isinstance(value, types) or (isinstance(value, bool) and kind != "flag")):
        yield f"must be {wanted}, got {value!r:.80}", f"write {key} = {example}"
        return
    if key != "repro_across":
        return
    lines = value if isinstance(value, list) else [each for each in str(value).splitlines() if each.strip()]
    if not all(isinstance(each, str) for each in lines):
        yield f"must be {wanted}, got {value!r:.80}", ""
        return
    try:
        requests = parse_across_option(join_list(lines)) if lines else ()
    except UsageError as error:
        yield str(error), ""
        return
    for request in requests:
        if request.kind == "argument" and request.suggestion:
            yield f"{request.name!r} is no built-in axis", f"did you mean {request.suggestion}?"


def _find_variables(root: Path, found: Configuration) -> None:
    """Add the variables of determinism that other files of the project set."""
    workflows = sorted((root / ".github" / "workflows").glob("*.y*ml"))[:50]
    pattern = re.compile(rf"(?<![A-Za-z0-9_$])(?:{'|'.join(VARIABLES)})(?=\s*[:=])")
    for path in [*(root / name for name in _OTHER_FILES), *workflows]:
        if not path.is_file():
            continue
        try:
            lines = _read_text(path).splitlines()
        except _UnreadableError:
            continue
        for number, line in enumerate(lines, 1):
            match = pattern.search(line)
            if match is not None and not line.lstrip().startswith("#"):
                text = f"sets {match[0]}: {VARIABLES[match[0]]}"
                found.findings.append(Finding(path.relative_to(root).as_posix(), number, "setting", "note", text))


def describe_environment(environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the variables of determinism that are set here: name, value, meaning."""
    return [(name, environment[name], text) for name, text in VARIABLES.items() if name in environment]


def _line_of(path: Path, key: str, *, is_header: bool = False) -> int:
    """Return the line of a key in a file, or 0."""
    try:
        text = _read_text(path)
    except _UnreadableError:
        return 0
    end = "" if is_header else r"[\"']?\s*[=:]"
    match = re.search(rf"^[ \t]*[\"']?{re.escape(key)}{end}", text, re.MULTILINE)
    return text.count("\n", 0, match.start()) + 1 if match else 0
