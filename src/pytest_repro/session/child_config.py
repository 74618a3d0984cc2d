"""The pytest session of a child process: its options, and the files that its output goes to.

Those that a fork inherits are written by its siblings as well, so that it needs files of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import FDCapture
from _pytest.config import create_terminal_writer

from pytest_repro.engines.job import CAPTURED_NAMES, TERMINAL_NAME
from pytest_repro.model import JSON
from pytest_repro.tracing.user_code import is_user_file
from pytest_repro.tracing.variables import noting_variables

#: Options that choose tests or write files, with values that do neither.
NEUTRAL_OPTIONS: dict[str, Any] = {
    **dict.fromkeys(("keyword", "markexpr"), ""),
    **dict.fromkeys(("lf", "failedfirst", "newfirst", "stepwise", "pyargs", "usepdb", "trace"), False),
    **dict.fromkeys(("deselect", "xmlpath", "htmlpath", "report_log", "repro_json", "durations", "pastebin"), None),
    **{"log_file": os.devnull, "json_report": False},
    **{"benchmark_json": None, "benchmark_autosave": False, "benchmark_save": None},
    **{"numprocesses": None, "dist": "no", "tx": [], "distload": False, "maxprocesses": None, "looponfail": False},
    **{"reruns": 0, "shard_id": 0, "num_shards": 1},
    **{"randomly_reorganize": False, "random_order_bucket": "none"},
}
#: Plugins that keep state of the user's session on disk.
SESSION_PLUGINS = ("lfplugin", "nfplugin", "stepwiseplugin")
_STREAMS = ("out", "err")


def _collectable(path: str) -> str:
    """Return a file's argument on pytest's command line, where a bracket would begin the values of a parameter."""
    within = Path(path.partition("[")[0]).parent
    return path if "[" not in path else str(within)


def configure_child(config: pytest.Config, paths: Iterable[str], options: Mapping[str, JSON], directory: Path) -> None:
    """Have a session with the parent's arguments collect only the given files, and write only into its own folder."""
    for name, value in {**NEUTRAL_OPTIONS, **options}.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)
    config.option.basetemp = str(directory / "tmp")
    config.args = sorted({_collectable(path) for path in paths})
    noting = ExitStack()
    noting.enter_context(noting_variables(is_user_file))
    config.add_cleanup(noting.close)


def keep_to_itself(config: pytest.Config, directory: Path) -> None:
    """Have a child's pytest ignore the session's cache, and write its terminal output to a file."""
    for name in SESSION_PLUGINS:
        if config.pluginmanager.hasplugin(name):
            config.pluginmanager.unregister(name=name)
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        # The pipe then carries only the test's own output. The reporter stays: plugins use it.
        file = (directory / TERMINAL_NAME).open("w", encoding="utf-8", errors="backslashreplace")
        reporter._tw = create_terminal_writer(config, file)


def capture_into(config: pytest.Config, directory: Path) -> None:
    """Have pytest capture output into named files, whose end can be read after the run was killed."""
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    for stream, name in zip(("out", "err"), CAPTURED_NAMES, strict=True):
        capture = getattr(manager._global_capturing, stream, None)
        if isinstance(capture, FDCapture):
            descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(descriptor, capture.tmpfile.fileno(), inheritable=False)
            os.close(descriptor)


class InheritedStreams:
    """Redirects pytest's own objects, which a fork inherits, to the files of its run: making new ones costs 2 ms.

    Parameters
    ----------
    config : pytest.Config
        Of the server, whose capturing is suspended while it forks.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def flush(self) -> None:
        """Flush the server's output, which a fork would otherwise write again."""
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter._tw._file.flush()

    def send_uncaptured_to(self, output: int) -> None:
        """Have output that is not captured go to another descriptor from now on."""
        manager: Any = self._config.pluginmanager.getplugin("capturemanager")
        captures = [getattr(manager._global_capturing, stream, None) for stream in _STREAMS]
        for descriptor, capture in zip((1, 2), captures, strict=True):
            os.dup2(output, descriptor)
            if isinstance(capture, FDCapture):
                os.dup2(output, capture.targetfd_save, inheritable=False)

    def redirect(self, directory: Path) -> None:
        """Redirect a fork's terminal output and its captures to files in the run's folder."""
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            _redirect(reporter._tw._file.fileno(), directory / TERMINAL_NAME)
        manager: Any = self._config.pluginmanager.getplugin("capturemanager")
        captures: list[Any] = [getattr(manager._global_capturing, stream, None) for stream in _STREAMS]
        if not all(isinstance(capture, FDCapture) for capture in captures):
            self._replace_captures()
            capture_into(self._config, directory)
            return
        for descriptor, capture, name in zip((1, 2), captures, CAPTURED_NAMES, strict=True):
            # Output that is not captured goes to the fork's own pipe.
            os.dup2(descriptor, capture.targetfd_save, inheritable=False)
            _redirect(capture.tmpfile.fileno(), directory / name)

    def close(self) -> None:
        """Write out the captured output that has not been read."""
        manager: Any = self._config.pluginmanager.getplugin("capturemanager")
        manager.stop_global_capturing()

    def _replace_captures(self) -> None:
        """Give the fork captures of its own, where the inherited ones are not of descriptors."""
        manager: Any = self._config.pluginmanager.getplugin("capturemanager")
        output, errors = os.dup(1), os.dup(2)
        manager.stop_global_capturing()
        # Stopping has restored the server's own output.
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.close(output)
        os.close(errors)
        manager.start_global_capturing()
        manager.suspend_global_capture(in_=True)


def _redirect(descriptor: int, path: Path) -> None:
    """Make an open descriptor append to a new file."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(opened, descriptor, inheritable=False)
    os.close(opened)
