"""Registry of random number generators of other packages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pytest_repro.errors import ReproError, UsageError


class Generator(NamedTuple):
    """Functions that seed, save and restore another package's random number generator."""

    name: str
    seed: Callable[[int], Any]
    save: Callable[[], Any]
    restore: Callable[[Any], Any]


_registered: dict[str, Generator] = {}


def register_generator(
    name: str, seed: Callable[[int], Any], save: Callable[[], Any], restore: Callable[[Any], Any]
) -> Generator:
    """Register a generator that is seeded before every run and restored after the test.

    Parameters
    ----------
    name : str
        Its name in messages, which must be unique.
    seed : callable
        ``seed(number)``, with 0 <= number < 2**32.
    save, restore : callable
        ``restore(save())`` restores the generator's state. ``save`` returns a copy that does not change when numbers
        are drawn, and never None.

    Returns
    -------
    Generator
        To be passed to :func:`unregister_generator`.

    Raises
    ------
    UsageError
        If the name is empty or already used, a function is not callable, or ``save()`` fails or returns None.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"a generator's name must be a non-empty string, got {name!r}")
    for role, function in (("seed", seed), ("save", save), ("restore", restore)):
        if not callable(function):
            raise UsageError(f"generator {name!r}: {role} must be callable, got {type(function).__name__}")
    generator = Generator(name, seed, save, restore)
    known = _registered.get(name)
    if known is not None:
        # The same plugin may be registered twice in one process, as pytester does.
        if known == generator:
            return known
        raise UsageError(f"generator {name!r} is already registered; choose another name")
    _save(generator)
    _registered[name] = generator
    return generator


def unregister_generator(generator: Generator) -> None:
    """Unregister a generator. A generator that is not registered is ignored."""
    if _registered.get(generator.name) == generator:
        del _registered[generator.name]


def register_from_hook(results: Iterable[Any]) -> list[Generator]:
    """Register the generators returned by the implementations of ``pytest_repro_register_rng``.

    Parameters
    ----------
    results : iterable
        For each implementation, an object with `name`, `seed`, `save` and `restore`, or an iterable of them.

    Raises
    ------
    UsageError
        If an object has not all four attributes, or one of them is wrong. Then nothing is registered.
    """
    registered: list[Generator] = []
    try:
        for result in results:
            for candidate in result if _is_collection(result) else (result,):
                registered.append(_register_object(candidate))
    except BaseException:
        for generator in registered:
            unregister_generator(generator)
        raise
    return registered


def _register_object(candidate: Any) -> Generator:
    missing = [role for role in Generator._fields if not hasattr(candidate, role)]
    if missing:
        raise UsageError(
            f"pytest_repro_register_rng returned {candidate!r}, which has no {', '.join(missing)}; "
            "return an object with name, seed, save and restore, or a list of such objects"
        )
    return register_generator(*(getattr(candidate, role) for role in Generator._fields))


def _is_collection(result: Any) -> bool:
    return isinstance(result, Iterable) and not isinstance(result, (Generator, str, bytes))


def seed_registered(seed: int) -> None:
    """Seed every registered generator."""
    for generator in _registered.values():
        _call(generator, "seed", seed)


def save_registered() -> dict[str, tuple[Generator, Any]]:
    """Return the state of every registered generator."""
    return {name: (generator, _save(generator)) for name, generator in _registered.items()}


def restore_generator(generator: Generator, saved: Any) -> None:
    """Restore one generator's state."""
    _call(generator, "restore", saved)


def _save(generator: Generator) -> Any:
    saved = _call(generator, "save")
    if saved is None:
        raise UsageError(f"generator {generator.name!r}: save() returned None, but must return the state to restore")
    return saved


def _call(generator: Generator, role: str, *args: Any) -> Any:
    try:
        return getattr(generator, role)(*args)
    except Exception as error:
        raise ReproError(f"generator {generator.name!r}: {role}() raised {type(error).__name__}: {error}") from error
