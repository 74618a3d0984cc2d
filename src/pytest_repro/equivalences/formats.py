"""Formats that values are saved in, each through its own package's writer and reader."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_repro.errors import MissingExtraError, UsageError

FORMATS = ("state_dict", "safetensors", "joblib", "npz")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A value as it was, and as it was loaded, in the same form."""

    before: Any
    after: Any


def save_and_load(name: str, value: Any, path: Path, make: Callable[[], Any] | None) -> Loaded:
    """Save a value by a format and load it.

    Raises
    ------
    MissingExtraError
        If the format's package is not installed.
    UsageError
        If the format cannot hold such a value.
    """
    if name == "joblib":
        joblib = _import("joblib")
        joblib.dump(value, path)
        return Loaded(value, joblib.load(path))
    is_module = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
    state = dict(value.state_dict()) if is_module else value
    if not isinstance(state, Mapping):
        raise UsageError(f"{name} holds a module or a dict of arrays, got {type(value).__name__}")
    loaded = _WRITERS[name](state, path)
    if not (is_module and make is not None):
        return Loaded(state, loaded)
    fresh = make()
    fresh.load_state_dict(loaded)
    return Loaded(value, fresh)


def _through_torch(state: Mapping[str, Any], path: Path) -> Any:
    torch = _import("torch")
    torch.save(dict(state), path)
    return torch.load(path, weights_only=True)


def _through_safetensors(state: Mapping[str, Any], path: Path) -> Any:
    is_numpy = all(isinstance(value, np.ndarray) for value in state.values())
    if not state:
        raise UsageError("safetensors: there is nothing to save in an empty dict")
    module = _import("safetensors.numpy" if is_numpy else "safetensors.torch")
    module.save_file(dict(state), path)
    return module.load_file(path)


def _through_npz(state: Mapping[str, Any], path: Path) -> Any:
    arrays = {name: np.asarray(value) for name, value in state.items()}
    objects = [name for name, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise UsageError(f"npz: {objects[0]!r} holds objects, which only a pickle could hold; save numbers or text")
    with path.open("wb") as file:
        save: Any = np.savez  # its stubs take the names of arrays for its own arguments
        save(file, **arrays)
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


_WRITERS: dict[str, Callable[[Mapping[str, Any], Path], Any]] = {
    "state_dict": _through_torch,
    "safetensors": _through_safetensors,
    "npz": _through_npz,
}


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(f"this format needs {package}: pip install {package}") from error
