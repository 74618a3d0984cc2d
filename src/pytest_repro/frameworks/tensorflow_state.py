"""TensorFlow's global seed, the operation seeds drawn from it, and its determinism and TF32 settings."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import config
from tensorflow.python.ops import stateful_random_ops

from pytest_repro.frameworks.base_state import Flag, Request


def seed(seed: int) -> None:
    """Set the global seed, and reset the global generator if there is one, without initialising a device.

    Notes
    -----
    If no global generator was set, ``tf.random.get_global_generator()`` makes one from the system's entropy. It stays
    unseeded, as TensorFlow documents.
    """
    tf.random.set_seed(seed)
    if stateful_random_ops.global_generator is not None:
        stateful_random_ops.global_generator.reset_from_seed(seed)


def save_rng() -> Any:
    """Return the global seed, the state of the operation seeds, and the global generator with its state."""
    eager = context.context()
    operations = getattr(eager, "_rng", None)
    generator = stateful_random_ops.global_generator
    return (
        context.global_seed(),
        None if operations is None else operations.getstate(),
        generator,
        None if generator is None else generator.state.numpy(),
    )


def restore_rng(saved: Any) -> None:
    """Restore a state that :func:`save_rng` returned."""
    global_seed, operations, generator, state = saved
    context.set_global_seed(global_seed)
    if operations is not None:
        context.context()._rng.setstate(operations)
    stateful_random_ops.global_generator = generator
    if generator is not None:
        generator.reset(state)


def _write_determinism(mode: bool) -> None:
    if mode:
        config.enable_op_determinism()
    else:
        config.disable_op_determinism()


DETERMINISM = Flag("tensorflow.op_determinism", config.is_op_determinism_enabled, _write_determinism)
TF32 = Flag(
    "tensorflow.tensor_float_32",
    tf.config.experimental.tensor_float_32_execution_enabled,
    tf.config.experimental.enable_tensor_float_32_execution,
)
FLAGS = (
    DETERMINISM,
    TF32,
    Flag("tensorflow.functions_run_eagerly", tf.config.functions_run_eagerly, tf.config.run_functions_eagerly),
)


def deterministic_requests(*, warn_only: bool, fill_uninitialized: bool) -> list[Request]:
    """Request deterministic operations without TF32.

    TensorFlow raises an error for operations that have no deterministic version, and if no seed is set.
    """
    return [Request(DETERMINISM, True), Request(TF32, False)]
