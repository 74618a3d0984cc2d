"""skorch's histories and timers, without the times that they measure. Its nets are scikit-learn's estimators."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import EpochTimer
from skorch.history import DistributedHistory, History

from pytest_repro.frameworks.base_values import Branch, Handler
from pytest_repro.frameworks.object_values import named_attributes
from pytest_repro.frameworks.stdlib_values import capture_sequence, read_sequence

#: The duration of an epoch, which `EpochTimer` records in every net.
_DURATION = "dur"


def capture_history(history: Any) -> Branch:
    """Capture a history by its epochs."""
    branch = capture_sequence(_without_times(read_sequence(history)))
    branch.type_name = type(history).__name__
    return branch


def capture_distributed_history(history: Any) -> Branch:
    """Capture a history of several processes by its attributes, and the epochs among them."""
    children = [
        (name, _without_times(value) if name == "_history" else value) for name, value in named_attributes(history)
    ]
    return Branch(type(history).__name__, children, named=True, is_object=True)


def capture_timer(timer: Any) -> Branch:
    """Capture a timer by its attributes, without the time at which the last epoch began."""
    return Branch(type(timer).__name__, named_attributes(timer, ("epoch_start_time_",)), named=True, is_object=True)


def _without_times(epochs: Any) -> list[Any]:
    return [
        {name: value for name, value in epoch.items() if name != _DURATION} if isinstance(epoch, dict) else epoch
        for epoch in epochs
    ]


HANDLERS: dict[type, Handler] = {
    DistributedHistory: capture_distributed_history,
    EpochTimer: capture_timer,
    History: capture_history,
}
