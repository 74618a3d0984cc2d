"""Saving and restoring of the state of every generator and flag, with a report of the flags left changed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pytest_repro.errors import ReproError
from pytest_repro.frameworks.base_state import Flag, StateAdapter, as_json, describe_change, loaded_adapters
from pytest_repro.model import JSON
from pytest_repro.seeding import generators, imports
from pytest_repro.seeding.seeds import active_seed, check_seed, note_seed, run_with, seed_everything


@dataclass(frozen=True, slots=True)
class Saved:
    """State of one framework, saved by its adapter."""

    rng: Any
    flags: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class State:
    """States of all generators, and flags of all frameworks that are loaded, at one moment."""

    frameworks: dict[str, Saved] = field(default_factory=dict)
    registered: dict[str, tuple[generators.Generator, Any]] = field(default_factory=dict)
    #: The last seed of the run that was active then, or None.
    seed: int | None = None


#: States right after import, of the frameworks imported while a run was active.
_at_import: dict[str, Saved] = {}


def save_state() -> State:
    """Save the generators and flags of every framework that is loaded, without initialising a device."""
    frameworks = {adapter.__name__: _save(adapter) for adapter in loaded_adapters()}
    return State(frameworks, generators.save_registered(), active_seed())


def restore_state(state: State, *, flags: bool = True) -> list[str]:
    """Restore generators and flags, continuing with the others if one cannot be restored.

    Parameters
    ----------
    state : State
        Result of :func:`save_state`, which may be restored more than once. A framework that was imported since is
        restored to its state after import. Within a run it is seeded, as if it had been loaded then.
    flags : bool
        False restores only the generators. It is used between the runs of a test, whose leaked flags must remain
        visible.

    Returns
    -------
    list of str
        A sentence for each flag that had been left changed.

    Raises
    ------
    ReproError
        If something could not be restored. The message lists everything that could not.
    """
    changes: list[str] = []
    failures: list[str] = []
    for adapter in loaded_adapters():
        saved = state.frameworks.get(adapter.__name__)
        if saved is None and state.seed is not None:
            adapter.seed(state.seed)
            continue
        saved = saved or _at_import.get(adapter.__name__)
        if saved is None:
            continue
        # Flags first, because a generator's state tensor would be created on a changed default device.
        for flag, value in zip(adapter.FLAGS, saved.flags, strict=True) if flags else ():
            with _collected(failures, flag.label):
                changes.extend(_restore_flag(flag, value))
        with _collected(failures, f"the generators of {adapter.__name__.rpartition('.')[2].removesuffix('_state')}"):
            adapter.restore_rng(saved.rng)
    for name, (generator, value) in state.registered.items():
        with _collected(failures, f"generator {name!r}"):
            generators.restore_generator(generator, value)
    if state.seed is not None:
        note_seed(state.seed)
    if failures:
        raise ReproError("could not restore " + "; ".join(failures))
    return changes


def changed_flags(state: State) -> list[str]:
    """Describe the flags that differ from the state, as in ``torch default dtype is float64, was float32``."""
    changes = []
    for adapter in loaded_adapters():
        saved = state.frameworks.get(adapter.__name__) or _at_import.get(adapter.__name__)
        for flag, value in zip(adapter.FLAGS, saved.flags, strict=True) if saved else ():
            if (now := flag.read()) != value:
                left, before = describe_change(now, value)
                changes.append(f"{flag.label} is {left}, was {before}")
    return changes


def read_settings() -> dict[str, JSON]:
    """Return the current value of every flag for a report, as in ``{"torch.default_dtype": "float32", ...}``."""
    return {flag.name: as_json(flag.read()) for adapter in loaded_adapters() for flag in adapter.FLAGS}


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[State]:
    """Seed everything for a block, and restore generators and flags after it, even if it raises."""
    seed = check_seed(seed)
    state = save_state()
    try:
        with seeds_on_import(seed):
            seed_everything(seed)
            yield state
    finally:
        restore_state(state)


@contextlib.contextmanager
def seeds_on_import(seed: int) -> Iterator[None]:
    """Within the context, seed each framework right after its first import, as if it had been loaded before.

    The seed is the last one passed to :func:`seed_everything` within the block, or else `seed`. Without it a test that
    imports torch in its body would run the first time with torch's own seed and later with ours.
    """
    seed = check_seed(seed)

    # As the first listener, to save the framework's state after import before deterministic mode changes it.
    with run_with(seed), imports.when_imported(_seed_imported, first=True):
        yield


def _seed_imported(adapter: StateAdapter) -> None:
    _at_import.setdefault(adapter.__name__, _save(adapter))
    # The active seed, not the one that this block began with: blocks nest, and a run may be seeded again.
    seed = active_seed()
    assert seed is not None
    adapter.seed(seed)


def _save(adapter: StateAdapter) -> Saved:
    return Saved(adapter.save_rng(), tuple(flag.read() for flag in adapter.FLAGS))


def _restore_flag(flag: Flag, saved: Any) -> list[str]:
    now = flag.read()
    if now == saved:
        return []
    flag.write(saved)
    left, before = describe_change(now, saved)
    if (after := flag.read()) != saved:
        raise ReproError(f"left at {left}, should be {before}, is {describe_change(after, saved)[0]}")
    return [f"{flag.label} was left at {left}; restored to {before}"]


@contextlib.contextmanager
def _collected(failures: list[str], what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failures.append(f"{what} ({error})")


def with_flags_now(state: State) -> State:
    """Return the state with its generators but the current flags, to keep a change of flags."""
    now = save_state()
    frameworks = {
        name: Saved(state.frameworks[name].rng if name in state.frameworks else saved.rng, saved.flags)
        for name, saved in now.frameworks.items()
    }
    return dataclasses.replace(state, frameworks=frameworks)
