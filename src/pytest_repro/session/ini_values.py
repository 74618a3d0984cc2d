"""Read the plugin's keys of pytest's configuration, whichever file and table they stand in.

An ini file and ``[tool.pytest.ini_options]`` hold text; ``[tool.pytest]`` and ``pytest.toml`` (pytest >= 9) hold typed
values. pytest checks both, with errors that before 9.2 end in a traceback, and before 9.2 it knows no key that takes a
number or a text. So each key is read here, and what pytest refuses is judged again by the value in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.errors import UsageError

#: Kind -> what a value must be, with an example of a typed table, and the types of Python that it may have.
MEANING: Mapping[str, tuple[str, str, tuple[type, ...]]] = {
    "flag": ("true or false", "true", (bool,)),
    "int": ("an integer", "3", (int,)),
    "float": ("a number", "1e-6", (int, float)),
    "text": ("a text", '"out"', (str,)),
    "list": ("a list of texts", '["...", "..."]', (list,)),
    "int|text": ("an integer or a text", "1", (int, str)),
    "float|text": ("a number or a text", "90", (int, float, str)),
}

#: Name of each key -> its kind. The plugin, which declares the keys to pytest, fills it before a key is read.
KINDS: dict[str, str] = {}


def read_key(config: pytest.Config, name: str) -> Any:
    """Return the value of a key, or None where it is empty or not given (a flag: its default).

    A list is returned as one text, as the command line has it.

    Raises
    ------
    UsageError
        For a value of the wrong type. The message names the file and the key, and says what it must be.
    """
    kind = KINDS[name]
    try:
        value: Any = config.getini(name)
    except (TypeError, ValueError, pytest.UsageError, pytest.PytestWarning) as error:  # the last under -W error
        value, is_typed = _read_raw(config, name, error)
        if value == "":
            return None
        if kind in ("int", "float") and isinstance(value, str) and not is_typed:
            return value  # a text that is no number, which the option's own rule explains better
        if not ("|" in kind and is_typed):
            raise UsageError(_problem(config, name, kind, value)) from None
    if value is None or value in ("", []):
        return None
    if not isinstance(value, MEANING[kind][2]) or (isinstance(value, bool) and kind != "flag"):
        raise UsageError(_problem(config, name, kind, value))
    if not isinstance(value, list):
        return value
    if not all(isinstance(each, str) for each in value):
        raise UsageError(_problem(config, name, kind, value))
    return join_list(value)


def ini_folder(config: pytest.Config) -> Path:
    """Return the folder to which paths in the configuration are relative: that of its file."""
    return config.inipath.parent if config.inipath is not None else config.rootpath


def join_list(lines: Sequence[str]) -> str:
    """Return the elements of a list as the command line has them."""
    # A line of an ini file may end with the comma that stands between two axes.
    return ",".join([*(each.strip().removesuffix(",") for each in lines[:-1]), lines[-1].strip()])


def check_keys(config: pytest.Config) -> None:
    """Read every key, so that a wrong type is reported also where nothing uses the key in this session."""
    for name in KINDS:
        read_key(config, name)


def place_of(config: pytest.Config, name: str) -> str:
    """Return where a key was given, for messages."""
    if name in _overrides(config):
        return f"-o {name}"
    return f"{name} in {config.inipath.name if config.inipath else 'the ini file'}"


def raw_values(config: pytest.Config) -> Mapping[str, object]:
    """Return all keys of the configuration as the file has them; pytest 9 wraps each value."""
    # Not getini(), which reads no key that is not registered, and a plugin that is not loaded may own it.
    return getattr(config, "_inicfg", None) or vars(config).get("inicfg") or {}


def _overrides(config: pytest.Config) -> dict[str, str]:
    pairs = (each.partition("=") for each in config.getoption("override_ini", None) or ())
    return {name.strip(): value for name, _, value in pairs}


def _read_raw(config: pytest.Config, name: str, error: Exception) -> tuple[Any, bool]:
    """Return a value that pytest refused, and whether it comes from a typed table."""
    # pytest 8 keeps the overrides apart from the file's values.
    found = _overrides(config).get(name, raw_values(config).get(name))
    if found is None:
        raise UsageError(str(error)) from None
    return getattr(found, "value", found), getattr(found, "mode", "ini") == "toml"


def _problem(config: pytest.Config, name: str, kind: str, value: object) -> str:
    wanted, example, _ = MEANING[kind]
    names = {"str": "the text ", "list": "the list ", "dict": "the table "}
    got, shown = names.get(type(value).__name__, ""), repr(value)[:80]
    if isinstance(value, bool):
        shown = "true" if value else "false"
    example = '["hash_seed", "threads=1:2"]' if name == "repro_across" else example
    return f"{place_of(config, name)}: must be {wanted}, as in {name} = {example}, got {got}{shown}"
