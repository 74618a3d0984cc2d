"""Live logs (``log_cli``) of runs in child processes, which pytest itself does not show."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

#: pytest's name of the section with a phase's log -> the phase.
_SECTIONS = {f"Captured log {phase}": phase for phase in ("setup", "call", "teardown")}


def show_live_logs(config: pytest.Config, sections: Sequence[Sequence[str]], index: int, total: int) -> None:
    """Write a finished run's log to the terminal, where the user asked for live logs.

    A child sends its log with its answer, so it is shown run by run and not line by line.

    Parameters
    ----------
    config : pytest.Config
    sections : sequence of (name, text)
        Of the run's report.
    index, total : int
        The run's number, and the number of runs.
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
