"""A line on the terminal that shows which run of which test is in progress, and for how long."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pytest_repro.model.redaction import redact_name
from pytest_repro.model.text import escape

#: Shorter runs end before anyone could read the line.
FIRST_SHOWN_AFTER_S = 0.5
SAVE_CURSOR, RESTORE_CURSOR, CLEAR_TO_END = "\x1b7", "\x1b8", "\x1b[K"


class LiveLine:
    """Write a line behind the cursor and remove it again, if the output is a terminal.

    Parameters
    ----------
    config : pytest.Config
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._output = _terminal_copy(config)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._text: str | None = None
        self._describe_spent: Callable[[], str] | None = None
        self._started = 0.0
        self._is_visible = False

    def show(self, nodeid: str, step: str, describe_spent: Callable[[], str] | None = None) -> None:
        """Show a step of a test that begins, such as ``run 2 of 3``.

        The line ends with what `describe_spent` returns whenever it is drawn, or with the time since the test began.
        """
        if self._output is None:
            return
        with self._lock:
            if self._text is None:
                self._started = time.monotonic()
            self._text = f"{redact_name(nodeid).rpartition('::')[2]}: {step}"
            self._describe_spent = describe_spent
        if self._thread is None:
            self._thread = threading.Thread(target=self._tick, name="pytest-repro-live", daemon=True)
            self._thread.start()
        self._wake.set()

    def clear(self) -> None:
        """Remove the line before anything else is written."""
        if self._output is None:
            return
        with self._lock:
            self._text = None
            self._wake.clear()
            if self._is_visible:
                self._write(CLEAR_TO_END)
                self._is_visible = False

    def close(self) -> None:
        """Remove the line and close the copy of the terminal."""
        self.clear()
        with self._lock:
            if self._output is not None:
                os.close(self._output)
                self._output = None
        self._wake.set()

    def _tick(self) -> None:
        while self._output is not None:
            self._wake.wait()
            time.sleep(FIRST_SHOWN_AFTER_S)
            with self._lock:
                if self._text is not None and self._output is not None:
                    self._draw(self._text)

    def _draw(self, text: str) -> None:
        elapsed_s = time.monotonic() - self._started
        if elapsed_s < FIRST_SHOWN_AFTER_S:
            return
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            return  # -p no:terminal: nothing else writes lines that this one could follow
        columns = shutil.get_terminal_size().columns - self._config.get_terminal_writer().width_of_current_line - 2
        line = f" {text}, {self._describe_spent() if self._describe_spent is not None else f'{elapsed_s:.0f} s'}"
        if columns >= 12:
            printable = _shortened(escape(line), columns)
            self._write(f"{SAVE_CURSOR}{CLEAR_TO_END}{printable}{RESTORE_CURSOR}")
            self._is_visible = True

    def _write(self, text: str) -> None:
        # A terminal that was closed must not fail a test.
        with contextlib.suppress(OSError):
            os.write(self._output, text.encode("ascii", "replace"))  # type: ignore[arg-type]


def _shortened(line: str, columns: int) -> str:
    """Return a line that fits. Of one that does not, the start is left out: how far it is stands at the end."""
    return line if len(line) <= columns else f" ...{line[len(line) - columns + 4 :]}"


def _terminal_copy(config: pytest.Config) -> int | None:
    """Return a descriptor of the terminal that pytest's capturing does not redirect, or None without a terminal."""
    if hasattr(config, "workerinput") or os.environ.get("TERM") == "dumb" or "CI" in os.environ:
        return None
    capturing: Any = config.pluginmanager.get_plugin("capturemanager")
    # While pytest collects, its capturing has replaced the terminal by a file.
    with contextlib.nullcontext() if capturing is None else capturing.global_and_fixture_disabled():
        try:
            return os.dup(sys.__stdout__.fileno()) if sys.__stdout__ and sys.__stdout__.isatty() else None
        except (OSError, ValueError):
            return None
