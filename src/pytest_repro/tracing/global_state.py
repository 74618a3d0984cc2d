"""The global generators' states, looked at after each statement that calls something."""

from __future__ import annotations

import array
import hashlib
import importlib
import random
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_repro.tracing import parts

if TYPE_CHECKING:
    from pytest_repro.tracing.watcher import Watcher

#: Framework -> module in frameworks/ that reads its objects and, while a run is watched, its operations.
FRAMEWORKS = {"torch": "torch_watch"}

#: Ends the text of a state that no statement is known to have made.
FIRST_SEEN = " (as it was found)"


class GlobalState:
    """Digests of the global generators as they were last seen, and what watches the frameworks' operations.

    Parameters
    ----------
    watcher : Watcher
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._last: dict[str, str] = {}
        self._modules: dict[str, Any] = {}
        self._watches: list[Any] = []

    def load(self) -> None:
        """Watch a framework's operations from when the run has imported it.

        Looked for at each statement of the user's, so right after the import: no mode of the user's can stand on
        torch's stack yet, on which ours must not come to lie above it.
        """
        for framework, name in FRAMEWORKS.items():
            if framework in self._modules or not hasattr(sys.modules.get(framework), "__version__"):
                continue
            self._modules[framework] = None
            try:
                module = importlib.import_module(f"pytest_repro.frameworks.{name}")
                parts.register_adapter(framework, parts.Adapter(module.feed, module.parts, module.text))
                self._watches.append(module.OperationWatch(self._watcher.operation, self._watcher.wants_operations))
            except Exception as error:  # a stub or a half-installed framework
                self._watcher.note(f"{framework} is not watched: {type(error).__name__}: {error}")
                continue
            self._modules[framework] = module

    def close(self) -> None:
        """Leave the frameworks as they were."""
        while self._watches:
            self._watches.pop().close()

    def find_changes(self) -> list[list[Any]]:
        """Return the generators whose state moved since the last look."""
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
