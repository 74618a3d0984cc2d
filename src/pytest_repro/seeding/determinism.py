"""Deterministic mode: kernels that repeat themselves, and float32 computed in float32; each setting read back."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any, NamedTuple

from pytest_repro.errors import ReproError, ReproWarning, UsageError
from pytest_repro.frameworks.base_state import Flag, Request, StateAdapter, as_json, loaded_adapters
from pytest_repro.model import JSON
from pytest_repro.seeding import imports


class Setting(NamedTuple):
    """One setting of deterministic mode as it was read back."""

    name: str
    requested: JSON
    actual: JSON
    took_effect: bool


class DeterministicMode:
    """Deterministic mode while it is on: what was set, and how it was before; made by :func:`deterministic`.

    Attributes
    ----------
    settings : list of Setting
        What was asked of each framework loaded by now; it grows when another one is imported.
    """

    def __init__(self, *, warn_only: bool, fill_uninitialized: bool) -> None:
        self.settings: list[Setting] = []
        self._options = {"warn_only": warn_only, "fill_uninitialized": fill_uninitialized}
        self._previous: list[tuple[Flag, Any]] = []
        self._is_on = True
        # First: a framework imported by one of the adapters below is switched as well.
        imports.add_listener(self._switch_on)
        try:
            for adapter in loaded_adapters():
                self._switch_on(adapter)
        except BaseException:
            # A warning that pytest turns into an error must not leave half of it on.
            self.close()
            raise

    def __enter__(self) -> DeterministicMode:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Put every setting back to what it was; a second call does nothing."""
        if not self._is_on:
            return
        self._is_on = False
        imports.remove_listener(self._switch_on)
        failures = []
        for flag, before in reversed(self._previous):
            try:
                if flag.read() != before:
                    flag.write(before)
            except Exception as error:
                failures.append(f"{flag.label} ({error})")
        if failures:
            raise ReproError("could not put back " + "; ".join(failures))

    def _switch_on(self, adapter: StateAdapter) -> None:
        for request in adapter.deterministic_requests(**self._options):
            obstacle = self._apply(request)
            actual = request.flag.read()
            took_effect = not obstacle and request.is_met_by(actual)
            self.settings.append(Setting(request.flag.name, as_json(request.value), as_json(actual), took_effect))
            if not took_effect:
                reason = obstacle or f"it reads {as_json(actual)} after it was set"
                warnings.warn(
                    f"{request.flag.name}={request.value} did not take effect: {reason}", ReproWarning, stacklevel=4
                )

    def _apply(self, request: Request) -> str:
        """Write one setting; return why it cannot take effect, or ""."""
        obstacle = request.obstacle() if request.obstacle else ""
        self._previous.append((request.flag, request.flag.read()))
        try:
            request.apply()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return obstacle


def deterministic(*, warn_only: bool = False, fill_uninitialized: bool = True) -> DeterministicMode:
    """Switch deterministic mode on at once: for good, or as a context manager for a block.

    Frameworks that are imported later are switched at their import. torch: deterministic algorithms, cuDNN
    deterministic without benchmark, TF32 and reduced-precision reductions off, ``CUBLAS_WORKSPACE_CONFIG``,
    uninitialised memory filled. JAX: deterministic GPU operations. NumPy has no switch; ``np.empty`` is not filled
    here (the axis ``memory`` does it).

    Parameters
    ----------
    warn_only : bool
        Operations without a deterministic version warn instead of raising RuntimeError.
    fill_uninitialized : bool
        ``torch.empty`` and its like are filled with NaN, or the greatest integer.

    Returns
    -------
    DeterministicMode
        `settings` lists what was asked and what is.

    Raises
    ------
    UsageError
        If an argument is not a bool.

    Warns
    -----
    ReproWarning
        For each setting that did not take effect, with the reason: CUDA was initialised before, say.

    Examples
    --------
    >>> with deterministic() as mode:
    ...     all(setting.took_effect for setting in mode.settings)
    True
    """
    for name, value in (("warn_only", warn_only), ("fill_uninitialized", fill_uninitialized)):
        if not isinstance(value, bool):
            raise UsageError(f"deterministic({name}=...) must be True or False, got {value!r}")
    return DeterministicMode(warn_only=warn_only, fill_uninitialized=fill_uninitialized)
