"""Entropy of the operating system, drawn by the test's own process.

A pinned draw is keyed by the user's line and by how often it was reached there: a stream of its own would shift with
every library that is imported late.
"""

from __future__ import annotations

import importlib
import os
import random
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from pytest_repro.axes.patches import Replacement
from pytest_repro.model import CauseWords
from pytest_repro.sources.base import STARTED, Evidence, Sighting, Source
from pytest_repro.sources.frames import is_below
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.sightings import FORK_LOCK, Site, is_pinned_at, note
from pytest_repro.sources.worker_entropy import PinnedTasks, WorkerEntropy, hash_to_bytes
from pytest_repro.tracing.user_code import is_user_file

#: Detail of entropy that a compiled library drew for a generator of its own.
FROM_COMPILED_CODE = "os.urandom, by compiled code"

_UUID_FIX = (
    "uuid4() takes no seed: make the id from what it stands for, uuid.uuid5(namespace, name), or from a seeded "
    "generator, uuid.UUID(int=random.Random(repro.seed).getrandbits(128))"
)
_UNSEEDED_FIX = (
    "the operating system's entropy takes no seed: draw from a generator that has one, such as "
    "random.Random(repro.seed)"
)

_counts: Counter[tuple[str, Site]] = Counter()


def pinned_bytes(kind: str, site: Site, size: int) -> bytes:
    """Return the bytes of the next pinned draw of a kind at a line of the user's code."""
    with FORK_LOCK:
        _counts[kind, site] += 1
        number = _counts[kind, site]
    return hash_to_bytes(f"{kind}:{site}:{number}", size)


class Entropy(Source):
    """Draws of this process. Those of the workers that it forks are another source."""

    name = "entropy"
    label = "entropy"
    pinned = "with the operating system's entropy pinned"
    code = "rng.os_entropy"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "rng.os_entropy": CauseWords(
            "entropy of the operating system",
            "give the generator a seed, such as repro.seed",
            "pass {library} a seed (seed=, random_state=), or seed the generator that it draws from",
            call_fixes=(
                *((name, _UUID_FIX) for name in ("uuid4", "uuid.uuid4")),
                *((detail, _UNSEEDED_FIX) for detail in ("os.urandom", "SystemRandom")),
            ),
        ),
        "rng.reseeded_from_entropy": CauseWords(
            "a generator reseeded from the operating system's entropy",
            "give seed() a number, or remove the call: it overwrites the seed that was set",
        ),
    }
    kinds: ClassVar[tuple[str, ...]] = ("entropy", "reseed", STARTED)
    is_pinned_by_line = True
    reaches_started = True

    def begin_repetition(self) -> None:
        with FORK_LOCK:
            _counts.clear()

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        draws = _Draws(is_pinned=self.name in pins, pins_workers=WorkerEntropy.name in pins)
        _patch_random(patches, draws)
        _patch_numpy(patches, draws)
        patches.call_adapter("jax_sources.patch_seeding")
        patches.call_adapter("torch_sources.patch_seeding", pinned_seed=lambda site: draws.seed(site, 63))

        from pytest_repro.axes.compiled_calls import reads_clock
        from pytest_repro.sources.compiled import entropy_makers

        patches.replace_compiled(entropy_makers(draws.pinned), reads_clock)

    def name_code(self, evidence: Evidence) -> str:
        """Return whose entropy it is: of a compiled library's generator, of a reseeded one, or any other."""
        first, sightings = evidence.first, evidence.sightings
        near = [entry for entry in sightings if first and (entry["file"], entry["line"]) == (first.file, first.line)]
        if sightings and all(entry["detail"] == FROM_COMPILED_CODE for entry in near or sightings):
            return "rng.foreign_state"
        is_reseed = any(entry["kind"] == "reseed" for entry in sightings)
        return "rng.reseeded_from_entropy" if is_reseed else self.code

    def choose_sightings(self, code: str, sightings: list[Sighting]) -> list[Sighting]:
        if code == "rng.reseeded_from_entropy":
            return [entry for entry in sightings if entry["kind"] == "reseed"]
        return sightings


class _Draws:
    """Draws in this process and in its forks: pinned, or None where they are not."""

    def __init__(self, *, is_pinned: bool, pins_workers: bool) -> None:
        # The functions under their real names: the process id may be pinned too.
        self._is_pinned, self._real_urandom, self._getpid = is_pinned, os.urandom, os.getpid
        self._pid = os.getpid()
        self._tasks = PinnedTasks() if pins_workers else None

    def pinned(self, site: Site | None, size: int) -> bytes | None:
        if site is None:
            return None
        if self._getpid() == self._pid:
            is_pinned = self._is_pinned and is_pinned_at(Entropy.name, site)
            return pinned_bytes(Entropy.name, site, size) if is_pinned else None
        return None if self._tasks is None else self._tasks.draw(site, size)

    def seed(self, site: Site | None, bits: int = 128) -> int | None:
        size = -(-bits // 8)
        found = self.pinned(site, size)
        return None if found is None else int.from_bytes(found, "little") >> (8 * size - bits)

    def draw(self, size: int, detail: str) -> bytes:
        if _is_for_temporary_names():
            return self._real_urandom(size)
        found = self.pinned(note("entropy", detail), size)
        return self._real_urandom(size) if found is None else found


def _is_for_temporary_names() -> bool:
    """Return whether entropy is drawn for the name of a temporary file, on which few results depend."""
    return is_below("tempfile", "multiprocessing.util")


def _patch_random(patches: SourcePatches, draws: _Draws) -> None:
    def urandom(size: int, /) -> bytes:
        caller = sys._getframe(1)
        # Compiled code has no frame of its own: numba seeds its generators from a line that names no such call.
        is_direct = "urandom" in caller.f_code.co_names or not is_user_file(caller.f_code.co_filename)
        return draws.draw(size, "os.urandom" if is_direct else FROM_COMPILED_CODE)

    patches.put(random, "_urandom", lambda size: draws.draw(size, "SystemRandom"))
    patches.swap(os.urandom, urandom)
    real_seed = random.Random.seed

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        if a is not None:
            note("seeding", f"random {a!r}")
        elif type(self) is not random.SystemRandom and not _is_for_temporary_names():
            a = draws.seed(note("entropy", "random.Random()"))
        real_seed(self, a, version)

    patches.put(random.Random, "seed", seed)
    real_module_seed = random.seed

    def module_seed(a: Any = None, version: int = 2) -> None:
        if a is None:
            a = draws.seed(note("reseed", "random.seed()"))
        else:
            note("seeding", f"random {a!r}")
        real_module_seed(a, version)

    patches.swap(real_module_seed, Replacement(real_module_seed, module_seed))
    # `uuid4` reads os.urandom by its module's name, which is replaced above.
    assert uuid.os is os  # type: ignore[attr-defined]


def _patch_numpy(patches: SourcePatches, draws: _Draws) -> None:
    """Replace NumPy's functions that seed, and the one through which it draws all entropy."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    # NumPy 2 loads its generators when they are first used.
    bit_generator: Any = importlib.import_module("numpy.random.bit_generator")
    real_bits: Callable[[int], int] = bit_generator.randbits

    def randbits(bits: int) -> int:
        found = draws.seed(note("entropy", "numpy seed sequence"), bits)
        return real_bits(bits) if found is None else found

    with suppress(AttributeError):
        patches.put(bit_generator, "randbits", randbits)
    for name in ("seed", "default_rng"):
        real = getattr(numpy.random, name)
        patches.swap(real, Replacement(real, _seeding(real, f"numpy.random.{name}", is_reseed=name == "seed")))


def _seeding(real: Callable[..., Any], detail: str, *, is_reseed: bool) -> Callable[..., Any]:
    def seeded(*args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else kwargs.get("seed")
        if given is not None:
            with suppress(Exception):
                note("seeding", f"{detail} {given!r}")
        elif is_reseed:
            note("reseed", f"{detail}()")
        return real(*args, **kwargs)

    return seeded
