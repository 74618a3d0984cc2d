"""Names of temporary files, which `tempfile` draws from the operating system's entropy."""

from __future__ import annotations

import random
import tempfile
from typing import Any, ClassVar

from pytest_repro.sources.base import Source
from pytest_repro.sources.entropy import pinned_bytes
from pytest_repro.sources.frames import is_below
from pytest_repro.sources.patching import SourcePatches
from pytest_repro.sources.sightings import note


class TemporaryNames(Source):
    """Draws of names, which few results depend on: apart from all other entropy."""

    name = "names"
    label = "names of temporary files"
    pinned = "with the names of temporary files pinned"
    code = "rng.os_entropy"
    fix = "leave names of temporary files out of the result, or choose the names yourself inside of tmp_path"
    kinds: ClassVar[tuple[str, ...]] = ("tempname",)

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        """Replace the seed of the generator that draws the names. entropy.py has replaced it for all others."""
        seed_others = random.Random.seed

        def seed(self: Any, a: Any = None, version: int = 2) -> None:
            if a is None and is_below("tempfile"):
                site = note("tempname", "tempfile")
                if TemporaryNames.name in pins and site is not None:
                    a = int.from_bytes(pinned_bytes("tempname", site, 16), "little")
            seed_others(self, a, version)

        patches.put(random.Random, "seed", seed)
        patches.put(tempfile, "_name_sequence", None)  # pytest may have drawn a name in this process
