"""Where torch draws entropy, is seeded, or starts workers; imported only where torch is loaded already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def patch_seeding(
    put: Callable[[Any, str, Any], None], note: Callable[..., Any], held: Callable[[Any], int | None]
) -> None:
    """Note `torch.seed()` and `torch.Generator().seed()`, with what they are held to; note explicit seeds."""
    real_seed, real_manual, real_generator = torch.seed, torch.manual_seed, torch.Generator

    def seed() -> int:
        found = held(note("reseed", "torch.seed()"))
        if found is None:
            return int(real_seed())
        real_manual(found)
        return found

    def manual_seed(value: Any) -> Any:
        note("seeding", f"torch {value!r}")
        return real_manual(value)

    class Generator(real_generator):  # type: ignore[misc, valid-type]
        """The methods of torch's own class cannot be replaced: it is immutable."""

        def seed(self) -> int:
            found = held(note("entropy", "torch.Generator.seed"))
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


def pin_threads(put: Callable[[Any, str, Any], None]) -> None:
    """Use one thread, whatever the test asks for."""
    torch.set_num_threads(1)
    put(torch, "set_num_threads", lambda count: None)


def patch_loaders(
    put: Callable[[Any, str, Any], None], note: Callable[..., Any], *, in_order: bool, inline: bool
) -> None:
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


def note_calls(put: Callable[[Any, str, Any], None], note: Callable[..., Any], pins: frozenset[str]) -> None:
    """Note calls that tell what an argument of a test does; leave out those of the kinds in `pins`."""
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
    for name in ("set_float32_matmul_precision", "set_flush_denormal", "set_default_dtype"):
        put(torch, name, _precision_call(getattr(torch, name), note, is_left_out="precision" in pins))
    _note_autocast(put, note, is_left_out="precision" in pins)


def _precision_call(real: Callable[..., Any], note: Callable[..., Any], *, is_left_out: bool) -> Callable[..., Any]:
    """Note a call by which torch computes otherwise, with its argument: both runs may make it, each with another."""

    def call(value: Any) -> Any:
        note("precision", f"torch.{real.__name__}({value!r})")
        return None if is_left_out else real(value)

    return call


def _note_autocast(put: Callable[[Any, str, Any], None], note: Callable[..., Any], *, is_left_out: bool) -> None:
    real = torch.autocast.__init__

    def init(self: Any, device_type: str, dtype: Any = None, enabled: bool = True, *rest: Any, **more: Any) -> None:
        if enabled:
            note("precision", f"torch.autocast({device_type!r}, {dtype})")
        real(self, device_type, dtype, enabled and not is_left_out, *rest, **more)

    put(torch.autocast, "__init__", init)


def _note_checkpoints(put: Callable[[Any, str, Any], None], note: Callable[..., Any]) -> None:
    """Note where a module is saved and loaded, and whether what is loaded is what was saved, rounded to 16 bits."""
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


def _note_batch_norm(put: Callable[[Any, str, Any], None], note: Callable[..., Any]) -> None:
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
