"""Replacements that the sources make together, for the time of one run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_repro.axes.patches import Patches, replace_everywhere
from pytest_repro.frameworks.base_state import StateAdapter
from pytest_repro.seeding.imports import when_imported
from pytest_repro.sources.sightings import note
from pytest_repro.tracing.user_code import is_user_file

if TYPE_CHECKING:
    from pytest_repro.axes.compiled_calls import Maker


class SourcePatches(Patches):
    """Attributes, functions and compiled calls replaced until the stack is left.

    Attributes are replaced at once. Functions (:meth:`swap`) and compiled calls follow in :meth:`finish`, since finding
    them takes a walk through every module and library.
    """

    def __init__(self) -> None:
        super().__init__()
        self._compiled: dict[Callable[[str], bool], dict[str, Maker]] = {}

    def replace_compiled(self, makers: Mapping[str, Maker], takes: Callable[[str], bool]) -> None:
        """Have calls of compiled libraries replaced by :func:`pytest_repro.axes.compiled_calls.replaced_calls`."""
        self._compiled.setdefault(takes, {}).update(makers)

    def call_adapter(self, path: str, **options: Any) -> None:
        """Call a function of an adapter, such as ``torch_sources.pin_threads``, once its framework is there."""
        module, _, function = path.partition(".")

        def act() -> None:
            adapter = importlib.import_module(f"pytest_repro.frameworks.{module}")
            getattr(adapter, function)(self.put, note, **options)

        self.once_loaded(module.partition("_")[0], act)

    def once_loaded(self, framework: str, act: Callable[[], None]) -> None:
        """Call `act` once that framework is there: now, or right after the run has imported it."""
        if framework in sys.modules:
            act()
            return

        def listen(adapter: StateAdapter) -> None:
            if adapter.__name__.rpartition(".")[2] == f"{framework}_state":
                act()

        self.enter_context(when_imported(listen))

    def finish(self) -> None:
        """Replace the functions wherever they are bound, and the compiled calls."""
        self.enter_context(replace_everywhere(self.swaps))
        if self._compiled:
            from pytest_repro.axes.compiled_calls import replaced_calls

            for takes, makers in self._compiled.items():
                self.enter_context(replaced_calls(makers, takes))


def noted(real: Callable[..., Any], kind: str, detail: str) -> Callable[..., Any]:
    """Return a function in place of another that notes calls of the user's own lines."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if is_user_file(sys._getframe(1).f_code.co_filename):
            note(kind, detail)
        return real(*args, **kwargs)

    return call
