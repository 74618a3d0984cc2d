"""Kinds of leaked state, by the content of a place before and after a run."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pytest_repro.capturing.fingerprints import CODE, PLAIN, fingerprint, generator_state
from pytest_repro.model import JSON, CauseWords

#: The words of the codes of leaked state.
WORDS = {
    "state.fixture": CauseWords(
        "a fixture that outlives the test, whose value the run before changed",
        "make the fixture function-scoped, or copy its value before changing it",
    ),
    "state.mutable_default": CauseWords(
        "a default argument that the run before changed",
        "None as default, and make the object in the function",
    ),
    "state.mutated_data": CauseWords(
        "data of a module that the run before changed", "copy the data before changing it"
    ),
    "state.module_global": CauseWords(
        "a global of a module that the run before changed",
        "make it in the run, by a function or a fixture, instead of once for all runs",
    ),
    "state.rng_object": CauseWords(
        "a generator that outlives a run, and continues where the run before ended",
        "make the generator in the run, from repro.seed",
    ),
    "state.cache": CauseWords(
        "a cache that the run before filled", "clear the cache in a fixture, or key it by all that matters"
    ),
    "state.buffers": CauseWords(
        "a model's buffers that the run before changed", "make the model in the run, or a copy of it"
    ),
    "state.iterator": CauseWords(
        "an iterator that continues where the run before ended", "make the iterator in the run"
    ),
    "state.framework_flag": CauseWords(
        "a flag of a framework that the run before left changed", "restore the flag at the end"
    ),
    "state.environ": CauseWords(
        "an environment variable that the run before set", "monkeypatch.setenv, which restores it"
    ),
    "memory.stale_buffer": CauseWords(
        "a buffer that keeps what the run before wrote", "make the buffer in the run, or clear it before use"
    ),
}
#: Attributes of an object that are inspected, and levels of objects within objects.
MAX_ATTRIBUTES, MAX_DEPTH = 50, 3
_ITERATORS = ("cycle", "map", "zip", "filter", "chain", "islice")


def code_of_state(kind: str) -> str:
    """Return the code of a kind of state."""
    return "memory.stale_buffer" if kind == "stale_buffer" else f"state.{kind}"


def describe(value: Any, depth: int = MAX_DEPTH) -> dict[str, JSON]:
    """Describe a value in one word or number (`text`), with its id and those of its attributes."""
    described: dict[str, JSON] = {"id": id(value)}
    with suppress(Exception):
        described["text"] = repr(value)[:80] if isinstance(value, PLAIN) else type(value).__name__
        if depth:
            described["parts"] = {name: describe(part, depth - 1) for name, part in _attributes(value).items()}
    return described


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object whose class is neither code nor an array nor a collection."""
    if isinstance(value, CODE) or hasattr(value, "dtype") or isinstance(value, (dict, list, tuple, set)):
        return {}
    with suppress(TypeError):
        return dict(list(vars(value).items())[:MAX_ATTRIBUTES])
    return {}


def kind_of(before: Any, after: Any, was: dict[str, JSON], depth: int = MAX_DEPTH) -> str:
    """Return the kind of state of a place whose content a run changed.

    Parameters
    ----------
    before, after : object
        A copy of the old content, None if there is none, and the new content.
    was : dict
        The description of the old content by :func:`describe`.
    """
    module = type(after).__module__
    if generator_state(after) is not None:
        return "rng_object"
    if module.startswith("torch") or _holds_modules(after):
        if _only_buffers_differ(before, after):
            return "buffers"
        if hasattr(after, "state_dict"):
            return "module_global"
    if hasattr(after, "get_params") and hasattr(after, "fit"):
        return "buffers"
    if hasattr(after, "dtype") or module.startswith("pandas"):
        if was.get("id") != id(after):
            return "module_global"  # another array under the same name
        return "stale_buffer" if _is_uniform(before) else "mutated_data"
    if hasattr(after, "gi_frame") or type(after).__name__.endswith("iterator") or type(after).__name__ in _ITERATORS:
        return "iterator"
    if _holds_changed_data(before, after):
        return "mutated_data"
    return _kind_of_attributes(before, after, was, depth) or "module_global"


def _kind_of_attributes(before: Any, after: Any, was: dict[str, JSON], depth: int) -> str:
    """Return the kind of all changed attributes, or "" if they are of several kinds or none has changed."""
    old, parts = _attributes(before), was.get("parts")
    if not depth or not old or not isinstance(parts, dict):
        return ""
    kinds = set()
    for name, value in _attributes(after).items():
        if fingerprint(value) != fingerprint(old.get(name)):
            part = parts.get(name)
            kinds.add(kind_of(old.get(name), value, part if isinstance(part, dict) else {}, depth - 1))
    return kinds.pop() if len(kinds) == 1 else ""


def _is_uniform(value: Any) -> bool:
    """Return whether all elements of an array are equal, as in a new buffer."""
    with suppress(Exception):
        return bool(value.min() == value.max())
    return False


def _holds_changed_data(before: Any, after: Any) -> bool:
    """Return whether a list's items have changed, or arrays and lists in a dict that was filled before."""
    if isinstance(after, list):
        return isinstance(before, list) and bool(before)
    if not isinstance(after, dict) or not isinstance(before, dict):
        return False
    shared = [key for key in after if key in before and fingerprint(after[key]) != fingerprint(before[key])]
    return any(isinstance(after[key], (list, dict)) or hasattr(after[key], "dtype") for key in shared)


def _holds_modules(value: Any) -> bool:
    return isinstance(value, dict) and any(hasattr(item, "named_buffers") for item in value.values())


def _only_buffers_differ(before: Any, after: Any) -> bool:
    """Return whether only buffers of torch modules have changed, or modules with buffers were made in the run."""
    modules = list(after.values()) if isinstance(after, dict) else [after]
    modules = [module for module in modules if hasattr(module, "named_buffers")]
    if not modules:
        return False
    olds = list(before.values()) if isinstance(before, dict) else [before]
    olds = [module for module in olds if hasattr(module, "named_buffers")]
    if len(olds) != len(modules):
        return any(True for module in modules for _ in module.named_buffers())
    pairs = zip(olds, modules, strict=True)
    return all(fingerprint(list(old.parameters())) == fingerprint(list(new.parameters())) for old, new in pairs)
