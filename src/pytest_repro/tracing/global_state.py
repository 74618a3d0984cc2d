"""States of the global generators, read after each statement that makes a call."""

from __future__ import annotations

import array
import hashlib
import importlib
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

#: Framework -> module in frameworks/ that watches its operations.
FRAMEWORKS = {"torch": "torch_watch"}

#: Ends the text of a state that was found, and not made by a watched statement.
FIRST_SEEN = " (as it was found)"


class GlobalState:
    """Digests of the global generators as they were last seen, and watches of the frameworks' operations.

    The callables are those of a watcher: they take an operation, say whether operations are recorded now, and take
    the reason why a framework is not watched.
    """

    def __init__(
        self,
        operation: Callable[[str, str, str, str, str], None],
        wants_operations: Callable[[], bool],
        note: Callable[[str], None],
    ) -> None:
        self._operation, self._wants_operations, self._note = operation, wants_operations, note
        self._last: dict[str, str] = {}
        self._modules: dict[str, Any] = {}
        self._watches: list[Any] = []

    def load(self) -> None:
        """Watch the operations of frameworks that the run has imported.

        Called after every statement, so right after an import: the test's code cannot have entered a mode of torch
        yet, above which ours must not be on the stack of modes.
        """
        for framework, name in FRAMEWORKS.items():
            if framework in self._modules or not hasattr(sys.modules.get(framework), "__version__"):
                continue
            self._modules[framework] = None
            try:
                module = importlib.import_module(f"pytest_repro.frameworks.{name}")
                self._watches.append(module.OperationWatch(self._operation, self._wants_operations))
            except Exception as error:  # a stub or a half-installed framework
                self._note(f"{framework} is not watched: {type(error).__name__}: {error}")
                continue
            self._modules[framework] = module

    def close(self) -> None:
        """Stop watching the frameworks' operations."""
        while self._watches:
            self._watches.pop().close()

    def find_changes(self) -> list[list[Any]]:
        """Return the generators whose state has changed since the last call."""
        self.load()
        found = []
        for name, state in self._states():
            if (before := self._last.get(name)) != state:
                self._last[name] = state
                text = f"state {state}" if before is not None else f"state {state}{FIRST_SEEN}"
                found.append([f"state of {name}", "state", state, text, {}])
        return found

    def _states(self) -> list[tuple[str, str]]:
        version, numbers, normal = random.getstate()
        states = [("random", _hash(array.array("Q", numbers).tobytes() + repr((version, normal)).encode()))]
        legacy: Any = np.random.mtrand._rand
        inner = legacy._bit_generator.state["state"]
        states.append(("numpy.random", _hash(_bytes_of(inner))))
        torch_watch = self._modules.get("torch")
        if torch_watch is not None:
            states.append(("torch", _hash(torch_watch.default_state())))
        return states


def _bytes_of(state: dict[str, Any]) -> bytes:
    return b"".join(v.tobytes() if isinstance(v, np.ndarray) else repr(v).encode() for v in state.values())


def _hash(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]
