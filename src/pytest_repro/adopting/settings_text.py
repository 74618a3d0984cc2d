"""The plugin's first settings, inserted into a project's configuration with all other text left as it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import iniconfig
import pytest

from pytest_repro.adopting.configuration import FILES, TYPED, Configuration
from pytest_repro.errors import UsageError

RUNS = 3


def choose_file(root: Path, configuration: Configuration) -> str:
    """Return the file that gets the settings: the one that pytest takes, or else one that it would take."""
    if configuration.file:
        return configuration.file
    return "pyproject.toml" if (root / "pyproject.toml").exists() else "pytest.ini"


def add_settings(root: Path, configuration: Configuration, pythonpath: str) -> tuple[str, bytes, str]:
    """Return the file's name, its new content, and the lines that are new.

    Parameters
    ----------
    pythonpath : str
        Folder to put on the search path of modules, or an empty text.

    Raises
    ------
    UsageError
        If the lines cannot be inserted without a change of anything else; the message holds them.
    """
    name = choose_file(root, configuration)
    path = root / name
    old = path.read_bytes().decode("utf-8") if path.exists() else ""
    is_toml = name.endswith(".toml")
    is_typed = is_toml and (configuration.is_typed if configuration.file else pytest.version_tuple >= TYPED)
    header = _header(name, is_typed, configuration)
    lines = _setting_lines(is_toml, is_typed, pythonpath if "pythonpath" not in configuration.keys else "")
    newline = "\r\n" if "\r\n" in old else "\n"
    pattern = re.compile(rf"^[ \t]*{re.escape(header)}[ \t]*(#[^\r\n]*)?\r?$", re.MULTILINE)
    match = pattern.search(old)
    body = newline.join(lines) + newline
    if match is not None:
        end = match.end() + 1
        before = old[:end] if old[end - 1 : end] == "\n" else old + newline
        new = before + body + old[end:]
    else:
        gap = newline * (1 if old.endswith("\n") else 2) if old else ""
        new = f"{old}{gap}{header}{newline}{body}"
    if not _only_adds(name, old, new, lines):
        shown = "\n".join([header, *lines])
        raise UsageError(
            f"{name}: the settings cannot be added without touching anything else; add them by hand:\n{shown}"
        )
    return name, new.encode("utf-8"), "\n".join(lines if match is not None else [header, *lines])


def _header(name: str, is_typed: bool, configuration: Configuration) -> str:
    if name == "pyproject.toml":
        return "[tool.pytest]" if is_typed else "[tool.pytest.ini_options]"
    return f"[{FILES[name] or 'pytest'}]"


def _setting_lines(is_toml: bool, is_typed: bool, pythonpath: str) -> list[str]:
    lines = ["# Runs of each test with the marker `reproducible`."]
    if is_typed:
        lines.append("# pytest 8 and older do not read this table.")
    lines.append(f"repro_runs = {RUNS}")
    if pythonpath:
        lines.append(f'pythonpath = ["{pythonpath}"]' if is_toml else f"pythonpath = {pythonpath}")
    return lines


def _only_adds(name: str, old: str, new: str, lines: list[str]) -> bool:
    """Return whether the new content reads as the old one with the new keys, and nothing else changed."""
    added = {line.partition(" = ")[0] for line in lines if not line.startswith("#")}
    try:
        if name.endswith(".toml"):
            return _matches(tomllib.loads(old), tomllib.loads(new), added)
        before, after = (
            {section.name: dict(section.items()) for section in iniconfig.IniConfig(name, data=text)}
            for text in (old, new)
        )
        return _matches(before, after, added)
    except (tomllib.TOMLDecodeError, iniconfig.ParseError):
        return False


def _matches(old: object, new: object, added: set[str]) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        extra = set(new) - set(old)
        allowed = extra <= added | {"tool", "pytest", "ini_options"} | ({"tool:pytest"})
        return allowed and set(old) <= set(new) and all(_matches(old[key], new[key], added) for key in old)
    return bool(old == new)
