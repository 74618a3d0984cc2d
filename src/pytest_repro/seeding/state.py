"""The state of every generator and flag: saved, restored, and what had been left changed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pytest_repro.errors import ReproError
from pytest_repro.frameworks.base_state import Flag, StateAdapter, as_json, loaded_adapters, tell_change
from pytest_repro.model import JSON
from pytest_repro.seeding import generators, imports
from pytest_repro.seeding.seeds import active_seed, check_seed, note_seed, run_with, seed_everything


@dataclass(frozen=True, slots=True)
class Saved:
    """What one framework's adapter saved."""

    rng: Any
    flags: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class State:
    """The states of all generators and the flags of all frameworks loaded at one moment."""

    frameworks: dict[str, Saved] = field(default_factory=dict)
    registered: dict[str, tuple[generators.Generator, Any]] = field(default_factory=dict)
    #: The seed last given in the run that was active then, if one was.
    seed: int | None = None


#: How a framework was right after its import, for those imported while a run was active.
_at_import: dict[str, Saved] = {}


def save_state() -> State:
    """Save the generators and flags of every framework that is loaded, initialising no device."""
    frameworks = {adapter.__name__: _save(adapter) for adapter in loaded_adapters()}
    return State(frameworks, generators.save_registered(), active_seed())


def restore_state(state: State, *, flags: bool = True) -> list[str]:
    """Put generators and flags back, each of them even if another cannot be.

    Parameters
    ----------
    state : State
        Of :func:`save_state`. May be restored more than once. A framework that was imported since is put back
        to how its import left it; within a run it is seeded, as it would have been had it been loaded.
    flags : bool
        False restores the generators alone: between the runs of a test, whose leaks are to be seen.

    Returns
    -------
    list of str
        A sentence for each flag that had been left changed.

    Raises
    ------
    ReproError
        If something could not be put back; the message names all of it.
    """
    told: list[str] = []
    failures: list[str] = []
    for adapter in loaded_adapters():
        saved = state.frameworks.get(adapter.__name__)
        if saved is None and state.seed is not None:
            adapter.seed(state.seed)
            continue
        saved = saved or _at_import.get(adapter.__name__)
        if saved is None:
            continue
        # Flags first: a generator's state tensor would be made on a default device that was left changed.
        for flag, value in zip(adapter.FLAGS, saved.flags, strict=True) if flags else ():
            with _collected(failures, flag.label):
                told.extend(_restore_flag(flag, value))
        with _collected(failures, f"the generators of {adapter.__name__.rpartition('.')[2].removesuffix('_state')}"):
            adapter.restore_rng(saved.rng)
    for name, (generator, value) in state.registered.items():
        with _collected(failures, f"generator {name!r}"):
            generators.restore_generator(generator, value)
    if state.seed is not None:
        note_seed(state.seed)
    if failures:
        raise ReproError("could not put back " + "; ".join(failures))
    return told


def changed_flags(state: State) -> list[str]:
    """Tell which flags differ from the state, touching none: ``torch default dtype is float64, was float32``."""
    told = []
    for adapter in loaded_adapters():
        saved = state.frameworks.get(adapter.__name__) or _at_import.get(adapter.__name__)
        for flag, value in zip(adapter.FLAGS, saved.flags, strict=True) if saved else ():
            if (now := flag.read()) != value:
                left, before = tell_change(now, value)
                told.append(f"{flag.label} is {left}, was {before}")
    return told


def read_settings() -> dict[str, JSON]:
    """Return every flag as it is now, for a report: ``{"torch.default_dtype": "float32", ...}``."""
    return {flag.name: as_json(flag.read()) for adapter in loaded_adapters() for flag in adapter.FLAGS}


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[State]:
    """Seed everything for a block, and put generators and flags back after it, also when it raises."""
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
    """While it is open, seed a framework right after its first import, as it would have been had it been loaded.

    It gets the seed that :func:`seed_everything` was last given within the block, at first `seed`.

    Without it a test that imports torch in its body would run once with torch's own seed and then with ours.
    """
    seed = check_seed(seed)

    # First: what is kept is the framework as its import left it, before deterministic mode changes it.
    with run_with(seed), imports.when_imported(_seed_imported, first=True):
        yield


def _seed_imported(adapter: StateAdapter) -> None:
    _at_import.setdefault(adapter.__name__, _save(adapter))
    # The active one, not the one that this block began with: blocks nest, and a run may be seeded anew.
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
    left, back = tell_change(now, saved)
    if flag.read() != saved:
        raise ReproError(f"left at {left}, to be {back}, is {tell_change(flag.read(), saved)[0]}")
    return [f"{flag.label} was left at {left}; put back to {back}"]


@contextlib.contextmanager
def _collected(failures: list[str], what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failures.append(f"{what} ({error})")


def with_flags_now(state: State) -> State:
    """Return the state with its generators as saved but the flags as they are now: a change that is to last."""
    now = save_state()
    frameworks = {
        name: Saved(state.frameworks[name].rng if name in state.frameworks else saved.rng, saved.flags)
        for name, saved in now.frameworks.items()
    }
    return dataclasses.replace(state, frameworks=frameworks)
