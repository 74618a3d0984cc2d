"""The plugin object of the process that forks: collects once, and runs the test of each job in a fork of itself."""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.running.forge import ForgeSettings, ForkServer
from pytest_repro.running.fresh_fork import (
    ThreadPools,
    forget_exit_handlers,
    renew_randomness,
    run_exit_handlers,
)
from pytest_repro.running.imported import ImportedModules, import_modules
from pytest_repro.running.job import ChildJob, address_of
from pytest_repro.running.keeper import MARK_VARIABLE
from pytest_repro.session import fixtures  # noqa: F401 - what the fixture `repro` imports, once and not in each fork
from pytest_repro.session.child import ChildRecorder, keep_to_itself


class ForgeServer:
    """Stands where pytest would run the tests.

    Parameters
    ----------
    config : pytest.Config
    settings : ForgeSettings
    """

    def __init__(self, config: pytest.Config, settings: ForgeSettings) -> None:
        self.config = config
        self.settings = settings
        self._items: dict[tuple[str, str], pytest.Function] = {}
        self._pools = ThreadPools(settings.threads)
        self._recorder: ChildRecorder | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        keep_to_itself(config, Path(self.settings.directory))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve jobs until the parent closes the socket; then the session ends as any other."""
        self._items = {address_of(item): item for item in session.items if isinstance(item, pytest.Function)}
        self._prepare()
        with socket.socket(fileno=self.settings.control) as control:
            ForkServer(control, run=self._run, has=self._has, preload=self._preload).serve()
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """In a fork, run the test; registering the recorder there would cost as much as all the rest."""
        assert self._recorder is not None
        return self._recorder.pytest_runtest_protocol(item, nextitem)

    def _prepare(self) -> None:
        """Do once what every fork would have to do."""
        self._pools.find()
        loaded_adapters()
        # A collection in a fork would write to, and so copy, every page that holds objects.
        gc.collect()
        gc.freeze()

    def _has(self, path: Path) -> bool:
        job = ChildJob.read(path)
        return (job.path, job.name) in self._items

    def _preload(self, path: Path) -> None:
        import_modules(json.loads(path.read_text(encoding="utf-8")))
        self._prepare()

    def _run(self, path: Path) -> None:
        """Be the run: everything from here on happens in a fork, which ends afterwards."""
        job = ChildJob.read(path)
        forget_exit_handlers()
        faulthandler.cancel_dump_traceback_later()
        if faulthandler.is_enabled():
            faulthandler.enable(2)  # and not the server's output, which pytest gave it
        for name, text in self.settings.environment.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text
        os.environ[MARK_VARIABLE] = f"{os.environ[MARK_VARIABLE].partition('.')[0]}.{job.nonce}"
        self._capture_anew()
        self._pools.restore()
        renew_randomness()
        factory: Any = getattr(self.config, "_tmp_path_factory", None)
        if factory is not None:
            factory._given_basetemp, factory._basetemp = Path(job.directory) / "tmp", None
        recorder = self._recorder = ChildRecorder(job, ImportedModules())
        recorder.pytest_configure(self.config)
        try:
            self.config.hook.pytest_runtest_protocol(item=self._items[job.path, job.name], nextitem=None)
            run_exit_handlers()
        finally:
            # What is still to be said goes where it is read.
            self._stop_capturing()
        if not recorder.has_answered:
            sys.exit(1)

    def _capture_anew(self) -> None:
        """Give the fork files of its own to capture into: inherited ones would be shared with its siblings."""
        manager: Any = self.config.pluginmanager.getplugin("capturemanager")
        output, errors = os.dup(1), os.dup(2)
        manager.stop_global_capturing()
        # Stopping has put back the server's own output.
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.close(output)
        os.close(errors)
        manager.start_global_capturing()
        manager.suspend_global_capture(in_=True)

    def _stop_capturing(self) -> None:
        manager: Any = self.config.pluginmanager.getplugin("capturemanager")
        manager.stop_global_capturing()
