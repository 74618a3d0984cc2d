"""What the callbacks of all trainers check and capture."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from pytest_repro.engines.current import Repro
from pytest_repro.errors import MissingExtraError, ReproWarning, UsageError


def explain_missing(library: str, extra: str) -> MissingExtraError:
    """Return the error for a library that an integration needs and does not find."""
    return MissingExtraError(f"this integration needs {library}: pip install pytest-repro[{extra}]")


class Recorder:
    """The results of one training, captured in the current run.

    Parameters
    ----------
    repro : Repro
        The value of the `repro` fixture.
    name : str
        Comes before the names of all artifacts, for a test with several trainings.
    weights_every_n_steps : int, optional
        Capture the weights after every n-th step too.
    """

    def __init__(self, repro: Any, name: str, weights_every_n_steps: int | None) -> None:
        if not isinstance(repro, Repro):
            raise UsageError(
                "ReproCallback takes the value of the `repro` fixture: def test_training(repro): ... "
                f"ReproCallback(repro); got {type(repro).__name__}"
            )
        every = weights_every_n_steps
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise UsageError(f"weights_every_n_steps must be an integer >= 1 or None, got {every!r}")
        if not isinstance(name, str):
            raise UsageError(f"name must be a str, got {name!r}")
        self._repro = repro
        self._prefix = f"{name}/" if name else ""
        self._every = every
        self._has_stepped = False
        self._has_values = False

    def begin(self, processes: int) -> None:
        """Start a training. Its values must be computed in this process."""
        if processes > 1:
            raise UsageError(
                f"ReproCallback captures in one process, and the trainer computes in {processes}: use one device, or "
                "return the trained weights from the test"
            )
        self._has_stepped = self._has_values = False

    def check_seed(self, seed: int, source: str, advice: str) -> None:
        """Warn if the library seeded its generators with another seed than the run's."""
        if seed != self._repro.seed:
            warnings.warn(
                f"{source} replaced the test's seed {self._repro.seed} by {seed}: --repro-seed and seed_control do not "
                f"reach this training; {advice}",
                ReproWarning,
                stacklevel=2,
            )

    def take_step(self, step: int, values: dict[str, Any], weights: Callable[[], Any]) -> None:
        """Capture the values of one step, and the weights where they are due."""
        self._has_stepped = True
        self._has_values |= bool(values)
        if self._every is not None and (step + 1) % self._every == 0:
            values = {**values, "weights": weights()}
        if values:
            self._repro.step(step, **{f"{self._prefix}{name}": value for name, value in values.items()})

    def take(self, name: str, value: Any) -> None:
        """Capture a value that is not one of a step."""
        self._repro.capture(f"{self._prefix}{name}", value)

    def end(self) -> None:
        """Warn about a training of which less was captured than a reader expects."""
        if not self._has_stepped:
            warnings.warn(
                "the trainer made no training step, so the compared weights are those it started with; check the "
                "number of epochs and the length of the data",
                ReproWarning,
                stacklevel=2,
            )
        elif not self._has_values:
            warnings.warn(
                "no training step gave a loss, so only the weights and the metrics are compared; return the loss from "
                "the training step",
                ReproWarning,
                stacklevel=2,
            )
