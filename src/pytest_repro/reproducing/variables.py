"""Environment variables of a reproduced session: those of the record, and few others."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_repro.capturing.environment import is_recorded_variable
from pytest_repro.errors import RecordError
from pytest_repro.model.redaction import hidden_digest
from pytest_repro.model.secret_names import is_secret_variable
from pytest_repro.reproducing.subject import Subject, mapping

#: Without these, an interpreter does not start, or finds neither its libraries nor a folder for temporary files.
KEPT = (
    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TMP", "TEMP", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME", "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "LOCALAPPDATA", "APPDATA",
)  # fmt: skip
#: Variables that load code into an interpreter. They are never taken from a record, even if the user has the same.
_LOADERS = ("LD_", "DYLD_", "PYTHON", "PYTEST", "PATH")
_HIDDEN = "[hidden"
#: Values that could name a file, as options in XLA_FLAGS do, or that no known variable has.
_REFUSED = re.compile(r"[/\\\x00-\x1f]")
_MAX_VALUE = 1000
_HASH_SEED = re.compile(r"\d{1,10}")


@dataclass(frozen=True, slots=True)
class Variables:
    """The recorded variables that are set, and names of those that cannot be, each with the reason."""

    values: dict[str, str]
    not_had: tuple[str, ...]


def choose_variables(subject: Subject) -> Variables:
    """Return the variables of a record.

    Raises
    ------
    RecordError
        If the record has one that pytest-repro never records, such as ``LD_PRELOAD``.
    """
    values: dict[str, str] = {}
    not_had: list[str] = []
    for name, value in sorted(mapping(subject.environment.get("variables")).items()):
        if name == "unavailable":
            continue
        _add_recorded(name, value, values, not_had)
    seed = subject.environment.get("hash_seed")
    if isinstance(seed, str) and _HASH_SEED.fullmatch(seed):
        values["PYTHONHASHSEED"] = seed
    for name, value in sorted(
        {name: value for test in subject.tests for name, value in test.variables.items()}.items()
    ):
        _add_read(name, value, values, not_had)
    return Variables(values, tuple(not_had))


def _add_recorded(name: str, value: Any, values: dict[str, str], not_had: list[str]) -> None:
    if not is_recorded_variable(name) or is_secret_variable(name) or not isinstance(value, str):
        raise RecordError(
            f"the record has the variable {name[:60]!r}, which pytest-repro does not record: nothing is run"
        )
    if value.startswith(_HIDDEN):
        _add_own(name, value, values, not_had)
    elif _REFUSED.search(value) or len(value) > _MAX_VALUE:
        not_had.append(f"{name}: its recorded value could name a file, and is not set")
    else:
        values[name] = value


def _add_read(name: str, value: Any, values: dict[str, str], not_had: list[str]) -> None:
    """Add a variable that a test read, of which the record has only a digest."""
    if name in values or name in KEPT or value == "not set" or not isinstance(value, str):
        return
    if name.startswith(_LOADERS) or is_secret_variable(name):
        not_had.append(f"{name}: it may load code or be a secret, and is not set")
    else:
        _add_own(name, value, values, not_had)


def _add_own(name: str, digest: str, values: dict[str, str], not_had: list[str]) -> None:
    """Take a variable from here, if it has the recorded digest."""
    own = os.environ.get(name)
    if own is not None and hidden_digest(name, own) == digest:
        values[name] = own
    else:
        not_had.append(f"{name}: only a digest of its value is recorded, which its value here does not have")


#: Options of a recorded command that decide what is run and how it is judged, with the form of their values.
_OPTIONS = {
    "--repro-runs": re.compile(r"\d{1,6}"),
    "--repro-across": re.compile(r"[\w=:,.\-]{1,1000}"),
    "--repro-max-ulp": re.compile(r"\d{1,9}"),
    "--repro-rtol": re.compile(r"[\d.e+\-]{1,30}"),
    "--repro-atol": re.compile(r"[\d.e+\-]{1,30}"),
}
#: A plugin that was switched off.
_WITHOUT = re.compile(r"no:[a-z][a-z_]{0,40}")
#: Words that every reproduced session has, or that only make the terminal's text shorter or longer.
_OWN_WORDS = ("-q", "-qq", "-v", "-vv", "-s", "-x", "-rs", "-ra", "--rootdir=.")
_OWN_PLUGINS = ("pytest_repro.plugin", "no:cacheprovider")
_FLAGS = ("--repro-all", "--repro-isolate", "--repro-seed-control")
#: Options that only choose tests, reports or the terminal's text.
_HARMLESS = re.compile(
    r"--(repro-(record|verify|evidence|json|html|audit|seed|reason|update|no|hints|diagnose|collect)|no-)"
)
#: Axes whose values name other environments.
_ENVIRONMENTS = re.compile(r"(^|,)(python|host)\b")


def choose_options(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the options of a recorded command that are given again, and those that are not and may matter."""
    chosen: list[str] = []
    ignored: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        name, separator, value = word.partition("=")
        position += 1
        if name in _OPTIONS:
            if not separator and position < len(words):
                value = words[position]
                position += 1
            is_safe = _OPTIONS[name].fullmatch(value) and not (name == "--repro-across" and _ENVIRONMENTS.search(value))
            (chosen if is_safe else ignored).append(f"{name}={value}")
        elif word in _FLAGS:
            chosen.append(word)
        elif word in ("-k", "-m"):
            position += 1  # it chose tests, which are now named one by one
        elif word == "-p" and position < len(words):
            plugin = words[position]
            position += 1
            if plugin not in _OWN_PLUGINS:
                is_off = _WITHOUT.fullmatch(plugin) and "repro" not in plugin
                chosen.append(f"-p{plugin}") if is_off else ignored.append(f"-p {plugin}")
        elif word.startswith("-") and not _HARMLESS.match(word) and word not in _OWN_WORDS:
            takes_next = word in ("-o", "-c", "-W", "-n") and position < len(words)
            ignored.append(f"{word} {words[position]}" if takes_next else word)
            position += takes_next
    return chosen, ignored


def choose_seed(subject: Subject) -> list[str]:
    """Return the option that gives the tests their recorded seeds.

    The option overrides the seed of a marker, which the ini value does not.
    """
    bases = [test.base_seed for test in subject.tests]
    known = [base for base in bases if base is not None]
    if not known:
        return []
    base = max(known, key=known.count)
    return ["-o", f"repro_seed={base}"] if None in bases else [f"--repro-seed={base}"]


def kept_variables() -> Mapping[str, str]:
    """Return the variables of this process that every session needs."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}
