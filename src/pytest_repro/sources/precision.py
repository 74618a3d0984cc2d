"""Calls by which a framework computes in another precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pytest_repro.model import CauseWords
from pytest_repro.sources.base import Source
from pytest_repro.sources.patching import SourcePatches


class Precision(Source):
    """Flags of torch and JAX. When they are pinned, the calls that set them do nothing."""

    name = "precision"
    label = "precision flags"
    pinned = "without the calls that change the precision"
    code = "precision.flag"
    words: ClassVar[Mapping[str, CauseWords]] = {
        "precision.flag": CauseWords(
            "a flag by which a library computes in less precision",
            "restore the flag, or compare within what the lower precision allows",
        )
    }
    kinds: ClassVar[tuple[str, ...]] = ("precision",)
    is_searched = False

    def patch(self, patches: SourcePatches, pins: frozenset[str]) -> None:
        """Note the calls with their values, since both runs may make them, each with another value."""
        for adapter in ("torch_sources", "jax_functions"):
            patches.call_adapter(f"{adapter}.patch_precision", is_pinned=self.name in pins)
