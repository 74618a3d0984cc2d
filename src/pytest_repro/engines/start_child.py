"""A program that starts pytest for a run, after it has taken back what only this process was to be started with.

``python start_child.py START.json``: the file is a :class:`pytest_repro.engines.starting.Start`. The user's code, which
is imported from here on, finds the environment, the arguments and the search path of the user's own session, and hands
them on to the processes that it starts. It imports nothing of this package before pytest does.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

#: The plugin's module.
PLUGIN = "pytest_repro.plugin"
#: Module of the plugin that serves this process, and the path of its settings. The plugin takes it out.
PYTEST_REPRO_CHILD: tuple[str, str]


def take_back(variables: Mapping[str, str | None], for_libraries: Mapping[str, str]) -> None:
    """Give variables the values that they have in the user's session, for Python and for C code.

    `for_libraries` are then set for C code alone: compiled libraries read them when they are loaded.
    """
    for name, text in variables.items():
        if text is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = text
    for name, text in for_libraries.items():
        os.putenv(name, text)


def keep_descriptors() -> None:
    """Keep the descriptors that this process was given from those that it starts."""
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():  # noqa: PTH112, PTH208
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def main(path: str) -> int:
    """Start pytest."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs 8 ms
        start: dict[str, Any] = json.load(file)
    keep_descriptors()
    take_back(start["variables"], start["for_libraries"])
    sys.argv[:] = start["argv"]
    sys.orig_argv[:] = start["orig_argv"]
    if not sys.flags.safe_path:
        sys.path[0] = start["first_path"]
    if start["plugin_path"]:
        return main_elsewhere(start)
    globals()["PYTEST_REPRO_CHILD"] = start["plugin"], start["settings"]
    import pytest

    return int(pytest.main(start["arguments"]))


def main_elsewhere(start: dict[str, Any]) -> int:
    """Start pytest in an environment with other packages: with the parent's plugin, and without options of others."""
    sys.path.insert(0 if sys.flags.safe_path else 1, start["plugin_path"])
    sys.path.extend(path for path in start["own_paths"] if path not in sys.path)
    globals()["PYTEST_REPRO_CHILD"] = start["plugin"], start["settings"]
    from importlib.metadata import entry_points

    import pytest

    class OptionsOfOthers:
        @pytest.hookimpl(trylast=True)
        def pytest_load_initial_conftests(self, args: list[str], parser: pytest.Parser) -> None:
            """Leave out the options of plugins that this environment lacks, which its description names."""
            _, unknown = parser.parse_known_and_unknown_args(list(args))
            args[:] = [argument for argument in args if argument not in unknown]

    is_found = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))
    arguments = without_plugin(start["arguments"])
    # Named twice, or named and found, pytest refuses it.
    if not is_found or os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        arguments = ["-p", PLUGIN, *arguments]
    return int(pytest.main(arguments, plugins=[OptionsOfOthers()]))


def without_plugin(arguments: list[str]) -> list[str]:
    """Return pytest's arguments without those that load this plugin."""
    kept: list[str] = []
    for argument in arguments:
        if argument == PLUGIN and kept[-1:] == ["-p"]:
            kept.pop()
        elif argument not in (f"-p{PLUGIN}", f"-p={PLUGIN}"):
            kept.append(argument)
    return kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
