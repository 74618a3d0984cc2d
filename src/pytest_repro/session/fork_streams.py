"""What a fork prints and captures goes to files of its own: those that it inherited, its siblings write to as well."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import FDCapture

from pytest_repro.engines.child_session import CAPTURED_NAMES, TERMINAL_NAME
from pytest_repro.session.child import capture_into

_STREAMS = ("out", "err")


class InheritedStreams:
    """Turns pytest's own objects, which a fork has from its server, to other files: making new ones costs 2 ms.

    Parameters
    ----------
    config : pytest.Config
        Of the server, whose capturing is suspended while it forks.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def flush(self) -> None:
        """In the server, leave nothing that a fork would write once more."""
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter._tw._file.flush()

    def turn_to(self, directory: Path) -> None:
        """In the fork, whose output is in place, go on with files in a run's folder."""
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            _redirect(reporter._tw._file.fileno(), directory / TERMINAL_NAME)
        manager: Any = self._config.pluginmanager.getplugin("capturemanager")
        captures: list[Any] = [getattr(manager._global_capturing, stream, None) for stream in _STREAMS]
        if not all(isinstance(capture, FDCapture) for capture in captures):
            self._capture_anew()
            capture_into(self._config, directory)
            return
        for descriptor, capture, name in zip((1, 2), captures, CAPTURED_NAMES, strict=True):
            # Where output goes that is not captured.
            os.dup2(descriptor, capture.targetfd_save, inheritable=False)
            _redirect(capture.tmpfile.fileno(), directory / name)

    def close(self) -> None:
        """Let out what was captured and has not been read."""
        manager: Any = self._config.pluginmanager.getplugin("capturemanager")
        manager.stop_global_capturing()

    def _capture_anew(self) -> None:
        """Give the fork captures of its own, where they are no descriptors."""
        manager: Any = self._config.pluginmanager.getplugin("capturemanager")
        output, errors = os.dup(1), os.dup(2)
        manager.stop_global_capturing()
        # Stopping has put back the server's own output.
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.close(output)
        os.close(errors)
        manager.start_global_capturing()
        manager.suspend_global_capture(in_=True)


def _redirect(descriptor: int, path: Path) -> None:
    """Have an open descriptor write to the end of a new file."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(opened, descriptor, inheritable=False)
    os.close(opened)
