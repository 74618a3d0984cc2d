"""Where torch draws entropy, is seeded, or starts workers; imported only where torch is loaded already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def patch_seeding(
    put: Callable[[Any, str, Any], None], note: Callable[..., Any], draw: Callable[[Any], bytes], is_pinned: bool
) -> None:
    """Note, and pin where asked, `torch.seed()` and `torch.Generator().seed()`; note explicit seeds."""
    real_seed, real_manual, real_generator = torch.seed, torch.manual_seed, torch.Generator

    def entropy(site: Any) -> int:
        return int.from_bytes(draw(site), "little") >> 1

    def seed() -> int:
        site = note("reseed", "torch.seed()")
        if is_pinned and site is not None:
            value = entropy(site)
            real_manual(value)
            return value
        return real_seed()

    def manual_seed(value: Any) -> Any:
        note("seeding", f"torch {value!r}")
        return real_manual(value)

    class Generator(real_generator):  # type: ignore[misc, valid-type]
        """The methods of torch's own class cannot be replaced: it is immutable."""

        def seed(self) -> int:
            site = note("entropy", "torch.Generator.seed")
            if is_pinned and site is not None:
                value = entropy(site)
                self.manual_seed(value)
                return value
            return int(super().seed())

    put(torch, "seed", seed)
    put(torch.random, "seed", seed)
    put(torch, "manual_seed", manual_seed)
    put(torch, "Generator", Generator)


def pin_threads(put: Callable[[Any, str, Any], None]) -> None:
    """Use one thread, whatever the test asks for."""
    torch.set_num_threads(1)
    put(torch, "set_num_threads", lambda count: None)


def patch_loaders(put: Callable[[Any, str, Any], None], note: Callable[..., Any], *, in_order: bool, inline: bool) -> None:
    """Note loaders with workers; have them deliver in order, or work in this process."""
    from torch.utils.data import DataLoader

    real = DataLoader.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        workers = kwargs.get("num_workers", args[5] if len(args) > 5 else 0)
        note("loader", f"num_workers={workers}")
        if workers and not kwargs.get("in_order", True):
            note("unordered", "DataLoader(in_order=False)")
        if in_order and "in_order" in kwargs:
            kwargs["in_order"] = True
        if inline and kwargs.get("num_workers"):
            for name in ("num_workers", "prefetch_factor", "persistent_workers", "multiprocessing_context", "timeout"):
                kwargs.pop(name, None)
        real(self, *args, **kwargs)

    put(DataLoader, "__init__", init)
