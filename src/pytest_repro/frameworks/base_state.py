"""Interface of the ``*_state`` adapters, which seed, save and restore generators and flags."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

from pytest_repro.frameworks import STATE_ADAPTERS
from pytest_repro.model import JSON


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting that changes results, with a function that reads it without initialising a device.

    Attributes
    ----------
    name : str
        Key in reports, ``framework.setting``, such as ``torch.default_dtype``.
    read, write : callable
        ``read()`` returns a value that ``write(value)`` restores. Equal settings have equal values.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], None]

    @property
    def label(self) -> str:
        """The name as used in sentences: ``torch default dtype``."""
        return self.name.replace(".", " ").replace("_", " ")


class Request(NamedTuple):
    """Value that deterministic mode requests for a flag, with the check that it took effect."""

    flag: Flag
    value: Any
    #: Returns whether another value is good enough too. By default only the requested value is.
    accepts: Callable[[Any], bool] | None = None
    #: Writes the value, if that takes more than ``flag.write(value)``.
    write: Callable[[], None] | None = None
    #: Returns, before the value is written, the reason why it can no longer take effect and the fix, or "".
    obstacle: Callable[[], str] | None = None

    def is_met_by(self, actual: Any) -> bool:
        """Return whether `actual` is the requested value or good enough."""
        return self.accepts(actual) if self.accepts else bool(actual == self.value)

    def apply(self) -> None:
        """Write the value, unless the current one is good enough."""
        if self.is_met_by(self.flag.read()):
            return
        if self.write:
            self.write()
        else:
            self.flag.write(self.value)


class StateAdapter(Protocol):
    """Interface of a ``*_state`` module, whose functions are the methods."""

    __name__: str
    FLAGS: Sequence[Flag]

    def seed(self, seed: int) -> None:
        """Seed every generator of the framework, 0 <= seed < 2**32, without initialising a device."""

    def save_rng(self) -> Any:
        """Return the generators' states, which must not change when numbers are drawn."""

    def restore_rng(self, saved: Any) -> None:
        """Restore the states that :meth:`save_rng` returned."""

    def deterministic_requests(self, *, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
        """Return the values that deterministic mode requests for the framework's flags."""


def load_adapter(framework: str) -> StateAdapter:
    """Import the adapter of a framework, and thereby the framework."""
    return cast(StateAdapter, importlib.import_module(f"pytest_repro.frameworks.{STATE_ADAPTERS[framework]}"))


def loaded_adapters(*only: str) -> list[StateAdapter]:
    """Return the adapters of the frameworks that are imported, or of those among `only`, in the order of seeding."""
    return [load_adapter(framework) for framework in only or STATE_ADAPTERS if _is_imported(framework)]


def _is_imported(framework: str) -> bool:
    """Return whether a framework is fully imported and not hidden by a test, which replaces it by None."""
    module = sys.modules.get(framework)
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)


def describe_change(now: Any, saved: Any) -> tuple[str, str]:
    """Render two values of a flag, with only the differing entries of mappings."""
    if isinstance(now, dict) and isinstance(saved, dict):
        keys = [key for key in {**saved, **now} if now.get(key) != saved.get(key)]
        now, saved = (", ".join(f"{key}={show(side.get(key))}" for key in keys) for side in (now, saved))
    return show(now), show(saved)


def show(value: Any) -> str:
    """Render a flag's value as users write it: ``float32``, ``True``, ``unset`` for None."""
    return "unset" if value is None else str(value).removeprefix("torch.")


def as_json(value: Any) -> JSON:
    """Render a flag's value for a report."""
    if isinstance(value, dict):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return show(value)
