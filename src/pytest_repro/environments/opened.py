"""The environments of a session: each is found, looked at and opened once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_repro.environments import probe
from pytest_repro.environments.declared import find_declared, read_declared
from pytest_repro.environments.environment import Environment, EnvironmentFacts, EnvironmentUnusableError
from pytest_repro.environments.imports import find_imports
from pytest_repro.environments.interpreters import find_interpreter
from pytest_repro.environments.made import EnvironmentStore
from pytest_repro.environments.places import LocalPlace, Place, link_package
from pytest_repro.environments.probing import check_facts, probe_interpreter, read_facts
from pytest_repro.environments.remote import RemotePlace

#: The axis whose values must be names.
HOST = "host"
#: Packages that are named where they differ; of further ones the number is told.
MAX_NAMED = 6
_INSTALLERS = {"pip", "setuptools", "wheel"}
_NUMERICAL = ("numpy", "scipy", "torch", "jax", "scikit-learn", "pandas", "xgboost", "lightgbm")


class Environments:
    """Finds and opens the environments of a session. May be used by several threads.

    Parameters
    ----------
    root : Path
        The project's folder.
    file : Path, optional
        pytest's configuration file.
    folder : Path
        For files of the session.
    list_files : callable
        Returns the project's files, for an environment that does not see them.
    mark : str
        Of the session's processes.
    store : EnvironmentStore, optional
    """

    def __init__(
        self,
        root: Path,
        file: Path | None,
        folder: Path,
        list_files: Callable[[], Iterable[Path]],
        mark: str,
        store: EnvironmentStore | None = None,
    ) -> None:
        self._root, self._file, self._folder, self._list_files, self._mark = root, file, folder, list_files, mark
        self._store = store or EnvironmentStore()
        self._declared: dict[str, Environment] | None = None
        self._found: dict[tuple[str, str], Environment] = {}
        self._unusable: dict[tuple[str, str], str] = {}
        self._places: dict[Environment, Place] = {}
        self._facts: dict[tuple[Environment, tuple[str, ...]], EnvironmentFacts] = {}
        self._here: EnvironmentFacts | None = None
        self._lock = threading.RLock()

    def check(self, axis: str, name: str, test_file: Path) -> EnvironmentFacts:
        """Return what an environment has, which is made and started first.

        Raises
        ------
        UsageError
            If the name names nothing.
        EnvironmentUnusableError
            If it lacks what the plugin or the test's file needs.
        EnvironmentLostError
            If it does not answer.
        """
        with self._lock:
            environment = self._find(axis, name)
            modules = tuple(find_imports(test_file, self._root))
            key = (environment, modules)
            if key not in self._facts:
                place = self._open(environment)
                if isinstance(place, RemotePlace):
                    self._facts[key] = place.look(modules)
                else:
                    self._facts[key] = probe_interpreter([environment.python], modules, name)
            facts = self._facts[key]
        check_facts(facts, name, modules, test_file.name)
        return facts

    def describe(self, axis: str, name: str, test_file: Path) -> str:
        """Return in a sentence what an environment has that differs from this one (see :meth:`check`)."""
        facts = self.check(axis, name, test_file)
        if self._here is None:
            # In this process: another interpreter's start would only repeat it.
            self._here = read_facts(probe.MARK + json.dumps(probe.look([])), "here")
        return f"{axis}={name}: {describe_difference(facts, self._here)}"

    def place_of(self, axis: str, name: str) -> Place:
        """Return where runs are made in an environment."""
        with self._lock:
            return self._open(self._find(axis, name))

    def _find(self, axis: str, name: str) -> Environment:
        """Find an environment, or raise again why it cannot be made: another test would wait as long for the same."""
        if (axis, name) in self._unusable:
            raise EnvironmentUnusableError(self._unusable[axis, name])
        try:
            return self._look_up(axis, name)
        except EnvironmentUnusableError as error:
            self._unusable[axis, name] = str(error)
            raise

    def _look_up(self, axis: str, name: str) -> Environment:
        if (axis, name) not in self._found:
            if self._declared is None:
                self._declared = read_declared(self._root, self._file)
            if axis == HOST:
                found = find_declared(self._declared, name)
                if found.is_local:
                    found = find_interpreter(name, self._root, self._declared, self._store)
            else:
                found = find_interpreter(name, self._root, self._declared, self._store)
            self._found[axis, name] = found
        return self._found[axis, name]

    def _open(self, environment: Environment) -> Place:
        if environment not in self._places:
            if environment.is_local:
                place: Place = LocalPlace(environment.python, link_package(self._folder))
            else:
                place = RemotePlace(environment, self._root, self._list_files, self._mark)
            self._places[environment] = place
        return self._places[environment]

    def close(self) -> None:
        """End what runs behind command prefixes, and have it removed there."""
        with self._lock:
            for place in self._places.values():
                if isinstance(place, RemotePlace):
                    place.close()
            self._places.clear()


def describe_difference(facts: EnvironmentFacts, here: EnvironmentFacts) -> str:
    """Describe how an environment differs from this one in its packages, numerical ones first."""
    parts = [] if facts.python == here.python else [f"{facts.python} (here {here.python.rpartition(' ')[2]})"]
    shared = (facts.packages.keys() & here.packages.keys()) - _INSTALLERS
    changed = sorted(name for name in shared if facts.packages[name] != here.packages[name])
    changed.sort(key=lambda name: name not in _NUMERICAL)
    parts += [f"{name} {facts.packages[name]} (here {here.packages[name]})" for name in changed[:MAX_NAMED]]
    if len(changed) > MAX_NAMED:
        parts.append(f"{len(changed) - MAX_NAMED} more packages of other releases")
    if lacking := set(here.plugins) - set(facts.plugins) - {"repro"}:
        parts.append(f"without {len(lacking)} of this environment's pytest plugins, whose options are left out")
    return "; ".join(parts) or "the same releases of all packages that both have"
