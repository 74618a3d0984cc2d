"""JAX's settings that change results. JAX has no global generator: user code makes keys from the seed."""

from __future__ import annotations

import os
from typing import Any

import jax

from pytest_repro.frameworks.base_state import Flag, Request

_NAMES = (
    "enable_x64",
    "default_matmul_precision",
    "default_prng_impl",
    "default_device",
    "disable_jit",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
    "random_seed_offset",
    "threefry_partitionable",
)

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def seed(seed: int) -> None:
    """Do nothing, because JAX has no global generator."""


def save_rng() -> Any:
    """Return an empty state, because JAX has no global generator."""
    return ()


def restore_rng(saved: Any) -> None:
    """Do nothing, because JAX has no global generator."""


def _flag(name: str) -> Flag:
    option = f"jax_{name}"
    return Flag(f"jax.{name}", lambda: getattr(jax.config, option), lambda value: jax.config.update(option, value))


#: Only the options that the installed JAX has, since they differ between releases.
FLAGS = tuple(_flag(name) for name in _NAMES if hasattr(jax.config, f"jax_{name}"))


def _write_xla_flags(value: str | None) -> None:
    if value is None:
        os.environ.pop("XLA_FLAGS", None)
    else:
        os.environ["XLA_FLAGS"] = value


XLA_FLAGS = Flag("environ.XLA_FLAGS", lambda: os.environ.get("XLA_FLAGS"), _write_xla_flags)


def _is_deterministic(flags: str | None) -> bool:
    """Return whether the last occurrence of the flag, which is the one that XLA uses, switches it on."""
    mentions = [word for word in (flags or "").split() if word.partition("=")[0] == "--xla_gpu_deterministic_ops"]
    return bool(mentions) and mentions[-1].partition("=")[2].lower() in ("", "true", "1")


def _add_deterministic() -> None:
    _write_xla_flags(f"{os.environ.get('XLA_FLAGS', '')} {_DETERMINISTIC}".strip())


def _obstacle() -> str:
    if _is_deterministic(os.environ.get("XLA_FLAGS")) or not _has_gpu_backend():
        return ""
    return (
        "JAX's GPU backend is already initialised, and XLA reads its flags only at that time; "
        f"set XLA_FLAGS={_DETERMINISTIC} in the environment, or call deterministic() before the first JAX operation"
    )


def _has_gpu_backend() -> bool:
    """Return whether a GPU backend is initialised, without initialising one as ``jax.devices()`` would."""
    bridge = getattr(getattr(jax, "_src", None), "xla_bridge", None)
    return any(name not in ("cpu", "interpreter") for name in getattr(bridge, "_backends", ()))


def deterministic_requests(*, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
    """Request deterministic operations on GPUs. XLA's operations on the CPU are deterministic."""
    return [Request(XLA_FLAGS, _DETERMINISTIC, accepts=_is_deterministic, write=_add_deterministic, obstacle=_obstacle)]
