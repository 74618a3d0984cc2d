"""What a scan does while tests are collected: it seeds each module, and finds modules that draw entropy."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_repro import seeding
from pytest_repro.engines.condition import environment_of_child
from pytest_repro.engines.job import MAX_ANSWER_BYTES, address_of
from pytest_repro.engines.parameters import DRAWN_NAMES_KEY, digest_parameters, find_changed
from pytest_repro.engines.starting import plan_start
from pytest_repro.engines.temporary_folders import DrawnNames
from pytest_repro.engines.workplace import COLLECTION_SEED_KEY, arguments_of_pytest, settled_options, workplace_of
from pytest_repro.environments.processes import ChildProcesses
from pytest_repro.errors import ChildError, StoreError
from pytest_repro.model import Condition
from pytest_repro.model.reading import read_file
from pytest_repro.session.child_config import configure_child, keep_to_itself

_ANSWER = "parameters.json"
_TIMEOUT_S = 600.0
_MAX_FRAMES = 60


class SeededCollection:
    """Seeds the generators before each module is imported, from the module's own path.

    A module's parameters then do not depend on the modules that were collected before it, and a child process that
    collects it alone gets the same.

    Attributes
    ----------
    drawing : set of str
        Modules whose own lines drew entropy.
    """

    def __init__(self, config: pytest.Config, base_seed: int) -> None:
        self.drawing: set[str] = set()
        self._root = config.rootpath
        self._base_seed = base_seed
        self._names = DrawnNames()
        config.stash[COLLECTION_SEED_KEY] = base_seed
        config.stash[DRAWN_NAMES_KEY] = self._names.names

    @contextmanager
    def around(self, collector: pytest.Collector) -> Iterator[None]:
        """Surround the collection of a module, or of anything else, which goes on with the module's generators."""
        if not isinstance(collector, pytest.Module):
            yield
            return
        path = collector.path
        name = path.relative_to(self._root) if path.is_relative_to(self._root) else Path(path.name)
        seed = seeding.derive_seed(self._base_seed, f"collection of {name.as_posix()}")
        with seeding.seeds_on_import(seed), self._names.noted(), self._noted_entropy(str(path)):
            seeding.seed_everything(seed)
            yield

    @contextmanager
    def _noted_entropy(self, file: str) -> Iterator[None]:
        """Note whether a line of the file draws from the operating system's entropy."""
        real_urandom, real_seed = os.urandom, random.Random.seed
        patched: list[tuple[Any, str, Any]] = []

        def put(owner: Any, name: str, replacement: Any) -> None:
            patched.append((owner, name, getattr(owner, name)))
            setattr(owner, name, replacement)

        def noting(real: Callable[..., Any]) -> Callable[..., Any]:
            def draw(size: int, /) -> Any:
                self._note(file)
                return real(size)

            return draw

        def seed(generator: Any, a: Any = None, version: int = 2) -> None:
            if a is None:
                self._note(file)
            real_seed(generator, a, version)

        put(os, "urandom", noting(real_urandom))
        put(random, "_urandom", noting(random._urandom))  # type: ignore[attr-defined]
        put(random.Random, "seed", seed)
        if (bit_generator := sys.modules.get("numpy.random.bit_generator")) is not None:
            put(bit_generator, "randbits", noting(bit_generator.randbits))
        try:
            yield
        finally:
            for owner, name, real in reversed(patched):
                setattr(owner, name, real)

    def _note(self, file: str) -> None:
        frame = sys._getframe(2)
        for _ in range(_MAX_FRAMES):
            if frame is None or frame.f_code.co_filename.startswith("<frozen importlib"):
                return  # another module's import, which any of them may be the first to make
            if frame.f_code.co_filename == file:
                self.drawing.add(file)
                return
            frame = frame.f_back  # type: ignore[assignment]


class DrawnParameters:
    """Finds the parameters that another process would collect with other values.

    The modules that drew entropy are collected once more, in a process of its own.
    """

    def __init__(self, files: set[str]) -> None:
        self._files = files
        self._answer: dict[str, dict[str, str]] | None = None
        self._has_begun = False

    def draws_at_import(self, item: pytest.Function) -> bool:
        """Return whether lines of a test's module draw entropy when it is imported."""
        return str(item.path) in self._files

    def find(self, item: pytest.Function) -> list[str]:
        """Return the names of a test's parameters that are drawn anew in each process.

        Its first call comes before any test runs.
        """
        if not self._has_begun:
            self._has_begun = True
            for each in item.session.items:
                if isinstance(each, pytest.Function) and str(each.path) in self._files:
                    digest_parameters(each)
        if str(item.path) not in self._files or not hasattr(item, "callspec"):
            return []
        if self._answer is None:
            self._answer = _collect_again(item.config, sorted(self._files))
        here = digest_parameters(item)
        there = self._answer.get(_key(item)) if self._answer else here
        # A name that is made from the values differs with them.
        return list(here) if there is None else find_changed(here, there)


def _key(item: pytest.Function) -> str:
    return "::".join(address_of(item))


def _collect_again(config: pytest.Config, paths: list[str]) -> dict[str, dict[str, str]]:
    place = workplace_of(config)
    directory = place.make_directory("parameters")
    request = directory / "request.json"
    request.write_text(json.dumps({"paths": paths, "options": settled_options(config)}), encoding="utf-8")
    condition = Condition()
    start = plan_start(config, "collection", request, arguments=arguments_of_pytest(config), condition=condition)
    try:
        ChildProcesses().run(
            start.command(directory),
            environment=environment_of_child(condition, f"{place.mark}.parameters"),
            directory=config.invocation_params.dir,
            timeout_s=_TIMEOUT_S,
        )
        data = read_file(directory / _ANSWER, max_bytes=MAX_ANSWER_BYTES)
        answer: dict[str, dict[str, str]] = json.loads(data.decode("utf-8"))
    except (OSError, ValueError, RecursionError, StoreError, ChildError):
        return {}
    return answer


def seeded_collection_of(config: pytest.Config, options: dict[str, Any]) -> SeededCollection | None:
    """Return what seeds the collection of a child process, if the parent's was seeded."""
    seed = options.get("repro_collection_seed")
    return None if seed is None else SeededCollection(config, seed)


def make_plugin(config: pytest.Config, path: str) -> _DigestParameters:
    """Have a session with the parent's arguments collect, and leave the digests of all parameters."""
    request = json.loads(Path(path).read_text(encoding="utf-8"))
    directory = Path(path).parent
    configure_child(config, request["paths"], request["options"], directory)
    return _DigestParameters(directory, seeded_collection_of(config, request["options"]))


class _DigestParameters:
    """The plugin of a process that only collects."""

    def __init__(self, directory: Path, seeds: SeededCollection | None) -> None:
        self._directory = directory
        self._seeds = seeds

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        keep_to_itself(config, self._directory)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, object, object]:
        if self._seeds is None:
            return (yield)
        with self._seeds.around(collector):
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Write the digests in place of running the tests."""
        items = [item for item in session.items if isinstance(item, pytest.Function)]
        content = {_key(item): digest_parameters(item) for item in items}
        (self._directory / _ANSWER).write_text(json.dumps(content), encoding="utf-8")
        return True
