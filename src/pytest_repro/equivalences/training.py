"""A training as functions over one state, and that state as artifacts with the role of each value."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pytest_repro.capturing import capture_tree, is_captured_by_attributes, merge
from pytest_repro.equivalences.draws import capture_generators
from pytest_repro.equivalences.restoring import Twins
from pytest_repro.errors import CaptureError, UsageError
from pytest_repro.frameworks.attributes import full_name, read_attributes
from pytest_repro.model import Artifacts, NotCompared

GENERATORS = "generators"
#: Part of a state that has no parts with names.
_WHOLE = "state"
#: Objects inside objects that are parts by themselves, at most so deep.
_MAX_DEPTH = 3

#: A class in a value's MRO -> role of the value in training.
_ROLES_BY_CLASS = {
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
    "torch.utils.data.dataloader.DataLoader": "data_order",
    "torch.utils.data.dataloader._BaseDataLoaderIter": "data_order",
}
#: Role -> texts in an attribute's name, for values of other classes. Classes come first, since a name is only a hint.
_ROLES_BY_NAME = {
    "ema": ("ema", "averag", "shadow"),
    "scheduler": ("sched",),
    "scaler": ("scaler",),
    "optimizer": ("opt",),
    "data_order": ("order", "perm", "indices", "sampler", "cursor", "epoch"),
    "jax_key": ("key",),
    "rng": ("rng",),
    "weights": ("weight", "param", "model"),
}


@dataclass(frozen=True, slots=True)
class Training:
    """The user's functions, as :func:`assert_resume_equivalent` takes them."""

    make: Callable[[], Any]
    step: Callable[[Any, int], Any] | None = None
    save: Callable[[Any, Path], Any] | None = None
    load: Callable[[Any, Path], Any] | None = None
    state: Callable[[Any], Any] | None = None

    def functions(self) -> dict[str, Callable[..., Any] | None]:
        """Return the functions by argument."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def run_step(self, state: Any, i: int) -> tuple[Any, Any]:
        """Train one step, and return the state after it and the value that a trainer's own step returned, if any."""
        if self.step is None:
            return state, _method(state, "step")(i)
        return _replace(state, self.step(state, i), "step"), None

    def write(self, state: Any, path: Path) -> None:
        """Save a checkpoint, and require that something was written."""
        if self.save is None:
            _method(state, "save")(path)
        else:
            self.save(state, path)
        if not any(path.parent.iterdir()):
            raise UsageError(f"save() wrote nothing; it gets the path {path.name!r} of a file or folder to write")

    def read(self, state: Any, path: Path) -> Any:
        """Load a checkpoint, and return the state from which training continues."""
        if self.load is None:
            returned = _method(state, "load")(path)
            # load() may return a new trainer.
            return returned if isinstance(returned, type(state)) else state
        return _replace(state, self.load(state, path), "load")


def _method(state: Any, name: str) -> Callable[..., Any]:
    method = getattr(state, name, None)
    if not callable(method):
        raise UsageError(
            f"make() returned a {type(state).__name__}, which has no method {name}; "
            f"add one, or pass {name}= as a function of the state"
        )
    return method  # type: ignore[no-any-return]


def _replace(state: Any, returned: Any, role: str) -> Any:
    if returned is None:
        return state
    if not isinstance(returned, type(state)):
        raise UsageError(
            f"{role}() returned a {type(returned).__name__}, but the state is a {type(state).__name__}: "
            "return the new state, or None if it was changed in place"
        )
    return returned


@dataclass(frozen=True, slots=True)
class Captured:
    """The state of a training at one moment.

    Attributes
    ----------
    artifacts : Artifacts
        ``<attribute>/...``, and ``generators/<name>/...`` for the global generators.
    roles : dict of attribute -> role in training
    """

    artifacts: Artifacts
    roles: dict[str, str]

    @property
    def not_compared(self) -> list[str]:
        """Descriptions of what cannot be compared."""
        return [f"{value.name} ({value.type_name}): {value.reason}" for value in self.artifacts.not_compared]


def capture_training(state: Any, select: Callable[[Any], Any] | None) -> Captured:
    """Capture the attributes of a state and the global generators, and list the attributes that cannot be compared."""
    values = split_state(select(state) if select is not None else state)
    artifacts, roles = Artifacts(), {}
    for name, value in values.items():
        try:
            captured = capture_tree(value, root=name, top_level=False)
        except CaptureError as problem:
            if select is not None:
                raise  # the user has selected it, so it must not be skipped
            reason = f"{problem.reason or problem}; pass state= to choose what is compared"
            artifacts.not_compared.append(NotCompared(name, full_name(type(value)), reason, is_state=True))
        else:
            merge(artifacts, captured, where="the state")
        roles[name] = _role_in(values, name, value)
    found = Captured(artifacts, roles)
    if not len(artifacts):
        why = "; ".join(found.not_compared)
        raise UsageError(f"nothing in the state (a {type(state).__name__}) can be compared: {why}")
    merge(artifacts, capture_generators(GENERATORS), where="the generators")
    return found


def capture_background(state: Any) -> Captured:
    """Capture everything of a state that can be, with the modes, frozen parameters and gradients of torch modules.

    This is evidence for a cause and no part of the verdict, since training may not depend on a mode or a gradient. The
    result is empty if nothing can be compared.
    """
    try:
        found = capture_training(state, None)
    except UsageError:
        return Captured(Artifacts(), {})
    parts = split_parts(state)
    for name, value in parts.items():
        found.roles.setdefault(name, _role_in(parts, name.rpartition("/")[2], value))
    if "torch" in sys.modules:
        from pytest_repro.frameworks.torch_functions import describe_modules

        for name, facets in describe_modules(split_parts(state)).items():
            for facet, values in facets.items():
                root = f"{name}.{facet}"
                with contextlib.suppress(CaptureError):  # evidence only, so it must not make the assertion fail
                    merge(found.artifacts, capture_tree(values, root=root, top_level=False), where="a module")
                    found.roles[root] = facet
    return found


def _role_in(parts: Mapping[str, Any], name: str, value: Any) -> str:
    """Return the role of a value, which for a generator may be that of the loader that draws from it."""
    role = role_of(name, value)
    is_order = role == "torch_rng" and any(value is each for each in _order_generators(parts))
    return "data_order" if is_order else role


def _order_generators(values: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the generators from which loaders and samplers draw the order of the data."""
    for value in values.values():
        if _role_by_class(value) == "data_order":
            yield getattr(value, "generator", None)
            yield getattr(getattr(value, "sampler", None), "generator", None)


def split_state(value: Any) -> dict[str, Any]:
    """Return the parts of a state by name."""
    if isinstance(value, Mapping):
        return {str(key): child for key, child in value.items()}
    if isinstance(value, SimpleNamespace) or is_dataclass(value) or is_captured_by_attributes(type(value)):
        return dict(read_attributes(value))
    return {_WHOLE: value}


def split_parts(value: Any) -> dict[str, Any]:
    """Return the parts of a state by name, and those inside its objects: ``agent``, ``agent/norm``, ``agent/opt``."""
    parts = split_state(value)
    top = {id(part) for part in parts.values()}
    waiting = list(parts.items())
    while waiting:
        name, part = waiting.pop()
        inner = _inner_parts(part) if name.count("/") < _MAX_DEPTH else {}
        found = {f"{name}/{key}": child for key, child in inner.items() if id(child) not in top}
        if any(_is_part(child) for child in found.values()):
            parts |= found
            top |= {id(child) for child in found.values() if _is_part(child)}
            waiting += found.items()
    return parts


def _inner_parts(value: Any) -> dict[str, Any]:
    if _role_by_class(value):
        return {}
    if isinstance(value, dict):
        return {str(key): child for key, child in value.items()}
    return dict(read_attributes(value)) if is_captured_by_attributes(type(value)) else {}


def _is_part(value: Any) -> bool:
    return bool(_role_by_class(value)) or is_captured_by_attributes(type(value))


def restore_part(state: Any, part: str, twins: Twins, whole: Any) -> Any:
    """Restore one part of a state from another training, and return the state.

    Parameters
    ----------
    state : state that is changed
    part : str
        A part of :func:`split_parts`, or a facet of a module such as ``model.mode``.
    twins : Twins
        Of the parts of both states.
    whole : the other training's state
    """
    module, _, facet = part.rpartition(".")
    own = split_parts(state)
    if part not in own and module in own:
        from pytest_repro.frameworks.torch_functions import restore_facet

        restore_facet(facet, split_parts(whole)[module], own[module])
        return state
    value = twins.restore(part)
    parent, _, name = part.rpartition("/")
    owner = own[parent] if parent else state
    if part == _WHOLE and name not in dict(read_attributes(state)) and not isinstance(state, Mapping):
        return value
    if isinstance(owner, MutableMapping):
        owner[next(key for key in owner if str(key) == name)] = value
    else:
        object.__setattr__(owner, name, value)
    return state


def role_of(name: str, value: Any) -> str:
    """Return the role of a value in training, by its class or its name. The default is the name itself."""
    role = _role_by_class(value)
    if role:
        # Averaged weights are often kept in a plain copy of the model.
        return "ema" if role == "weights" and _role_by_name(name) == "ema" else role
    return _role_by_name(name) or ("data_order" if isinstance(value, Iterator) else name)


def _role_by_class(value: Any) -> str:
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(value).__mro__)
    return next((_ROLES_BY_CLASS[name] for name in names if name in _ROLES_BY_CLASS), "")


def _role_by_name(name: str) -> str:
    return next((role for role, hints in _ROLES_BY_NAME.items() if any(hint in name.lower() for hint in hints)), "")
