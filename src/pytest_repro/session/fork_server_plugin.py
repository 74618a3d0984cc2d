"""The plugin of the fork server: collects once, and runs the test of each job in a fork of itself.

A series of jobs is run by one fork (docs/adr/0032).
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_repro.axes.patches import remember_places
from pytest_repro.engines import item_run
from pytest_repro.engines.current import HOLDER_KEY
from pytest_repro.engines.fork_server import (
    ForkServer,
    ForkServerSettings,
    die_with_parent,
    receive_job,
    report_job,
)
from pytest_repro.engines.fresh_fork import ExitHandlers, ThreadPools, renew_randomness, run_exit_handlers
from pytest_repro.engines.imported import ImportedModules, import_modules, read_sources
from pytest_repro.engines.job import ChildJob, address_of, identify
from pytest_repro.engines.wider_fixtures import WiderFixtures
from pytest_repro.frameworks.base_state import loaded_adapters
from pytest_repro.seeding import restore_state, save_state
from pytest_repro.session import fixtures  # noqa: F401 - imported once here, and not by the fixtures of each fork
from pytest_repro.session.child import ChildPlugin, SeriesPlace
from pytest_repro.session.child_config import InheritedStreams, configure_child, keep_to_itself
from pytest_repro.session.collection import SeededCollection, seeded_collection_of
from pytest_repro.session.packages import take_collected
from pytest_repro.undisturbed import Undisturbed, remember


def make_plugin(config: pytest.Config, path: str) -> ForkServerPlugin:
    """Have a session with the parent's arguments serve the jobs of a fork server."""
    die_with_parent()
    settings = ForkServerSettings.read(Path(path))
    configure_child(config, settings.paths, settings.options, Path(settings.directory))
    return ForkServerPlugin(config, settings)


class ForkServerPlugin:
    """Serves jobs in place of pytest's loop over the tests."""

    def __init__(self, config: pytest.Config, settings: ForkServerSettings) -> None:
        self.config = config
        self.settings = settings
        self.session: pytest.Session
        self._items: dict[tuple[str, str], pytest.Function] = {}
        self._identities: dict[tuple[str, str], str] = {}
        self._pools = ThreadPools(settings.threads)
        self._exit_handlers = ExitHandlers()
        self._streams = InheritedStreams(config)
        self._child: ChildPlugin | None = None
        self._seeds: SeededCollection | None = None
        self._has_found_sources = False

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, object, object]:
        if self._seeds is None:
            self._seeds = seeded_collection_of(self.config, self.settings.options)
        with nullcontext() if self._seeds is None else self._seeds.around(collector):
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        keep_to_itself(config, Path(self.settings.directory))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve jobs until the parent closes the socket. Then the session ends as any other."""
        take_collected(session)
        self.session = session
        self._items = {address_of(item): item for item in session.items if isinstance(item, pytest.Function)}
        self._settle()
        with socket.socket(fileno=self.settings.control) as control:
            try:
                server = ForkServer(
                    control, prepare=self._prepare, prepare_series=self._prepare_series, preload=self._preload
                )
                server.serve()
            finally:
                self._exit_handlers.restore()
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run the test, in a fork. Registering the child's plugin there would cost as much as all the rest."""
        assert self._child is not None
        assert isinstance(item, pytest.Function)
        self._child.answer(item)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._child is not None:
            self._child.note_report(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, object, object]:
        with nullcontext() if self._child is None else self._child.setting_up(fixturedef):
            return (yield)

    def _settle(self) -> None:
        """Do once the work that every fork would repeat."""
        self._pools.find()
        loaded_adapters()
        remember()
        self._has_found_sources = False
        # A collection in a fork would write to, and so copy, every page that holds objects.
        gc.collect()
        gc.freeze()

    def _preload(self, path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        import_modules(content["modules"])
        read_sources(content["sources"])
        self._settle()

    def _prepare(self, path: Path) -> Callable[[], None] | None:
        """Do in the server what would cost more in the fork, and return what the fork is to run."""
        job = ChildJob.read(path)
        item = self._items.get((job.path, job.name))
        if item is None:
            return None
        child = ChildPlugin(job, identity=self._identify(job, item))
        # After the fingerprint, for which pytest makes an object of a method's class: the fork makes its own.
        item_run.renew_instance(item)
        if job.probe is not None and not self._has_found_sources:
            self._find_sources()
        self._exit_handlers.set_aside()
        self._streams.flush()
        # Each fork goes on from the states that are drawn here. The server itself draws nothing else.
        renew_randomness()
        return partial(self._run, job, item, child)

    def _find_sources(self) -> None:
        """Find what the forks of a diagnosis replace, which each of them would search for in all modules."""
        from pytest_repro.sources.pins import patched_sources  # only a diagnosis needs it

        with patched_sources():
            pass  # what this imports belongs to the modules that are searched
        remember()
        with remember_places(), patched_sources():
            self._has_found_sources = True

    def _identify(self, job: ChildJob, item: pytest.Function) -> str:
        """Return a test's fingerprint, which is computed once."""
        address = job.path, job.name
        if address not in self._identities:
            self._identities[address] = identify(item)
        return self._identities[address]

    def _prepare_series(self) -> Callable[[socket.socket], None]:
        """Do in the server what concerns the fork of a series as a whole, and return what the fork is to run."""
        self._exit_handlers.set_aside()
        self._streams.flush()
        renew_randomness()
        return self._run_series

    def _begin_fork(self, directory: Path) -> None:
        """Become a process of its own, with its temporary folders in a folder."""
        self._exit_handlers.forget()
        faulthandler.cancel_dump_traceback_later()
        if faulthandler.is_enabled():
            faulthandler.enable(2)  # and not the server's output, which pytest gave it
        for name, text in self.settings.environment.items():
            if text is None:
                os.environ.pop(name, None)
                os.unsetenv(name)  # os.environ did not have it: it was set for libraries alone
            else:
                os.environ[name] = text
        self._pools.restore()
        factory: Any = getattr(self.config, "_tmp_path_factory", None)
        if factory is not None:
            factory._given_basetemp, factory._basetemp = directory / "tmp", None

    def _run(self, job: ChildJob, item: pytest.Function, child: ChildPlugin) -> None:
        """Run a test in the fork, which ends afterwards."""
        self._streams.redirect(child.directory)
        self._begin_fork(child.directory)
        self._child = child
        child.begin(ImportedModules())
        try:
            self.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            run_exit_handlers()
        finally:
            # The rest of the captured output goes to the pipe, where the parent reads it.
            self._streams.close()
        if not child.has_answered:
            sys.exit(1)

    def _run_series(self, link: socket.socket) -> None:
        """Run the tests of a series in the fork, one after the other as a plain session does."""
        directory = Path(self.settings.directory) / f"series-{os.getpid()}"
        directory.mkdir()
        self._begin_fork(directory)
        imported, wider = ImportedModules(), WiderFixtures()
        count, nowhere = 0, os.open(os.devnull, os.O_WRONLY)
        try:
            while (received := receive_job(link)) is not None:
                path, output = received
                self._streams.send_uncaptured_to(output)
                os.close(output)
                job = ChildJob.read(path)
                item = self._items.get((job.path, job.name))
                if item is None:
                    self._streams.send_uncaptured_to(nowhere)
                    report_job(link, missing=True)
                    continue
                self._streams.redirect(Path(job.directory))
                place = SeriesPlace(wider, count, None if job.following is None else self._items.get(job.following))
                self._child = ChildPlugin(job, identity=self._identify(job, item), place=place)
                imported.renew()
                self._run_next(item, imported)
                if not self._child.has_answered:
                    sys.exit(1)
                count += 1
                # The parent reads the output of a job to its end.
                self._streams.send_uncaptured_to(nowhere)
                report_job(link)
        finally:
            _tear_down(self.session, None)
            run_exit_handlers()
            self._streams.close()

    def _run_next(self, item: pytest.Function, imported: ImportedModules) -> None:
        """Run a test of a series, and leave generators, flags and the item as they were."""
        assert self._child is not None
        _tear_down(self.session, item)
        item_run.renew_instance(item)
        with Undisturbed(keeps_settings=True):
            state = save_state()
        self._child.begin(imported)
        try:
            self.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        finally:
            faulthandler.cancel_dump_traceback_later()
            with Undisturbed(keeps_settings=True):
                restore_state(state, flags=True)
            item._request = False  # type: ignore[assignment]
            item.funcargs = None  # type: ignore[assignment]
            del item.stash[HOLDER_KEY]
            sys.stdout.flush()
            sys.stderr.flush()


def _tear_down(session: pytest.Session, item: pytest.Item | None) -> None:
    """Tear down what earlier tests have left, except for what a test needs."""
    needed = [] if item is None else item.listchain()
    if any(node not in needed for node in session._setupstate.stack):
        session._setupstate.teardown_exact(item)
