"""Deterministic mode: deterministic kernels and full float32 precision, with each setting verified by reading it."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any, NamedTuple

from pytest_repro.errors import ReproError, ReproWarning, UsageError
from pytest_repro.frameworks.base_state import Flag, Request, StateAdapter, as_json, loaded_adapters
from pytest_repro.model import JSON
from pytest_repro.seeding import imports


class Setting(NamedTuple):
    """One setting of deterministic mode, with the value that was read after it was set."""

    name: str
    requested: JSON
    actual: JSON
    took_effect: bool


class DeterministicMode:
    """Active deterministic mode, as returned by :func:`deterministic`.

    Attributes
    ----------
    settings : list of Setting
        Settings of each framework that is loaded. It grows when another framework is imported.
    """

    def __init__(self, *, warn_only: bool, fill_uninitialized: bool) -> None:
        self.settings: list[Setting] = []
        self._options = {"warn_only": warn_only, "fill_uninitialized": fill_uninitialized}
        self._previous: list[tuple[Flag, Any]] = []
        self._is_on = True
        # Before the loop, so that a framework imported by one of the adapters is switched as well.
        imports.add_listener(self._switch_on)
        try:
            for adapter in loaded_adapters():
                self._switch_on(adapter)
        except BaseException:
            # A warning that pytest turns into an error must not leave the mode half on.
            self.close()
            raise

    def __enter__(self) -> DeterministicMode:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Restore every setting. A second call does nothing."""
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
            raise ReproError("could not restore " + "; ".join(failures))

    def _switch_on(self, adapter: StateAdapter) -> None:
        for request in adapter.deterministic_requests(**self._options):
            obstacle = self._apply(request)
            actual = request.flag.read()
            took_effect = not obstacle and request.is_met_by(actual)
            self.settings.append(Setting(request.flag.name, as_json(request.value), as_json(actual), took_effect))
            if not took_effect:
                reason = obstacle or f"its value is {as_json(actual)} after it was set"
                warnings.warn(
                    f"{request.flag.name}={request.value} did not take effect: {reason}", ReproWarning, stacklevel=4
                )

    def _apply(self, request: Request) -> str:
        """Write one setting, and return the reason why it cannot take effect, or ""."""
        obstacle = request.obstacle() if request.obstacle else ""
        self._previous.append((request.flag, request.flag.read()))
        try:
            request.apply()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return obstacle


def deterministic(*, warn_only: bool = False, fill_uninitialized: bool = True) -> DeterministicMode:
    """Switch deterministic mode on, permanently or as a context manager for a block.

    Frameworks imported later are switched when they are imported. torch: deterministic algorithms, cuDNN
    deterministic without benchmark, TF32 and reduced-precision reductions off, ``CUBLAS_WORKSPACE_CONFIG``,
    uninitialised memory filled. JAX: deterministic GPU operations. NumPy has no such switch, and ``np.empty`` is not
    filled here but by the axis ``memory``.

    Parameters
    ----------
    warn_only : bool
        Whether operations without a deterministic version warn instead of raising RuntimeError.
    fill_uninitialized : bool
        Whether ``torch.empty`` and similar functions fill the memory with NaN, or with the largest integer.

    Returns
    -------
    DeterministicMode
        Its `settings` list the requested and the actual values.

    Raises
    ------
    UsageError
        If an argument is not a bool.

    Warns
    -----
    ReproWarning
        For each setting that did not take effect, with the reason, such as CUDA being initialised already.

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
