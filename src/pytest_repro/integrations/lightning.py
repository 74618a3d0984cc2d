"""Lightning: a callback that captures what a trainer computes (``pip install pytest-repro[lightning]``)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from pytest_repro.integrations.training import Recorder, explain_missing

try:
    import torch

    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        from pytorch_lightning import Callback  # the package's earlier name
    else:
        try:
            from lightning.pytorch import Callback
        except ImportError:
            from pytorch_lightning import Callback
except ImportError:
    raise explain_missing("Lightning", "lightning") from None

__all__ = ["ReproCallback"]


class ReproCallback(Callback):  # type: ignore[misc] # Lightning's types are not read
    """Capture each step's loss, the metrics, and the trained weights of a `Trainer`.

    Parameters
    ----------
    repro : Repro
        The value of the `repro` fixture.
    name : str, optional
        Comes before the names of all artifacts, for a test with several trainings.
    weights_every_n_steps : int, optional
        Capture the weights after every n-th step too, which finds the step at which they begin to differ.
    optimizers : bool
        Capture the states of the optimizers after the training.

    Raises
    ------
    UsageError
        If an argument is wrong, or the trainer uses several processes.

    Warns
    -----
    ReproWarning
        If ``seed_everything`` of Lightning replaced the test's seed, or the trainer made no step.

    Examples
    --------
    >>> @pytest.mark.reproducible
    ... def test_training(repro):
    ...     trainer = Trainer(max_epochs=2, callbacks=[ReproCallback(repro)])
    ...     trainer.fit(Model(), make_loader())
    """

    def __init__(
        self,
        repro: Any,
        *,
        name: str = "",
        weights_every_n_steps: int | None = None,
        optimizers: bool = False,
    ) -> None:
        super().__init__()
        self._recorder = Recorder(repro, name, weights_every_n_steps)
        self._optimizers = optimizers
        self._validations = 0

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Check the seed and the number of processes."""
        self._recorder.begin(trainer.world_size)
        self._validations = 0
        # Not PL_GLOBAL_SEED alone: it stays in the environment after the test that called seed_everything.
        seed = torch.initial_seed()
        is_lightning = os.environ.get("PL_GLOBAL_SEED") == str(seed)
        source = f"Lightning's seed_everything({seed})" if is_lightning else f"torch.manual_seed({seed})"
        self._recorder.check_seed(seed, source, "use seed_everything(repro.seed)")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Capture what the training step returned."""
        values = _step_values(outputs)
        self._recorder.take_step(trainer.fit_loop.total_batch_idx, values, lambda: pl_module)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Capture the metrics of a validation within the training."""
        if not trainer.sanity_checking and trainer.callback_metrics:
            self._recorder.take(f"validation/{self._validations}", dict(trainer.callback_metrics))
            self._validations += 1

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Capture the trained weights and the last metrics."""
        self._recorder.take("weights", pl_module)
        if trainer.callback_metrics:
            self._recorder.take("metrics", dict(trainer.callback_metrics))
        if self._optimizers:
            self._recorder.take("optimizers", list(trainer.optimizers))
        self._recorder.end()


def _step_values(outputs: Any) -> dict[str, Any]:
    """Return what a training step gave, by name. A step that returned None was skipped."""
    if isinstance(outputs, Mapping):
        return {str(name): value for name, value in outputs.items()}
    return {} if outputs is None else {"loss": outputs}
