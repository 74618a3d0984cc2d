"""torch's generators on every device, never initialising one; its flags stand in ``torch_flags_state``."""

from __future__ import annotations

from typing import Any

import torch

from pytest_repro.frameworks.torch_flags_state import FLAGS, deterministic_requests

__all__ = ["FLAGS", "deterministic_requests", "restore_rng", "save_rng", "seed"]


def seed(seed: int) -> None:
    """Seed the CPU's generator and those of every accelerator, the latter when it initialises if it has not yet.

    Notes
    -----
    What ``torch.manual_seed`` does, without its detour over the devices that this build lacks: each queues
    a formatted stack trace, 150 us a call from a shallow stack, more from within pytest.
    """
    torch.default_generator.manual_seed(seed)
    _seed_accelerators(seed)


def save_rng() -> Any:
    """Return the states of the CPU's generator and of the accelerators initialised by now."""
    return {
        "cpu": torch.get_rng_state(),
        "accelerators": {
            name: module.get_rng_state_all() for name, module in _accelerators() if module.is_initialized()
        },
        "mps": torch.mps.get_rng_state() if _has_mps() else None,
    }


def restore_rng(saved: Any) -> None:
    """Put a state of :func:`save_rng` back."""
    torch.set_rng_state(saved["cpu"])
    # An accelerator that was not initialised then would have started from the last torch.manual_seed: start it there.
    _seed_accelerators(torch.initial_seed(), skip=saved["accelerators"])
    for name, module in _accelerators():
        if name in saved["accelerators"]:
            module.set_rng_state_all(saved["accelerators"][name])
    if saved["mps"] is not None:
        torch.mps.set_rng_state(saved["mps"])


def _seed_accelerators(seed: int, skip: Any = ()) -> None:
    for name, module in _accelerators():
        if name not in skip and not module._is_in_bad_fork():
            module.manual_seed_all(seed)
    if _has_mps() and "mps" not in skip:
        torch.mps.manual_seed(seed)


def _accelerators() -> list[tuple[str, Any]]:
    """Return the device modules that this build of torch can use; no device is touched."""
    found = [(name, module) for name in ("cuda", "xpu") if (module := getattr(torch, name)) and module._is_compiled()]
    other = torch._C._get_privateuse1_backend_name()
    if all(hasattr(getattr(torch, other, None), function) for function in _NEEDED):
        found.append((other, getattr(torch, other)))
    return found


#: What a device registered from outside torch must offer to be seeded and restored.
_NEEDED = ("_is_in_bad_fork", "is_initialized", "manual_seed_all", "get_rng_state_all", "set_rng_state_all")


def _has_mps() -> bool:
    return bool(torch._C._has_mps and torch.backends.mps.is_available() and not torch.mps._is_in_bad_fork())
