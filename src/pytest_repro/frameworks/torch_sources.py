"""torch's calls that draw entropy, seed, start workers, save, load and change the precision.

Imported only where torch is loaded already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

#: Replaces an attribute for the time of the run.
Put = Callable[[Any, str, Any], None]
#: Notes a sighting by its kind and detail.
Note = Callable[..., Any]


def patch_seeding(put: Put, note: Note, pinned_seed: Callable[[Any], int | None]) -> None:
    """Note `torch.seed()`, `torch.Generator().seed()` and explicit seeds.

    Parameters
    ----------
    put, note : callable
    pinned_seed : callable (site) -> int or None
        Returns the pinned seed of a line; None where entropy is not pinned.
    """
    real_seed, real_manual, real_generator = torch.seed, torch.manual_seed, torch.Generator

    def seed() -> int:
        found = pinned_seed(note("reseed", "torch.seed()"))
        if found is None:
            return int(real_seed())
        real_manual(found)
        return found

    def manual_seed(value: Any) -> Any:
        note("seeding", f"torch {value!r}")
        return real_manual(value)

    class Generator(real_generator):  # type: ignore[misc, valid-type]
        """Noted in a subclass, since torch's own class is immutable."""

        def seed(self) -> int:
            found = pinned_seed(note("entropy", "torch.Generator.seed"))
            if found is None:
                return int(super().seed())
            self.manual_seed(found)
            return found

        def manual_seed(self, value: Any) -> Any:
            note("seeding", f"torch.Generator {value!r}")
            return super().manual_seed(value)

    put(torch, "seed", seed)
    put(torch.random, "seed", seed)
    put(torch, "manual_seed", manual_seed)
    put(torch, "Generator", Generator)


def pin_threads(put: Put, note: Note) -> None:
    """Use one thread, whatever the test asks for."""
    torch.set_num_threads(1)
    put(torch, "set_num_threads", lambda count: None)


def patch_loader_order(put: Put, note: Note, *, in_order: bool) -> None:
    """Note loaders that deliver batches as they come. Pinned ones deliver them in order."""
    from torch.utils.data import DataLoader

    real = DataLoader.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if _count_workers(args, kwargs) and not kwargs.get("in_order", True):
            note("unordered", "DataLoader(in_order=False)")
        if in_order and "in_order" in kwargs:
            kwargs["in_order"] = True
        real(self, *args, **kwargs)

    put(DataLoader, "__init__", init)


def patch_loader_workers(put: Put, note: Note, *, is_inline: bool) -> None:
    """Note loaders with the number of their workers. Pinned ones make their samples in this process."""
    from torch.utils.data import DataLoader

    real = DataLoader.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        note("loader", f"num_workers={_count_workers(args, kwargs)}")
        if is_inline and kwargs.get("num_workers"):
            for name in ("num_workers", "prefetch_factor", "persistent_workers", "multiprocessing_context", "timeout"):
                kwargs.pop(name, None)
        real(self, *args, **kwargs)

    put(DataLoader, "__init__", init)


def _count_workers(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return kwargs.get("num_workers", args[5] if len(args) > 5 else 0)


def patch_noted_calls(put: Put, note: Note) -> None:
    """Note calls that show how a test uses one of its arguments."""
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    def noted(owner: Any, name: str, kind: str, detail: str) -> None:
        real = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            note(kind, detail)
            return real(*args, **kwargs)

        put(owner, name, call)

    noted(torch.Tensor, "backward", "backward", "backward")
    for owner, detail in ((Optimizer, "optimizer"), (LRScheduler, "scheduler")):
        noted(owner, "state_dict", "saves", detail)
        noted(owner, "load_state_dict", "loads", detail)
    noted(torch.nn.utils.rnn, "pad_sequence", "padding", "pad_sequence")
    noted(torch, "get_rng_state", "saves", "torch_rng")
    noted(torch, "set_rng_state", "loads", "torch_rng")
    _note_checkpoints(put, note)
    _note_batch_norm(put, note)


def patch_precision(put: Put, note: Note, *, is_pinned: bool) -> None:
    """Note calls that change torch's precision, with their arguments. Pinned ones do nothing."""
    for name in ("set_float32_matmul_precision", "set_flush_denormal", "set_default_dtype"):
        put(torch, name, _precision_call(getattr(torch, name), note, is_pinned=is_pinned))
    real = torch.autocast.__init__

    def init(self: Any, device_type: str, dtype: Any = None, enabled: bool = True, *rest: Any, **more: Any) -> None:
        if enabled:
            note("precision", f"torch.autocast({device_type!r}, {dtype})")
        real(self, device_type, dtype, enabled and not is_pinned, *rest, **more)

    put(torch.autocast, "__init__", init)


def _precision_call(real: Callable[..., Any], note: Note, *, is_pinned: bool) -> Callable[..., Any]:
    def call(value: Any) -> Any:
        note("precision", f"torch.{real.__name__}({value!r})")
        return None if is_pinned else real(value)

    return call


def _note_checkpoints(put: Put, note: Note) -> None:
    """Note where a module is saved and loaded, and whether the loaded weights are the saved ones rounded to 16 bits."""
    real_save, real_load = torch.nn.Module.state_dict, torch.nn.Module.load_state_dict
    saved: dict[str, torch.Tensor] = {}

    def state_dict(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = real_save(self, *args, **kwargs)
        if note("saves", "module") is not None and not args and not kwargs:
            saved.clear()
            saved.update({name: v.detach().clone() for name, v in found.items() if isinstance(v, torch.Tensor)})
        return found

    def load_state_dict(self: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        note("loads", "module")
        if _is_rounded(saved, state):
            note("rounded", "half")
        return real_load(self, state, *args, **kwargs)

    put(torch.nn.Module, "state_dict", state_dict)
    put(torch.nn.Module, "load_state_dict", load_state_dict)


def _is_rounded(saved: dict[str, torch.Tensor], loaded: Any) -> bool:
    differing = 0
    for name, before in saved.items():
        after = loaded.get(name)
        if not isinstance(after, torch.Tensor) or after.shape != before.shape or not before.is_floating_point():
            continue
        after = after.to(before.dtype)
        if torch.equal(after, before):
            continue
        if not any(torch.equal(after, before.to(kind).to(before.dtype)) for kind in (torch.float16, torch.bfloat16)):
            return False
        differing += 1
    return differing > 0


def _note_batch_norm(put: Put, note: Note) -> None:
    """Note normalisations that take their statistics from the batch."""
    functional = torch.nn.functional
    real = functional.batch_norm

    def batch_norm(
        input: torch.Tensor,
        running_mean: Any,
        running_var: Any,
        weight: Any = None,
        bias: Any = None,
        training: bool = False,
        *rest: Any,
        **more: Any,
    ) -> Any:
        if training or more.get("training"):
            note("statistics", "batch_norm")
        return real(input, running_mean, running_var, weight, bias, training, *rest, **more)

    put(functional, "batch_norm", batch_norm)
