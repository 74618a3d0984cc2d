"""Pass a child's warnings and logs on to the user's session."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_repro.model.text import is_encodable, make_encodable

#: A test can warn without end, and a user reads the first warnings.
MAX_WARNINGS = 100
MAX_CHARACTERS = 2000
#: pytest's name of the section with a phase's log -> the phase.
_SECTIONS = {f"Captured log {phase}": phase for phase in ("setup", "call", "teardown")}


def describe_warning(message: warnings.WarningMessage) -> dict[str, Any]:
    """Return a warning as JSON."""
    return {
        "text": str(message.message)[:MAX_CHARACTERS],
        "category": message.category.__name__,
        "filename": message.filename,
        "lineno": message.lineno,
    }


def make_warning_encodable(message: warnings.WarningMessage) -> None:
    """Replace the texts of a recorded warning that no UTF-8 encoder takes."""
    message.filename = make_encodable(message.filename)
    warning = message.message
    parts = (warning,) if isinstance(warning, str) else (str(warning), *warning.args)
    if all(is_encodable(part) for part in parts if isinstance(part, str)):
        return
    category = _find_category(message.category.__name__)
    text = make_encodable(str(warning))
    message.message = category(text if category is message.category else f"{message.category.__name__}: {text}")
    message.category = category


class WarningRelay:
    """Passes the warnings of a test's runs to pytest, each once."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._seen: set[tuple[object, ...]] = set()

    def publish(self, described: list[dict[str, Any]]) -> None:
        """Publish the new ones as pytest would have recorded them here.

        Without the filters: the child has applied them already, with the test's own.
        """
        for entry in described:
            key = tuple(entry.values())
            if key in self._seen:
                continue
            self._seen.add(key)
            category = _find_category(entry["category"])
            text = entry["text"] if category.__name__ == entry["category"] else f"{entry['category']}: {entry['text']}"
            message = warnings.WarningMessage(category(text), category, entry["filename"], entry["lineno"])
            self._item.ihook.pytest_warning_recorded.call_historic(
                kwargs={
                    "warning_message": message,
                    "nodeid": self._item.nodeid,
                    "when": "runtest",
                    "location": None,
                }
            )


def _find_category(name: str) -> type[Warning]:
    """Return a built-in category or one of pytest. Any other class may be missing here, or not constructible."""
    for home in (builtins, pytest):
        found = getattr(home, name, None)
        if isinstance(found, type) and issubclass(found, Warning):
            return found
    return UserWarning


def show_live_logs(config: pytest.Config, sections: Sequence[Sequence[str]], index: int, total: int) -> None:
    """Write a finished run's log to the terminal, where the user asked for live logs.

    A child sends its log with its answer, in the sections of its report, so it is shown run by run.
    """
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is None or not _are_wanted(config):
        return
    for name, text in sections:
        phase = _SECTIONS.get(name)
        if phase is None or not text:
            continue
        terminal.ensure_newline()
        terminal.section(f"live log {phase} (run {index} of {total})", sep="-", bold=True)
        terminal.write_line(text.rstrip("\n"))


def _are_wanted(config: pytest.Config) -> bool:
    if not config.pluginmanager.hasplugin("logging-plugin"):
        return False
    return config.getoption("--log-cli-level", None) is not None or bool(config.getini("log_cli"))
