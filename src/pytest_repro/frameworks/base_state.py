"""What a ``*_state`` adapter offers: generators to seed, save and restore, and flags to read and put back."""

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
    """One setting that changes results, with a reader that never initialises a device.

    Attributes
    ----------
    name : str
        Key in reports, ``framework.setting``: ``torch.default_dtype``.
    read, write : callable
        ``read()`` returns a value that ``write(value)`` puts back; equal values compare equal.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], None]

    @property
    def label(self) -> str:
        """The name as a sentence says it."""
        return self.name.replace(".", " ").replace("_", " ")


class Request(NamedTuple):
    """A value that deterministic mode asks of a flag, and how to tell that it has it."""

    flag: Flag
    value: Any
    #: Tells whether a value read back is as good as the one asked for; by default only that value is.
    accepts: Callable[[Any], bool] | None = None
    #: Writes the value, where it takes more than ``flag.write(value)``.
    write: Callable[[], None] | None = None
    #: Tells, before the value is written, why it can no longer take effect, with the fix; or "".
    obstacle: Callable[[], str] | None = None

    def is_met_by(self, actual: Any) -> bool:
        """Whether `actual` is as good as the value asked for."""
        return self.accepts(actual) if self.accepts else bool(actual == self.value)

    def apply(self) -> None:
        """Write the value; one that is good enough already stays as it is."""
        if self.is_met_by(self.flag.read()):
            return
        if self.write:
            self.write()
        else:
            self.flag.write(self.value)


class StateAdapter(Protocol):
    """The interface of a ``*_state`` module; the module's functions are its methods."""

    __name__: str
    FLAGS: Sequence[Flag]

    def seed(self, seed: int) -> None:
        """Seed every generator of the framework, 0 <= seed < 2**32, without initialising a device."""

    def save_rng(self) -> Any:
        """Return the generators' states; the result must not change when they are drawn from."""

    def restore_rng(self, saved: Any) -> None:
        """Put back what :meth:`save_rng` returned."""

    def deterministic_requests(self, *, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
        """Return what deterministic mode asks of the framework."""


def load_adapter(framework: str) -> StateAdapter:
    """Import the adapter of a framework, and with it the framework."""
    return cast(StateAdapter, importlib.import_module(f"pytest_repro.frameworks.{STATE_ADAPTERS[framework]}"))


def loaded_adapters(*only: str) -> list[StateAdapter]:
    """Return the adapters of the frameworks imported by now, in the order of seeding; all, or of those named."""
    return [load_adapter(framework) for framework in only or STATE_ADAPTERS if _is_imported(framework)]


def _is_imported(framework: str) -> bool:
    """Whether a framework is there to the end: not None, by which a test hides it, and not half imported."""
    module = sys.modules.get(framework)
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)


def tell_change(now: Any, saved: Any) -> tuple[str, str]:
    """Render two values of a flag; of mappings only the entries that differ."""
    if isinstance(now, dict) and isinstance(saved, dict):
        keys = [key for key in {**saved, **now} if now.get(key) != saved.get(key)]
        now, saved = (", ".join(f"{key}={show(side.get(key))}" for key in keys) for side in (now, saved))
    return show(now), show(saved)


def show(value: Any) -> str:
    """Render a flag's value as a user writes it: ``float32``, ``True``, ``unset`` for None."""
    return "unset" if value is None else str(value).removeprefix("torch.")


def as_json(value: Any) -> JSON:
    """Render a flag's value for a report."""
    if isinstance(value, dict):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return show(value)
