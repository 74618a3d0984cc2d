"""A user's training as functions over one state, and that state as artifacts with the part that each value plays."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pytest_repro.capturing import capture_tree, merge
from pytest_repro.equivalences.generators import capture_generators
from pytest_repro.errors import CaptureError, UsageError
from pytest_repro.model import Artifacts

GENERATORS = "generators"

#: A class in a value's MRO -> its part in training.
_PARTS_BY_CLASS = {
    "torch.optim.swa_utils.AveragedModel": "ema",
    "torch.nn.modules.module.Module": "weights",
    "torch.optim.optimizer.Optimizer": "optimizer",
    "torch.optim.lr_scheduler.LRScheduler": "scheduler",
    "torch.optim.lr_scheduler.ReduceLROnPlateau": "scheduler",
    "torch.amp.grad_scaler.GradScaler": "scaler",
    "torch._C.Generator": "torch_rng",
    "numpy.random._generator.Generator": "numpy_rng",
    "numpy.random.mtrand.RandomState": "numpy_rng",
    "numpy.random.bit_generator.BitGenerator": "numpy_rng",
    "random.Random": "python_rng",
    "torch.utils.data.sampler.Sampler": "data_order",
}
#: Where no class tells: part of an attribute's name -> part in training. A name is a hint, so classes come first.
_PARTS_BY_NAME = {
    "ema": "ema",
    "averag": "ema",
    "shadow": "ema",
    "sched": "scheduler",
    "scaler": "scaler",
    "opt": "optimizer",
    "order": "data_order",
    "perm": "data_order",
    "indices": "data_order",
    "sampler": "data_order",
    "cursor": "data_order",
    "epoch": "data_order",
    "key": "jax_key",
    "rng": "rng",
    "weight": "weights",
    "param": "weights",
    "model": "weights",
}


@dataclass(frozen=True, slots=True)
class Training:
    """What a user plugged in: either an object's own methods, or functions over a state.

    Attributes
    ----------
    make : callable () -> state
    step, save, load : callable, optional
        ``step(state, i)``, ``save(state, path)``, ``load(state, path)``; in their absence the state's methods
        ``step(i)``, ``save(path)``, ``load(path)``.
    state : callable, optional
        What to compare of the state.
    """

    make: Callable[[], Any]
    step: Callable[[Any, int], Any] | None = None
    save: Callable[[Any, Path], Any] | None = None
    load: Callable[[Any, Path], Any] | None = None
    state: Callable[[Any], Any] | None = None

    def functions(self) -> dict[str, Callable[..., Any] | None]:
        """Return the functions by role."""
        return {"make": self.make, "step": self.step, "save": self.save, "load": self.load, "state": self.state}

    def run_step(self, state: Any, i: int) -> tuple[Any, Any]:
        """Train one step; return the state after it, and what a trainer's own step returned (a loss, say)."""
        if self.step is None:
            return state, _method(state, "step")(i)
        return _replace(state, self.step(state, i), "step"), None

    def write(self, state: Any, path: Path) -> None:
        """Save a checkpoint, and see that something was saved."""
        if self.save is None:
            _method(state, "save")(path)
        else:
            self.save(state, path)
        if not any(path.parent.iterdir()):
            raise UsageError(f"save() wrote nothing: it is given the path {path.name!r} of a file or folder to write")

    def read(self, state: Any, path: Path) -> Any:
        """Load a checkpoint; return the state that training goes on with."""
        if self.load is None:
            returned = _method(state, "load")(path)
            # A trainer may be a class whose load() makes a new one.
            return returned if isinstance(returned, type(state)) else state
        return _replace(state, self.load(state, path), "load")


def _method(state: Any, name: str) -> Callable[..., Any]:
    method = getattr(state, name, None)
    if not callable(method):
        raise UsageError(
            f"make() returned a {type(state).__name__}, which has no method {name}; "
            f"give it one, or pass {name}= as a function of the state"
        )
    return method  # type: ignore[no-any-return]


def _replace(state: Any, returned: Any, role: str) -> Any:
    if returned is None:
        return state
    if not isinstance(returned, type(state)):
        raise UsageError(
            f"{role}() returned a {type(returned).__name__}, but the state is a {type(state).__name__}: "
            "return the new state, or None where it was changed in place"
        )
    return returned


@dataclass(frozen=True, slots=True)
class Captured:
    """The state of a training at one moment.

    Attributes
    ----------
    artifacts : Artifacts
        ``<attribute>/...``, and ``generators/<name>/...`` for the global generators.
    parts : dict of attribute -> part in training
    left_out : list of str
        Attributes that cannot be compared.
    """

    artifacts: Artifacts
    parts: dict[str, str]
    left_out: list[str]


def capture_training(state: Any, select: Callable[[Any], Any] | None) -> Captured:
    """Capture the attributes of a state and the global generators; what cannot be compared is named."""
    values = _split(select(state) if select is not None else state)
    artifacts, parts, left_out = Artifacts(), {}, []
    for name, value in values.items():
        try:
            captured = capture_tree(value, root=name, top_level=False)
        except CaptureError as problem:
            if select is not None:
                raise  # asked for by name: it must not pass in silence
            left_out.append(f"{name} ({type(value).__name__}: {str(problem).rpartition('): ')[2]})")
            continue
        merge(artifacts, captured, where="the state")
        parts[name] = part_of(name, value)
    if not len(artifacts):
        raise UsageError(f"nothing in the state (a {type(state).__name__}) can be compared: {'; '.join(left_out)}")
    merge(artifacts, capture_generators(GENERATORS), where="the generators")
    return Captured(artifacts, parts, left_out)


def capture_background(state: Any) -> Captured:
    """Capture all of a state that can be, and of torch modules what no weight shows.

    To look for causes, not to judge: a mode or a gradient may be lost and never be missed.

    Returns
    -------
    Captured
        Empty where nothing can be compared.
    """
    try:
        found = capture_training(state, None)
    except UsageError:
        return Captured(Artifacts(), {}, [])
    if "torch" in sys.modules:
        from pytest_repro.frameworks.torch_functions import describe_modules

        for name, facets in describe_modules(_split(state)).items():
            for facet, values in facets.items():
                root = f"{name}.{facet}"
                with contextlib.suppress(CaptureError):  # no reason for a training that resumes to fail
                    merge(found.artifacts, capture_tree(values, root=root, top_level=False), where="a module")
                    found.parts[root] = facet
    return found


def _split(value: Any) -> dict[str, Any]:
    """Return the parts of a state by name."""
    if isinstance(value, Mapping):
        return {str(key): child for key, child in value.items()}
    if isinstance(value, SimpleNamespace) or is_dataclass(value):
        return dict(vars(value))
    try:
        capture_tree(value, copy=False)
    except CaptureError:
        if not hasattr(value, "__dict__"):
            raise
        return dict(vars(value))
    return {"state": value}


def part_of(name: str, value: Any) -> str:
    """Tell which part a value plays in training, by its class, else by its name, else its name itself."""
    for kind in type(value).__mro__:
        part = _PARTS_BY_CLASS.get(f"{kind.__module__}.{kind.__qualname__}")
        if part is not None:
            # Averaged weights are often kept in a plain copy of the model.
            return "ema" if part == "weights" and _part_by_name(name) == "ema" else part
    return _part_by_name(name) or name


def _part_by_name(name: str) -> str:
    lower = name.lower()
    return next((part for hint, part in _PARTS_BY_NAME.items() if hint in lower), "")
